"""report.html: one file that holds all it shows, to be read, printed and sent as it is; tables as CSV beside it."""

import re
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nucleosynth.pictures import class_colours
from nucleosynth.report import (
    cautions,
    compared,
    copies,
    curves,
    distances,
    findings,
    papers,
    plots,
    readings,
    replicates,
    svg,
    tables,
    words,
)
from nucleosynth.report.embedded import Embedded
from nucleosynth.report.results import VERDICTS, Part, Results
from nucleosynth.report.score_tables import pooled_confusion
from nucleosynth.report.tile_tables import colour_differences
from nucleosynth.run import write_whole

FILE = "report.html"
NO_BREAK = "\N{NO-BREAK SPACE}"


def write(folder: Path) -> Path:
    """Write report.html, and `tables` in CSV, from the study.json and the pictures of a folder; the page's path.

    A picture that the folder lacks is named in the page in its place.
    """
    results = Results.read(folder)
    tables.write(folder, results)
    write_whole(folder / FILE, render(results, folder))
    return folder / FILE


def render(results: Results, folder: Path) -> str:
    """The page as text; `folder` holds the pictures."""
    labels = {metric.name: metric.label for metric in results.metrics}
    colours = class_colours(len(results.class_names)).tolist()
    found, controlled = findings.outcome(results), findings.at_equal_compute(results)
    overall = [metric for metric in results.metrics if not metric.class_name]
    page = (
        _templates()
        .get_template("report.html")
        .render(
            study=results,
            primary=results.metrics[0],
            overall=overall,
            by_class=[metric for metric in results.metrics if metric.class_name],
            groups=[list(group) for _, group in groupby(overall, lambda metric: metric.aggregation)],
            makers=list(dict.fromkeys(maker.name for maker in results.makers)),
            found=found,
            controlled=controlled,
            summary=findings.summary(found + controlled, results),
            classes=[(name, _css(colours[k])) for k, name in enumerate(results.class_names, start=1)],
            verdicts=[(name, _css(colour)) for name, colour in VERDICTS],
            label=lambda name: labels.get(name, name),
            picture=Embedded(results, folder),
            place=lambda part: place(results, part),
            confusion=pooled_confusion,
            colour_differences=colour_differences,
            cautions=cautions,
            compared=compared,
            copies=copies,
            curves=curves,
            distances=distances,
            findings=findings,
            papers=papers,
            plots=plots,
            readings=readings,
            replicates=replicates,
            svg=svg,
            words=words,
        )
    )
    return re.sub(r"\n\s*\n+", "\n", page).replace(" %", NO_BREAK + "%")


def place(results: Results, part: Part) -> str:
    """What tells a part from the others: "fold 1 of 3, 10 % of the labels"; "" where there is one alone."""
    names = [part.fold] if len(results.folds) > 1 else []
    names += [f"{words.percent(part.fraction)} of the labels"] if len(results.fractions) > 1 else []
    return ", ".join(names)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("nucleosynth", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["percent"] = words.percent
    return templates


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
