"""Few evaluations against the whole chain: does a sampler change what a trained run makes?

    python benchmarks/solvers.py RUN DATA [--n 256] [--set "sampler=ddim steps=50" ...] [--again] [--json FILE]

RUN is a run folder of a diffusion method (nudiff, sdm, cosyn), DATA what it was trained on. Each row is a sampler; all
make the same conditions from the same seed, and are compared with the ancestral sampler at every step of the chain:

    FD, KID      Frechet and kernel distance of features of the images (encoder texture), to the ancestral tiles
    FSD          Frechet distance of class proportions (per cent, background in), likewise
    nuclei       Wasserstein distance of the number of nuclei a tile, likewise
    seconds      for all tiles, and how many times as fast as the ancestral sampler

The rows that they are judged by: two halves of real windows, each of n, from the same tiles, and with --again the
ancestral sampler under another seed. A sampler is as good as the chain where no distance is larger than that of the
halves: the mean over ten pairs of them and three standard deviations.
"""

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from scipy.stats import wasserstein_distance

from nucleosynth import catalog, config
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resample
from nucleosynth.encoders.texture import Texture
from nucleosynth.metrics.frechet import frechet_distance
from nucleosynth.metrics.kernel import squared_mmd
from nucleosynth.metrics.proportions import class_proportions, fsd
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.fit import assignments

WHOLE = "sampler=ancestral steps=1000"
FEW = ("sampler=ddim steps=50", "sampler=dpm_solver steps=20")
PLAIN = {"history": 0.0}
"""Guidance against the last step's prediction is weaker the shorter a step is, so it is left out everywhere."""
BATCH, PAIRS = 64, 10
MEAN, BAR = "real halves, mean of ten pairs", "real halves, mean and 3 deviations"
COLUMNS = ("FD", "KID", "FSD", "nuclei")


def main() -> None:
    """Make, compare, print, save; exits 1 if a sampler lies further from the chain than real halves from each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--set", nargs="*", default=FEW)
    parser.add_argument("--again", action="store_true", help="the whole chain a second time, under another seed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    run = Run.open(options.run)
    whole, seconds = made(run, WHOLE, options.n, 0)
    halves = floor(run, options)
    table = {
        MEAN: {name: float(np.mean([each[name] for each in halves])) for name in COLUMNS},
        BAR: {name: float(np.mean(v) + 3 * np.std(v)) for name in COLUMNS for v in [[h[name] for h in halves]]},
    }
    if options.again:
        table[f"{WHOLE}, again"] = row(whole, made(run, WHOLE, options.n, 1)[0])
    for words in options.set:
        tiles, spent = made(run, words, options.n, 0)
        table[words] = row(whole, tiles) | {"seconds": spent, "times as fast": seconds / spent}
    show(table | {WHOLE: {"seconds": seconds}})
    if options.json:
        options.json.write_text(
            json.dumps({"method": run.record.method, "n": options.n, "rows": table}, indent=1) + "\n"
        )
    worse = [f"{words}: {name}" for words in options.set for name in COLUMNS if beyond(table, words, name)]
    raise SystemExit(f"further than real halves: {', '.join(worse)}" if worse else 0)


def made(run: Run, words: str, n: int, seed: int) -> tuple[list[Sample], float]:
    """Tiles by a sampler, and the seconds that they took."""
    kind = catalog.load("method", run.record.method)
    settings = type(kind.presets["tiny"]).model_validate(run.record.settings)
    wanted = assignments(words.split()) | PLAIN
    changes = {
        f"{place}.{name}": value
        for place, sampling in samplings(settings)
        for name, value in wanted.items()
        if hasattr(sampling, name)
    }
    changed = config.resolve(settings, changes, "--set").model_dump(mode="json")
    model = kind.load(Run(run.folder, run.record.model_copy(update={"settings": changed}), resume=True), fabric_for())
    began = time.perf_counter()
    tiles = list(model.generate(islice(model.default_conditions(0), n), seed, count=n, batch=BATCH))
    return tiles, time.perf_counter() - began


def samplings(settings: BaseModel, place: str = "") -> list[tuple[str, Settings]]:
    """Where the settings say how to sample: dotted names of all settings that have a sampler, and these."""
    inner = [(f"{place}{name}", getattr(settings, name)) for name in type(settings).model_fields]
    parts = [(name, part) for name, part in inner if isinstance(part, Settings)]
    own = [(name, part) for name, part in parts if hasattr(part, "sampler")]
    return own + [found for name, part in parts for found in samplings(part, f"{name}.")]


def floor(run: Run, options: argparse.Namespace) -> list[dict[str, float]]:
    """Distances of pairs of sets of n real windows of the run's size."""
    model = catalog.load("method", run.record.method).load(run, fabric_for())
    tiles = list(read(options.data, run.record.split or "train"))
    crops = Crops([tile if model.mpp is None else resample(tile, model.mpp) for tile in tiles], model.size[0])
    sets = [[crops.draw(generator_of(i, k)) for k in range(options.n)] for i in range(2 * PAIRS)]
    return [row(first, second) for first, second in zip(sets[::2], sets[1::2], strict=True)]


def row(first: Sequence[Sample], second: Sequence[Sample]) -> dict[str, float]:
    """Distances of two sets of tiles."""
    features = [Texture()(np.stack([tile.image for tile in tiles])).astype(float) for tiles in (first, second)]
    shares = [np.array([_proportions(tile) for tile in tiles]) for tiles in (first, second)]
    return {
        "FD": frechet_distance(*features),
        "KID": squared_mmd(*features),
        "FSD": fsd(*shares),
        "nuclei": float(wasserstein_distance(*([len(tile.classes) for tile in tiles] for tiles in (first, second)))),
    }


def beyond(table: dict[str, dict[str, float]], words: str, name: str) -> bool:
    """Whether a sampler lies further from the chain than the real halves from each other."""
    return table[words][name] > table[BAR][name]


def show(table: dict[str, dict[str, Any]]) -> None:
    """One line a row."""
    names = (*COLUMNS, "seconds", "times as fast")
    print(f"{'':38}" + "".join(f"{name:>15}" for name in names))
    for words, values in table.items():
        print(f"{words:38}" + "".join(f"{values[name]:15.3f}" if name in values else " " * 15 for name in names))


def _proportions(tile: Sample) -> Any:
    return class_proportions(tile.instances, tile.classes, len(tile.class_names), background=True)


if __name__ == "__main__":
    main()
