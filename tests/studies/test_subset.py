"""The labelled fraction shows every class, in whole sources, near the fraction, and the same for the same seed."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample
from nucleosynth.studies.subset import labelled, nested


def tile(source: str, classes: Sequence[int], k: int = 0) -> Sample:
    """A tile with nuclei of these classes."""
    instances = np.zeros((8, 2 * len(classes) + 2), np.int32)
    instances[2:4, 1 : 1 + len(classes)] = np.arange(1, len(classes) + 1)
    image = np.zeros((*instances.shape, 3), np.uint8)
    return drawn_sample(
        image=image,
        instances=instances,
        classes=np.array(classes, np.uint8),
        source=source,
        sample_id=f"{source}_{k}",
    )


def with_a_rare_class() -> list[Sample]:
    """Thirty sources of ten nuclei; only the last one has a nucleus of class 3."""
    plain = [tile(f"s{k:02d}", [1] * 6 + [2] * 4) for k in range(29)]
    return [*plain, tile("s29", [1] * 6 + [2] * 3 + [3])]


def shares(subset: Sequence[Sample], whole: Sequence[Sample]) -> dict[int, float]:
    """Of each class, and of all nuclei under 0."""
    part, all_of_them = (Counter(np.concatenate([s.classes for s in some]).tolist()) for some in (subset, whole))
    found = {kind: part[kind] / count for kind, count in all_of_them.items()}
    return found | {0: part.total() / all_of_them.total()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.7])
def test_a_class_of_one_source_is_never_missed(seed: int, fraction: float) -> None:
    whole = with_a_rare_class()
    found = shares(labelled(whole, fraction, seed), whole)
    assert found[3] == 1
    assert found[0] == pytest.approx(fraction, abs=0.01)


def test_a_random_subset_would_miss_it() -> None:
    whole = with_a_rare_class()
    missed = [29 not in np.random.default_rng(seed).permutation(30)[:3] for seed in range(20)]
    assert any(missed)
    assert len(labelled(whole, 0.1, 0)) == 3


def test_proportions_are_those_of_all() -> None:
    rng = np.random.default_rng(1)
    whole = [
        tile(f"s{k:02d}", rng.choice([1, 2, 3], rng.integers(5, 60), p=rng.dirichlet([1, 1, 1]))) for k in range(40)
    ]
    for fraction in (0.2, 0.5):
        found = shares(labelled(whole, fraction, 0), whole)
        assert all(share == pytest.approx(fraction, abs=0.02) for share in found.values())


def test_two_are_exchanged_where_one_alone_does_not_help() -> None:
    # 60 of 150 nuclei are the two of 30: from one of 45 no single source leads there.
    whole = [tile(name, [1] * count) for name, count in (("a", 45), ("b", 30), ("c", 45), ("d", 30))]
    for seed in range(8):
        assert {sample.source for sample in labelled(whole, 0.4, seed)} == {"b", "d"}


def test_sources_are_whole_and_in_order() -> None:
    whole = [tile(f"s{k % 5}", [1, 2, 3], k) for k in range(20)]
    subset = labelled(whole, 0.4, 3)
    taken = {sample.source for sample in subset}
    assert len(taken) == 2
    assert [s.sample_id for s in subset] == [s.sample_id for s in whole if s.source in taken]


def test_a_seed_gives_one_subset_and_seeds_differ() -> None:
    whole = [tile(f"s{k:02d}", [1, 2, 3]) for k in range(12)]
    drawn = [tuple(s.source for s in labelled(whole, 0.25, seed)) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_more_is_taken_where_the_classes_need_it() -> None:
    whole = [tile("a", [1] * 10), tile("b", [2] * 10), tile("c", [3] * 10)]
    assert len(labelled(whole, 0.05, 0)) == 3


def test_unknown_classes_count_as_nuclei_alone() -> None:
    whole = [tile(f"s{k}", [0] * 10) for k in range(10)]
    assert len(labelled(whole, 0.3, 0)) == 3


def test_all_is_all() -> None:
    whole = [*with_a_rare_class(), tile("empty", [])]
    assert labelled(whole, 1, 0) == whole


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_other_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(UserError, match="not a fraction"):
        labelled(with_a_rare_class(), fraction, 0)


def test_tiles_without_nuclei_are_refused() -> None:
    with pytest.raises(UserError, match="nothing is labelled"):
        labelled([tile("a", [])], 0.5, 0)


@pytest.mark.parametrize("seed", range(5))
def test_larger_fractions_contain_the_smaller_ones(seed: int) -> None:
    whole = with_a_rare_class()
    found = nested(whole, (0.5, 0.1, 1.0, 0.2), seed)
    assert list(found) == [0.1, 0.2, 0.5, 1.0]
    taken = [{tile.source for tile in tiles} for tiles in found.values()]
    assert taken[0] < taken[1] < taken[2] < taken[3]
    for fraction, tiles in found.items():
        assert shares(tiles, whole)[0] == pytest.approx(fraction, abs=0.02)
    assert found[0.1] == labelled(whole, 0.1, seed)
