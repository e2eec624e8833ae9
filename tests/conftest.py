"""Fixtures that every test may use."""

import os
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
