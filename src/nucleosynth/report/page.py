"""report.html: one file that holds all it shows, to be read, printed and sent as it is."""

import re
from base64 import b64encode
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nucleosynth.pictures import class_colours
from nucleosynth.report import plots, words
from nucleosynth.report.results import VERDICTS, Results
from nucleosynth.run import write_whole

FILE = "report.html"


def write(folder: Path) -> Path:
    """Write report.html from the study.json and the pictures of a folder; its path."""
    results = Results.read(folder)
    write_whole(folder / FILE, render(results, folder))
    return folder / FILE


def render(results: Results, folder: Path) -> str:
    """The page as text; `folder` holds the pictures."""
    environment = Environment(
        loader=PackageLoader("nucleosynth", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colours = class_colours(len(results.class_names)).tolist()
    page = environment.get_template("report.html").render(
        study=results,
        words=words,
        plots=plots,
        groups=[list(group) for _, group in groupby(results.metrics, lambda metric: metric.aggregation)],
        classes=[(name, _css(colours[k])) for k, name in enumerate(results.class_names, start=1)],
        verdicts=[(name, _css(colour)) for name, colour in VERDICTS],
        picture=lambda picture: "data:image/png;base64," + b64encode((folder / picture.file).read_bytes()).decode(),
    )
    return re.sub(r"\n\s*\n+", "\n", page)


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
