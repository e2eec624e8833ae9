"""The store: what is written is read back; what is whole survives; nothing that matters is overwritten."""

import errno
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from drawn import assert_same, drawn_sample, full_sample
from nucleosynth.data import rows, shards, store
from nucleosynth.data.new_folder import cut_short
from nucleosynth.data.store import open_for_writing, read, write
from nucleosynth.errors import Interrupted, MachineError, UserError
from nucleosynth.sample import Sample

IDENTITY = {"method": "jointflow", "checkpoint": "ab12", "seed": 3}


def tiles(numbers: range) -> list[Sample]:
    return [drawn_sample(k) for k in numbers]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make(folder: Path, identity: dict[str, object] = IDENTITY, count: int = 5, overwrite: bool = False) -> None:
    with open_for_writing(folder, identity, count, rows_per_shard=2, overwrite=overwrite) as writer:
        for shard in writer.missing():
            writer.write(shard, tiles(writer.rows(shard)))


def stop_after(folder: Path, shards: int, error: BaseException) -> None:
    with open_for_writing(folder, IDENTITY, 5, rows_per_shard=2) as writer:
        for shard in writer.missing()[:shards]:
            writer.write(shard, tiles(writer.rows(shard)))
        raise error


def test_every_field_comes_back(tmp_path: Path) -> None:
    samples = [
        full_sample(0),
        drawn_sample(1, mpp=None),
        drawn_sample(2, instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8)),
    ]
    assert write(samples, tmp_path / "out") == 3
    for found, expected in zip(read(str(tmp_path / "out")), samples, strict=True):
        assert_same(found, expected)


def test_shards_sort_by_k_and_equal_input_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_PER_SHARD", 2)
    for name in ("a", "b"):
        write(iter(tiles(range(25))), tmp_path / name)
    shards = sorted(path.name for path in (tmp_path / "a").glob("*.parquet"))
    assert shards == [f"part-{k:08d}.parquet" for k in range(13)]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [sample.sample_id for sample in read(str(tmp_path / "a"))] == [f"tile_{k}" for k in range(25)]
    assert not list(tmp_path.glob("_*"))


def test_reading_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_PER_SHARD", 1)
    write(tiles(range(3)), tmp_path / "out")
    samples = read(str(tmp_path / "out"))
    next(samples)
    (tmp_path / "out" / "part-00000002.parquet").unlink()
    next(samples)
    with pytest.raises((UserError, FileNotFoundError)):
        next(samples)


def test_datasets_decodes_images_and_16_bit_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `datasets` is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    many = drawn_sample(
        0,
        size=(200, 250),
        instances=np.arange(50000, dtype=np.int32).reshape(200, 250),
        classes=np.ones(49999, np.uint8),
    )
    write([many, full_sample(1)], tmp_path / "out")
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert_array_equal(np.asarray(table[0]["image"]), many.image)
    assert_array_equal(np.asarray(table[0]["instances"]).astype(np.int32), many.instances)
    assert table[1]["classes"] == full_sample(1).classes.tolist()
    assert table[1]["points"][1] == {"x": -0.5, "y": 3.0, "class": 3}
    assert table[0]["points"] is None


def test_more_nuclei_than_16_bits_hold_come_back(tmp_path: Path) -> None:
    instances = np.arange(66000, dtype=np.int32).reshape(220, 300)
    many = drawn_sample(0, size=(220, 300), instances=instances, classes=np.ones(65999, np.uint8))
    write([many, drawn_sample(1)], tmp_path / "out")
    for found, expected in zip(read(str(tmp_path / "out")), [many, drawn_sample(1)], strict=True):
        assert_same(found, expected)
    columns = pq.read_table(tmp_path / "out" / "part-00000000.parquet").column("instances").to_pylist()
    assert [column["path"] for column in columns] == ["tile_0_instances.tif", "tile_1_instances.png"]


