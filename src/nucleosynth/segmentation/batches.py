"""What a judge's training step is given: windows of real and synthetic tiles with their targets, by (seed, step)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.segmentation.augment import Window, draw
from nucleosynth.segmentation.hovernet import HoVerNetSettings
from nucleosynth.segmentation.schedule import place, timetable
from nucleosynth.segmentation.targets import targets

Batch = dict[str, Tensor]


def windows_of(samples: Sequence[Sample], mpp: float) -> list[Window]:
    """Whole tiles as windows, at the judge's resolution.

    Raises:
        UserError: a tile without masks, or without mpp.
    """
    for sample in samples:
        if sample.labelled_as == "points":
            raise UserError(
                "a tile without masks",
                expected="tiles labelled as masks, or as masks derived from points",
                got="points alone",
                where=f"sample {sample.sample_id!r}",
            )
    finer = (resample(sample, mpp) for sample in samples)
    return [Window(sample.image, sample.instances, sample.classes) for sample in finer]


def batches(
    real: Sequence[Window],
    synthetic: Sequence[Window],
    settings: HoVerNetSettings,
    seed: int,
    steps: int | None = None,
) -> Callable[[int], Batch]:
    """step -> batch: `image` uint8 (b 3 h w) and the targets of targets.py, a pure function of (seed, step).

    Of the first n steps' windows (of a phase, where there are phases; then `steps` is needed) the share that is
    synthetic is right to within one window for every n.
    """
    stretches = timetable(settings.phases, steps or 0)

    def batch_at(step: int) -> Batch:
        stretch = stretches[place(stretches, step)] if stretches else None
        size, done = (stretch.phase.batch, step - stretch.first) if stretch else (settings.batch, step)
        share = settings.synthetic_share * size if synthetic else 0.0
        rng = generator_of(seed, step)
        made = math.floor((done + 1) * share) - math.floor(done * share)
        pools = [synthetic] * made + [real] * (size - made)
        return _collate([draw(pool, settings.crop, settings.augmentation, rng) for pool in pools], settings)

    return batch_at


def _collate(windows: Sequence[Window], settings: HoVerNetSettings) -> Batch:
    side, released, unit = settings.output_px(settings.crop), settings.released_targets, settings.offset_px
    wanted = [
        targets(each.instances, each.classes, settings.coding, unit, side=side, released=released) for each in windows
    ]
    batch = {name: torch.from_numpy(np.stack([each[name] for each in wanted])) for name in wanted[0]}
    return {"image": torch.from_numpy(np.stack([each.image for each in windows])).movedim(-1, 1), **batch}
