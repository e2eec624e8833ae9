"""Pairs whose nuclei are read in other processes are the same to the byte, of every method that reads."""

from pathlib import Path

import pytest

from nucleosynth.errors import UserError
from nucleosynth.verbs.fit import fit
from nucleosynth.verbs.generate import generate

SMALL = {
    "nudiff": (
        "structure.training.batch=2",
        "image.training.batch=2",
        "structure.sampling.steps=2",
        "image.sampling.steps=2",
    ),
    "cosyn": ("training.batch=2", "sampling.steps=2"),
    "daff_gan": ("mask.network.width=8", "image.network.width=8", "mask.training.batch=2", "image.training.batch=2"),
    "jointflow": ("training.batch=2", "sampling.steps=2"),
}


@pytest.mark.parametrize("method", SMALL)
def test_pairs_are_the_same_in_either_place(method: str, tmp_path: Path) -> None:
    """A tile of 36 px is a cut of what the network makes, so that what is read here is a view, there a copy."""
    run = tmp_path / "run"
    fit(method, data="phantom:tiles=4&size=128", run=run, steps=2, set=("tile=32", *SMALL[method]), device="cpu")
    here, there = (
        generate(run, out=tmp_path / str(workers), n=10, batch=4, size=36, device="cpu", workers=workers)
        for workers in (0, 2)
    )
    shards = [sorted(folder.glob("*.parquet")) for folder in (here, there)]
    assert [path.name for path in shards[0]] == [path.name for path in shards[1]] == ["part-00000000.parquet"]
    assert shards[0][0].read_bytes() == shards[1][0].read_bytes()


def test_fewer_workers_than_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--workers is too small"):
        generate(tmp_path / "run", out=tmp_path / "out", workers=-1)
