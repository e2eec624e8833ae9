"""What `nucleosynth generate` refuses before any work: options that contradict each other, the method or the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucleosynth import catalog
from nucleosynth.data.files import existing_folder
from nucleosynth.data.reader import resolve
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.run import Run
from nucleosynth.verbs.generate_conditions import PARTS, SIDES, Wishes, is_picture

WHERE = "nucleosynth generate"
GOES_WITH = {"image": "labels", "label": "images", "inpaint": "tiles"}
"""Mode -> the side that it is given; a pair is made of any other, or of none."""
MIXED = "mixed"
"""What a run's facts call the tissue where training had several (methods.facts)."""


def check_numbers(n: int | None, size: int | None, batch: int | None, workers: int | None) -> None:
    """Refuse numbers that are too small."""
    least_of = (("--n", n, 1), ("--size", size, 16), ("--batch", batch, 1), ("--workers", workers, 0))
    for name, value, least in least_of:
        if value is not None and value < least:
            raise UserError(
                f"{name} is too small",
                expected=f"at least {least}",
                got=str(value),
                where=WHERE,
                mend=f"give {least} or more, or leave {name} out",
            )


def check(wishes: Wishes, run: Run, kind: Any) -> None:
    """Refuse what a method does not do, what a model was built without, and data that are not there.

    Raises:
        UserError: see above; nothing is loaded or read yet.
    """
    _check_side(wishes, kind)
    _check_mode(wishes)
    _check_repainting(wishes)
    _check_caption(wishes.caption)
    beside = [name for name in ("caption", "tissue", "reference") if getattr(wishes, name) is not None]
    for name in beside:
        _check_taken(name, name, kind)
    _check_parts([*wishes.given, *beside], run)
    _check_reference(wishes)
    _check_reading(wishes)
    if wishes.side and not wishes.layouts:
        resolve(wishes.data)


def check_tissue(tissue: str | None, model: Any) -> None:
    """Refuse a tissue that the model was not trained on, as far as it knows."""
    facts = model.facts
    known = getattr(facts, "tissues", ()) or (() if facts.tissue == MIXED else (facts.tissue,))
    if tissue is not None and known and tissue not in known:
        raise unknown_name("tissue", tissue, known, where=WHERE)


def _check_side(wishes: Wishes, kind: Any) -> None:
    if len(wishes.given) > 1:
        raise UserError(
            "more than one side is given",
            expected="one of " + ", ".join(f"--{name}" for name in SIDES),
            got=" and ".join(f"--{name}" for name in wishes.given),
            mend="give one of them",
        )
    for name in (*wishes.given, *([GOES_WITH[wishes.mode]] if wishes.mode in GOES_WITH else [])):
        _check_taken(name, SIDES[name], kind)
    for option, field in SIDES.items():
        if field in kind.needs and option not in wishes.given:
            raise UserError(
                f"{kind.name} needs {option}",
                expected=f"--{option} DATA",
                got="nothing",
                where=WHERE,
                mend=f"give tiles, as --{option} consep:CoNSeP",
            )


def _check_taken(option: str, field: str, kind: Any) -> None:
    """Refuse an option whose field of a Condition a method does not follow."""
    if field in kind.takes:
        return
    fields = SIDES | {"caption": "caption", "tissue": "tissue", "reference": "reference"}
    takes = ", ".join(f"--{name}" for name, each in fields.items() if each in kind.takes) or "none of them"
    takers = ", ".join(entry.name for entry in catalog.CATALOG["method"] if field in entry.load().takes)
    raise UserError(
        f"{kind.name} does not take {option}",
        expected=takes,
        got=f"--{option}",
        mend=f"leave it out, or take a run of a method that does: {takers}",
    )


