"""From what `nucleosynth generate` is asked for to the conditions of a method, one a sample."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count as naturals
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.holes import rectangle
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.proportions import from_label
from nucleosynth.data.classes import renamed
from nucleosynth.data.files import existing_folder, named_files
from nucleosynth.data.findings import keeping
from nucleosynth.data.images import IMAGE_SUFFIXES, decode, read_image
from nucleosynth.data.reader import read
from nucleosynth.data.splits import to_train_on
from nucleosynth.data.tiles import resize_image, size_at
from nucleosynth.data.windows import Cutting, windows
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.asking import layout_conditions
from nucleosynth.layouts.pattern import joined
from nucleosynth.progress import say
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of

Mode = Literal["pair", "image", "label", "inpaint"]
Repaint = Literal["image", "label", "both"]
SIDES = {
    "points": "points",
    "counts": "counts",
    "proportions": "proportions",
    "labels": "instances",
    "images": "image",
    "tiles": "known",
}
"""Option -> the field of a Condition that it gives."""
PARTS = {"points": "points", "counts": "counts", "text": "caption"}
"""Part that a model may have been built without (`fit --without`) -> the option that it then does not take."""
HOLE = 0.3
"""Share of a tile that is painted anew unless told otherwise."""
HOLE_KEY = 1 << 16
"""Beside (seed, k), above the keys of any method's noise."""
LOOKED_THROUGH = 512
"""Conditions among which a tissue is looked for where a method's facts do not say which it has."""


@dataclass(frozen=True)
class Wishes:
    """What the options of `generate` ask for; given: those of SIDES that have data, at most one once it is checked."""

    given: Mapping[str, str]
    split: str | None = None
    classes: str | None = None
    size: int | None = None
    caption: str | None = None
    tissue: str | None = None
    reference: str | None = None
    mode: Mode | None = None
    hole: float | None = None
    masks: Path | None = None
    repaint: Repaint | None = None

    @property
    def side(self) -> str | None:
        """The side that data give."""
        return next(iter(self.given), None)

    @property
    def data(self) -> str:
        """The data that give it; "" without any."""
        return next(iter(self.given.values()), "")

    @property
    def layouts(self) -> bool:
        """Whether they are a table of layouts."""
        return self.side == "points" and table.is_table(self.data)

    def stated(self) -> dict[str, str | float]:
        """What of this was said, by the options' names: it tells one store from another."""
        beside = ("caption", "tissue", "reference", "hole", "masks", "repaint")
        said = ((name, getattr(self, name)) for name in beside)
        return {**self.given, **{name: str(x) if isinstance(x, Path) else x for name, x in said if x is not None}}


def conditions(wishes: Wishes, model: Any, seed: int) -> Iterator[Condition]:
    """Endless conditions 0, 1, ... for a trained method.

    Raises:
        UserError: data that cannot be read, of a resolution that is unknown, or without a mask that is asked for; a
            reference of held-out tiles alone; or a tissue that none of the method's own conditions has.
    """
    found = _from_data(wishes, model, seed) if wishes.side else _from_nothing(wishes, model, seed)
    found = (_told(condition, wishes) for condition in found)
    if wishes.reference is None:
        return found
    shown = references(wishes.reference, _resolution(model), wishes.split)
    return (_beside(condition, reference) for condition, reference in zip(found, shown, strict=False))


def sizes(wishes: Wishes, model: Any, most: int | None = None) -> list[tuple[int, int]]:
    """(h w) px at which the network works for each condition that the data give, or the first `most`; [] without data.

    Each is looked at once.
    """
    from nucleosynth.methods.batches import working_size

    tiles = model.settings
    found = islice(_once(wishes, model), most) if wishes.side else ()
    return [working_size(condition, tiles.mpp, tiles.stride) for condition in found]


