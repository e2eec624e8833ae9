"""PanNuke's arrays, out: what programs that train on PanNuke read. data/pannuke.py reads them back.

    Fold 1/images/fold1/images.npy     (n, h, w, 3) uint8 RGB
    Fold 1/images/fold1/types.npy      (n,) the tissue of each tile
    Fold 1/masks/fold1/masks.npy       (n, h, w, C + 1) int32, a channel for each class with the ids of its nuclei
    meta.json                          class names and, for each tile in order, what the arrays have no place for

The last channel is the background: 1 where no nucleus is. Ids are those of the tile, so none occurs in two channels.
The release itself stores images and masks as float64; whole numbers are a quarter of that and read the same. All
tiles are of one size, and a nucleus of unknown type has no channel.

The arrays grow as tiles come: their headers have room for the number of tiles, which is written last.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.formats.tile_files import write_folder
from nucleosynth.sample import Sample

FOLD = "Fold 1"
IMAGES, TYPES = f"{FOLD}/images/fold1/images.npy", f"{FOLD}/images/fold1/types.npy"
MASKS = f"{FOLD}/masks/fold1/masks.npy"


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples as one fold of PanNuke; see formats/tile_files.py for what is raised.

    Raises:
        UserError: tiles of several sizes, or a nucleus of unknown type, for two.
    """
    return write_folder(samples, folder, overwrite, _write)


def _write(folder: Path, samples: Iterator[Sample]) -> None:
    tissues: list[str] = []
    size: tuple[int, int] | None = None
    with ExitStack() as open_files:
        for sample in samples:
            if size is None:
                size = sample.size
                images = open_files.enter_context(_Growing(folder / IMAGES, (*size, 3), np.uint8))
                channels = len(sample.class_names) + 1
                masks = open_files.enter_context(_Growing(folder / MASKS, (*size, channels), np.int32))
            _check(sample, size)
            images.append(sample.image)
            masks.append(_channels(sample))
            tissues.append(sample.tissue)
    if tissues:
        np.save(folder / TYPES, np.array(tissues))


def _channels(sample: Sample) -> NDArray[np.int32]:
    """(h, w, C + 1): the ids of each class, then the background."""
    masks = np.zeros((*sample.size, len(sample.class_names) + 1), np.int32)
    kinds = np.append(len(sample.class_names) + 1, sample.classes.astype(np.int64))[sample.instances] - 1
    np.put_along_axis(masks, kinds[..., None], np.where(sample.instances > 0, sample.instances, 1)[..., None], axis=2)
    return masks


def _check(sample: Sample, size: tuple[int, int]) -> None:
    if sample.size != size:
        raise UserError(
            "tiles of several sizes",
            expected=f"{size}, as the first",
            got=str(sample.size),
            where=f"sample {sample.sample_id!r}",
            mend="cut the tiles to one size, or write another format",
        )
    if not sample.classes.all():
        raise UserError(
            "a nucleus of unknown type, which has no channel",
            expected=f"every nucleus of a class: {', '.join(sample.class_names)}",
            got=f"{np.count_nonzero(sample.classes == 0)} of unknown type",
            where=f"sample {sample.sample_id!r}",
            mend="--classes binary makes every nucleus a nucleus",
        )


class _Growing:
    """A .npy file to which rows of `shape` and `kind` are appended; whole once it is closed."""

    def __init__(self, path: Path, shape: tuple[int, ...], kind: type[np.generic]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._shape, self._kind, self._count = shape, np.dtype(kind), 0
        self._start = self._write_header()

    def append(self, row: NDArray[Any]) -> None:
        """Write one row at the end."""
        assert (row.shape, row.dtype) == (self._shape, self._kind), "rows are alike"
        self._file.write(np.ascontiguousarray(row).tobytes())
        self._count += 1

    def __enter__(self) -> "_Growing":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self._file.seek(0)
                room = self._write_header()
                assert room == self._start, "NumPy leaves room for the first axis to grow"
        finally:
            self._file.close()

    def _write_header(self) -> int:
        """Write the header for the rows so far; its length in bytes."""
        header = {"descr": self._kind.str, "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()
