"""How many judges or folds a number is of: all of the study, or those in which it is defined."""

from collections.abc import Sequence

from nucleosynth.report.results import Comparison, Results
from nucleosynth.report.words import UNDEFINED, plural


def judges(results: Results) -> int:
    """Judges of an arm at a fraction."""
    return len(results.folds) * len(results.seeds)


def whole_folds(results: Results, each: Sequence[float | None]) -> list[str]:
    """The folds in which every judge has a value; `each` fold by fold, in each seed by seed."""
    seeds = len(results.seeds)
    return [fold for k, fold in enumerate(results.folds) if None not in each[k * seeds : (k + 1) * seeds]]


def fewer(results: Results, each: Sequence[float | None]) -> str:
    """ "2 of 3 folds" for a mean that leaves folds out; "" for one of all, and for none."""
    whole = len(whole_folds(results, each))
    return f"{whole} of {plural(len(results.folds), 'fold')}" if 0 < whole < len(results.folds) else ""


def folds_of(results: Results, each: Sequence[float | None]) -> str:
    """ "3 folds", or "2 of 3 folds" where others are left out."""
    return fewer(results, each) or plural(len(results.folds), "fold")


def tested(results: Results, found: Comparison) -> str:
    """How many differences are tested, and of how many where some are left out: "3", "2 of 3"."""
    whole = len(results.folds) if len(results.folds) > 1 else len(results.seeds)
    if found.n is None:
        return UNDEFINED
    return f"{found.n}" if found.n == whole else f"{found.n} of {whole}"
