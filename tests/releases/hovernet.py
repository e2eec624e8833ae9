"""A tiny folder of HoVer-Net's labels, of tiles that came from another data set."""

from dataclasses import replace
from pathlib import Path

from drawn import drawn_sample
from nucleosynth.formats import hovernet


def make(root: Path) -> str:
    """Write it below `root`; what stands after "hovernet:"."""
    hovernet.write((replace(drawn_sample(k), source=f"consep/train_{k}") for k in range(4)), root)
    return str(root)
