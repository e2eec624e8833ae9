"""From what a network made to a Sample: what is given stays as it is, what is made comes to the condition's size."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tiles import resize_image, resize_label
from nucleosynth.instances.joining import completed
from nucleosynth.methods.batches import Slot
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.provenance import Origin
from nucleosynth.sample import Classes, Condition, Image, Instances, Sample

SMALLEST = 4
"""A part of a nucleus of less than this, beside what is known of a label, is left out, px."""


class Maker(Protocol):
    """What is asked of the method that made a sample."""

    @property
    def name(self) -> str: ...
    @property
    def takes(self) -> frozenset[str]: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def mpp(self) -> float | None: ...


def sample_of(
    maker: Maker, slot: Slot, seed: int, image: Image, instances: Instances, classes: Classes, caption: str = ""
) -> Sample:
    """The sample of a slot.

    image (h w 3), instances (h w) with their classes: what was made, of the condition's size or at the method's
    resolution; whatever the condition gives itself is taken from there. A tile whose image was given stays its
    source's, under its licence; any other is the generator's, under the licences of both. Of a side that is known in
    part, that part is kept to the pixel.
    """
    condition, image = slot.condition, resize_image(image, slot.condition.size)
    if instances.shape != condition.size:
        instances, classes = resize_label(instances, classes, condition.size)
    given = condition.image is not None and condition.known is None
    if condition.image is not None:
        image = condition.image if given else np.where(_pixels(condition)[..., None], condition.image, image)
    if condition.instances is not None and condition.classes is not None:
        label = condition.instances, condition.classes
        made = instances, classes
        instances, classes = label if condition.known is None else completed(_pixels(condition), label, made, SMALLEST)
    begun = condition.begin is not None and "begin" in maker.takes
    return Sample(
        sample_id=condition.name or f"{maker.name}_{seed}_{slot.k:06d}",
        image=image,
        instances=instances,
        classes=classes,
        class_names=maker.class_names,
        class_scheme=maker.origin.class_scheme,
        source=condition.source if given else maker.origin.source,
        mpp=next((mpp for mpp in (condition.mpp, maker.mpp, maker.facts.mpp) if mpp is not None), None),
        tissue=condition.tissue or maker.facts.tissue,
        stain=condition.stain or maker.facts.stain,
        caption=caption,
        licence=condition.licence if given else maker.origin.licence_beside(condition.licence),
        points=condition.points,
        provenance=maker.origin.of_sample(seed, slot.k, condition, begun),
    )


def _pixels(condition: Condition) -> NDArray[np.bool_]:
    """Where the given sides are known."""
    assert condition.known is not None, "the condition says what is known"
    return condition.known
