"""A tiny Kumar: a tile each of train and test_same with its XML, two of test_diff as HoVer-Net's copy has them."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from drawn import drawn_sample
from releases import monuseg


def make(root: Path) -> str:
    """Write it below `root`; what stands after "kumar:"."""
    for k, name in enumerate(("TCGA-18-5592-01Z-00-DX1", "TCGA-21-5786-01Z-00-DX1")):
        monuseg.write_tile(root / "Tissue Images" / f"{name}.png", root / "Annotations" / f"{name}.xml", k)
    for k, name in enumerate(("TCGA-AY-A8YK-01A-01-TS1", "TCGA-DK-A2I6-01A-01-TS1"), start=2):
        write_map(root / "test_diff", name, drawn_sample(k).instances, k)
    return str(root)


def write_map(folder: Path, name: str, instances: np.ndarray, seed: int = 0) -> None:
    """A tile with its instance map, stored as floats."""
    for kind in ("Images", "Labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "Images" / f"{name}.png"), drawn_sample(seed, instances.shape).image)
    scipy.io.savemat(folder / "Labels" / f"{name}.mat", {"inst_map": instances.astype(float)})
