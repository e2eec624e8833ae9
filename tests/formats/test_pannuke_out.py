"""PanNuke's arrays: the layout that its users load, and arrays that grow without being held in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.data.schemes import BINARY
from nucleosynth.errors import UserError
from nucleosynth.formats.pannuke import IMAGES, MASKS, TYPES, write
from nucleosynth.sample import Sample


def tile(seed: int) -> Sample:
    generator = np.random.default_rng(seed)
    return drawn_sample(seed, classes=generator.integers(1, 4, 16).astype(np.uint8), tissue=f"tissue {seed}")


def test_images_tissues_and_channels_are_where_pannuke_has_them(tmp_path: Path) -> None:
    samples = [tile(k) for k in range(3)]
    assert write(samples, tmp_path / "out") == 3
    images, masks, types = (np.load(tmp_path / "out" / name) for name in (IMAGES, MASKS, TYPES))
    assert (IMAGES, MASKS) == ("Fold 1/images/fold1/images.npy", "Fold 1/masks/fold1/masks.npy")
    assert_array_equal(images, [sample.image for sample in samples])
    assert types.tolist() == ["tissue 0", "tissue 1", "tissue 2"]
    assert (masks.shape, masks.dtype) == ((3, 40, 48, 4), np.int32)
    for sample, channels in zip(samples, masks, strict=True):
        for k in range(3):
            of_class = np.flatnonzero(sample.classes == k + 1) + 1
            assert_array_equal(channels[..., k], np.where(np.isin(sample.instances, of_class), sample.instances, 0))
        assert_array_equal(channels[..., 3], sample.instances == 0)


@pytest.mark.parametrize("count", [1, 12])
def test_arrays_can_be_mapped_and_have_no_more_than_their_tiles(tmp_path: Path, count: int) -> None:
    write((tile(k) for k in range(count)), tmp_path / "out")
    for name, pixel in ((IMAGES, 3), (MASKS, 16)):
        mapped = np.load(tmp_path / "out" / name, mmap_mode="r")
        assert len(mapped) == count
        assert (tmp_path / "out" / name).stat().st_size == 128 + count * 40 * 48 * pixel


def test_tiles_are_written_as_they_come(tmp_path: Path) -> None:
    written = []

    def samples() -> Iterator[Sample]:
        for k in range(40):
            yield tile(k)
            (masks,) = tmp_path.rglob(Path(MASKS).name)
            written.append(masks.stat().st_size)

    write(samples(), tmp_path / "out")
    assert written == sorted(written)
    assert written[0] < written[19] < written[-1]


def test_unknown_types_are_refused_and_the_binary_scheme_mends_it(tmp_path: Path) -> None:
    sample = drawn_sample(0)
    with pytest.raises(UserError, match=r"unknown type(.|\n)*tile_0(.|\n)*--classes binary"):
        write([sample], tmp_path / "out")
    assert write([BINARY.apply(sample)], tmp_path / "out") == 1
