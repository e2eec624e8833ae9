"""How the settings of sampling change what a trained run of JointFlow makes; training is not touched.

    python benchmarks/sampling.py RUN DATA [--n 192] [--set "history=0" "history=1 shift=3" ...]

RUN is a run folder of `nucleosynth fit`, DATA what it was trained on. A setting is a row; the first is the run's own.

    FSD          Frechet distance of class proportions (per cent, background in) to training crops
    empty        share of tiles without nuclei
    colour       Frechet distance of the tiles' mean RGB (0..255) to training crops
    contrast     median haematoxylin contrast of nuclei to the ring around them, over that of training crops
    coarse, fine power of the optical density at 5 to 13 px and 3 to 5 px a wave, over that of training crops
    copies       median distance to the nearest training crop; the first line has that of held-out tiles

All columns but the last look at training crops alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from likeness import proportions
from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resample
from nucleosynth.methods.jointflow import JointFlow
from nucleosynth.metrics.copies import copies, density
from nucleosynth.metrics.frechet import frechet_distance
from nucleosynth.metrics.proportions import fsd
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.training.device import fabric_for
from pairs import contrast, crops

SETTINGS = (
    "history=0",
    "history=0.5",
    "history=1",
    "history=0.75 shift=4",
    "history=0.75 steps=8",
    "history=0.75 steps=32",
)
REAL, COMPARED = 1024, 96
COLUMNS = ("FSD", "empty", "colour", "contrast", "coarse", "fine", "copies")


def main() -> None:
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--n", type=int, default=192)
    parser.add_argument("--set", nargs="*", default=SETTINGS)
    options = parser.parse_args()
    model = JointFlow.load(Run.open(options.run), fabric_for())
    train, test = (
        [tile if model.mpp is None else resample(tile, model.mpp) for tile in read(options.data, split)]
        for split in ("train", "test")
    )
    real, again = crops(train, REAL, 1, model), crops(train, options.n, 2, model)
    held_out = crops(test, COMPARED, 3, model)
    wide = max(len(text) for text in (*options.set, "training crops"))
    print(" " * wide + "".join(f"{name:>10}" for name in COLUMNS))
    print(row("training crops", wide, [*beside(again, real), distances(held_out, held_out, train)[1]]), flush=True)
    own = model.settings
    for text in ("", *options.set):
        changes = dict(part.split("=") for part in text.split())
        model.settings = own.model_copy(update={"sampling": config.resolve(own.sampling, changes, text)})
        made = list(model.generate(model.default_conditions(7), 7, count=options.n, batch=32))
        values = [*beside(made, real), distances(made, held_out, train)[0]]
        print(row(text or "the run's own", wide, values), flush=True)


def beside(made: Sequence[Sample], real: Sequence[Sample]) -> list[float]:
    """All columns but the last."""
    colours = (np.array([tile.image.mean(axis=(0, 1)) for tile in part]) for part in (real, made))
    return [
        fsd(proportions(real), proportions(made)),
        float(np.mean([len(tile.classes) == 0 for tile in made])),
        frechet_distance(*colours),
        contrast(made) / contrast(real),
        *(np.array(power(made)) / np.array(power(real))),
    ]


def row(name: str, wide: int, values: Sequence[float]) -> str:
    """A line of the table."""
    return f"{name:<{wide}}" + "".join(f"{value:>10.3f}" for value in values)


def power(tiles: Sequence[Sample]) -> tuple[float, float]:
    """Mean power of the optical density at 5 to 13 px a wave, and at 2.9 to 5 px."""
    side = tiles[0].size[0]
    window = np.hanning(side)[:, None] * np.hanning(side)
    planes = [density(tile.image) for tile in tiles]
    total = np.mean([np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 for plane in planes], axis=0)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    return float(total[(radius >= 0.075) & (radius < 0.2)].mean()), float(
        total[(radius >= 0.2) & (radius < 0.35)].mean()
    )


def distances(made: Sequence[Sample], held_out: Sequence[Sample], train: Sequence[Sample]) -> tuple[float, float]:
    """Median distance to the nearest training crop of made and of held-out tiles."""
    found = copies(*([tile.image for tile in part] for part in (made[:COMPARED], held_out, train)))
    return found["distance"], found["held_out_distance"]


if __name__ == "__main__":
    main()
