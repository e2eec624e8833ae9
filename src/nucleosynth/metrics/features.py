"""What every distance between two populations asks of its features: (images, d) finite numbers, alike on both sides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError


def check(real: NDArray[Any], synthetic: NDArray[Any], least: int = 2) -> None:
    """Refuse feature arrays (n d), (m d) that cannot be compared; least: images that are needed on each side.

    Raises:
        UserError: too few images, numbers of features that differ, or a value that is not finite.
    """
    for name, features in (("real", real), ("synthetic", synthetic)):
        if features.ndim != 2 or len(features) < least or features.shape[1] != real.shape[1]:
            raise UserError(
                "not enough to compare",
                expected=f"at least {least} images, with as many features on both sides",
                got=f"{real.shape} and {synthetic.shape}",
                where=name,
                mend="give more images, described by one encoder",
            )
        if not np.isfinite(features).all():
            raise UserError("features are not finite", expected="finite numbers", got="NaN or infinity", where=name)
