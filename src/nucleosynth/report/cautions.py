"""What a reader must know before the numbers: everything that makes them weaker than they look."""

from collections.abc import Iterator
from typing import NamedTuple

from nucleosynth.report.readings import suspect
from nucleosynth.report.results import Maker, Results
from nucleosynth.report.words import count, listed, number, percent, plural

LEAST_SEEDS = 3
LEAST_IMAGES = 5000
"""Below this a Frechet distance is too large by an amount that depends on the number of images."""
EMBEDDED = "texture"
"""The encoder that comes with the package."""


class Caution(NamedTuple):
    """A head and what follows from it."""

    head: str
    words: str


def cautions(results: Results) -> list[Caution]:
    """All that apply, what weighs most first."""
    return [
        *_seeds(results),
        *_enough(results),
        *_truths(results),
        *_without_nuclei(results),
        *_copies(results),
        *_left_out(results),
        *_distances(results),
    ]


def name_of(maker: Maker, results: Results) -> str:
    """A maker's label, with its fold and fraction where there are several."""
    places = [maker.fold] if len(results.folds) > 1 else []
    places += [percent(maker.fraction)] if len(results.fractions) > 1 else []
    return f"{maker.label} ({', '.join(places)})" if places else maker.label


def _seeds(results: Results) -> Iterator[Caution]:
    seeds, folds = len(results.seeds), len(results.folds)
    if seeds >= LEAST_SEEDS:
        return
    has = f"This study has {plural(seeds, 'seed')} for each arm{' and fold' if folds > 1 else ''}"
    if seeds * folds < LEAST_SEEDS:
        yield Caution(
            "No test can be made.",
            f"{has}; at least {LEAST_SEEDS} are needed to tell a difference from chance. Read the numbers below as a "
            "rehearsal.",
        )
    else:
        yield Caution("Few seeds.", f"{has}; {LEAST_SEEDS} or more tell the chance of training from that of the tiles.")


def _enough(results: Results) -> Iterator[Caution]:
    labels = {metric.name: metric.label for metric in results.metrics}
    for each in results.enough:
        arm, metric = results.arm(each.arm).label, labels.get(each.metric, each.metric)
        at = f" with {percent(each.fraction)} of the labels" if len(results.fractions) > 1 else ""
        if each.enough is False:
            yield Caution(
                "The judges may not have had enough.",
                f"The last fifth of the steps of {arm}{at} still gained {number(each.gain)} {metric}, the spread of "
                f"its seeds is {number(each.spread)}: more steps might change the comparison.",
            )
        elif each.enough is None:
            yield Caution(
                "Whether the judges had enough is not known.",
                f"For {arm}{at} the gain of the last fifth of the steps or the spread of the seeds is not defined.",
            )


def _truths(results: Results) -> Iterator[Caution]:
    if any("derived" in part.test.labelled_as for part in results.parts):
        yield Caution(
            "The truth was not drawn.", "Test masks were grown from points: the scores do not judge outlines."
        )


def _without_nuclei(results: Results) -> Iterator[Caution]:
    empty = [name_of(maker, results) for maker in results.makers if not maker.synthetic.nuclei]
    if empty:
        yield Caution(
            f"The synthetic tiles of {listed(empty)} show no nucleus.",
            "Their generator was trained too little: the comparison says nothing of what it could do.",
        )


def _copies(results: Results) -> Iterator[Caution]:
    copied = [name_of(maker, results) for maker in results.makers if suspect(maker.evidence)]
    if copied:
        yield Caution(
            "Suspect copies.",
            f"Synthetic tiles of {listed(copied)} are nearer to training tiles than chance allows: a gain may come "
            "from seeing real tiles again.",
        )


def _left_out(results: Results) -> Iterator[Caution]:
    most: dict[str, int] = {}
    for judged in results.judgements:
        for name, left in judged.left_out.items():
            most[name] = max(most.get(name, 0), left)
    if most:
        labels = [f"{metric.label} {most[metric.name]}" for metric in results.metrics if metric.name in most]
        images = max(len(judged.images) for judged in results.judgements)
        yield Caution(
            "Some images are left out.",
            f"A score is not defined where neither truth nor prediction has a nucleus. Left out of up to {images} test "
            f"images, at most: {', '.join(labels) or sum(most.values())}.",
        )


def _distances(results: Results) -> Iterator[Caution]:
    measured = [maker.evidence for maker in results.makers if maker.evidence.distances]
    if not measured:
        return
    fewest = min(min(each.windows.values()) for each in measured)
    if fewest < LEAST_IMAGES:
        yield Caution(
            "Few images for a Fréchet distance.",
            f"Distances are measured on as few as {count(fewest)} windows; below {count(LEAST_IMAGES)} a Fréchet "
            "distance is too large by an amount that depends on their number. Read it against its floor, or read the "
            "kernel distance and FD-infinity.",
        )
    if any(each.encoder.startswith(EMBEDDED) for each in measured):
        yield Caution(
            "Distances are not the published ones.",
            "They are measured by the embedded default encoder, a fixed descriptor of stain and texture: they compare "
            "with each other, not with any FID in the literature.",
        )