def test_a_few_samples_are_held_whatever_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0

    def coming(numbers: range) -> Iterator[Sample]:
        nonlocal most
        for k in numbers:
            sample = drawn_sample(k)
            alive.add(k)
            weakref.finalize(sample, alive.discard, k)
            most = max(most, len(alive))
            yield sample
            del sample

    monkeypatch.setattr(rows, "AHEAD_BYTES", 3 * 7 * 40 * 48)
    write(coming(range(60)), tmp_path / "out")
    with open_for_writing(tmp_path / "continued", IDENTITY, 60) as writer:
        writer.write(0, coming(writer.rows(0)))
    assert 2 <= most <= 6
    assert [sample.sample_id for sample in read(str(tmp_path / "out"))] == [f"tile_{k}" for k in range(60)]


def test_a_row_group_ends_before_it_grows_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = tiles(range(7))
    each = rows.coded_bytes(next(rows.to_rows(samples, samples[0].class_names)))
    monkeypatch.setattr(shards, "BYTES_PER_GROUP", int(2.5 * each))
    write(samples, tmp_path / "out")
    footer = pq.read_metadata(tmp_path / "out" / "part-00000000.parquet")
    assert [footer.row_group(k).num_rows for k in range(footer.num_row_groups)] == [3, 3, 1]
    assert [sample.sample_id for sample in read(str(tmp_path / "out"))] == [f"tile_{k}" for k in range(7)]


def test_samples_of_different_classes_are_refused(tmp_path: Path) -> None:
    other = drawn_sample(1, class_names=("a", "b", "c"))
    with pytest.raises(UserError, match="different classes"):
        write([drawn_sample(0), other], tmp_path / "out")
    with open_for_writing(tmp_path / "out", {}, 2, 1) as writer:
        writer.write(0, [drawn_sample(0)])
        with pytest.raises(UserError, match="different classes"):
            writer.write(1, [other])


@pytest.mark.parametrize(
    ("error", "kind"), [(KeyboardInterrupt(), Interrupted), (OSError(errno.ENOSPC, "full"), MachineError)]
)
def test_the_outer_command_says_how_to_go_on(error: BaseException, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, cut_short("outer"), cut_short("inner"):
        raise error
    assert "outer" in str(caught.value)
    assert "inner" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota")])
def test_cut_short_and_continued_equals_uninterrupted(tmp_path: Path, error: BaseException) -> None:
    make(tmp_path / "whole")
    expected = Interrupted if isinstance(error, KeyboardInterrupt) else MachineError
    with pytest.raises(expected, match=r"4 of 5 samples are whole in .*; run the same command again") as caught:
        stop_after(tmp_path / "out", 2, error)
    assert caught.value.exit_code == (130 if expected is Interrupted else 1)
    with pytest.raises(UserError, match="unfinished"):
        list(read(str(tmp_path / "out")))
    first = (tmp_path / "out" / "part-00000000.parquet").stat().st_mtime_ns
    (tmp_path / "out" / "_part-00000002.parquet.tmp").write_bytes(b"stale")
    make(tmp_path / "out")
    assert (tmp_path / "out" / "part-00000000.parquet").stat().st_mtime_ns == first
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(list(read(str(tmp_path / "out")))) == 5


def test_a_store_with_a_shard_to_come_stays_unfinished(tmp_path: Path) -> None:
    with open_for_writing(tmp_path, IDENTITY, 5, rows_per_shard=2) as writer:
        writer.write(0, tiles(writer.rows(0)))
    assert writer.missing() == [1, 2]
    with pytest.raises(UserError, match="unfinished"):
        list(read(str(tmp_path)))
    make(tmp_path)
    assert len(list(read(str(tmp_path)))) == 5


def test_a_shard_damaged_while_unfinished_is_made_again(tmp_path: Path) -> None:
    make(tmp_path / "whole")
    with pytest.raises(Interrupted):
        stop_after(tmp_path / "out", 2, KeyboardInterrupt())
    (tmp_path / "out" / "part-00000001.parquet").write_bytes(b"PAR1")
    make(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_disk_that_fills_up_within_a_shard_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_writer: pq.ParquetWriter, _table: pa.Table) -> None:
        assert list((tmp_path / "out").glob("_part-*.tmp"))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(MachineError, match="0 of 5 samples are whole"):
        make(tmp_path / "out")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 4}, "seed 4"), ({"checkpoint": "cd34"}, "checkpoint 'ab12'"), ({"points": "x"}, "points 'x'")],
)
def test_a_foreign_store_is_refused_and_the_difference_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(Interrupted):
        stop_after(tmp_path / "out", 1, KeyboardInterrupt())
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        make(tmp_path / "out", IDENTITY | change)
    with pytest.raises(UserError, match="count 6"):
        make(tmp_path / "out", count=6)
    assert contents(tmp_path / "out") == before


