"""Made-up results of a study: every kind of arm, folds, fractions and seeds, with or without pictures; no network.

Numbers are drawn by a seed, so that arms differ by chance and by a stated gain; what follows from them (means,
differences, intervals) is computed here by plain NumPy, apart from the package.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import faked_statistics
from nucleosynth.report import results as r

CLASSES = ("inflammatory", "epithelial", "spindle")
OVERALL = {
    "pq": "PQ",
    "dq": "DQ",
    "sq": "SQ",
    "aji": "AJI",
    "dice": "Dice",
    "f_d": "F detection",
    "accuracy": "Accuracy",
}
BASE = {"pq": 0.45, "dq": 0.6, "sq": 0.72, "aji": 0.48, "dice": 0.78, "f_d": 0.66, "accuracy": 0.8}
STEPS = (80, 160, 240, 320, 400)
JOINTFLOW, STORE = "jointflow:tiny", "stores/daff"
MAKERS = {JOINTFLOW: "jointflow", STORE: "daff"}
_ARMS: dict[str, dict[str, Any]] = {
    "real": {},
    "real+classic": {"reference": "real", "classic": True},
    "real+jointflow": {"reference": "real", "maker": JOINTFLOW, "ratio": 1.0},
    "real+jointflow x0.5": {"reference": "real", "maker": JOINTFLOW, "ratio": 0.5},
    "real+jointflow x2": {"reference": "real", "maker": JOINTFLOW, "ratio": 2.0},
    "real+jointflow x5": {"reference": "real", "maker": JOINTFLOW, "ratio": 5.0},
    "real+classic+jointflow": {"reference": "real+classic", "classic": True, "maker": JOINTFLOW, "ratio": 1.0},
    "real+stores/daff": {"reference": "real", "maker": STORE, "label": "real+daff"},
    "real@jointflow": {"reference": "real", "compute_of": JOINTFLOW},
    "real+classic@jointflow": {"reference": "real+classic", "classic": True, "compute_of": JOINTFLOW},
}
ALL = tuple(_ARMS)


def arm(name: str) -> r.Arm:
    """One of `ALL`."""
    given = {"label": name, "reference": "", "classic": False, "maker": "", "ratio": None, "compute_of": ""}
    return r.Arm(name=name, **(given | _ARMS[name]))


def tiles(count: int = 3, nuclei: int = 240, **changes: Any) -> r.Tiles:
    """Some tiles, nuclei shared out among the classes."""
    shares = dict(zip(CLASSES, (nuclei // 6, nuclei - nuclei // 6 - nuclei // 3, nuclei // 3), strict=True))
    whole = {
        "tiles": count,
        "nuclei": nuclei,
        "area_mm2": 0.0625 * count,
        "classes": shares,
        "sources": tuple(f"drawn/{k}" for k in range(min(count, 4))),
        "licences": ("CC0-1.0",),
        "labelled_as": ("masks",),
    }
    return r.Tiles(**(whole | changes))


def metrics(classes: bool = True) -> tuple[r.Metric, ...]:
    """PQ first; scores of single classes last."""
    found = [
        r.Metric(
            name=name,
            label=label,
            aggregation="pooled" if name in ("f_d", "accuracy") else "mean over test images",
            meaning=f"what {label} means",
        )
        for name, label in OVERALL.items()
    ]
    of_class = [
        r.Metric(
            name=f"{kind}_{name}", label=f"{head} {name}", aggregation="pooled", meaning=f"of {name}", class_name=name
        )
        for name in CLASSES
        for kind, head in (("f", "F"), ("pq", "PQ"))
    ]
    return tuple(found + (of_class if classes else []))


def picture(folder: Path | None, name: str, words: str = "", size: tuple[int, int] = (96, 96)) -> r.Picture:
    """A drawn tissue of discs, written where there is a folder."""
    if folder is not None:
        rng = np.random.default_rng(sum(map(ord, name)))
        drawn = np.full((*size, 3), (226, 196, 224), np.uint8) + rng.integers(-9, 9, (*size, 3)).astype(np.uint8)
        for _ in range(size[0] * size[1] // 900):
            at = (int(rng.integers(0, size[1])), int(rng.integers(0, size[0])))
            colour = tuple(int(c) for c in rng.integers(60, 150, 3))
            cv2.ellipse(drawn, at, (9, 6), float(rng.integers(0, 180)), 0, 360, colour, -1)
        (folder / "pictures").mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(folder / "pictures" / f"{name}.png"), drawn)
    return r.Picture(file=f"pictures/{name}.png", words=words or name)


def pictures(folder: Path | None, name: str, count: int, words: str = "", wide: bool = False) -> tuple[r.Picture, ...]:
    """Some of them."""
    size = (96, 195) if wide else (96, 96)
    return tuple(picture(folder, f"{name}_{k}", words or f"{name} {k}", size) for k in range(count))


def gallery(folder: Path | None, name: str, title: str, columns: Sequence[str], rows: int) -> r.Gallery:
    """A table of pictures."""
    return r.Gallery(
        name=name,
        title=title,
        words=f"{title}, drawn by the seed.",
        columns=tuple(columns),
        rows=tuple(
            r.Row(
                label=f"{name}_{k}",
                words=f"high quality histopathology colon tissue image including nuclei types of {CLASSES[k]}",
                pictures=tuple(picture(folder, f"{name}_{k}_{n}", head) for n, head in enumerate(columns)),
            )
            for k in range(rows)
        ),
    )


def evidence(**changes: Any) -> r.Evidence:
    """Of 48 px windows, with every distance."""

    def estimate(metric: str, value: float, floor: float, better: str = "lower") -> r.Estimate:
        return r.Estimate(metric=metric, value=value, low=0.9 * value, high=1.12 * value, floor=floor, better=better)

    def interval(value: float) -> r.Interval:
        return r.Interval(value=value, low=0.875 * value, high=1.0625 * value)

    def agreement(metric: str, value: float, real: float) -> r.Agreement:
        return r.Agreement(metric=metric, synthetic=interval(value), real=interval(real), share=interval(value / real))

    whole = {
        "windows": {"training": 120, "test": 96, "synthetic": 128},
        "side_px": 64,
        "mpp": 0.5,
        "fsd": 40.8,
        "fsd_floor": 6.4,
        "contrast": 0.2,
        "contrast_real": 0.25,
        "copies": {
            "distance": 0.604,
            "held_out_distance": 0.593,
            "share_closer": 0.1,
            "p_nearer": 0.62,
            "p_closest": 0.31,
        },
        "compared": 96,
        "encoder": "texture-1, weights 0123abcd",
        "distances": (
            estimate("FD-texture-1", 52.65, 8.31),
            estimate("FD-infinity-texture-1", 31.2, 0.4),
            estimate("KID-texture-1", 0.00213, 0.00009),
            estimate("IS-texture-1", 2.11, 2.31, "higher"),
            estimate("precision", 0.71, 0.9, "higher"),
            estimate("recall", 0.42, 0.88, "higher"),
            estimate("density", 0.8, 1.02, "higher"),
            estimate("coverage", 0.66, 0.95, "higher"),
        ),
        "consistency": r.Consistency(
            seed=3,
            steps=400,
            windows={"synthetic": 128, "test": 96},
            scores=(
                agreement("dice", 0.7, 0.75),
                agreement("aji", 0.4, 0.5),
                agreement("pq", 0.32, 0.4),
                agreement("f_d", 0.6, 0.64),
                agreement("accuracy", 0.85, 0.8),
            ),
        ),
    }
    return r.Evidence(**(whole | changes))


def judgement(
    folder: Path | None, who: r.Arm, fold: str, fraction: float, seed: int, gain: float, first: bool
) -> r.Judgement:
    """A judge whose scores lie `gain` above the usual."""
    rng = np.random.default_rng([sum(map(ord, who.name)), int(100 * fraction), seed, *map(ord, fold)])
    lift = gain + 0.08 * math.log10(fraction) + rng.normal(0, 0.008)
    scores = {m.name: BASE.get(m.name, 0.4) + lift + rng.normal(0, 0.004) for m in metrics()}
    steps = [step * (2 if who.compute_of else 1) for step in STEPS]
    curve = tuple(
        (
            step,
            {
                name: scores[name] * (1 - math.exp(-3 * (k + 1) / len(steps))) / (1 - math.exp(-3))
                for name in ("pq", "aji", "dice")
            },
        )
        for k, step in enumerate(steps)
    )
    images = tuple(
        {"sample_id": f"test_{k}", **{name: scores[name] + rng.normal(0, 0.05) for name in ("pq", "aji", "dice")}}
        for k in range(4)
    )
    confusion = rng.integers(0, 30, (4, 4)) + 200 * np.diag([0, 1, 2, 1])
    confusion[0, 0] = 0
    slug = "".join(c if c.isalnum() or c == "@" else "_" for c in f"{who.name}_{fold}_{fraction}")
    return r.Judgement(
        arm=who.name,
        fold=fold,
        fraction=fraction,
        seed=seed,
        steps=steps[-1],
        seconds=95.0 + 10 * rng.random(),
        ratio=who.ratio if who.maker else None,
        share=0.5 if who.maker else 0.0,
        losses=tuple(
            (step, 2.5 * math.exp(-step / 90) + 0.4 + 0.03 * rng.random()) for step in range(5, steps[-1] + 1, 15)
        ),
        curve=curve,
        images=images,
        scores=scores,
        left_out={},
        confusion=tuple(map(tuple, confusion.tolist())),
        pictures=pictures(folder, slug, 3, "12 found, 3 missed, 1 false alarms") if first else (),
    )


def maker(folder: Path | None, name: str, fold: str, fraction: float, galleries: bool) -> r.Maker:
    """Synthetic tiles of a part."""
    slug = f"{MAKERS[name]}_{fold}_{fraction}".replace(" ", "_")
    shown = (
        (
            gallery(
                folder, f"panels_{slug}", "Panels", ("image", "semantic", "instances", "points", "distance", "real"), 2
            ),
            gallery(
                folder, f"layout_{slug}", "One layout, many images", ("points", "real", "1", "2", "3", "4", "5", "6"), 2
            ),
        )
        if galleries
        else ()
    )
    return r.Maker(
        name=name,
        label=MAKERS[name],
        fold=fold,
        fraction=fraction,
        made_by=f"{MAKERS[name]}, fitted on the training tiles, checkpoint 0123abcd",
        synthetic=tiles(128, 1180),
        fit_seconds=None if name == STORE else 300.0,
        make_seconds=None if name == STORE else 41.0,
        evidence=evidence(),
        pairs=pictures(folder, f"pairs_{slug}", 6, wide=True),
        galleries=shown,
        diversity=0.83 if galleries else None,
    )


def part(folder: Path | None, fold: str, fraction: float) -> r.Part:
    """The real tiles of a fold at a fraction."""
    slug = f"{fold}_{fraction}".replace(" ", "_")
    used = max(round(27 * fraction), 1)
    return r.Part(
        fold=fold,
        fraction=fraction,
        reached=min(fraction * 1.03, 1.0),
        available=tiles(27, 15555),
        training=tiles(used, 576 * used),
        test=tiles(14, 8777),
        ceiling={"pq": 0.95, "aji": 0.97, "dice": 0.99},
        truths=pictures(folder, f"truth_{slug}", 3),
        pairs=pictures(folder, f"real_{slug}", 6, wide=True),
    )


def results(
    folder: Path | None = None,
    arms: Sequence[str] = ("real", "real+jointflow", "real+stores/daff"),
    *,
    folds: int = 1,
    fractions: Sequence[float] = (1.0,),
    seeds: int = 3,
    gain: float = 0.03,
    classes: bool = True,
    galleries: bool = True,
    lacking: Sequence[tuple[str, int]] = (),
    **changes: Any,
) -> r.Results:
    """A finished study; with a folder, study.json and the pictures are written there.

    gain: of every arm with synthetic tiles over its reference. lacking: (metric, number of a fold) in which the last
    judge of each arm has no such score. changes: fields of Results that are given instead.
    """
    ways, names = [arm(name) for name in arms], tuple(f"fold {k + 1} of {folds}" for k in range(folds))
    places = [(fold, fraction) for fraction in fractions for fold in names]
    judged = [
        judgement(folder, who, fold, fraction, seed, gain * bool(who.maker) + 0.01 * who.classic, seed == 0)
        for who in ways
        for fraction in fractions
        for fold in names
        for seed in range(seeds)
    ]
    judged = [
        faked_statistics.without(one, [m for m, k in lacking if (names[k], seeds - 1) == (one.fold, one.seed)])
        for one in judged
    ]

    def of(name: str, fraction: float) -> list[r.Judgement]:
        return [one for one in judged if (one.arm, one.fraction) == (name, fraction)]

    measured = metrics(classes)
    whole = {
        "data": "consep:CONSEP",
        "data_set": "consep",
        "split": "official split: judges are scored on 'test'",
        "class_names": CLASSES,
        "folds": names,
        "fractions": tuple(fractions),
        "seeds": tuple(range(seeds)),
        "steps": STEPS[-1],
        "metrics": measured,
        "judge": {"preset": "tiny", "mpp": 0.5, "batch": 4, "crop": 128},
        "parts": tuple(part(folder, *each) for each in places),
        "makers": tuple(
            maker(folder, name, *each, galleries)
            for name in dict.fromkeys(who.maker for who in ways if who.maker)
            for each in places
        ),
        "arms": tuple(ways),
        "judgements": tuple(judged),
        "scores": tuple(
            faked_statistics.score(of(who.name, f), metric.name, folds)
            for who in ways
            for f in fractions
            for metric in measured
        ),
        "comparisons": tuple(
            faked_statistics.comparison(of(who.name, f), of(other, f), metric.name, folds, 14 / max(round(27 * f), 1))
            for who in ways
            for other in faked_statistics.references(who, ways)
            for f in fractions
            for metric in measured
        ),
        "enough": tuple(
            r.Enough(arm=who.name, fraction=f, metric="pq", gain=0.004, spread=0.009, enough=True)
            for who in ways
            if not who.maker
            for f in fractions
        ),
        "galleries": (gallery(folder, "one_mask", "One mask through each method", ("mask", "real", "jointflow"), 2),)
        if galleries
        else (),
        "colours": tuple(
            r.Colour(tissue=tissue, of=of_, tiles=9, rgb=rgb, haematoxylin=h, eosin=e)
            for tissue, of_, rgb, h, e in (
                ("colon", "real", (201.3, 164.8, 199.1), 0.214, 0.151),
                ("colon", "jointflow", (196.0, 158.2, 203.7), 0.231, 0.162),
                ("", "daff", (188.4, 160.1, 190.9), 0.25, 0.17),
            )
        )
        if galleries
        else (),
        "command": "nucleosynth study consep:CONSEP --arm real --arm real+jointflow",
        "versions": {"python": "3.12", "nucleosynth": "0.1.0"},
        "hardware": "2 CPU threads, no processor in particular",
        "finished": "2026-11-21T12:00:00+00:00",
    }
    found = faked_statistics.corrected(r.Results(**(whole | changes)))
    if folder is not None:
        found.write(folder)
    return found
