"""What follows from the judgements: means and spreads, comparisons, and whether the real arms were trained enough."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from nucleosynth.report.results import Comparison, Enough, Judgement, Metric, Score
from nucleosynth.studies import statistics
from nucleosynth.studies.arms import Arm

LAST = 0.8
"""What is gained after this share of the steps must be less than the spread of the seeds."""
NEAR = 0.1
"""How much earlier the judge may have been scored."""


def scores(
    judgements: Sequence[Judgement], arms: Sequence[Arm], fractions: Sequence[float], metrics: Sequence[Metric]
) -> tuple[Score, ...]:
    """Every arm's every metric at every fraction; judgements stand fold by fold, in each seed by seed."""
    return tuple(
        _score(arm.name, fraction, metric.name, _judged(judgements, arm.name, fraction))
        for arm, fraction, metric in product(arms, fractions, metrics)
    )


def comparisons(
    judgements: Sequence[Judgement],
    arms: Sequence[Arm],
    fractions: Sequence[float],
    metrics: Sequence[Metric],
    test_share: float,
) -> tuple[Comparison, ...]:
    """Every arm against its reference in every metric at every fraction; p corrected over all of one metric.

    test_share: see statistics.paired.
    """
    found = [
        comparison
        for metric in metrics
        for comparison in _corrected(
            [
                _compared(judgements, arm, fraction, metric.name, test_share)
                for fraction, arm in product(fractions, arms)
                if arm.reference
            ]
        )
    ]
    return tuple(found)


def enough(
    judgements: Sequence[Judgement], arms: Sequence[Arm], fractions: Sequence[float], metric: str
) -> tuple[Enough, ...]:
    """Of the arms of real tiles alone: did the last fifth of the steps gain less than the spread of the seeds?"""
    real = [arm for arm in arms if not arm.maker and not arm.compute_of]
    return tuple(
        _enough(arm.name, fraction, metric, _judged(judgements, arm.name, fraction))
        for arm, fraction in product(real, fractions)
    )


def test_share(training: Sequence[int], tests: Sequence[int]) -> float:
    """Test tiles for each training tile, mean over folds; 0 with one fold, where the tiles do not vary."""
    if len(tests) < 2:
        return 0.0
    return float(np.mean([test / train for test, train in zip(tests, training, strict=True)]))


def _judged(judgements: Sequence[Judgement], arm: str, fraction: float) -> list[Judgement]:
    return [each for each in judgements if (each.arm, each.fraction) == (arm, fraction)]


def _score(arm: str, fraction: float, metric: str, judged: Sequence[Judgement]) -> Score:
    each = tuple(judgement.scores[metric] for judgement in judged)
    folds = len({judgement.fold for judgement in judged})
    mean, sd = statistics.summary(each)
    within = statistics.spread_within(each, folds)
    return Score(arm=arm, fraction=fraction, metric=metric, each=each, mean=mean, sd=sd, seed_sd=within)


def _compared(judgements: Sequence[Judgement], arm: Arm, fraction: float, metric: str, test_share: float) -> Comparison:
    own, other = (_judged(judgements, name, fraction) for name in (arm.name, arm.reference))
    assert [(j.fold, j.seed) for j in own] == [(j.fold, j.seed) for j in other], "judges are compared one by one"
    found = statistics.paired([j.scores[metric] for j in own], [j.scores[metric] for j in other], test_share)
    return Comparison(
        arm=arm.name, reference=arm.reference, fraction=fraction, metric=metric, **found._asdict(), p_corrected=None
    )


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    corrected = statistics.holm([each.p for each in found])
    return [each.model_copy(update={"p_corrected": p}) for each, p in zip(found, corrected, strict=True)]


def _enough(arm: str, fraction: float, metric: str, judged: Sequence[Judgement]) -> Enough:
    gains = [_gain(judgement, metric) for judgement in judged]
    folds = len({judgement.fold for judgement in judged})
    spread = statistics.spread_within([judgement.curve[-1][1][metric] for judgement in judged], folds)
    gain = statistics.summary(gains).mean
    ok = None if gain is None or spread is None else gain < spread
    return Enough(arm=arm, fraction=fraction, metric=metric, gain=gain, spread=spread, enough=ok)


def _gain(judgement: Judgement, metric: str) -> float | None:
    """What the steps after `LAST` brought; None where the judge was not scored there."""
    first, last_but = (LAST - NEAR) * judgement.steps, LAST * judgement.steps + 1
    before = [values[metric] for step, values in judgement.curve if first <= step <= last_but]
    last = judgement.curve[-1][1][metric]
    return None if not before or before[-1] is None or last is None else last - before[-1]
