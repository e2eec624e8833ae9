"""The memory of `generate` does not grow with the number of pairs, while processes read nuclei beside it."""

import sys
from pathlib import Path

import pytest

from nucleosynth.verbs.fit import fit

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import memory_generate

SMALL = (
    "tile=32",
    *(
        f"{stage}.{change}"
        for stage in ("mask", "image")
        for change in ("network.width=8", "network.blocks=1", "critic.width=8", "training.batch=2")
    ),
)
OPTIONS = ["--size", "256", "--workers", "2"]


@pytest.mark.slow
def test_many_pairs_need_no_more_memory_than_few(tmp_path: Path) -> None:
    """At 256^2 a pair is 0.46 MB: 192 more of them, kept, are 88 MB of about 1100."""
    fit("daff_gan", data="phantom:tiles=4&size=128", run=tmp_path / "run", steps=2, set=SMALL, device="cpu")
    few, many = (memory_generate.peak_mb(str(tmp_path / "run"), number, OPTIONS) for number in (64, 256))
    assert many / few < 1.05
