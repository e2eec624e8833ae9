"""A tiny MoNuSeg: two training tiles, a later one and a test tile, saved as PNG; outlines as ImageScope writes them."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from drawn import drawn_sample
from nucleosynth.instances.polygons import Ring, trace

TRAIN, TEST = "MoNuSeg 2018 Training Data", "MoNuSegTestData"
MPP = 'MicronsPerPixel="0.252"'


def xml_of(rings: Iterable[Ring | str], mpp: str = MPP, holes: Iterable[Ring] = ()) -> str:
    """An ImageScope file of regions 1, 2, 3 ...: rings of x, y (or a region's vertices as they are to stand)."""
    drawn = [(ring, 0) for ring in rings] + [(ring, 1) for ring in holes]
    regions = "\n".join(
        f'<Region Id="{number}" Type="0" Area="1.0" NegativeROA="{hole}"><Attributes/>'
        f"<Vertices>{ring if isinstance(ring, str) else vertices_of(ring)}</Vertices></Region>"
        for number, (ring, hole) in enumerate(drawn, start=1)
    )
    return (
        f'<Annotations {mpp}>\n<Annotation Id="1" Type="4"><Attributes/><Regions><RegionAttributeHeaders>'
        f'<AttributeHeader Id="9999" Name="Region"/></RegionAttributeHeaders>\n{regions}\n'
        "</Regions><Plots/></Annotation>\n</Annotations>\n"
    )


def vertices_of(ring: Ring) -> str:
    """The vertices of a region."""
    return "".join(f'<Vertex X="{x:.6f}" Y="{y:.6f}"/>' for x, y in np.asarray(ring, float))


def write_tile(image: Path, label: Path, seed: int) -> None:
    """A drawn tile: a PNG and its outlines."""
    sample = drawn_sample(seed)
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image), sample.image)
    label.write_text(xml_of(ring for ((ring,),) in trace(sample.instances)))


def make(root: Path) -> str:
    """Write it below `root`; what stands after "monuseg:"."""
    for k, name in enumerate(("TCGA-18-5592-01Z-00-DX1", "TCGA-AY-A8YK-01A-01-TS1", "TCGA-BC-A217-01Z-00-DX1")):
        write_tile(root / TRAIN / "Tissue Images" / f"{name}.png", root / TRAIN / "Annotations" / f"{name}.xml", k)
    test = root / TEST / "TCGA-2Z-A9J9-01A-01-TS1"
    write_tile(test.with_suffix(".png"), test.with_suffix(".xml"), 3)
    return str(root)
