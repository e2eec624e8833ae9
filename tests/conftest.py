"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real tiles and golden numbers (data/, golden/); tests that need it are skipped without it."""
    folder = Path(os.environ.get("NUCLEOSYNTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real tiles at {folder}: set NUCLEOSYNTH_SHARED to the folder that holds data/ and golden/")
    return folder


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