def _from_nothing(wishes: Wishes, model: Any, seed: int) -> Iterator[Condition]:
    """A caption by itself asks for nothing else; a tissue for the method's own conditions of that tissue.

    Raises:
        UserError: a tissue that none of them has.
    """
    size = (wishes.size, wishes.size) if wishes.size else None
    if wishes.caption:
        return repeat(Condition(size or model.size, model.mpp, model.class_names))
    own: Iterator[Condition] = model.default_conditions(seed, size=size)
    if wishes.tissue is None or wishes.tissue == model.facts.tissue:
        return own
    crops = getattr(model.facts, "crop_tissues", None)
    there = set(crops or (each.tissue for each in islice(model.default_conditions(seed, size=size), LOOKED_THROUGH)))
    if wishes.tissue not in there:
        raise UserError(
            "no condition of that tissue by itself",
            expected=f"a tissue that the run's own conditions have: {', '.join(sorted(map(str, there)))}",
            got=f"--tissue {wishes.tissue!r}, which none of {len(crops) if crops else LOOKED_THROUGH} has",
            mend="give data beside it, as --counts DATA, or a caption",
        )
    return (condition for condition in own if condition.tissue == wishes.tissue)


def _from_data(wishes: Wishes, model: Any, seed: int) -> Iterator[Condition]:
    """The conditions of some data, again and again; in later rounds names get the round's number."""
    for k, (lap, condition) in enumerate((lap, condition) for lap in naturals() for condition in _once(wishes, model)):
        if wishes.side == "tiles" and wishes.masks is None:
            hole = rectangle(condition.size, wishes.hole or HOLE, generator_of(seed, k, HOLE_KEY))
            condition = replace(condition, known=~hole)
        yield replace(condition, name=f"{condition.name}~{lap}") if lap else condition


def _told(condition: Condition, wishes: Wishes) -> Condition:
    """What the command line says goes before what the tiles say."""
    return replace(condition, caption=wishes.caption or condition.caption, tissue=wishes.tissue or condition.tissue)


def _once(wishes: Wishes, model: Any) -> Iterator[Condition]:
    if wishes.layouts:
        yield from layout_conditions(Path(wishes.data), model.class_names, _resolution(model), wishes.size)
        return
    masks = None if wishes.masks is None else _masks(wishes.masks)
    for sample in read(wishes.data, wishes.split, wishes.classes):
        for tile in _windows(sample, wishes.size, model.mpp):
            condition = _condition(wishes, renamed(tile, model.class_names), model)
            yield condition if masks is None else replace(condition, known=~_hole(masks, condition, wishes.masks))


def _resolution(model: Any) -> float | None:
    """Micrometres per pixel of what a method makes."""
    found: float | None = model.mpp or model.facts.mpp
    return found


def _windows(sample: Sample, size: int | None, mpp: float | None) -> Iterator[Sample]:
    """The tile, or windows of it of `size` px at `mpp`, that do not overlap but for the last row and column."""
    if size is None:
        yield sample
        return
    side = size if mpp is None or sample.mpp is None else max(round(size * mpp / sample.mpp), 1)
    yield from (window.sample for window in windows(sample, Cutting(side, side)))


def _condition(wishes: Wishes, tile: Sample, model: Any) -> Condition:
    if model.mpp is not None and tile.mpp is None:
        raise _without_resolution(tile.sample_id)
    asked = Condition(
        tile.size,
        tile.mpp,
        tile.class_names,
        tile.tissue,
        tile.stain,
        caption=(tile.caption or None) if _follows_captions(model) else None,
        name=tile.sample_id,
        source=tile.source,
        licence=tile.licence,
    )
    label = {"instances": tile.instances, "classes": tile.classes}
    match wishes.side:
        case "points":
            return replace(asked, points=tile.points or from_instances(tile))
        case "counts":
            return replace(asked, counts=from_classes(tile.classes, len(tile.class_names)))
        case "proportions":
            return replace(asked, proportions=from_label(tile.instances, tile.classes, len(tile.class_names)))
        case "labels":
            return replace(asked, **label, begin=tile.image)  # type: ignore[arg-type]
        case "images":
            return replace(asked, image=tile.image)
        case _:
            if wishes.repaint != "label":
                asked = replace(asked, image=tile.image)
            return asked if wishes.repaint == "image" else replace(asked, **label)  # type: ignore[arg-type]


def _without_resolution(name: str) -> UserError:
    return UserError(
        "unknown resolution",
        expected="micrometres per pixel of the given tile",
        got="none",
        where=f"sample {name!r}",
        mend="state mpp (meta.toml of a folder), or write tiles anew by `tiles --source-mpp`",
    )


