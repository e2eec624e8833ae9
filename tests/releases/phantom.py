"""Four drawn tiles of two slides: nothing to write."""

from pathlib import Path


def make(_root: Path) -> str:
    """What stands after "phantom:"."""
    return "tiles=4&size=64&sources=2"
