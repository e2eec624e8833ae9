"""What the judge is to say of a labelled window: nuclei, the field of their centres, types."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.sample import Classes, Instances


def targets(
    instances: Instances, classes: Classes, coding: Literal["offsets", "hover"], offset_px: float
) -> dict[str, NDArray[Any]]:
    """Targets of one window: `nuclei` (h w) int64, 0 or 1; `offsets` / offset_px or `hover`, (2 h w) float32; `type`
    (h w) int64: 0 background, 1..C, structure.UNKNOWN in nuclei of unknown type.

    instances (h w), one connected piece each, ids 1..n; classes (n,).
    """
    field = structure.offsets(instances) / np.float32(offset_px) if coding == "offsets" else structure.hv(instances)
    types = structure.semantic(instances, classes)
    return {"nuclei": (instances > 0).astype(np.int64), coding: field, "type": types.astype(np.int64)}
