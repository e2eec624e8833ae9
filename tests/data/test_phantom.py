"""Drawn tissue: exact labels, independence of tiles, and that each class looks like itself."""

import math
from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.measure import label as pieces_of
from skimage.measure import regionprops

from nucleosynth.data import phantom
from nucleosynth.data.phantom_fields import MPP, lattice, noise, stand_on
from nucleosynth.data.phantom_nuclei import LEAST_PX, Nucleus, draw_nucleus, lay
from nucleosynth.data.phantom_scenes import SCENES
from nucleosynth.errors import UserError

EPITHELIAL, INFLAMMATORY, SPINDLE, MITOTIC = range(1, 5)


@cache
def default_set():
    return tuple(phantom.read(""))


@cache
def nuclei():
    """(class, area px, elongation, haematoxylin minus that of a 3-px ring) of every whole nucleus; ring nuclei-free."""
    rows = []
    for sample in default_set():
        density = rgb2hed(sample.image)[..., 0]
        for region in regionprops(sample.instances):
            top, left, bottom, right = region.bbox
            if min(top, left) < 4 or max(bottom, right) > 252:
                continue
            window = np.s_[top - 4 : bottom + 4, left - 4 : right + 4]
            inside = sample.instances[window] == region.label
            near = ndimage.distance_transform_edt(~inside)
            ring = (near > 1) & (near <= 4) & (sample.instances[window] == 0)
            if ring.sum() >= 10:
                contrast = np.median(density[window][inside]) - np.median(density[window][ring])
                elongation = region.axis_major_length / max(region.axis_minor_length, 1)
                rows.append((sample.classes[region.label - 1], region.area, elongation, contrast))
    return np.array(rows)


def of_class(column):
    table = nuclei()
    return {c: table[table[:, 0] == c, column] for c in range(1, 5)}


def assert_same(a, b):
    assert a.sample_id == b.sample_id
    assert (a.source, a.split, a.caption, a.provenance) == (b.source, b.split, b.caption, b.provenance)
    assert_array_equal(a.image, b.image)
    assert_array_equal(a.instances, b.instances)
    assert_array_equal(a.classes, b.classes)


def test_same_seed_same_bytes_and_another_seed_another_tile():
    first, again = next(phantom.read("seed=3&size=96")), next(phantom.read("seed=3&size=96"))
    assert_same(first, again)
    assert not np.array_equal(first.image, next(phantom.read("seed=4&size=96")).image)


def test_a_tile_depends_on_seed_and_k_alone():
    in_order = list(phantom.read("tiles=5&size=96"))
    backwards = [phantom.draw(phantom.parse("tiles=40&size=96"), k) for k in reversed(range(5))]
    for sample, other in zip(in_order, reversed(backwards), strict=True):
        assert_same(sample, other)


def test_a_slide_keeps_its_stain_and_the_tissue_does_not_depend_on_it():
    one, two = (phantom.draw(phantom.parse(f"sources={n}&size=96"), 5) for n in (5, 4))
    assert_array_equal(one.instances, two.instances)
    assert (one.source, two.source) == ("phantom/s00", "phantom/s01")
    assert not np.array_equal(one.image, two.image)


def test_the_default_set_is_what_it_says():
    samples = default_set()
    assert len(samples) == 24
    assert [samples[k].sample_id for k in (0, 9)] == ["phantom_s00_0", "phantom_s01_9"]
    assert {s.size for s in samples} == {(256, 256)}
    assert {s.mpp for s in samples} == {0.5}
    assert {s.source for s in samples if s.split == "train"} == {f"phantom/s{i:02d}" for i in range(6)}
    assert {s.source for s in samples if s.split == "test"} == {"phantom/s06", "phantom/s07"}
    assert samples[3].class_names == ("epithelial", "inflammatory", "spindle", "mitotic")
    assert samples[3].provenance == {"kind": "drawn", "seed": 0, "k": 3}
    assert samples[3].licence == "CC0-1.0"


@pytest.mark.parametrize(("sources", "tests"), [(1, 0), (2, 1), (3, 1), (4, 1), (8, 2), (12, 3)])
def test_split_by_source(sources, tests):
    splits = {}
    for sample in phantom.read(f"tiles={2 * sources}&sources={sources}&size=32"):
        splits.setdefault(sample.source, set()).add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(found == {"test"} for found in splits.values()) == tests


def test_all_classes_occur_and_mitoses_are_rare():
    for split in ("train", "test"):
        counts = np.bincount(np.concatenate([s.classes for s in default_set() if s.split == split]), minlength=5)
        assert (counts[1:] > 0).all()
        assert 0.005 < counts[MITOTIC] / counts.sum() < 0.025
    assert min(len(s.classes) for s in default_set()) < 20 < 150 < max(len(s.classes) for s in default_set())


def test_all_scenes_occur_in_nearly_the_wanted_shares():
    drawn = [phantom.scene_of(7, k).caption for k in range(200)]
    for scene in SCENES:
        assert_allclose(drawn.count(scene.caption) / 200, scene.share, atol=0.02)


def test_nuclei_are_whole_pieces_of_six_pixels_or_more():
    for sample in islice(default_set(), 8):
        assert np.bincount(sample.instances.ravel())[1:].min() >= LEAST_PX
        assert pieces_of(sample.instances, connectivity=1).max() == len(sample.classes)


def test_touching_pairs_exist():
    sample = next(s for s in default_set() if "crowded" in s.caption)
    left, right = sample.instances[:, :-1], sample.instances[:, 1:]
    touching = (left > 0) & (right > 0) & (left != right)
    assert len(np.unique(np.stack([left[touching], right[touching]]), axis=1).T) > 20