def _check_mode(wishes: Wishes) -> None:
    of_side = {side: mode for mode, side in GOES_WITH.items()}
    follows = of_side.get(wishes.side or "", "pair")
    if wishes.mode is None or wishes.mode == follows:
        return
    wanted = GOES_WITH.get(wishes.mode)
    others = ", ".join(f"--{side}" for side in of_side)
    raise UserError(
        f"--mode {wishes.mode} contradicts what is given" if wishes.side else f"--mode {wishes.mode} needs {wanted}",
        expected=f"--{wanted} DATA" if wanted else f"none of {others}",
        got=f"--{wishes.side}" if wishes.side else "nothing",
        where=WHERE,
        mend=(f"give --{wanted} DATA" if wanted else f"leave --{wishes.side} out")
        + (f", or take --mode {follows}" if wishes.side else ""),
    )


def _check_repainting(wishes: Wishes) -> None:
    said = [name for name in ("hole", "masks", "repaint") if getattr(wishes, name) is not None]
    if said and wishes.side != "tiles":
        raise UserError(
            f"--{said[0]} without tiles that are painted anew in part",
            expected="--tiles DATA",
            got=f"--{wishes.side}" if wishes.side else "nothing",
            where=WHERE,
            mend=f"give --tiles DATA, or leave --{said[0]} out",
        )
    if wishes.hole is not None and wishes.masks is not None:
        raise UserError(
            "--hole beside --masks", expected="one of them", got="both", where=WHERE, mend="leave one of them out"
        )
    if wishes.hole is not None and not 0 < wishes.hole < 1:
        raise UserError(
            "--hole is no share of a tile",
            expected="a number above 0 and below 1",
            got=str(wishes.hole),
            where=WHERE,
            mend="0.3 paints a rectangle of 30 % of the tile anew",
        )
    if wishes.masks is not None:
        existing_folder(str(wishes.masks), "a folder of masks, a PNG for each tile")


def _check_caption(caption: str | None) -> None:
    if caption is not None and not caption.strip():
        raise UserError("an empty caption", expected="a sentence", got=f"--caption {caption!r}", mend="leave it out")


def _check_parts(options: Sequence[str], run: Run) -> None:
    """Refuse what a model was built without."""
    for part in run.record.settings.get("without", ()):
        option = PARTS.get(part)
        if option in options:
            raise UserError(
                f"a model without {part}",
                expected=f"no --{option}",
                got=f"--{option}",
                where=str(run.folder),
                mend=f"leave it out, or train a model of {run.record.method} with {part}",
            )


def _check_reference(wishes: Wishes) -> None:
    reference = wishes.reference
    if reference is None:
        return
    if wishes.side == "images":
        raise UserError(
            "a reference beside images",
            expected="a reference where an image is made",
            got="--reference and --images",
            where=WHERE,
            mend="leave --reference out: the stain and style of a given image are its own",
        )
    if not is_picture(reference):
        resolve(reference)
    elif not Path(reference).expanduser().is_file():
        raise UserError(
            "no such picture",
            expected="a PNG, TIFF or JPEG, or the name of data",
            got="nothing there",
            where=reference,
            mend="check the path",
        )


def _check_reading(wishes: Wishes) -> None:
    """Refuse what says how data are read where none are read so."""
    side = wishes.side is not None and not wishes.layouts
    reference = wishes.reference is not None and not is_picture(wishes.reference)
    for name, value, applies in (("split", wishes.split, side or reference), ("classes", wishes.classes, side)):
        if value is not None and not applies:
            sides = ", ".join(f"--{option}" for option in SIDES)
            raise UserError(
                f"--{name} without data that it applies to",
                expected=f"tiles given by one of {sides}" + (", --reference" if name == "split" else ""),
                got=_without_tiles(wishes),
                where=WHERE,
                mend=f"give tiles, or leave --{name} out",
            )


def _without_tiles(wishes: Wishes) -> str:
    if wishes.layouts:
        return "a table of layouts"
    if wishes.reference is None:
        return "nothing"
    return "a picture" if is_picture(wishes.reference) else "tiles for --reference alone"
