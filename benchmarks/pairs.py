"""What the pairs of a trained run are worth before any judge sees them.

    python benchmarks/pairs.py RUN DATA [--classes SCHEME] [--n 128] [--set sampling.guidance=1.5 ...] [--json FILE]
        [--judge RUN] [--conditions points]

RUN is a run folder of any method, DATA the data it was trained on (with splits). Prints one table:

    contrast     median haematoxylin contrast of nuclei to the 3-px ring around them, synthetic over real crops
    FD, KID      distances of features of the embedded encoder, which the name has, to real crops; their floors: as many
                 other crops of the same tiles, and of held-out ones
    FSD          Frechet distance of class proportions (per cent, background in); its floors likewise, and one of twice
                 as many real crops
    consistency  with --judge, a run of `nucleosynth segment fit` on the same split: Dice, AJI, PQ, F_d and Acc of what
                 it sees in the images, against their labels; the same of held-out crops of one size; the first as a
                 share of the second
    nuclei       median a tile, and the share of empty tiles
    area         quartiles of the nuclei's areas, synthetic over real crops
    counts       nuclei of each class asked for but not made, or made but not asked for, over those asked for; beside
                 counts asked for the next tile
    copies       median distance to the nearest training crop, beside that of held-out tiles
    points       share of given points that lie in a made nucleus (and in one of their class), beside shuffled points;
                 AJI of made labels with those that the points are of. (DAFF-GAN puts a nucleus at each point itself.)
    labels       contrast of made images under the given labels, beside shuffled labels
    diversity    difference of images of one label, over that of real crops (0: a label has one image)
    captions     share of the made nuclei whose class the caption names, beside the caption of another tile; not where a
                 caption comes beside a label
    images       AJI and PQ of labels made for held-out images

Rows of conditions that a method does not take are left out. Low and high: intervals of 95 % (benchmarks/likeness.py).
--conditions points: the pairs of all rows down to copies are made from the points of training windows, as CoSyn makes
its own, so that methods that follow points are compared under one condition; else from what each makes up by itself.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import likeness
from likeness import proportions
from nucleosynth import catalog, config
from nucleosynth.conditions import captions
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
from nucleosynth.metrics.contrast import nuclear_contrast
from nucleosynth.metrics.copies import copies
from nucleosynth.metrics.diversity import diversity
from nucleosynth.metrics.instance import mean, scores
from nucleosynth.metrics.proportions import fsd
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies.held_out import condition_of, gives
from nucleosynth.studies.scoring import defined
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.fit import assignments

ASKED_OFTEN, TIMES = 12, 4
"""Labels that are painted several times, and how often."""


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--n", type=int, default=128)
    parser.add_argument("--classes", help="the class scheme that the run was trained in")
    parser.add_argument("--set", nargs="*", default=(), help="settings other than those of the training")
    parser.add_argument("--judge", type=Path, help="a run of `nucleosynth segment fit`, for consistency")
    parser.add_argument(
        "--conditions", choices=("default", "points"), default="default", help="what pairs are made from"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = changed(Run.open(options.run), options.set)
    found = measure(
        model, options.data, options.n, options.classes, judge=options.judge, points=options.conditions == "points"
    )
    print("\n".join(f"{name:<44}{value:.4g}" for name, value in found.items()))
    if options.json:
        options.json.write_text(json.dumps(defined(found), indent=1) + "\n")


def changed(run: Run, changes: Sequence[str]) -> Any:
    """The trained method of a run, with other settings of sampling."""
    kind = catalog.load("method", run.record.method)
    settings = type(kind.presets["tiny"]).model_validate(run.record.settings)
    chosen = config.resolve(settings, assignments(changes), "--set").model_dump(mode="json")
    record = run.record.model_copy(update={"settings": chosen})
    return kind.load(Run(run.folder, record, resume=True), fabric_for())


def measure(
    model: Any, data: str, n: int, classes: str | None = None, *, judge: Path | None = None, points: bool = False
) -> dict[str, float]:
    """The whole table.

    Raises:
        UserError: points for a method that does not follow them, or a judge that is none for these tiles.
    """
    train, test = ([_at(model, tile) for tile in read(data, split, classes)] for split in ("train", "test"))
    real, again, held_out = (
        crops(tiles, count, seed, model) for seed, (tiles, count) in enumerate([(train, 2 * n)] * 2 + [(test, n)], 1)
    )
    look = likeness.judge_of(judge, model.class_names, test) if judge else None
    asked = pointed(model, crops(train, n, 7, model)) if points else list(islice(model.default_conditions(7), n))
    made = list(model.generate(iter(asked), 7, count=n, batch=32))
    counts = [len(sample.classes) for sample in made], [len(sample.classes) for sample in real]
    near = copies(*([tile.image for tile in tiles] for tiles in (made, held_out, train)))
    found = {
        "contrast": contrast(made) / contrast(real),
        **likeness.distances(made, real, {"as many real crops": again[:n], "held-out crops": held_out}),
        "fsd, real to real": fsd(proportions(real), proportions(again)),
        **(likeness.consistency(look, made, held_out) if look else {}),
        "nuclei, synthetic": float(np.median(counts[0])),
        "nuclei, real": float(np.median(counts[1])),
        **{
            f"area, quartile {k}": made_area / area
            for k, made_area, area in zip((1, 2, 3), areas(made), areas(real), strict=True)
        },
        "empty, synthetic": float(np.mean(np.array(counts[0]) == 0)),
        "empty, real": float(np.mean(np.array(counts[1]) == 0)),
        **{f"copies, {name}": float(near[name]) for name in ("distance", "held_out_distance", "closest")},
    }
    if "counts" in model.takes:
        found |= follow_counts(model, held_out)
    for side, follow in FOLLOWED.items():
        if side in model.takes and not (side == "caption" and "instances" in model.takes):
            found |= follow(model, held_out)
    return found | (label_images(model, test) if "image" in model.takes else {})


def pointed(model: Any, windows: Sequence[Sample]) -> list[Condition]:
    """The points of windows, and what else the method cannot do without.

    Raises:
        UserError: it does not follow points.
    """
    if not gives(model, "points"):
        takes = ", ".join(sorted(model.takes)) or "nothing"
        raise UserError("a method without points", expected="one that follows points", got=f"one that takes {takes}")
    return [condition_of(window, "points", model) for window in windows]


def follow_counts(model: Any, tiles: Sequence[Sample]) -> dict[str, float]:
    """How far off the numbers of nuclei are; shuffled: the numbers that were asked for the next tile."""
    counts = [from_classes(tile.classes, len(tile.class_names)) for tile in tiles]
    asked = [Condition(model.size, model.mpp, model.class_names, counts=count) for count in counts]
    made = _make(model, asked)
    return {"counts, off": off(asked, made), "counts, off, shuffled": off([*asked[1:], asked[0]], made)}


def off(asked: Sequence[Condition], made: Sequence[Sample]) -> float:
    """Sum over tiles and classes of |nuclei asked for - nuclei made|, over the nuclei asked for."""
    wanted = np.array([condition.counts for condition in asked])
    found = np.array([from_classes(sample.classes, len(sample.class_names)) for sample in made])
    return float(np.abs(wanted - found).sum() / wanted.sum())


def follow_points(model: Any, tiles: Sequence[Sample]) -> dict[str, float]:
    """Share of points inside a made nucleus; shuffled: the points of the next tile."""
    full = [tile for tile in tiles if len(tile.classes)]
    layouts = [from_instances(tile) for tile in full]
    asked = [Condition(model.size, model.mpp, model.class_names, points=layout) for layout in layouts]
    made = _make(model, asked)
    pairs = {"points, hit": layouts, "points, shuffled": [*layouts[1:], layouts[0]]}
    found = {"points, aji": _aji(full, made), "points, shuffled, aji": _aji([*full[1:], full[0]], made)}
    for name, given in pairs.items():
        inside, right = [], []
        for sample, layout in zip(made, given, strict=True):
            x, y = np.rint(layout.xy).astype(int).T
            nucleus = sample.instances[y.clip(0, sample.size[0] - 1), x.clip(0, sample.size[1] - 1)]
            inside += (nucleus > 0).tolist()
            right += (np.concatenate([[0], sample.classes])[nucleus] == layout.classes).tolist()
        found |= {name: float(np.mean(inside)), f"{name}, class too": float(np.mean(right))}
    return found


def _aji(true: Sequence[Sample], made: Sequence[Sample]) -> float:
    found = mean([scores(a.instances, b.instances) for a, b in zip(true, made, strict=True)])["aji"].value
    assert found is not None, "there are nuclei"
    return found


def follow_labels(model: Any, tiles: Sequence[Sample]) -> dict[str, float]:
    """Contrast of made images under their labels, over that of real ones; shuffled: the labels of the next tile."""
    given = [tile for tile in tiles if len(tile.classes)]
    asked = [Condition(t.size, t.mpp, t.class_names, instances=t.instances, classes=t.classes) for t in given]
    made = _make(model, asked)
    shuffled = [
        replace(sample, instances=other.instances, classes=other.classes)
        for sample, other in zip(made, [*made[1:], made[0]], strict=True)
    ]
    real = contrast(given)
    return {
        "labels, contrast": contrast(made) / real,
        "labels, shuffled": contrast(shuffled) / real,
        "diversity": _diversity(model, asked[:ASKED_OFTEN], given),
    }


def _diversity(model: Any, asked: Sequence[Condition], real: Sequence[Sample]) -> float:
    """How much images of one label differ; beside the mask, a method gets what it takes for granted of a tile."""
    made = _make(model, [condition for condition in asked for _ in range(TIMES)])
    groups = [[sample.image for sample in made[i : i + TIMES]] for i in range(0, len(made), TIMES)]
    found = diversity(groups, [tile.image for tile in real])
    assert found is not None, "there are images of one label, and real tiles"
    return found


def follow_captions(model: Any, tiles: Sequence[Sample]) -> dict[str, float]:
    """Share of made nuclei whose class the caption names; shuffled: the next caption that names other classes."""
    given = [tile for tile in tiles if 0 < len(set(tile.classes.tolist())) < len(model.facts.classes)]
    if len(given) < 2:
        return {}
    asked = [Condition(model.size, model.mpp, model.class_names, caption=captions.of_sample(tile)) for tile in given]
    made = _make(model, asked)
    named = [set(tile.classes.tolist()) for tile in given]
    others = [next((n for n in named[i + 1 :] + named[:i] if n != own), own) for i, own in enumerate(named)]
    return {
        name: float(
            np.mean([kind in kinds for s, kinds in zip(made, sets, strict=True) for kind in s.classes.tolist()])
        )
        for name, sets in {"captions, named": named, "captions, shuffled": others}.items()
    }


FOLLOWED = {"points": follow_points, "instances": follow_labels, "caption": follow_captions}


def label_images(model: Any, tiles: Sequence[Sample]) -> dict[str, float]:
    """Scores of labels that are made for whole held-out images."""
    made = _make(model, [Condition(t.size, t.mpp, t.class_names, image=t.image, source=t.source) for t in tiles])
    means = mean([scores(true.instances, found.instances) for true, found in zip(tiles, made, strict=True)])
    return {f"images, {name}": means[name].value for name in ("dice", "aji", "pq")}


def crops(tiles: Sequence[Sample], count: int, seed: int, model: Any) -> list[Sample]:
    """Real crops of the model's size, every pixel equally likely."""
    windows = Crops(tiles, model.size[0])
    return [windows.draw(generator_of(seed, k)) for k in range(count)]


def contrast(samples: Sequence[Sample]) -> float:
    """Median over all nuclei."""
    return float(np.nanmedian(np.concatenate([nuclear_contrast(s.image, s.instances) for s in samples])))


def areas(samples: Sequence[Sample]) -> list[float]:
    """Quartiles of the areas of all nuclei, px."""
    sizes = [np.bincount(sample.instances.ravel())[1:] for sample in samples]
    every = np.concatenate(sizes)
    return np.quantile(every[every > 0], (0.25, 0.5, 0.75)).tolist()


def _make(model: Any, conditions: list[Condition]) -> list[Sample]:
    stream: Iterator[Condition] = islice(conditions, None)
    return list(model.generate(stream, 11, count=len(conditions), batch=32))


def _at(model: Any, tile: Sample) -> Sample:
    return tile if model.mpp is None else resample(tile, model.mpp)


if __name__ == "__main__":
    main()
