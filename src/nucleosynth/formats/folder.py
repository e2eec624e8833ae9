"""The plain folder that data/folder.py reads: images/*.png, labels/*.png (16 bit) or *.tif (32 bit), classes/*.npy.

Everything that a Sample holds comes back: meta.json has an entry for each tile.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from nucleosynth.data.images import encode_map
from nucleosynth.formats.tile_files import put, write_tiles
from nucleosynth.sample import Sample


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples as a plain folder with 16-bit PNG labels; see formats/tile_files.py for what is raised.

    Raises:
        UserError: a tile of more than 65535 nuclei, for one.
    """
    return write_tiles(samples, folder, overwrite, ".png", _png, _classes)


def write_tiff(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples as a plain folder with 32-bit TIFF labels, for tiles of any number of nuclei."""
    return write_tiles(samples, folder, overwrite, ".tif", _tiff, _classes)


def _png(sample: Sample) -> bytes:
    return encode_map(sample.instances, f"sample {sample.sample_id!r}")


def _tiff(sample: Sample) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, sample.instances.astype(np.uint32), compression="zlib")
    return data.getvalue()


def _classes(folder: Path, sample: Sample) -> None:
    data = io.BytesIO()
    np.save(data, sample.classes)
    put(folder / "classes" / f"{sample.sample_id}.npy", data.getvalue())
