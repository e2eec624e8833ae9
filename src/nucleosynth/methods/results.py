"""From what a network made to a Sample: given sides stay as they are, made ones come to the condition's size."""

from typing import Protocol

from nucleosynth.data.tiles import resize_image, resize_label
from nucleosynth.methods.batches import Slot
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.provenance import Origin
from nucleosynth.sample import Classes, Image, Instances, Sample


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
    source's, under its licence; any other is the generator's, under the licences of both.
    """
    condition = slot.condition
    if condition.instances is not None and condition.classes is not None:
        instances, classes = condition.instances, condition.classes
    elif instances.shape != condition.size:
        instances, classes = resize_label(instances, classes, condition.size)
    given = condition.image is not None
    begun = condition.begin is not None and "begin" in maker.takes
    return Sample(
        sample_id=condition.name or f"{maker.name}_{seed}_{slot.k:06d}",
        image=condition.image if condition.image is not None else resize_image(image, condition.size),
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
