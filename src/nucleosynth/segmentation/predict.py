"""What a judge sees in tiles: nuclei and their types, at each tile's own resolution.

The network works on overlapping windows at its own resolution; the middles are put together to whole maps, from which
nuclei are extracted whole, so no seam cuts one. Maps of offsets are brought to the tile's resolution before that
(smooth outlines where the tile is finer). HV maps are not: the published sizes in px belong to the judge's resolution,
so nuclei are extracted there and their label is brought to the tile's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.data.tiles import resample, resize_label
from nucleosynth.instances import classes as types
from nucleosynth.instances import hover
from nucleosynth.instances import offsets as voting
from nucleosynth.metrics import instance
from nucleosynth.sample import Classes, Image, Instances, Sample
from nucleosynth.segmentation.hovernet import HoVerNetSettings
from nucleosynth.segmentation.judge import Judge
from nucleosynth.segmentation.targets import targets

Maps = dict[str, NDArray[np.float32]]
"""`nuclei` (h w 1) and `type` (h w c+1) probabilities, `field` (h w 2): offsets in px, x then y, or HV in -1..1."""
AT_ONCE = 8
"""Windows in one pass."""
MPP_20X = 0.5
"""Micrometres per pixel at which the extraction from offsets counts its scale as 1."""


def predict(judge: Judge, samples: Iterable[Sample], at_once: int = AT_ONCE) -> Iterator[Sample]:
    """Each tile with the nuclei that the judge sees in place of its own; names, image, size and resolution stay.

    Nothing of the tile's labels is looked at. With one class every nucleus is of it; without classes all are unknown.
    `labelled_as` is "derived". at_once: windows in one pass; other numbers give the same up to rounding.

    Raises:
        UserError: a tile without mpp.
    """
    for sample in samples:
        maps = raw_maps(judge, resample(sample, judge.settings.mpp).image, at_once)
        instances, classes = extract(maps, sample, judge.settings, len(judge.class_names))
        yield replace(
            sample,
            instances=instances,
            classes=classes,
            class_names=judge.class_names,
            class_scheme=judge.class_scheme,
            points=None,
            labelled_as="derived",
        )


def ceiling(samples: Iterable[Sample], settings: HoVerNetSettings) -> list[dict[str, float]]:
    """The scores (metrics/instance.py) that perfect maps would reach: what resampling and extraction lose.

    Stands beside every score of a judge with these settings.
    """
    return [
        instance.scores(sample.instances, extract(_perfect(sample, settings), sample, settings)[0])
        for sample in samples
    ]


@torch.inference_mode()
def raw_maps(judge: Judge, image: Image, at_once: int = AT_ONCE) -> Maps:
    """The maps of a whole image (h w 3), any size, at the judge's resolution."""
    margin, core = judge.settings.margin, judge.settings.window - 2 * judge.settings.margin
    h, w = image.shape[:2]
    places = [(top, left) for top in range(0, h, core) for left in range(0, w, core)]
    after = (margin + -h % core, margin + -w % core)
    wide = cv2.copyMakeBorder(image, margin, after[0], margin, after[1], cv2.BORDER_REFLECT_101)
    side = core + 2 * margin
    spare = margin - judge.settings.lost_px // 2  # of the margin, what is in the maps
    whole: Maps = {}
    for first in range(0, len(places), at_once):
        some = places[first : first + at_once]
        windows = np.stack([wide[top : top + side, left : left + side] for top, left in some])
        for name, maps in _maps(judge, torch.from_numpy(windows)).items():
            whole.setdefault(name, np.empty((h, w, maps.shape[-1]), np.float32))
            for (top, left), window in zip(some, maps, strict=True):
                place = whole[name][top : top + core, left : left + core]
                place[...] = window[spare:, spare:][: place.shape[0], : place.shape[1]]
    return whole


def extract(maps: Maps, sample: Sample, settings: HoVerNetSettings, only: int = 0) -> tuple[Instances, Classes]:
    """The nuclei at the tile's size and their classes, from maps at the judge's resolution.

    only: the class of every nucleus where the maps tell none; 0 is unknown.
    """
    if settings.coding == "hover":
        instances = hover.extract(maps["nuclei"][..., 0], maps["field"])
        return resize_label(instances, _classes(instances, maps, only), sample.size, f"sample {sample.sample_id!r}")
    maps = enlarge(maps, sample, settings)
    mpp = _mpp(sample)
    smoothing, least_px = settings.vote_smoothing * MPP_20X / mpp, round(settings.least_um2 / mpp**2)
    field = maps["field"].transpose(2, 0, 1)
    instances = voting.extract(maps["nuclei"][..., 0], field, scale=smoothing, min_area=least_px)
    return instances, _classes(instances, maps, only)


def enlarge(maps: Maps, sample: Sample, settings: HoVerNetSettings) -> Maps:
    """Maps of offsets at the judge's resolution brought to the tile's: bilinear, averaged over area where the tile is
    coarser."""
    height, width = sample.size
    if maps["nuclei"].shape[:2] == (height, width):
        return maps
    zoom = settings.mpp / _mpp(sample)
    how = cv2.INTER_LINEAR if zoom > 1 else cv2.INTER_AREA
    larger: Maps = {}
    for name, array in maps.items():
        resized = np.reshape(cv2.resize(array, (width, height), interpolation=how), (height, width, -1))
        larger[name] = np.asarray(resized * (zoom if name == "field" else 1.0), np.float32)
    return larger


def _classes(instances: Instances, maps: Maps, only: int) -> Classes:
    if "type" in maps:
        return types.majority(instances, maps["type"].transpose(2, 0, 1))
    return np.full(int(instances.max(initial=0)), only, np.uint8)


def _maps(judge: Judge, windows: Tensor) -> Maps:
    outputs = judge.network(judge.fabric.to_device(windows.movedim(-1, 1)))
    maps = {name: logits if name == "field" else logits.softmax(dim=1) for name, logits in outputs.items()}
    maps["nuclei"] = maps["nuclei"][:, 1:]
    if judge.settings.coding == "offsets":
        maps["field"] = maps["field"] * judge.settings.offset_px
    return {name: array.float().movedim(1, -1).cpu().numpy() for name, array in maps.items()}


def _perfect(sample: Sample, settings: HoVerNetSettings) -> Maps:
    coarse = resample(sample, settings.mpp)
    true = targets(coarse.instances, coarse.classes, settings.coding, offset_px=1.0)
    maps = {"nuclei": true["nuclei"][..., None], "field": true[settings.coding].transpose(1, 2, 0)}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in maps.items()}


def _mpp(sample: Sample) -> float:
    assert sample.mpp is not None, "resample has refused tiles without mpp"
    return sample.mpp
