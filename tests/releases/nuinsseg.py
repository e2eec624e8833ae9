"""A tiny NuInsSeg: two organs, RGBA images, 16-bit labels with gaps."""

from pathlib import Path

import cv2
import numpy as np
import tifffile

from drawn import drawn_sample


def make(root: Path) -> str:
    """Write it below `root`; what stands after "nuinsseg:"."""
    for k in range(4):
        organ = ("human bladder", "mouse muscle_tibia")[k // 2]
        write_tile(root / organ, f"{organ.replace(' ', '_')}_{k + 1:02}", k)
    return str(root)


def write_tile(organ: Path, name: str, seed: int = 0) -> None:
    """A tile of an organ in the two folders that every organ has."""
    sample = drawn_sample(seed)
    for part in ("tissue images", "label masks modify"):
        (organ / part).mkdir(parents=True, exist_ok=True)
    alpha = np.full((*sample.size, 1), 255, np.uint8)
    cv2.imwrite(str(organ / "tissue images" / f"{name}.png"), np.concatenate([sample.image, alpha], axis=2))
    tifffile.imwrite(organ / "label masks modify" / f"{name}.tif", (sample.instances * 3).astype(np.uint16))
