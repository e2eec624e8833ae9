"""What a reader must know before the numbers: everything that makes them weaker than they look."""

from collections.abc import Iterator
from typing import NamedTuple

from nucleosynth.report import copies, replicates
from nucleosynth.report.results import Enough, Judgement, Maker, Results
from nucleosynth.report.words import count, listed, number, percent, plural

LEAST = 3
"""Seeds of one fold, or folds, from which a test can be made; seeds of a fold that tell their chance."""
LEAST_IMAGES = 5000
"""Below this a Frechet distance is too large by an amount that depends on the number of images."""
EMBEDDED = "texture"
"""The encoder that comes with the package."""
NOT_CHOSEN = (
    "Do not raise the steps until the comparison says what was hoped for: the test tiles would have chosen them."
)


class Caution(NamedTuple):
    """A head and what follows from it."""

    head: str
    words: str


def cautions(results: Results) -> list[Caution]:
    """All that apply, what weighs most first."""
    return [
        *_untested(results),
        *_begun(results),
        *_one_fold(results),
        *_folds(results),
        *_diverged(results),
        *_enough(results),
        *_truths(results),
        *_without_nuclei(results),
        *_copies(results),
        *_left_out(results),
        *_fewer_folds(results),
        *_distances(results),
    ]


def name_of(maker: Maker, results: Results) -> str:
    """A maker's label, with its fold and fraction where there are several."""
    places = [maker.fold] if len(results.folds) > 1 else []
    places += [percent(maker.fraction)] if len(results.fractions) > 1 else []
    return f"{maker.label} ({', '.join(places)})" if places else maker.label


def _untested(results: Results) -> Iterator[Caution]:
    seeds, folds = len(results.seeds), len(results.folds)
    if 1 < folds < LEAST:
        yield Caution(
            "No test can be made.",
            f"Folds are what is tested, from {LEAST} on; this study has {folds}. Read the numbers below as a "
            "rehearsal.",
        )
    elif seeds < LEAST and folds == 1:
        yield Caution(
            "No test can be made.",
            f"This study has {plural(seeds, 'seed')} for each arm; at least {LEAST} are needed to tell a difference "
            "from chance. Read the numbers below as a rehearsal.",
        )
    elif seeds < LEAST:
        yield Caution(
            "Few seeds.",
            f"This study has {plural(seeds, 'seed')} for each arm and fold; {LEAST} or more tell the chance of "
            "training from that of the tiles.",
        )


def _one_fold(results: Results) -> Iterator[Caution]:
    """What seeds do not vary."""
    if len(results.folds) > 1 or not results.comparisons:
        return
    fixed = ["these test tiles"]
    fixed += ["this subset of the labels"] if min(results.fractions) < 1 else []
    makers = {maker.name for maker in results.makers}
    fixed += ["this one generator" if len(makers) == 1 else "one fit of each generator"] if makers else []
    yield Caution(
        "One fold.",
        f"Judges of an arm differ by their seed alone. What is said here, intervals and p included, holds for "
        f"{listed(fixed)}; of other slides{', or of a generator fitted again,' * bool(makers)} it says nothing.",
    )


def _begun(results: Results) -> Iterator[Caution]:
    """Whose pairs bring more than the arm's labels."""
    begun = {maker.label: maker for maker in results.makers if maker.inherited}
    if begun:
        seen = "; ".join(f"{label}: {plural(maker.inherited, 'source')}" for label, maker in begun.items())
        yield Caution(
            "Knowledge from elsewhere.",
            "A generator was begun from a run that had seen other labelled tiles, which judges without its pairs had "
            f"not: {seen}. A gain is that of the pairs and of these tiles together.",
        )


def _folds(results: Results) -> Iterator[Caution]:
    """What folds vary."""
    folds = len(results.folds)
    if folds < LEAST or not results.comparisons:
        return
    fitted = any(maker.fit_seconds is not None for maker in results.makers)
    yield Caution(
        "Folds are what is tested.",
        f"Each fold has its own test tiles{' and its own generator' * fitted}. The judges of a fold share them and are "
        f"averaged first: intervals and p rest on {folds} folds, not on {replicates.judges(results)} judges.",
    )


def _diverged(results: Results) -> Iterator[Caution]:
    found = [judged for judged in results.judgements if any(loss is None for _, loss in judged.losses)]
    if found:
        yield Caution(
            f"{plural(len(found), 'judge')} diverged.",
            f"The training loss was not finite: {'; '.join(_name(judged, results) for judged in found)}. Scores count "
            "as they are.",
        )


def _name(judged: Judgement, results: Results) -> str:
    at = f", {percent(judged.fraction)} of the labels" if len(results.fractions) > 1 else ""
    return f"{results.arm(judged.arm).label}, {judged.fold}{at}, seed {judged.seed}"


def _enough(results: Results) -> Iterator[Caution]:
    short = [each for each in results.enough if each.enough is False]
    unknown = [_of(each, results) for each in results.enough if each.enough is None]
    if short:
        gains = "; ".join(
            f"{_of(each, results)} {number(each.gain)} {_label(each, results)}, spread {number(each.spread)}"
            for each in short
        )
        yield Caution(
            "The judges may not have had enough.",
            f"The last fifth of the steps still gained more than the seeds differ, both on the test tiles: {gains}. "
            f"More steps might change the comparison. {NOT_CHOSEN}",
        )
    if unknown:
        yield Caution(
            "Whether the judges had enough is not known.",
            f"The gain of the last fifth of the steps or the spread of the seeds is not defined: {'; '.join(unknown)}.",
        )


def _of(each: Enough, results: Results) -> str:
    at = f", {percent(each.fraction)} of the labels" if len(results.fractions) > 1 else ""
    return f"{results.arm(each.arm).label}{at}"


def _label(each: Enough, results: Results) -> str:
    return next((metric.label for metric in results.metrics if metric.name == each.metric), each.metric)


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
    copied = [name_of(maker, results) for maker in results.makers if copies.suspect(maker, results)]
    if copied:
        yield Caution(
            "Suspect copies.",
            f"Synthetic tiles of {listed(copied)} are nearer to training tiles than chance allows (p corrected for "
            f"{copies.tests(results)} tests): a gain may come from seeing real tiles again. {copies.OTHER_SLIDES}",
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


def _fewer_folds(results: Results) -> Iterator[Caution]:
    fewest: dict[str, int] = {}
    for score in results.scores:
        if replicates.fewer(results, score.each):
            whole = len(replicates.whole_folds(results, score.each))
            fewest[score.metric] = min(fewest.get(score.metric, whole), whole)
    if fewest:
        labels = [f"{metric.label} {fewest[metric.name]}" for metric in results.metrics if metric.name in fewest]
        yield Caution(
            "Some scores are of fewer folds.",
            "A score is left out of a fold where it is not defined for every judge, as that of a class without nuclei; "
            f"mean and test are of the others. Of {len(results.folds)} folds, at fewest: {', '.join(labels)}.",
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
