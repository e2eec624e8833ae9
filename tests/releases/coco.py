"""A tiny folder with COCO annotations, of tiles that came from another data set."""

from dataclasses import replace
from pathlib import Path

from drawn import drawn_sample
from nucleosynth.formats import coco


def make(root: Path) -> str:
    """Write it below `root`; what stands after "coco:"."""
    coco.write((replace(drawn_sample(k), source=f"consep/train_{k}") for k in range(4)), root)
    return str(root)
