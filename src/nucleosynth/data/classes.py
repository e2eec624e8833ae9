"""Classes by name: what is the same class in two data sets is decided by its name alone."""

from dataclasses import replace

import numpy as np

from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Sample

MOST_CLASSES = 255
"""A class is a byte, 0 of it being the unknown type."""


def numbered_names(count: int) -> tuple[str, ...]:
    """Names for classes of which only numbers are known: "class 1".."class <count>"."""
    return tuple(f"class {k}" for k in range(1, count + 1))


def renamed(sample: Sample, class_names: tuple[str, ...]) -> Sample:
    """The sample with its classes numbered as in another list of names; a merge never happens here.

    Raises:
        UserError: a nucleus of a class that the list has not.
    """
    if sample.class_names == class_names:
        return sample
    lost = {sample.class_names[kind - 1] for kind in np.unique(sample.classes) if kind} - set(class_names)
    if lost:
        raise UserError(
            "classes that are not known here",
            expected=", ".join(class_names),
            got=", ".join(sorted(lost)),
            where=f"sample {sample.sample_id!r}",
            mend="read them in the classes wanted (--classes SCHEME), or use data of the same classes",
        )
    number = np.array(
        [0, *(class_names.index(name) + 1 if name in class_names else 0 for name in sample.class_names)], np.uint8
    )
    return recoded(sample, number, class_names)


def recoded(sample: Sample, number: Classes, class_names: tuple[str, ...]) -> Sample:
    """The sample with class c (0 = unknown) replaced by `number[c]`, its points too."""
    points = sample.points and replace(
        sample.points, classes=_new(sample.points.classes, number), class_names=class_names
    )
    return replace(sample, classes=_new(sample.classes, number), class_names=class_names, points=points)


def _new(classes: Classes, number: Classes) -> Classes:
    return np.asarray(number[classes], np.uint8)
