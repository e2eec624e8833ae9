"""Splits by their names: which are held out, and which are there to train on?"""

import re
from collections.abc import Iterable

TRAIN = "train"
"""What a split to train on is called."""
_HELD_OUT = re.compile(r"test|valid|(?<![a-z])(?:e?val|held|hold|dev(?![a-z]))", re.IGNORECASE)


def is_held_out(split: str) -> bool:
    """Whether a split is one for tests or validation by its name, in any spelling; a fold's name does not say so.

    It is one where it contains test or valid, or a word of it (letters in a row) begins with val, eval, held or hold,
    or is dev.

    Example:
        >>> [is_held_out(name) for name in ("Testing", "stage1_test", "val2017", "held-out", "train", "fold3")]
        [True, True, True, True, False, False]
    """
    return _HELD_OUT.search(split) is not None


def to_train_on(splits: Iterable[str]) -> frozenset[str]:
    """Of the splits that some tiles have: "train" alone where it is there, else all that are not held out by name."""
    there = frozenset(splits)
    return frozenset({TRAIN}) if TRAIN in there else frozenset(name for name in there if not is_held_out(name))
