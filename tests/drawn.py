"""Small samples with known content, for tests of files and the command line."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from nucleosynth.sample import Layout, Sample

CLASS_NAMES = ("round", "long", "other")


def drawn_sample(seed: int = 0, size: tuple[int, int] = (40, 48), **changes: Any) -> Sample:
    """A tile of noise with a grid of square nuclei of all classes, the unknown one too; one touches the border."""
    generator = np.random.default_rng(seed)
    instances = np.zeros(size, np.int32)
    for k, (top, left) in enumerate(
        (top, left) for top in range(0, size[0] - 6, 10) for left in range(2, size[1] - 6, 10)
    ):
        instances[top : top + 5, left : left + 6] = k + 1
    given: dict[str, Any] = {
        "sample_id": f"tile_{seed}",
        "image": generator.integers(0, 256, (*size, 3), np.uint8),
        "instances": instances,
        "classes": generator.integers(0, len(CLASS_NAMES) + 1, instances.max()).astype(np.uint8),
        "class_names": CLASS_NAMES,
        "source": f"drawn/slide_{seed // 2}",
        "mpp": 0.25,
        "tissue": "colon",
        "split": "train",
        "licence": "CC0-1.0",
    }
    return Sample(**(given | changes))


def full_sample(seed: int = 0) -> Sample:
    """A sample with something in every field."""
    points = Layout(
        np.array([[0.25, 39.25], [-0.5, 3]], np.float32), np.array([0, 3], np.uint8), (40, 48), CLASS_NAMES, 0.25
    )
    return drawn_sample(
        seed,
        caption='a "caption", Größe 1',
        stain="IHC",
        labelled_as="derived",
        class_scheme="mine: round = a + b",
        points=points,
        quality={"sharp": 0.5},
        provenance={"kind": "synthetic", "seed": 7, "training_sources": [{"source": "a/1", "licence": "CC0"}]},
    )


def assert_same(found: Sample, expected: Sample) -> None:
    """Every field of two samples is equal, arrays with their types."""
    for field in fields(Sample):
        got, wanted = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(wanted, np.ndarray):
            assert got.dtype == wanted.dtype, field.name
            assert_array_equal(got, wanted, err_msg=field.name)
        elif isinstance(wanted, Layout):
            assert_array_equal(got.xy, wanted.xy)
            assert_array_equal(got.classes, wanted.classes)
            assert (got.size, got.class_names, got.mpp) == (wanted.size, wanted.class_names, wanted.mpp)
        else:
            assert got == wanted, field.name