def test_a_finished_store_is_refused_unless_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match="finished"):
        make(tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite"):
        write(tiles(range(2)), tmp_path / "out")
    assert contents(tmp_path / "out") == before
    make(tmp_path / "out", IDENTITY | {"seed": 4}, count=3, overwrite=True)
    assert len(list(read(str(tmp_path / "out")))) == 3
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2
    write(tiles(range(2)), tmp_path / "out", overwrite=True)
    assert len(list(read(str(tmp_path / "out")))) == 2


def test_overwriting_loses_nothing_before_the_first_shard(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path / "out")

    def broken() -> Iterator[Sample]:
        yield drawn_sample(0)
        raise UserError("bad input", expected="a", got="b")

    with pytest.raises(UserError, match="bad input"):
        write(broken(), tmp_path / "out", overwrite=True)
    with (
        pytest.raises(UserError, match="bad input"),
        open_for_writing(tmp_path / "out", {}, 2, overwrite=True) as writer,
    ):
        writer.write(0, broken())
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["notes.txt", "part-00000000.parquet"])
def test_what_is_no_store_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    for attempt in (lambda: make(tmp_path, overwrite=True), lambda: write(tiles(range(1)), tmp_path, overwrite=True)):
        with pytest.raises(UserError, match="holds other things"):
            attempt()
    assert contents(tmp_path) == {name: b"precious"}


def test_a_store_with_a_stranger_in_it_is_not_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="other things"):
        write(tiles(range(1)), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "notes.txt").exists()


def test_shards_without_a_manifest_are_read(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "_store.json").unlink()
    assert len(list(read(str(tmp_path)))) == 5


def test_the_manifest_says_what_the_store_is(tmp_path: Path) -> None:
    make(tmp_path)
    manifest = json.loads((tmp_path / "_store.json").read_text())
    assert manifest["identity"] == IDENTITY
    assert (manifest["count"], manifest["finished"], manifest["class_names"]) == (5, True, ["round", "long", "other"])


def test_bad_stores_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "out")
    shard = tmp_path / "out" / "part-00000001.parquet"
    with pytest.raises(UserError, match="a store is a folder"):
        list(read(str(shard)))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"broken file(.|\n)*part-00000001"):
        list(read(str(tmp_path / "out")))
    shard.unlink()
    with pytest.raises(UserError, match="shards are missing"):
        list(read(str(tmp_path / "out")))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with pytest.raises(UserError, match="no store there"):
        list(read(str(foreign)))
    pq.write_table(pa.table({"x": [1]}), foreign / "part-00000000.parquet")
    with pytest.raises(UserError, match="no store"):
        list(read(str(foreign)))


def test_a_damaged_page_is_a_broken_file(tmp_path: Path) -> None:
    write(tiles(range(2)), tmp_path / "out")
    shard = tmp_path / "out" / "part-00000000.parquet"
    data = bytearray(shard.read_bytes())
    data[200:4000] = bytes(3800)
    shard.write_bytes(data)
    with pytest.raises(UserError, match="broken file"):
        list(read(str(tmp_path / "out")))
