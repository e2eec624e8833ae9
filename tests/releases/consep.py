"""A tiny CoNSeP: three training tiles and a test tile; maps and classes stored as floats, as the release has them."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from drawn import drawn_sample


def make(root: Path) -> str:
    """Write it below `root`; what stands after "consep:"."""
    for k in range(4):
        split, name = ("Train", f"train_{k + 8}") if k < 3 else ("Test", "test_1")
        sample = drawn_sample(k)
        for kind in ("Images", "Labels"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / split / "Images" / f"{name}.png"), sample.image)
        classes = np.maximum(sample.classes, 1)[:, None].astype(float)
        mat = {"inst_map": sample.instances.astype(float), "inst_type": classes}
        scipy.io.savemat(root / split / "Labels" / f"{name}.mat", mat)
    return str(root)
