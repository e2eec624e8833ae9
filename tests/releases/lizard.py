"""A tiny Lizard: four tiles of GlaS, CRAG and DigestPath, rows out of order, info.csv with BOM and CRLF."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from drawn import drawn_sample

INFO = (
    "dpath_1,1902160001_2019-06-11 12_36_32-lv1-39045-16016-3312-4096,2",
    "dpath_2,1902160001_2019-06-11 12_36_32-lv1-44190-20016-5916-4469,2",
    "glas_1,testB_10,1",
    "crag_1,train_105,3",
)


def make(root: Path) -> str:
    """Write it below `root`; what stands after "lizard:"."""
    for k, row in enumerate(INFO):
        name = row.partition(",")[0]
        sample = drawn_sample(k)
        listed = np.random.default_rng(k).permutation(np.arange(1, len(sample.classes) + 1))
        write_tile(root, name, sample.instances, listed, sample.classes[listed - 1] + 1, f"Lizard_Images{1 + k % 2}")
    write_info(root, *INFO)
    return str(root)


def write_tile(
    root: Path, name: str, instances: np.ndarray, listed: np.ndarray, kinds: np.ndarray, folder: str = "Lizard_Images1"
) -> None:
    """A tile whose table gives nucleus `listed[k]` the class `kinds[k]`."""
    labels = root / "Lizard_Labels" / "Labels"
    for path in (root / folder, labels):
        path.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / folder / f"{name}.png"), drawn_sample(len(name), instances.shape).image)
    table = {"id": np.reshape(listed, (-1, 1)), "class": np.reshape(kinds, (-1, 1))}
    scipy.io.savemat(labels / f"{name}.mat", {"inst_map": instances.astype(np.int32)} | table)


def write_info(root: Path, *rows: str) -> None:
    """info.csv with these rows of Filename, Source, Split."""
    text = "\r\n".join(("Filename,Source,Split", *rows, ""))
    (root / "Lizard_Labels" / "info.csv").write_bytes(text.encode("utf-8-sig"))
