"""The batch of `generate` where nobody says: chosen before the store is begun, and part of what tells stores apart."""

from pathlib import Path
from typing import Any

import pytest

import nucleosynth
from nucleosynth import catalog
from nucleosynth.data.store import read_manifest
from nucleosynth.methods import batching
from nucleosynth.run import Run
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.generate_conditions import Wishes, sizes

MICRO = (
    "tile=32",
    "network.widths=[16, 32]",
    "network.blocks=[1, 1]",
    "network.attention=[false, true]",
    "network.embedding=32",
    "training.batch=2",
    "sampling.steps=1",
)
DATA = "phantom:tiles=3&size=64&sources=3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "run"
    nucleosynth.fit("jointflow", data=DATA, run=folder, steps=1, set=MICRO, device="cpu")
    return folder


def identity(store: Path) -> Any:
    return (read_manifest(store) or {})["identity"]


def shards(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.glob("*.parquet")}


def test_unset_is_the_same_store_as_the_number_that_it_takes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, given, other = (
        nucleosynth.generate(run, out=tmp_path / str(batch), n=5, batch=batch, device="cpu") for batch in (None, 16, 4)
    )
    assert identity(chosen) == identity(given) != identity(other)
    assert shards(chosen) == shards(given)
    assert "at a time" not in capsys.readouterr().err


def test_a_side_that_data_give_counts_by_its_tiles(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A memory in which 2 pairs of 64^2 fit, and 8 of 32^2."""
    kind, record = catalog.load("method", "jointflow"), Run.open(run).record
    settings = type(kind.presets["tiny"]).model_validate(record.settings)
    (large,) = kind.cost(settings, 64, len(record.class_names))
    total = 2 * (4 * large.parameters + 3 * batching.MARGIN * 1e6 * large.peak_mb)
    monkeypatch.setattr(batching, "total_memory", lambda _: total)
    for size, batch in ((None, 2), (32, 8)):
        out = nucleosynth.generate(run, out=tmp_path / str(size), n=3, labels=DATA, size=size, device="cpu")
        assert identity(out)["batch"] == batch
        assert f"{batch} at a time, as memory allows" in capsys.readouterr().err


def test_a_memory_that_holds_none_makes_one_at_a_time(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "total_memory", lambda _: 1)
    assert identity(nucleosynth.generate(run, out=tmp_path / "out", n=2, device="cpu"))["batch"] == 1


def test_sizes_are_those_at_which_the_network_works(run: Path) -> None:
    model = catalog.load("method", "jointflow").load(Run.open(run), fabric_for("cpu"))
    scale = next(iter(nucleosynth.read(DATA))).mpp / model.mpp
    assert sizes(Wishes({}), model) == []
    assert sizes(Wishes({"labels": DATA}), model) == [(round(64 * scale),) * 2] * 3
    assert sizes(Wishes({"labels": DATA}), model, 2) == [(round(64 * scale),) * 2] * 2
    assert set(sizes(Wishes({"labels": DATA}, size=27), model)) == {(28, 28)}
