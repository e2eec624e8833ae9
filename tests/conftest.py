"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drawn import drawn_sample
from nucleosynth.data import store

ROOT = Path(__file__).parents[1]
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of one would wait for those of the others
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real tiles and golden numbers (data/, golden/); tests that need it are skipped without it."""
    folder = Path(os.environ.get("NUCLEOSYNTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real tiles at {folder}: set NUCLEOSYNTH_SHARED to the folder that holds data/ and golden/")
    return folder


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a store of tiles with these splits, a source each; its path, in what becomes the current folder."""
    monkeypatch.chdir(tmp_path)

    def stored(name: str, *splits: str, **changes: Any) -> str:
        tiles = [drawn_sample(k, split=split, source=f"{name}/{k}", **changes) for k, split in enumerate(splits)]
        store.write(tiles, tmp_path / name)
        return name

    return stored


@pytest.fixture
def time_limit() -> Iterator[None]:
    """A minute: what reads longer than that hangs, and fails instead of being waited for."""

    def stop(*_: object) -> None:
        raise TimeoutError("reading hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
