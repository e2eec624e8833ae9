"""What follows from made-up judges: means, spreads, paired tests, by plain NumPy and apart from the package."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from nucleosynth.report import results as r


def whole(each: Sequence[float | None], folds: int) -> np.ndarray:
    """(folds, seeds) values of the folds in which all are defined."""
    rows = np.array(each, float).reshape(folds, -1)
    return rows[~np.isnan(rows).any(axis=1)]


def score(judged: Sequence[r.Judgement], metric: str, folds: int) -> r.Score:
    """Mean and spreads of a metric over whole folds."""
    each = tuple(one.scores[metric] for one in judged)
    mean = sd = seed_sd = None
    rows = whole(each, folds)
    if rows.size:
        mean = float(rows.mean())
        sd = float(rows.std(ddof=1)) if rows.size > 1 else None
        seed_sd = float(np.sqrt(rows.var(axis=1, ddof=1).mean())) if rows.shape[1] > 1 else None
    one = judged[0]
    return r.Score(arm=one.arm, fraction=one.fraction, metric=metric, each=each, mean=mean, sd=sd, seed_sd=seed_sd)


def comparison(
    judged: Sequence[r.Judgement], reference: Sequence[r.Judgement], metric: str, folds: int, share: float
) -> r.Comparison:
    """A paired t test by hand, of judges or of the means of folds; p is corrected later."""
    pairs = [(a.scores[metric], b.scores[metric]) for a, b in zip(judged, reference, strict=True)]
    each = tuple(None if a is None or b is None else a - b for a, b in pairs)
    found: dict[str, float | None] = dict.fromkeys(("mean", "sd", "low", "high", "p", "p_corrected"))
    rows = whole(each, folds)
    values = rows.mean(axis=1) if folds > 1 else rows.ravel()
    n = len(values)
    if n:
        found["mean"] = float(values.mean())
        found["sd"] = float(values.std(ddof=1)) if n > 1 else None
        if n > 2:
            error = values.std(ddof=1) * math.sqrt(1 / n + (share if folds > 1 else 0))
            margin = student.ppf(0.975, n - 1) * error
            found |= {"low": found["mean"] - margin, "high": found["mean"] + margin}  # type: ignore[operator]
            found["p"] = found["p_corrected"] = float(2 * student.sf(abs(values.mean()) / error, n - 1))
    one = judged[0]
    return r.Comparison(
        arm=one.arm, reference=reference[0].arm, fraction=one.fraction, metric=metric, each=each, n=n, **found
    )


def references(who: r.Arm, arms: Sequence[r.Arm]) -> list[str]:
    """Its own, then the controls of equal compute on the same real tiles."""
    own = [who.reference] if who.reference else []
    return own + [a.name for a in arms if a.compute_of and (a.compute_of, a.classic) == (who.maker, who.classic)]


def without(judged: r.Judgement, metrics: Sequence[str]) -> r.Judgement:
    """The same judge with scores that are not defined."""
    return judged.model_copy(update={"scores": judged.scores | dict.fromkeys(metrics)})


def corrected(found: r.Results) -> r.Results:
    """The same with every p corrected by Bonferroni's method: simpler than Holm's, and enough to be shown."""
    many = {m.name: sum(c.metric == m.name and c.p is not None for c in found.comparisons) for m in found.metrics}
    return found.model_copy(
        update={
            "comparisons": tuple(
                c.model_copy(update={"p_corrected": None if c.p is None else min(c.p * many[c.metric], 1.0)})
                for c in found.comparisons
            )
        }
    )
