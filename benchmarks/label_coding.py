"""Which coding of the label, and which mix of clocks, JointFlow learns best with: short runs that differ in one thing.

    python benchmarks/label_coding.py DATA [--steps 300] [--seeds 0 1] [--variants NAME ...] [--json FILE]

DATA has a train and a test split. A smaller network than that of preset tiny, on 48^2 px, is trained for the same steps
with each variant; the best of a few seeds says nothing, so all are printed. Results are added to the JSON file as they
come, and a variant that stands there is not run again.

    FSD          Frechet distance of class proportions to training crops, pairs from nothing
    contrast     median haematoxylin contrast of nuclei, pairs from nothing, share of real
    counts       nuclei too many or too few, share of those asked for
    points       AJI of labels made for the points of held-out crops with their labels
    class        share of these points in a nucleus of their class
    painted      contrast of images made for held-out labels, share of real
    AJI, PQ      of labels made for held-out crops' images
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from likeness import proportions
from nucleosynth import config
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resample
from nucleosynth.methods.jointflow import JointFlow
from nucleosynth.methods.jointflow_presets import PRESETS
from nucleosynth.metrics.instance import mean, scores
from nucleosynth.metrics.proportions import fsd
from nucleosynth.run import Budget, RunRecord, now, versions
from nucleosynth.sample import Condition, Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.fit import sources_of, train
from pairs import contrast, crops, off

SMALL = {
    "tile": 48,
    "network.widths": (32, 64, 128),
    "network.embedding": 192,
    "training.batch": 16,
    "coding.offset_px": 4.0,
}
"""What all variants share; each names what it changes of it."""
MIX = "training.mix"
VARIANTS: dict[str, dict[str, Any]] = {
    "distance, levels": {},
    "mask, levels": {"coding.outline": "mask"},
    "distance, bits": {"coding.classes": "bits"},
    "mask, bits": {"coding.outline": "mask", "coding.classes": "bits"},
    "distance cut at 2 px": {"coding.limit_px": 2.0},
    "distance cut at 8 px": {"coding.limit_px": 8.0},
    "offsets of 2.5 px as 1": {"coding.offset_px": 2.5},
    "offsets of 8 px as 1": {"coding.offset_px": 8.0},
    "levels +-.5": {"coding.class_level": 0.5},
    "label's loss 1": {"training.label_weight": 1.0},
    "label's loss 4": {"training.label_weight": 4.0},
    "clocks: equal .6": {MIX: {"equal": 0.6, "first_known": 0.15, "second_known": 0.15, "independent": 0.1}},
    "clocks: independent .5": {MIX: {"equal": 0.2, "first_known": 0.1, "second_known": 0.1, "independent": 0.6}},
    "clocks: none absent": {MIX: {"equal": 0.45, "first_known": 0.175, "second_known": 0.175, "independent": 0.2}},
}
COLUMNS = ("FSD", "contrast", "counts", "points", "class", "painted", "AJI", "PQ")


def main() -> None:
    """Train, measure and print every variant that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=(0,))
    parser.add_argument("--variants", nargs="*", default=tuple(VARIANTS))
    parser.add_argument("--n", type=int, default=192)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    path = options.json
    done = json.loads(path.read_text()) if path and path.exists() else {}
    print(f"{'':<28}{'seed':>5}" + "".join(f"{name:>10}" for name in COLUMNS))
    for seed in options.seeds:
        for name in options.variants:
            key = f"{name}; seed {seed}; {options.steps} steps"
            if key not in done:
                done[key] = measure(trained(options.data, VARIANTS[name], options.steps, seed), options.data, options.n)
                if path:
                    path.write_text(json.dumps(done, indent=1) + "\n")
            print(f"{name:<28}{seed:>5}" + "".join(f"{done[key][column]:>10.3f}" for column in COLUMNS), flush=True)


def trained(data: str, changes: dict[str, Any], steps: int, seed: int) -> JointFlow:
    """A run with these changes, in a folder that is thrown away."""
    tiles = list(read(data, "train"))
    settings = config.resolve(PRESETS["tiny"], SMALL | changes, "variant")
    record = RunRecord(
        method="jointflow",
        preset="tiny",
        settings=settings.model_dump(mode="json"),
        data=data,
        split="train",
        seed=seed,
        budget=Budget(steps=steps),
        class_names=tiles[0].class_names,
        class_scheme=tiles[0].class_scheme,
        training_sources=sources_of(tiles),
        versions=versions(),
        started=now(),
    )
    with tempfile.TemporaryDirectory() as folder:
        return JointFlow.load(train(record, tiles, Path(folder) / "run", resume=False), fabric_for())


def measure(model: JointFlow, data: str, n: int) -> dict[str, float]:
    """The columns."""
    train_tiles, test_tiles = ([resample(t, model.mpp or 1) for t in read(data, split)] for split in ("train", "test"))
    real = crops(train_tiles, 4 * n, 1, model)
    held_out = [tile for tile in crops(test_tiles, n, 2, model) if len(tile.classes)]
    asked = [condition for condition, _ in zip(model.default_conditions(7), range(n), strict=False)]
    pairs = _make(model, asked)
    followed = _make(model, [_asked(tile, points=from_instances(tile)) for tile in held_out])
    painted = _make(model, [_asked(tile, instances=tile.instances, classes=tile.classes) for tile in held_out])
    found = _make(model, [_asked(tile, image=tile.image) for tile in held_out])
    counts = [_asked(tile, counts=from_classes(tile.classes, len(tile.class_names))) for tile in held_out]
    return {
        "FSD": fsd(proportions(real), proportions(pairs)),
        "contrast": contrast(pairs) / contrast(real),
        "counts": off(counts, _make(model, counts)),
        "points": _score(held_out, followed, "aji"),
        "class": _classed(held_out, followed),
        "painted": contrast(painted) / contrast(held_out),
        "AJI": _score(held_out, found, "aji"),
        "PQ": _score(held_out, found, "pq"),
    }


def _asked(tile: Sample, **given: Any) -> Condition:
    return Condition(tile.size, tile.mpp, tile.class_names, source=tile.source, **given)


def _make(model: JointFlow, asked: Sequence[Condition]) -> list[Sample]:
    return list(model.generate(iter(asked), 11, count=len(asked), batch=32))


def _score(true: Sequence[Sample], made: Sequence[Sample], name: str) -> float:
    found = mean([scores(a.instances, b.instances) for a, b in zip(true, made, strict=True)])[name].value
    return float("nan") if found is None else found


def _classed(true: Sequence[Sample], made: Sequence[Sample]) -> float:
    right = []
    for tile, sample in zip(true, made, strict=True):
        layout = from_instances(tile)
        x, y = np.rint(layout.xy).astype(int).T
        nucleus = sample.instances[y.clip(0, tile.size[0] - 1), x.clip(0, tile.size[1] - 1)]
        right += (np.concatenate([[0], sample.classes])[nucleus] == layout.classes).tolist()
    return float(np.mean(right))


if __name__ == "__main__":
    main()
