"""What people look at: nuclei outlined in the colours of their classes, and contact sheets of samples.

Small tiles are enlarged by a whole factor before outlines are drawn, so that an outline stays one pixel wide and the
tissue under it shows.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage

from nucleosynth.run import write_whole
from nucleosynth.sample import Classes, Image, Instances, Sample

CELL_PX = 512
"""Largest side of a picture in a contact sheet."""
COLOURS = 56
"""Of a paletted picture of tissue: a third of the bytes, and no harm to be seen at the size of a page."""
_SMOOTH_PX = 0.7
"""Standard deviation that rounds the steps of an enlarged outline."""
_UNKNOWN = (170, 170, 170)
# What stands out on pink and violet and stays apart in lightness, for eyes that do not tell red from green.
_PALETTE = (
    (0, 225, 255),
    (255, 230, 0),
    (60, 230, 60),
    (255, 90, 20),
    (20, 80, 255),
    (255, 255, 255),
    (0, 0, 0),
    (255, 0, 200),
    (200, 20, 20),
    (150, 110, 0),
    (0, 120, 120),
    (170, 170, 255),
)
_GAP, _LINE, _INK = 12, 20, (60, 60, 60)


def class_colours(count: int) -> NDArray[np.uint8]:
    """(count + 1, 3) uint8 RGB: row c is the colour of class c, row 0 the grey of unknown types.

    The first twelve are chosen by hand; later ones go round the hues by the golden angle.
    """
    rounds = [(int(180 * (k * 0.381966 % 1)), 220, 230) for k in range(max(count - len(_PALETTE), 0))]
    hues = cv2.cvtColor(np.array([rounds or [(0, 0, 0)]], np.uint8), cv2.COLOR_HSV2RGB)[0][: len(rounds)]
    return np.array([_UNKNOWN, *_PALETTE[:count], *hues.tolist()], np.uint8)


def outlines(instances: Instances) -> NDArray[np.bool_]:
    """(h w) True on the pixels of a nucleus with a neighbour, up, down, left or right, that is not of it."""
    edge = np.zeros(instances.shape, bool)
    down, across = instances[1:] != instances[:-1], instances[:, 1:] != instances[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    return edge & (instances > 0)


def outlined(
    image: Image, instances: Instances, classes: Classes, colours: NDArray[np.uint8], factor: int = 1
) -> Image:
    """The image, enlarged by a whole factor, every nucleus outlined in `colours[class]`: (factor h, factor w, 3)."""
    picture = enlarged(image, factor)
    instances = np.repeat(np.repeat(instances, factor, axis=0), factor, axis=1)
    edge = outlines(instances)
    picture[edge] = colours[classes[instances[edge] - 1]]
    return picture


def enlarged(image: Image, factor: int) -> Image:
    """A copy of the image, `factor` times as large, interpolated by Lanczos' kernel."""
    if factor == 1:
        return image.copy()
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)


