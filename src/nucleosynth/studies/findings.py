"""What follows from the judgements: means and spreads, comparisons, and whether the real arms were trained enough."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from nucleosynth.report.holm import holm
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
    metrics: Sequence[Metric],
    test_shares: Mapping[float, float],
) -> tuple[Comparison, ...]:
    """Every arm against its references in every metric at every fraction; p corrected over all of one metric.

    test_shares: of every fraction, test tiles for each training tile, see `test_share`.
    """
    pairs = [(arm, reference) for arm in arms for reference in references(arm, arms)]
    return tuple(
        comparison
        for metric in metrics
        for comparison in _corrected(
            [
                _compared(judgements, pair, fraction, metric.name, share)
                for (fraction, share), pair in product(test_shares.items(), pairs)
            ]
        )
    )


def references(arm: Arm, arms: Sequence[Arm]) -> tuple[str, ...]:
    """What an arm is compared with: its own reference, then the controls that have its recipe's compute."""
    controls = [
        each.name for each in arms if each.compute_of and each.compute_of == arm.maker and each.base == arm.base
    ]
    return ((arm.reference,) if arm.reference else ()) + tuple(controls)


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
    mean, sd = statistics.summary(each, _folds(judged))
    within = statistics.spread_within(each, _folds(judged))
    return Score(arm=arm, fraction=fraction, metric=metric, each=each, mean=mean, sd=sd, seed_sd=within)


def _compared(
    judgements: Sequence[Judgement], pair: tuple[Arm, str], fraction: float, metric: str, test_share: float
) -> Comparison:
    arm, reference = pair[0].name, pair[1]
    own, other = (_judged(judgements, name, fraction) for name in (arm, reference))
    assert [(j.fold, j.seed) for j in own] == [(j.fold, j.seed) for j in other], "judges are compared one by one"
    values = [judgement.scores[metric] for judgement in own], [judgement.scores[metric] for judgement in other]
    found = statistics.paired(*values, _folds(own), test_share)
    return Comparison(
        arm=arm, reference=reference, fraction=fraction, metric=metric, **found._asdict(), p_corrected=None
    )


def _folds(judged: Sequence[Judgement]) -> int:
    return len({judgement.fold for judgement in judged})


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([each.p for each in found])
    return [each.model_copy(update={"p_corrected": p}) for each, p in zip(found, corrected, strict=True)]


def _enough(arm: str, fraction: float, metric: str, judged: Sequence[Judgement]) -> Enough:
    gain = statistics.summary([_gain(judgement, metric) for judgement in judged], _folds(judged)).mean
    spread = statistics.spread_within([judgement.curve[-1][1][metric] for judgement in judged], _folds(judged))
    ok = None if gain is None or spread is None else gain < spread
    return Enough(arm=arm, fraction=fraction, metric=metric, gain=gain, spread=spread, enough=ok)


def _gain(judgement: Judgement, metric: str) -> float | None:
    """What the steps after `LAST` brought; None where the judge was not scored there."""
    first, last_but = (LAST - NEAR) * judgement.steps, LAST * judgement.steps + 1
    before = [values[metric] for step, values in judgement.curve if first <= step <= last_but]
    last = judgement.curve[-1][1][metric]
    return None if not before or before[-1] is None or last is None else last - before[-1]