def test_classes_differ_in_size_and_shape():
    area, elongation = of_class(1), of_class(2)
    assert np.median(area[INFLAMMATORY]) * 1.4 < np.median(area[EPITHELIAL])
    others = [np.median(elongation[c]) for c in (EPITHELIAL, INFLAMMATORY, MITOTIC)]
    assert np.median(elongation[SPINDLE]) > 1.3 * max(others)
    assert np.median(elongation[INFLAMMATORY]) == min(np.median(each) for each in elongation.values())


def test_nuclei_hold_more_haematoxylin_than_what_surrounds_them():
    contrast = {c: np.median(values) for c, values in of_class(3).items()}
    assert min(contrast.values()) > 0.02
    assert contrast[MITOTIC] > contrast[INFLAMMATORY] > contrast[EPITHELIAL]


def plain(x, y, length, width, angle=0.0):
    return Nucleus(EPITHELIAL, x, y, length, width, angle, 0.0, 1.0, np.zeros((0, 2)), np.zeros((0, 2)))


def test_the_label_of_an_ellipse_is_the_ellipse():
    instances, shown = lay([plain(17.3, 15.1, 16.0, 9.0, 0.7)], 64)
    (region,) = regionprops(instances)
    assert len(shown) == 1
    assert_allclose(region.area * MPP**2, math.pi / 4 * 16 * 9, rtol=0.02)
    assert_allclose((np.array(region.centroid) + 0.5) * MPP, (15.1, 17.3), atol=0.05)
    assert_allclose(region.axis_major_length * MPP, 16, rtol=0.02)
    assert_allclose(region.axis_minor_length * MPP, 9, rtol=0.02)
    column, row = np.meshgrid(*[(np.arange(64) + 0.5) * MPP] * 2)
    along = (column - 17.3) * math.cos(0.7) + (row - 15.1) * math.sin(0.7)
    across = (row - 15.1) * math.cos(0.7) - (column - 17.3) * math.sin(0.7)
    radius = np.hypot(along / 8, across / 4.5)
    assert (instances[radius < 0.93] == 1).all()
    assert (instances[radius > 1.07] == 0).all()


def test_the_upper_nucleus_keeps_its_pixels():
    upper, lower = plain(10, 10, 8, 8), plain(16, 10, 8, 8)
    alone, _ = lay([upper], 64)
    both, shown = lay([upper, lower], 64)
    assert [each.nucleus for each in shown] == [upper, lower]
    assert_array_equal(both == 1, alone == 1)
    assert 0 < np.count_nonzero(both == 2) < np.count_nonzero(alone)


@pytest.mark.parametrize(
    "nucleus",
    [plain(33, 30, 8, 8), plain(-3.6, 16, 8, 8), plain(-20, 16, 8, 8), plain(30, 30, 44, 3)],
    ids=["hidden", "a speck at the edge", "outside", "in two pieces"],
)
def test_what_hardly_shows_is_left_out_of_the_label_and_of_the_image(nucleus):
    instances, shown = lay([plain(30, 30, 8, 8), nucleus], 128)
    assert len(shown) == instances.max() == 1


def test_ids_and_classes_agree():
    rng = np.random.default_rng(0)
    drawn = [draw_nucleus(rng, kind, 12.0 * i, 12.0 * kind, 0.0) for i in range(1, 6) for kind in range(1, 5)]
    instances, shown = lay(drawn, 160)
    assert instances.max() == len(shown)
    for k, each in enumerate(shown, start=1):
        row, column = (int(centre / MPP) for centre in (each.nucleus.y, each.nucleus.x))
        assert instances[row, column] == k


def test_noise_is_noise():
    fields = np.stack([noise(np.random.default_rng(seed), 200, 12) for seed in range(20)])
    assert_allclose(fields.mean(), 0, atol=0.05)
    assert_allclose(fields.std(), 1, atol=0.15)
    near, far = (np.mean(fields[:, :, lag:] * fields[:, :, :-lag]) for lag in (2, 40))
    assert near > 0.7
    assert abs(far) < 0.1


def test_lattice_keeps_its_distance_and_density():
    points = lattice(np.random.default_rng(1), 400, 10.0, 0.0)
    away = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 1e3 * np.eye(len(points))
    assert_allclose(away.min(axis=1), 10.0, atol=1e-6)
    assert_allclose(len(points), 200**2 / (math.sqrt(0.75) * 10**2), rtol=0.1)


def test_places_stand_on_the_level_line_facing_uphill():
    side, radius = 300, 40.0
    y, x = ((np.mgrid[:side, :side] + 0.5) * MPP - 24).astype(np.float32)
    height = radius - np.hypot(x - 50, y - 50)
    places = np.array(stand_on(np.random.default_rng(2), height, 10.0, 6.0))
    assert len(places) == pytest.approx(2 * math.pi * 30 / 6, rel=0.15)
    outward = places[:, :2] - 50
    assert_allclose(np.hypot(*outward.T), 30, atol=0.8)
    uphill = np.stack([np.cos(places[:, 2]), np.sin(places[:, 2])], axis=1)
    assert_allclose(np.sum(uphill * outward, axis=1) / np.hypot(*outward.T), -1, atol=0.03)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("tile=3", "'tiles'"),
        ("tiles=0", "'tiles'"),
        ("tiles=many", "'many'"),
        ("size=5", "'size'"),
        ("seed=-1", "'seed'"),
        ("tiles", "name=value"),
        ("tiles=2&tiles=3", "twice"),
        ("tiles=", "'tiles'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_drawn(where, said):
    with pytest.raises(UserError, match=said):
        phantom.read(where)
