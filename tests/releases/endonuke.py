"""A tiny EndoNuke: drawn nuclei, their middles as points, labels by two people, a list the Windows way."""

from pathlib import Path

import cv2
import numpy as np

from nucleosynth.sample import Image

SIDE_PX = 200
POINTS = ((30, 40, 0), (100, 60, 1), (150, 150, 2), (160, 120, 1))
"""x, y in px and class as the release numbers it: 0 stroma, 1 epithelium, 2 other."""
RADIUS_PX = 6


def make(root: Path) -> str:
    """Write it below `root`; what stands after "endonuke:"."""
    for k in range(4):
        write_tile(root, str(9 + k), f"bulk/ptg{1 + k % 2}", POINTS, seed=k)
    write_lists(root, [f"bulk/ptg{1 + k % 2}/{9 + k}" for k in range(4)])
    return str(root)


def write_tile(root: Path, name: str, person: str, points: object, side: int = SIDE_PX, seed: int = 0) -> None:
    """An image of dark discs at POINTS on light ground with a darker band, and its label by one person."""
    images = root / "dataset" / "images"
    images.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(images / f"{name}.png"), drawn(side, seed))
    write_label(root, name, person, points)


def drawn(side: int, seed: int) -> Image:
    """The image: discs of RADIUS_PX at POINTS for a side of 200 px, scaled for others, with a little noise."""
    scale = side / SIDE_PX
    image = np.full((side, side, 3), 225, np.uint8)
    image[:, side // 4 : side * 9 // 10] = 175
    for x, y, _ in POINTS:
        cv2.circle(image, (round(x * scale), round(y * scale)), round(RADIUS_PX * scale), (90, 60, 80), -1)
    noise = np.random.default_rng(seed).integers(-4, 5, image.shape)
    return np.asarray((image.astype(int) + noise).clip(0, 255), np.uint8)


def write_label(root: Path, name: str, person: str, points: object) -> Path:
    """A label file of one person: the lines of `points`, or the text itself."""
    path = root / "dataset" / "labels" / person / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = points if isinstance(points, str) else "".join(f"{x} {y} {kind}\n" for x, y, kind in points)
    path.write_text(lines)
    return path


def write_lists(root: Path, labels: list[str]) -> None:
    """unique.yaml and its two lists, for labels such as "bulk/ptg1/9"."""
    lists, masters = root / "dataset" / "files_lists" / "unique", root / "master_ymls"
    for folder in (lists, masters):
        folder.mkdir(parents=True, exist_ok=True)
    names = [label.rpartition("/")[2] for label in labels]
    (lists / "images.txt").write_text("".join(f"..\\..\\images\\{name}.png\r\n" for name in names))
    (lists / "labels.txt").write_text("".join(f"../../labels/{label}.txt\n" for label in labels))
    table = "images_lists:\n- ../dataset/files_lists/unique/images.txt\n"
    (masters / "unique.yaml").write_text(table + "labels_lists:\n- ../dataset/files_lists/unique/labels.txt\n")
