"""A tiny DSB2018: four coloured tiles and a fluorescence one, RGBA, a 0/255 mask for each nucleus."""

from pathlib import Path

import cv2
import numpy as np

from nucleosynth.sample import Image

SIZE = (40, 48)


def make(root: Path) -> str:
    """Write it below `root`; what stands after "dsb2018:"."""
    for k in range(4):
        write_tile(root, f"{k}ab{k}", coloured(k), {f"m{n}": square(4 + 12 * n, 6 + k) for n in range(k + 1)})
    write_tile(root, "dark", np.full((*SIZE, 3), 9, np.uint8), {"m0": square(4, 4)})
    return str(root)


def write_tile(root: Path, name: str, image: Image, masks: dict[str, np.ndarray]) -> Path:
    """A tile's folder."""
    folder = root / "stage1_train" / name
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), np.concatenate([image[:, :, ::-1], alpha], axis=2))
    for mask_name, mask in masks.items():
        cv2.imwrite(str(folder / "masks" / f"{mask_name}.png"), mask)
    return folder


def coloured(seed: int = 0) -> Image:
    """A stained tile: violet of some brightness, with noise."""
    noise = np.random.default_rng(seed).integers(-10, 11, (*SIZE, 3))
    return np.asarray(np.array([200, 160, 210]) + noise, np.uint8)


def square(left: int, top: int, side: int = 8) -> np.ndarray:
    """A mask of one nucleus."""
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask
