"""DSB2018: stage 1 of the Data Science Bowl 2018, 670 tiles of many microscopes (Caicedo et al., Nature Methods, 2019).

Layout: stage1_train/<id>/images/<id>.png (RGBA) and masks/*.png, one 0/255 mask for each nucleus. Most tiles are
fluorescence or grey brightfield; this reader keeps the stained, coloured ones and tells which it leaves out. Where
masks overlap, the later one has the pixel, in natural order of their names; empty ones are counted. Resolution, tissue
and patients were not published: a tile is its own source.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from nucleosynth.data.files import existing_folder, named_files, natural, not_the
from nucleosynth.data.findings import Finding, Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import read_image, read_map
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import Canvas, Label
from nucleosynth.sample import Image, Sample

CLASS_NAMES = ("nucleus",)
STAGE = "stage1_train"
LEAST_CHROMA = 4.0
LEAST_BRIGHTNESS = 100.0


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """The coloured brightfield tiles of stage 1, in natural order of ids; `where` is stage1_train or the folder above.

    Raises:
        UserError: no such folder; no tile in it; and, through `note`, a broken file or a mask of another size.
    """
    root = existing_folder(where, f"the folder {STAGE} or the one above it")
    stage = root / STAGE if (root / STAGE).is_dir() else root
    folders = [path for path in stage.iterdir() if (path / "images").is_dir() or (path / "masks").is_dir()]
    if not folders:
        raise not_the(
            "the DSB2018 folder",
            stage,
            f"{STAGE}/<id>/images/<id>.png and {STAGE}/<id>/masks/*.png",
            f"unpack {STAGE}.zip and give the folder that holds its tiles",
        )
    yield from each_tile(partial(_tile, note, root), sorted(folders, key=lambda path: natural(path.name)), note)


def coloured(image: Image) -> bool:
    """Whether a tile is stained tissue in brightfield: it has colour, and its background is light.

    Colour is the mean difference between a pixel's largest and least channel, above 4 of 255: tiles stored from grey
    have 0, the palest stained ones 12. Light is a median of the largest channel above 100: stained tiles have 195 and
    more, fluorescence, even in colour, a dark background.
    """
    high, low = image.max(axis=2), image.min(axis=2)
    return bool((high - low).mean() > LEAST_CHROMA and np.median(high) > LEAST_BRIGHTNESS)


def _tile(note: Note, root: Path, folder: Path) -> Sample | None:
    """The tile of a folder; None where a part of it is missing, or it is left out."""
    image, masks = (named_files(folder / part, (".png",), root) for part in ("images", "masks"))
    if folder.name not in image or not masks:
        part = "masks" if image else "images"
        note(Finding("missing", str(folder / part), f"a tile without its {part}", "unpack the data set again"))
        return None
    pixels = read_image(image[folder.name])
    if not coloured(pixels):
        note(Finding("left out", str(folder), "fluorescence or grey, not stained tissue"))
        return None
    return _sample(folder.name, pixels, _drawn(masks.values(), pixels))


def _drawn(masks: Iterable[Path], image: Image) -> Label:
    canvas = Canvas((image.shape[0], image.shape[1]))
    for path in masks:
        mask = read_map(path)
        if mask.shape != canvas.size:
            raise UserError(
                "mask and image differ in size",
                expected=f"a mask of {canvas.size}, as the image",
                got=str(mask.shape),
                where=str(path),
                mend="unpack the data set again",
            )
        canvas.draw(mask > 0, kind=1)
    return canvas.label()


def _sample(name: str, image: Image, label: Label) -> Sample:
    return Sample(
        sample_id=name,
        image=image,
        instances=label.instances,
        classes=label.classes,
        class_names=CLASS_NAMES,
        source=f"dsb2018/{name}",
        licence="CC0-1.0",
        quality=with_repairs({}, label.repairs),
    )