def _follows_captions(model: Any) -> bool:
    """Whether the model follows captions: its method does, and it was not built without them."""
    return "caption" in model.takes and all(PARTS.get(part) != "caption" for part in model.origin.without)


def _masks(folder: Path) -> dict[str, Path]:
    return named_files(existing_folder(str(folder), "a folder of masks, a PNG for each tile"), (".png",))


def _hole(masks: Mapping[str, Path], condition: Condition, folder: Path | None) -> NDArray[np.bool_]:
    """(h w) True where the mask of a tile is white: above half of the brightest value that it holds."""
    path = masks.get(condition.name)
    if path is None:
        raise UserError(
            "a tile without a mask",
            expected=f"{condition.name}.png, white where it is to be painted anew",
            got=f"{len(masks)} other PNGs",
            where=str(folder),
            mend="draw one for each tile, named by its sample_id (of a window, where --size cuts windows)",
        )
    values = decode(path.read_bytes(), str(path))
    values = values if values.ndim == 2 else values[..., :3].min(axis=2)
    hole: NDArray[np.bool_] = values > values.max() / 2
    if hole.shape != condition.size or not hole.any():
        raise UserError(
            "a mask of nothing" if hole.shape == condition.size else "a mask of another size than its tile",
            expected=f"{condition.size[1]} x {condition.size[0]} px, white where it is to be painted anew",
            got=f"{hole.shape[1]} x {hole.shape[0]} px, {np.count_nonzero(hole)} of them white",
            where=str(path),
            mend="draw it over the tile's image",
        )
    return hole


@dataclass(frozen=True, eq=False)
class Reference:
    """An image whose stain and style are to be followed, and where it comes from; mpp: None where nothing is known."""

    image: NDArray[np.uint8]
    mpp: float | None
    name: str
    source: str
    licence: str


def is_picture(reference: str) -> bool:
    """Whether a reference is a picture's file, where it is not data."""
    return Path(reference).suffix.lower() in IMAGE_SUFFIXES


def references(what: str, mpp: float | None, split: str | None = None) -> Iterator[Reference]:
    """A picture, again and again, taken to be at `mpp`; or the tiles of some data in turn, at their own.

    The tiles are those of `split`, else those that a method would be trained on; what is left out is told.

    Raises:
        UserError: neither, no such split, held-out tiles alone, or, as it is reached, a tile of unknown resolution
            where the method has one.
    """
    if is_picture(what):
        path = Path(what).expanduser()
        return repeat(Reference(read_image(path), mpp, path.name, f"picture/{path.name}", "unknown"))
    return _tiles_in_turn(what, mpp, _splits_shown(what, split))


def _splits_shown(what: str, split: str | None) -> frozenset[str]:
    """The splits of some data whose tiles are references."""
    there = frozenset(tile.split for tile in read(what, split, note=keeping([])))
    if split is not None:
        return there
    shown = to_train_on(there)
    left_out = ", ".join(repr(name) for name in sorted(there - shown))
    if not shown:
        raise UserError(
            "none but held-out tiles for references",
            expected="tiles of no split, or of one to train on",
            got=f"tiles of {left_out}",
            where=what,
            mend=f"name the split if it is meant, as in --split {min(there)}",
        )
    if left_out:
        say(f"{what}: references are its tiles without those of {left_out}")
    return shown


def _tiles_in_turn(what: str, mpp: float | None, splits: frozenset[str]) -> Iterator[Reference]:
    while True:
        for tile in read(what):
            if tile.split not in splits:
                continue
            if mpp is not None and tile.mpp is None:
                raise _without_resolution(tile.sample_id)
            yield Reference(tile.image, tile.mpp, tile.sample_id, tile.source, tile.licence)


def _beside(condition: Condition, reference: Reference) -> Condition:
    """The condition with a reference at its own resolution; what is made rests on the sources of both."""
    image = reference.image
    if reference.mpp is not None and condition.mpp is not None:
        image = resize_image(image, size_at((image.shape[0], image.shape[1]), reference.mpp, condition.mpp))
    record = {"name": "reference", "of": reference.name, "source": reference.source, "mpp": reference.mpp}
    return replace(
        condition,
        reference=image,
        source=joined([condition.source, reference.source]),
        licence=joined([condition.licence, reference.licence]),
        operations=(*condition.operations, record),
    )
