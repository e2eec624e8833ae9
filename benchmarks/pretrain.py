"""The pretrained model that comes with the package: its training tiles, and its run folder made small.

    python benchmarks/pretrain.py tiles STORE --nucls folder:NUCLS --puma puma:PUMA --dsb2018 dsb2018:DSB2018
    nucleosynth fit jointflow --data STORE --run RUN --minutes 60
    python benchmarks/pretrain.py export RUN src/nucleosynth/pretrained/NAME

Tiles under CC0 and drawn tissue alone, all nuclei of one class, each set under a tissue of its own. Neither NuCLS'
tiles nor DSB2018's state a resolution: NuCLS was annotated at .2 um per pixel; of a DSB2018 tile it is taken to be what
gives its median nucleus 45 um^2. Of the largest set the middle of each tile is taken, and tiles are repeated until each
set has about the same area.

Exported are the averaged weights in half precision, the record, the facts and nothing else.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nucleosynth.data.reader import read
from nucleosynth.data.store import ROWS_PER_SHARD, open_for_writing
from nucleosynth.data.tiles import resample
from nucleosynth.run import RECORD, Run, RunRecord, write_whole
from nucleosynth.sample import Sample

MPP = 0.5
NUCLS_MPP = 0.2
MEDIAN_UM2 = 45.0
FEWEST = 6
"""Nuclei that a DSB2018 tile must have for its resolution to be told from them."""
MIDDLE_PX = 112
"""Side of what is taken of each tile where a set is much larger than the others."""
AREA_PX = 900_000
"""Of each set, about, at `MPP`."""
DRAWN = "phantom:tiles=14&size=256&sources=7&seed=11"


def main() -> None:
    """Tiles or export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    tiles = parts.add_parser("tiles")
    tiles.add_argument("store", type=Path)
    for name in ("nucls", "puma", "dsb2018"):
        tiles.add_argument(f"--{name}", required=True)
    export = parts.add_parser("export")
    export.add_argument("run", type=Path)
    export.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.part == "tiles":
        write_tiles(options.store, options.nucls, options.puma, options.dsb2018)
    else:
        write_model(Run.open(options.run), options.folder)


def write_tiles(store: Path, nucls: str, puma: str, dsb2018: str) -> None:
    """All sets in one store, about as much of each."""
    sets = {
        "breast": [
            replace(tile, mpp=NUCLS_MPP, licence="CC0-1.0", source=f"nucls/{tile.sample_id}") for tile in _binary(nucls)
        ],
        "melanoma": list(_binary(puma)),
        "purple": [tile for tile in map(_scaled, _binary(dsb2018)) if tile is not None],
        "drawn": list(_binary(DRAWN)),
    }
    tiles = [tile for tissue, found in sets.items() for tile in _repeated(tissue, found)]
    with open_for_writing(store, {"made": "by benchmarks/pretrain.py"}, len(tiles), ROWS_PER_SHARD, False) as writer:
        for shard in writer.missing():
            writer.write(shard, [tiles[row] for row in writer.rows(shard)])
    for tissue in sets:
        own = [tile for tile in tiles if tile.tissue == tissue]
        nuclei = sum(len(tile.classes) for tile in own)
        print(f"{tissue}: {len(own)} tiles, {nuclei} nuclei, {sum(t.instances.size for t in own)} px at {MPP} um")


def _binary(data: str) -> Iterator[Sample]:
    return (replace(tile, points=None) for tile in read(data, None, "binary"))


def _scaled(tile: Sample) -> Sample | None:
    """The tile at the resolution that its nuclei speak for; none where there are too few of them."""
    areas = np.bincount(tile.instances.ravel())[1:]
    return replace(tile, mpp=float(np.sqrt(MEDIAN_UM2 / np.median(areas)))) if len(areas) >= FEWEST else None


def _repeated(tissue: str, tiles: Sequence[Sample]) -> Iterator[Sample]:
    """Tiles at the common resolution, each under a name of its own, until they have the area."""
    at, area = 0, 0
    fine = [resample(tile, MPP) for tile in tiles]
    if len(fine) * fine[0].instances.size > 2 * AREA_PX:
        fine = [_middle(tile) for tile in fine]
    while area < AREA_PX:
        tile = fine[at % len(fine)]
        yield replace(tile, sample_id=f"{tissue}_{at:04d}", tissue=tissue, split="train")
        area, at = area + tile.instances.size, at + 1


def _middle(tile: Sample) -> Sample:
    side = [min(extent, MIDDLE_PX) for extent in tile.size]
    top, left = ((extent - inner) // 2 for extent, inner in zip(tile.size, side, strict=True))
    return tile.crop(top, left, *side)


def write_model(run: Run, folder: Path) -> None:
    """The run folder with half the precision and none of the way there."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    record = run.record.model_copy(update={"data": "NuCLS, PUMA, DSB2018, drawn tissue: see MODEL_CARD.md"})
    write_whole(folder / RECORD, RunRecord.model_validate(record.model_dump()).model_dump_json(indent=1))
    shutil.copy(run.folder / "facts.json", folder / "facts.json")
    source = run.checkpoint("flow")
    with safe_open(source, "pt") as file:
        meta = file.metadata()
        keys = [key for key in file.keys() if key.startswith("module.average.")]  # noqa: SIM118
        tensors = {key: _half(file.get_tensor(key)) for key in keys}
    rest = json.loads(meta["rest"]) | {"optimisers": {}}
    target = folder / "checkpoints" / source.name
    save_file(tensors, target, meta | {"rest": json.dumps(rest)})
    target.chmod(0o644)


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    main()
