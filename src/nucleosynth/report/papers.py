"""Our numbers in the layout of the papers' tables, the published rows beside them.

CoSyn: images (FID, IS, FSD) and the judge (Dice, AJI, F_d, Acc), a block for each labelled fraction. DAFF-GAN: trained
on | Dice, AJI, DQ, SQ, PQ, a block for each judge. NuDiff: Dice and AJI, columns for each labelled fraction. A
published row is always labelled so, and never mixed into a mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nucleosynth.report import replicates
from nucleosynth.report.distances import in_table
from nucleosynth.report.published import COSYN, DAFF_GAN, HOVERNET, NUDIFF, Published, rows
from nucleosynth.report.results import Arm, Results
from nucleosynth.report.words import UNDEFINED, amount, count, number, percent

HEADS = {"dice": "Dice", "aji": "AJI", "dq": "DQ", "sq": "SQ", "pq": "PQ", "f_d": "F_d", "accuracy": "Acc"}
IMAGES = ("FID", "IS", "FSD")
_DECIMALS = {COSYN: 3, DAFF_GAN: 4, NUDIFF: 4}
_IMAGE_DECIMALS = 2


class Cell(NamedTuple):
    """A number, and its spread over judges below it."""

    value: str
    small: str = ""


class Block(NamedTuple):
    """Rows of one judge and fraction: what each was trained on, and its numbers."""

    title: str
    published: bool
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


class PaperTable(NamedTuple):
    """groups: (head over columns or "", heads of the columns). `own`: the paper reports this data set."""

    paper: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    blocks: tuple[Block, ...]
    own: bool


def paper_tables(results: Results) -> list[PaperTable]:
    """The three layouts; first those of papers that report this data set."""
    found = [_cosyn(results), _daff_gan(results), _nudiff(results)]
    return sorted(found, key=lambda table: not table.own)


def unlike(results: Results) -> str:
    """Why our numbers and published ones are not like for like."""
    judge, parts = results.judge, results.parts
    tiles = sorted({part.training.tiles for part in parts})
    tests = sorted({part.test.tiles for part in parts})
    judges = replicates.judges(results)
    spread = f"mean ± standard deviation of {judges} judges" if judges > 1 else "of a single judge"
    mpp = f" at {judge['mpp']} µm per px" if "mpp" in judge else ""
    return (
        f"Not like for like. Ours: HoVer-Net, preset {judge.get('preset', UNDEFINED)}{mpp}, {count(results.steps)} "
        f"steps on {_range(tiles)} training tiles, scored on {_range(tests)} test tiles ({results.split}), {spread}. "
        "Published: single runs of the papers' own judges, training schedules, tiles and test splits. Compare what is "
        "gained over the row real within a block, not numbers across blocks."
    )


def _cosyn(results: Results) -> PaperTable:
    published = [row for row in rows(results.data_set) if row.paper == COSYN]
    names = (*IMAGES, "dice", "aji", "f_d", "accuracy")
    blocks = [
        Block(
            _ours(results, fraction),
            False,
            tuple((arm.label, tuple(_cell(results, arm, fraction, name) for name in names)) for arm in results.arms),
        )
        for fraction in results.fractions
    ]
    if published:
        blocks.append(_block(f"published: {COSYN}, {HOVERNET}, 100 %, single runs", published, names))
    heads = (("images", tuple(_image_head(results, name) for name in IMAGES)), ("judge", _heads(names[3:])))
    return PaperTable(COSYN, heads, tuple(blocks), bool(published))


def _daff_gan(results: Results) -> PaperTable:
    published = [row for row in rows(results.data_set) if row.paper == DAFF_GAN]
    names = ("dice", "aji", "dq", "sq", "pq")
    blocks = [
        Block(
            _ours(results, fraction),
            False,
            tuple((arm.label, tuple(_cell(results, arm, fraction, name) for name in names)) for arm in results.arms),
        )
        for fraction in results.fractions
    ]
    for judge in dict.fromkeys(row.judge for row in published):
        same = [row for row in published if row.judge == judge]
        blocks.append(_block(f"published: {DAFF_GAN}, {judge}, single runs", same, names))
    return PaperTable(DAFF_GAN, (("", _heads(names)),), tuple(blocks), bool(published))


def _nudiff(results: Results) -> PaperTable:
    published = [row for row in rows(results.data_set) if row.paper == NUDIFF]
    names = ("dice", "aji")
    fractions = sorted({*results.fractions, *(row.fraction for row in published)})
    ours = tuple(
        (
            arm.label,
            tuple(
                _cell(results, arm, fraction, name) if fraction in results.fractions else Cell(UNDEFINED)
                for fraction in fractions
                for name in names
            ),
        )
        for arm in results.arms
    )
    blocks = [Block(_ours(results, None), False, ours)]
    if published:
        known = {(row.trained_on, row.fraction): row for row in published}
        lines = tuple(
            (what, tuple(_published(known.get((what, fraction)), name) for fraction in fractions for name in names))
            for what in dict.fromkeys(row.trained_on for row in published)
        )
        blocks.append(Block(f"published: {NUDIFF}, {HOVERNET}, single runs", True, lines))
    groups = tuple((f"{percent(fraction)} of the labels", _heads(names)) for fraction in fractions)
    return PaperTable(NUDIFF, groups, tuple(blocks), bool(published))


def _ours(results: Results, fraction: float | None) -> str:
    judges = replicates.judges(results)
    at = f", {percent(fraction)} of the labels" if fraction is not None else ""
    return f"ours: {HOVERNET} {results.judge.get('preset', '')}{at}, {judges} judge{'s' * (judges > 1)} a row"


def _block(title: str, published: Sequence[Published], names: Sequence[str]) -> Block:
    return Block(
        title, True, tuple((row.trained_on, tuple(_published(row, name) for name in names)) for row in published)
    )


def _published(row: Published | None, name: str) -> Cell:
    value = row.metrics.get(name) if row else None
    digits = _IMAGE_DECIMALS if name in IMAGES else _DECIMALS[row.paper] if row else 0
    return Cell(number(value, digits))


def _cell(results: Results, arm: Arm, fraction: float, name: str) -> Cell:
    if name in IMAGES:
        found = in_table(results, arm.maker, fraction, name) if arm.maker else None
        return Cell(amount(found.value if found else None))
    if name not in {metric.name for metric in results.metrics}:
        return Cell(UNDEFINED)
    score = results.score(arm.name, fraction, name)
    spread = f"± {number(score.sd)}" if score.sd is not None else ""
    return Cell(number(score.mean), ", ".join(filter(None, (spread, replicates.fewer(results, score.each)))))


def _heads(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(HEADS[name] for name in names)


def _image_head(results: Results, kind: str) -> str:
    """The column's name with our encoder's, where it is not the paper's: "FID (ours: FD-texture-1)"."""
    for maker in results.makers:
        found = in_table(results, maker.name, maker.fraction, kind)
        if found:
            return kind if found.metric == kind else f"{kind} (ours: {found.metric})"
    return kind


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
