"""The class of each nucleus from what its pixels say."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.structure import UNKNOWN, label_map
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes


def majority(instances: NDArray[Any], pixels: NDArray[Any], background: bool = True) -> Classes:
    """Class of each nucleus 1..n of `instances` (h w): uint8 (n,), 0 where no pixel names a class.

    pixels: a class map (h w) of integers, where the class of most pixels wins, the smallest on ties; or probabilities
    (c h w) of floats, where the largest mean over the nucleus wins. Channel 0 is the background, unless
    `background=False` says that there is none and channel 0 is class 1. A nucleus is a nucleus: where background or
    `UNKNOWN` would win, the best class takes its place (HoVer-Net's rule).

    Raises:
        UserError: not an instance map, or pixels of another size or kind.

    Example:
        >>> majority(np.array([[1, 1, 1, 2]]), np.array([[0, 0, 3, 0]]))
        array([3, 0], dtype=uint8)
    """
    labels, highest = label_map(instances)
    if pixels.shape[-2:] != labels.shape or (pixels.ndim, pixels.dtype.kind) not in {(2, "u"), (2, "i"), (3, "f")}:
        raise UserError(
            "no classes of pixels",
            expected=f"integers {labels.shape} or floats (c, {labels.shape[0]}, {labels.shape[1]})",
            got=f"{pixels.dtype} {pixels.shape}",
        )
    inside = np.flatnonzero(labels)
    nuclei = labels.ravel()[inside]
    votes: NDArray[Any]
    if pixels.ndim == 2:
        votes = _counts(nuclei, pixels.ravel()[inside], highest)
    else:
        named = pixels[1:] if background else pixels
        votes = np.zeros((highest + 1, 1 + len(named)))
        for channel, probability in enumerate(named, start=1):
            votes[:, channel] = np.bincount(nuclei, probability.ravel()[inside], highest + 1)
    votes[:, 0] = 0
    return np.asarray(np.argmax(votes, axis=1)[1:], np.uint8)


def _counts(nuclei: NDArray[np.int32], classes: NDArray[np.integer[Any]], highest: int) -> NDArray[np.int64]:
    """Pixels of each class in each nucleus: (highest + 1, UNKNOWN), `UNKNOWN` itself left out."""
    if classes.min(initial=0) < 0 or classes.max(initial=0) > UNKNOWN:
        raise UserError(
            "a class out of range", expected=f"0..{UNKNOWN}", got=f"{classes.min(initial=0)}..{classes.max(initial=0)}"
        )
    known = classes < UNKNOWN
    width = int(classes[known].max(initial=0)) + 1
    joint = nuclei[known].astype(np.int64) * width + classes[known]
    return np.bincount(joint, minlength=(highest + 1) * width).reshape(highest + 1, width)