def enlarged_label(instances: Instances, factor: int) -> Instances:
    """The map `factor` times as large, the steps of its outlines rounded by less than a pixel of it; none is lost."""
    if factor == 1:
        return instances.copy()
    label = np.zeros((instances.shape[0] * factor, instances.shape[1] * factor), np.int32)
    most = np.full(label.shape, 0.5, np.float32)
    boxes = ndimage.find_objects(instances)
    for k in np.unique(instances[instances > 0]):
        rows, columns = (
            slice(max(part.start - 3, 0), min(part.stop + 3, side))
            for part, side in zip(boxes[k - 1], instances.shape, strict=True)
        )
        large = np.s_[rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
        share = _share(instances[rows, columns] == k, factor)
        more = share > most[large]
        label[large][more], most[large][more] = k, share[more]
    return label


def contact_sheet(samples: Sequence[Sample], columns: int = 2, cell_px: int = CELL_PX) -> Image:
    """Pairs of image and outlined image, with a line of text each and a legend of the classes below.

    A tile smaller than `cell_px` is enlarged by a whole factor; of a larger one the middle is shown, and its line says
    so. The samples share their class names; the legend counts the nuclei that are shown.
    """
    assert samples, "a contact sheet shows something"
    colours = class_colours(len(samples[0].class_names))
    shown = [_middle(sample, cell_px) for sample in samples]
    pairs = [_pair(part, colours, max(cell_px // max(part.size), 1)) for part in shown]
    height, width = max(pair.shape[0] for pair in pairs), max(pair.shape[1] for pair in pairs)
    columns = min(columns, len(samples))
    step_y, step_x = height + _LINE + _GAP, width + _GAP
    sheet = np.full((-(-len(samples) // columns) * step_y + _GAP, columns * step_x + _GAP, 3), 255, np.uint8)
    for k, (sample, part, pair) in enumerate(zip(samples, shown, pairs, strict=True)):
        top, left = _GAP + k // columns * step_y, _GAP + k % columns * step_x
        sheet[top : top + pair.shape[0], left : left + pair.shape[1]] = pair
        _text(sheet, _line(sample, part), (left, top + height + 15))
    return np.concatenate([sheet, _legend(shown, colours, sheet.shape[1])])


def write_contact_sheet(path: Path, samples: Sequence[Sample], columns: int = 2, cell_px: int = CELL_PX) -> None:
    """Write a contact sheet as a PNG file, whole or not at all."""
    write_png(path, contact_sheet(samples, columns, cell_px))


def write_png(path: Path, picture: Image) -> None:
    """Write an RGB picture as a PNG file, whole or not at all."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))
    assert done, "OpenCV encodes every RGB picture"
    write_whole(path, bytes(data))


def write_paletted(path: Path, picture: Image, drawn: NDArray[np.uint8]) -> None:
    """Write an RGB picture as a PNG file of few colours: exactly if it has at most 256, else with `COLOURS`.

    drawn (n 3): colours that mean something, so that those which occur are kept as they are.
    """
    colours, index = _palette(picture, drawn)
    image = Pillow.fromarray(index.astype(np.uint8))
    image.putpalette(colours.tobytes())
    data = BytesIO()
    image.save(data, "PNG", optimize=True)
    write_whole(path, data.getvalue())


def _palette(picture: Image, drawn: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Colours (n 3), and which of them each pixel gets (h w)."""
    codes = _codes(picture)
    colours, index = np.unique(codes, return_inverse=True)
    if len(colours) <= 256:
        return _rgb(colours), index.reshape(codes.shape)
    kept = np.intersect1d(codes, _codes(drawn))
    index = np.searchsorted(kept, codes).clip(max=max(len(kept) - 1, 0))
    rest = kept[index] != codes if len(kept) else np.ones(codes.shape, bool)
    tissue = Pillow.fromarray(np.ascontiguousarray(picture[rest][None]))
    median_cut, plain = Pillow.Quantize.MEDIANCUT, Pillow.Dither.NONE
    few = tissue.quantize(max(COLOURS - len(kept), 8), method=median_cut, dither=plain)
    index[rest] = len(kept) + np.asarray(few)[0]
    palette = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
    return np.concatenate([_rgb(kept), palette]), index


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """RGB (... 3) as one number (...)."""
    return np.asarray(colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]))


def _rgb(codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8)


def _share(mask: NDArray[np.bool_], factor: int) -> NDArray[np.float32]:
    """How much of a mask is around each pixel of its enlargement: 0..1; the mask itself where that nowhere is half."""
    size = (mask.shape[1] * factor, mask.shape[0] * factor)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SMOOTH_PX, borderType=cv2.BORDER_REPLICATE)
    share = np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), np.float32)
    if (share > 0.5).any():
        return share
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_NEAREST), np.float32)


def _middle(sample: Sample, side: int) -> Sample:
    height, width = (min(extent, side) for extent in sample.size)
    return sample.crop((sample.size[0] - height) // 2, (sample.size[1] - width) // 2, height, width)


def _pair(sample: Sample, colours: NDArray[np.uint8], factor: int) -> Image:
    plain = enlarged(sample.image, factor)
    gap = np.full((len(plain), 2, 3), 255, np.uint8)
    return np.concatenate(
        [plain, gap, outlined(sample.image, sample.instances, sample.classes, colours, factor)], axis=1
    )


def _line(sample: Sample, shown: Sample) -> str:
    (height, width), (rows, columns) = sample.size, shown.size
    part = f"the middle {columns} x {rows} of " if shown.size != sample.size else ""
    scale = f", {sample.mpp:g} um/px" if sample.mpp else ""
    return f"{sample.sample_id}: {part}{width} x {height} px{scale}, {len(shown.classes)} nuclei"


def _legend(samples: Sequence[Sample], colours: NDArray[np.uint8], width: int) -> Image:
    counts = np.bincount(np.concatenate([sample.classes for sample in samples]), minlength=len(colours))
    words = [f"{name} ({n})" for name, n in zip(("unknown", *samples[0].class_names), counts, strict=True)]
    entries = [k for k in (*range(1, len(colours)), 0) if counts[k]]
    legend, x, y = np.full((_LINE, width, 3), 255, np.uint8), _GAP, 0
    for k in entries:
        (length, _), _ = cv2.getTextSize(words[k], cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
        if x + length + 30 > width and x > _GAP:
            legend, x, y = np.pad(legend, ((0, _LINE), (0, 0), (0, 0)), constant_values=255), _GAP, y + _LINE
        cv2.rectangle(legend, (x, y + 2), (x + 12, y + 14), tuple(map(int, colours[k])), -1)
        cv2.rectangle(legend, (x, y + 2), (x + 12, y + 14), _INK, 1)
        _text(legend, words[k], (x + 18, y + 13))
        x += length + 36
    return legend


def _text(picture: Image, words: str, at: tuple[int, int]) -> None:
    cv2.putText(picture, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
