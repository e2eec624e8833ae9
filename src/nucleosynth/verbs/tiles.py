"""`nucleosynth tiles`: data of any kind, cut into windows of one size at one resolution."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np

from nucleosynth import catalog
from nucleosynth.data.findings import Note, strictly
from nucleosynth.data.reader import read
from nucleosynth.data.windows import Cutting, Extent, measure, points_alone, prepared, windows
from nucleosynth.progress import count_of, progress, say
from nucleosynth.sample import Sample
from nucleosynth.verbs.options import Data, Out


def tiles(
    data: Data,
    out: Out,
    *,
    size: int = 256,
    stride: int | None = None,
    mpp: float | None = None,
    to: str = "store",
    split: str | None = None,
    classes: str | None = None,
    source_mpp: float | None = None,
    mirror: bool = False,
    overwrite: bool = False,
) -> dict[str, int]:
    """Cut tiles into windows of one size, after bringing them to one resolution.

    All tiles are looked at before one is cut, and the output appears when all of it is written. Returns the numbers of
    tiles, windows, nuclei (of the tiles), shown (nuclei in windows, each time they are seen), cut (those of them that a
    window's border cuts) and nowhere_whole (nuclei of the tiles that no window shows whole); and of tiles that are
    labelled by points alone, points (of the tiles) and points_shown (in windows, each time they are seen).

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        out: the folder to write.
        size: side of a window, in px.
        stride: px from one window to the next, `size` unless given; the last row and column lie at the border.
        mpp: micrometres per pixel that every tile is brought to first; unless given, tiles stay as they are.
        to: the format; names are in `nucleosynth list`.
        split: keep only this official split.
        classes: the class scheme to read the data in: a name of the catalog or a TOML file.
        source_mpp: micrometres per pixel of tiles that state none.
        mirror: pad tiles that are smaller than a window by their mirror image, instead of refusing them.
        overwrite: replace what this program has written there.

    Raises:
        UserError: data that cannot be read, a tile of unknown resolution or smaller than a window, or an output folder
            that holds something else.
    """
    cutting = Cutting(size, size if stride is None else stride, mpp, source_mpp, mirror)
    write = catalog.load("format", to)
    names = ("tiles", "windows", "nuclei", "shown", "cut", "nowhere_whole", "points", "points_shown")
    numbers: Counter[str] = Counter(dict.fromkeys(names, 0))
    write(_cut(partial(read, data, split, classes), cutting, numbers), out, overwrite=overwrite)
    read_in, cut_out = count_of(numbers["tiles"], "tile"), count_of(numbers["windows"], "window")
    say(f"{read_in} read, {cut_out} of {size} px written to {out}")
    if numbers["nuclei"] or not numbers["points"]:
        say(f"{numbers['shown']} nuclei in windows, {numbers['cut']} of them cut by a window's border")
        say(f"{numbers['nowhere_whole']} of the {numbers['nuclei']} nuclei of the tiles are whole in no window")
    if numbers["points"]:
        say(
            f"{numbers['points_shown']} points in windows, of {numbers['points']} of the tiles labelled by points alone"
        )
    return dict(numbers)


class Tiles(Protocol):
    """Data that can be read again and again; see `data.reader.read` for `note`."""

    def __call__(self, *, note: Note | None = None) -> Iterator[Sample]:
        """The tiles, in the same order each time."""


def looked_at(tiles: Tiles, cutting: Cutting) -> Extent:
    """What there is to cut, all of it checked; says which resolution is taken for tiles that state none.

    Raises:
        UserError: as `data.windows.measure`, or data that cannot be read.
    """
    extent = measure(tiles(note=strictly), cutting)
    if cutting.source_mpp is not None and extent.without_mpp:
        at = f"{cutting.source_mpp:g} um per px, as --source-mpp says"
        say(f"{extent.without_mpp} of {extent.tiles} tiles state no resolution; they are taken to be at {at}")
    return extent


def _cut(tiles: Tiles, cutting: Cutting, numbers: Counter[str]) -> Iterator[Sample]:
    extent = looked_at(tiles, cutting)
    with progress("tiles", extent.windows) as report:
        for sample in tiles():
            tile = prepared(sample, cutting)
            whole = np.zeros(len(tile.classes), bool)
            for window in windows(tile, cutting):
                whole[window.ids[window.whole] - 1] = True
                numbers.update(windows=1, shown=len(window.ids), cut=int(np.count_nonzero(~window.whole)))
                numbers.update(points_shown=points_alone(window.sample))
                report(numbers["windows"])
                yield window.sample
            numbers.update(tiles=1, nuclei=len(whole), nowhere_whole=int(np.count_nonzero(~whole)))
            numbers.update(points=points_alone(tile))
