"""A tiny PanNuke: two tiles in fold 1, one in each other; images and masks are float64, as published."""

from pathlib import Path

import numpy as np

from drawn import drawn_sample

TISSUES = ("Adrenal_gland", "Bile-duct", "HeadNeck", "Colon")


def make(root: Path) -> str:
    """Write it below `root`; what stands after "pannuke:"."""
    for fold, seeds in ((1, (0, 1)), (2, (2,)), (3, (3,))):
        samples = [drawn_sample(seed, class_names=("a", "b", "c", "d", "e")) for seed in seeds]
        images, masks = (root / f"Fold {fold}" / part / f"fold{fold}" for part in ("images", "masks"))
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        np.save(images / "images.npy", np.stack([sample.image for sample in samples]).astype(np.float64))
        np.save(images / "types.npy", np.array([TISSUES[seed] for seed in seeds]))
        channels = [channels_of(sample.instances, np.maximum(sample.classes, 1)) for sample in samples]
        np.save(masks / "masks.npy", np.stack(channels))
    return str(root)


def channels_of(instances: np.ndarray, classes: np.ndarray, count: int = 5) -> np.ndarray:
    """The channels (h w count + 1) of a tile, float64: ids in those of the classes, then the background."""
    channels = [np.where(np.isin(instances, np.flatnonzero(classes == k + 1) + 1), instances, 0) for k in range(count)]
    return np.stack([*channels, instances == 0], axis=-1).astype(np.float64)
