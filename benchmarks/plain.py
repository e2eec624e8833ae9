"""The steps that speed_arrays.py times, written plainly with NumPy, SciPy, scikit-image and OpenCV: ours must beat it.

Written as one would write them without a compiler at hand, neither slower nor cleverer than that, except for
`scores_by_masks`, which compares nuclei one whole-image mask at a time and builds its table anew for each of Dice2,
AJI, AJI+ and PQ, as the released HoVer-Net evaluation does.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage import measure, morphology, segmentation

Map = NDArray[np.int32]
Table = NDArray[np.float64]
NAMES = ("dice", "dice2", "aji", "aji_plus", "dq", "sq", "pq")


def scores_by_table(true: Map, predicted: Map) -> dict[str, float]:
    """The seven scores from one table, which is a bincount of joint ids."""
    width = int(predicted.max()) + 1
    joint = np.bincount((true.astype(np.int64) * width + predicted).ravel(), minlength=(int(true.max()) + 1) * width)
    table = joint.reshape(-1, width)
    true_areas, predicted_areas = table.sum(axis=1)[1:], table.sum(axis=0)[1:]
    rows, columns = np.flatnonzero(true_areas), np.flatnonzero(predicted_areas)
    shared = table[1:, 1:][np.ix_(rows, columns)]
    both = true_areas[rows][:, None] + predicted_areas[columns]
    iou = shared / (both - shared)
    dice = 2 * shared.sum() / (true_areas.sum() + predicted_areas.sum())
    dice2 = 2 * shared.sum() / both[shared > 0].sum()
    touched = np.flatnonzero(iou.any(axis=1))
    aji = _jaccard(shared, both, true_areas[rows], predicted_areas[columns], touched, iou.argmax(axis=1)[touched])
    left, right = linear_sum_assignment(-iou)
    kept = shared[left, right] > 0
    aji_plus = _jaccard(shared, both, true_areas[rows], predicted_areas[columns], left[kept], right[kept])
    hits = iou[iou > 0.5]
    dq, sq = 2 * len(hits) / sum(shared.shape), hits.mean()
    return dict(zip(NAMES, map(float, (dice, dice2, aji, aji_plus, dq, sq, dq * sq)), strict=True))


def _jaccard(shared: Any, both: Any, true_areas: Any, predicted_areas: Any, rows: Any, columns: Any) -> float:
    rest = np.delete(true_areas, rows).sum() + np.delete(predicted_areas, columns).sum()
    return float(shared[rows, columns].sum() / ((both - shared)[rows, columns].sum() + rest))


def scores_by_masks(true: Map, predicted: Map) -> dict[str, float]:
    """The seven scores from whole-image masks."""
    shared, both = _pairs(true, predicted)
    dice2 = 2 * shared.sum() / both[shared > 0].sum()
    shared, both = _pairs(true, predicted)
    iou = shared / (both - shared)
    rows = np.flatnonzero(iou.any(axis=1))
    aji = _jaccard_of_masks(true, predicted, shared, both, rows, iou.argmax(axis=1)[rows])
    shared, both = _pairs(true, predicted)
    rows, columns = linear_sum_assignment(-(shared / (both - shared)))
    touching = shared[rows, columns] > 0
    aji_plus = _jaccard_of_masks(true, predicted, shared, both, rows[touching], columns[touching])
    shared, both = _pairs(true, predicted)
    hits = (shared / (both - shared))[shared / (both - shared) > 0.5]
    dq, sq = 2 * len(hits) / sum(shared.shape), hits.mean()
    dice = 2 * ((true > 0) & (predicted > 0)).sum() / ((true > 0).sum() + (predicted > 0).sum())
    return dict(zip(NAMES, map(float, (dice, dice2, aji, aji_plus, dq, sq, dq * sq)), strict=True))


def _pairs(true: Map, predicted: Map) -> tuple[Table, Table]:
    """Intersection and sum of areas of each true nucleus with each predicted one (1 where they do not touch)."""
    true_ids, predicted_ids = np.unique(true)[1:], np.unique(predicted)[1:]
    masks = [(predicted == k).astype(np.uint8) for k in predicted_ids]
    shared, both = np.zeros((2, len(true_ids), len(predicted_ids)))
    both += 1
    for i, k in enumerate(true_ids):
        mask = (true == k).astype(np.uint8)
        for j in np.searchsorted(predicted_ids, np.unique(predicted[(mask > 0) & (predicted > 0)])):
            shared[i, j], both[i, j] = (mask * masks[j]).sum(), (mask + masks[j]).sum()
    return shared, both


def _jaccard_of_masks(true: Map, predicted: Map, shared: Table, both: Table, rows: Any, columns: Any) -> float:
    alone, unused = np.delete(np.unique(true)[1:], rows), np.delete(np.unique(predicted)[1:], columns)
    rest = sum((true == k).sum() for k in alone) + sum((predicted == k).sum() for k in unused)
    return float(shared[rows, columns].sum() / ((both - shared)[rows, columns].sum() + rest))


def hover_instances(nuclei: NDArray[np.float32], hv: NDArray[np.float32]) -> Map:
    """HoVer-Net's published post-processing (specified sizes), Sobel in double precision."""
    blob = measure.label(nuclei >= 0.5, connectivity=1)
    blob = morphology.remove_small_objects(blob, max_size=9) > 0
    rims = []
    for axis in range(2):
        along = cv2.normalize(hv[..., axis], None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)
        slope = cv2.Sobel(along, cv2.CV_64F, 1 - axis, axis, ksize=21)
        rims.append(1 - cv2.normalize(slope, None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F))
    overall = np.maximum(*rims)
    overall = np.maximum(overall - (1 - blob), 0)
    energy = -cv2.GaussianBlur((1.0 - overall) * blob, (3, 3), 0)
    cores = ndimage.binary_fill_holes(np.clip(blob - (overall >= 0.4).astype(np.int32), 0, None)).astype(np.uint8)
    cores = cv2.morphologyEx(cores, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    markers = morphology.remove_small_objects(measure.label(cores, connectivity=1), max_size=9)
    found = segmentation.watershed(energy, markers, mask=blob)
    return np.asarray(segmentation.relabel_sequential(found)[0], np.int32)


def types_and_contours(instances: Map, types: NDArray[np.uint8]) -> tuple[list[int], list[NDArray[np.int32]]]:
    """Of each nucleus the type of most pixels (second place if background wins) and the outer contour, x y in px."""
    kinds, contours = [], []
    for nucleus in measure.regionprops(instances):
        top, left, _, _ = nucleus.bbox
        mask = nucleus.image.astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contours.append(max(outlines, key=len)[:, 0] + (left, top))
        values, counts = np.unique(types[nucleus.slice][nucleus.image], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        kind = values[order[0]]
        kinds.append(int(values[order[1]] if kind == 0 and len(values) > 1 else kind))
    return kinds, contours


def hv_targets(instances: Map) -> NDArray[np.float32]:
    """HV maps (2 h w), nucleus by nucleus in its box, each 4-connected piece for itself."""
    field = np.zeros((2, *instances.shape), np.float32)
    parts = measure.label(instances, connectivity=1)
    for part, box in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = np.nonzero(parts[box] == part)
        for axis, place in enumerate((columns, rows)):
            value = place - place.mean()
            behind, before = value < 0, value > 0
            if behind.any():
                value[behind] /= -value[behind].min()
            if before.any():
                value[before] /= value[before].max()
            field[axis][box][rows, columns] = value
    return field
