"""Tables of judges: what they score, how arms differ, how they learn."""

from collections.abc import Sequence
from typing import Any

from nucleosynth.report import replicates
from nucleosynth.report.csv_table import JUDGE, METRIC, Table
from nucleosynth.report.plots import ceiling_of
from nucleosynth.report.results import Judgement, Results


def judgements(results: Results) -> Table:
    """A row for each judge and metric."""
    columns = {
        **JUDGE,
        "steps": "of its training",
        "seconds": "of its training",
        "ratio": "synthetic area for each real one, as it was",
        "share": "of the windows of a batch, the synthetic ones",
        **METRIC,
        "value": "its score on the test tiles",
        "left_out": "test images on which it is not defined",
    }
    rows = [
        (*_judge(each), each.steps, each.seconds, each.ratio, each.share, name, value, each.left_out.get(name, 0))
        for each in results.judgements
        for name, value in each.scores.items()
    ]
    return Table("judgements", columns, rows)


def scores(results: Results) -> Table:
    """A row for each arm, fraction and metric."""
    columns = {
        "arm": JUDGE["arm"],
        "fraction": JUDGE["fraction"],
        **METRIC,
        "folds": "in which it is defined for every judge",
        "judges": "in them",
        "mean": "over these judges",
        "sd": "standard deviation over these judges (n - 1)",
        "seed_sd": "of the seeds within a fold: root of the mean variance over folds",
        "ceiling": "what perfect maps would reach with this judge, mean over folds",
    }
    metrics = {metric.name: metric for metric in results.metrics}
    rows = [
        (
            s.arm,
            s.fraction,
            s.metric,
            whole := len(replicates.whole_folds(results, s.each)),
            whole * len(results.seeds),
            s.mean,
            s.sd,
            s.seed_sd,
            ceiling_of(results, s.fraction, metrics[s.metric]),
        )
        for s in results.scores
    ]
    return Table("scores", columns, rows)


def comparisons(results: Results) -> Table:
    """A row for each arm with a reference, fraction and metric."""
    columns = {
        "arm": JUDGE["arm"],
        "reference": "the arm that it is compared with: its own, or the control of equal compute",
        "fraction": JUDGE["fraction"],
        **METRIC,
        "pairs": "judges of equal fold and seed that are compared",
        "n": "differences that are tested: of judges, or with several folds of the means of folds",
        "mean": "of the differences, arm less reference",
        "sd": "of the differences that are tested (n - 1)",
        "low": "of the 95 % interval, not corrected",
        "high": "of the 95 % interval, not corrected",
        "p": "Student's t test of paired differences, two-sided; of several folds with Nadeau and Bengio's variance",
        "p_corrected": "Holm's, over all comparisons of this metric",
    }
    rows = [
        (c.arm, c.reference, c.fraction, c.metric, len(c.each), c.n, c.mean, c.sd, c.low, c.high, c.p, c.p_corrected)
        for c in results.comparisons
    ]
    return Table("comparisons", columns, rows)


def differences(results: Results) -> Table:
    """A row for each pair of judges and metric."""
    columns = {
        "arm": JUDGE["arm"],
        "reference": "the arm that it is compared with",
        "fold": JUDGE["fold"],
        "fraction": JUDGE["fraction"],
        "seed": JUDGE["seed"],
        **METRIC,
        "difference": "arm less reference",
    }
    pairs = [(fold, seed) for fold in results.folds for seed in results.seeds]
    rows = [
        (c.arm, c.reference, fold, c.fraction, seed, c.metric, value)
        for c in results.comparisons
        for (fold, seed), value in zip(pairs, c.each, strict=True)
    ]
    return Table("differences", columns, rows)


def pooled_confusion(results: Results, arm: str, fraction: float) -> list[list[int]] | None:
    """(C+1, C+1) nuclei of all judges of an arm: rows true, the first one false alarms; columns predicted, the first
    one missed; None where no judge has one."""
    each = [judged.confusion for judged in results.judged(arm, fraction) if judged.confusion]
    return [[sum(row) for row in zip(*rows, strict=True)] for rows in zip(*each, strict=True)] if each else None


def confusion(results: Results) -> Table:
    """A row for each arm, fraction, true and predicted class."""
    columns = {
        "arm": JUDGE["arm"],
        "fraction": JUDGE["fraction"],
        "true": "class; empty: no true nucleus, false alarms",
        "predicted": "class; empty: no predicted nucleus, missed",
        "nuclei": "of all judges of the arm, folds and seeds together",
    }
    names = ("", *results.class_names)
    rows = [
        (arm.name, fraction, true, predicted, nuclei)
        for arm in results.arms
        for fraction in results.fractions
        if (found := pooled_confusion(results, arm.name, fraction)) is not None
        for true, line in zip(names, found, strict=True)
        for predicted, nuclei in zip(names, line, strict=True)
    ]
    return Table("confusion", columns, rows)


def curves(results: Results) -> Table:
    """A row for each judge, step and metric."""
    columns = {
        **JUDGE,
        "step": "of the training",
        "metric": "as elsewhere, on the test tiles; training_loss: of the batch, empty where it is not finite",
        "value": "at that step",
    }
    rows: list[Sequence[Any]] = []
    for each in results.judgements:
        rows += [(*_judge(each), step, "training_loss", loss) for step, loss in each.losses]
        rows += [(*_judge(each), step, name, value) for step, scores in each.curve for name, value in scores.items()]
    return Table("curves", columns, rows)


def images(results: Results) -> Table:
    """A row for each judge and test image; a column for each score."""
    names = list(dict.fromkeys(name for each in results.judgements for image in each.images for name in image))
    names = [name for name in names if name != "sample_id"]
    columns = {**JUDGE, "sample_id": "of the test image"} | dict.fromkeys(names, "score of the judge on the image")
    rows = [
        (*_judge(each), image["sample_id"], *(image.get(name) for name in names))
        for each in results.judgements
        for image in each.images
    ]
    return Table("images", columns, rows)


def enough(results: Results) -> Table:
    """A row for each arm without synthetic tiles, fraction and metric."""
    columns = {
        "arm": JUDGE["arm"],
        "fraction": JUDGE["fraction"],
        **METRIC,
        "gain": "of the last fifth of the steps, mean over judges",
        "spread": "standard deviation of the seeds at the end",
        "enough": "the gain is below the spread",
    }
    return Table("enough", columns, [tuple(getattr(each, name) for name in columns) for each in results.enough])


def _judge(each: Judgement) -> tuple[str, str, float, int]:
    return each.arm, each.fold, each.fraction, each.seed
