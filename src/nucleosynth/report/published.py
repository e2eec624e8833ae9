"""The numbers that papers of this field report, to stand beside ours: single runs, with the judge and data named.

Min, Oh, Jeong, CoSyn, ECCV 2024; Cheng et al., DAFF-GAN; Yu et al., NuDiff, MICCAI 2023. Metrics are named as ours
(dice, aji, dq, sq, pq, f_d, accuracy) or as the papers do (FID, IS, FSD); one that a paper does not give is absent.
"""

from typing import NamedTuple

COSYN, DAFF_GAN, NUDIFF = "CoSyn, ECCV 2024", "DAFF-GAN, Cheng et al.", "NuDiff, MICCAI 2023"
YEARS = {COSYN: 2024, DAFF_GAN: None, NUDIFF: 2023}
HOVERNET, RESNET34 = "HoVer-Net", "HoVer-Net, ResNet34"
RUNS = 1
"""Of every published number."""


class Published(NamedTuple):
    """One row of a paper's table: images of a generator, the judge that was trained with them, or both."""

    paper: str
    data_set: str
    """As our readers are called."""
    trained_on: str
    judge: str
    fraction: float
    """Of the labelled nuclei."""
    metrics: dict[str, float]


def rows(data_set: str) -> tuple[Published, ...]:
    """The published rows of a data set, in the order of the papers; none for one that no paper here uses."""
    return tuple(row for row in ROWS if row.data_set == data_set)


def _row(
    paper: str, data_set: str, trained_on: str, judge: str, fraction: float, names: str, *values: float | None
) -> Published:
    pairs = zip(names.split(), values, strict=True)
    return Published(paper, data_set, trained_on, judge, fraction, {name: v for name, v in pairs if v is not None})


_IMAGES_AND_JUDGE = "FID IS FSD dice aji f_d accuracy"


def _cosyn(data_set: str, trained_on: str, *values: float | None) -> Published:
    return _row(COSYN, data_set, trained_on, HOVERNET, 1.0, _IMAGES_AND_JUDGE, *values)


def _daff_gan(trained_on: str, judge: str, *values: float) -> Published:
    return _row(DAFF_GAN, "consep", trained_on, judge, 1.0, "dice aji dq sq pq", *values)


def _nudiff(data_set: str, trained_on: str, fraction: float, dice: float, aji: float | None) -> Published:
    return _row(NUDIFF, data_set, trained_on, HOVERNET, fraction, "dice aji", dice, aji)


ROWS = (
    _cosyn("lizard", "real", None, None, None, 0.620, 0.383, 0.619, 0.763),
    _cosyn("lizard", "real + augmentation", None, None, None, 0.676, 0.425, 0.646, 0.818),
    _cosyn("lizard", "real + NuDiff", None, None, 963.36, None, None, None, None),
    _cosyn("lizard", "real + Semantic Palette", 86.17, 2.11, 0.55, None, None, None, None),
    _cosyn("lizard", "real + Park et al. (GCDP)", 52.65, 2.22, 65.06, None, None, None, None),
    _cosyn("lizard", "real + SDM", 45.99, 2.35, None, 0.718, 0.488, 0.699, 0.862),
    _cosyn("lizard", "real + CoSyn without points", 69.10, 2.02, 109.18, None, None, None, None),
    _cosyn("lizard", "real + CoSyn", 38.78, 2.40, 0.13, 0.716, 0.484, 0.694, 0.866),
    _cosyn("pannuke", "real", None, None, None, 0.782, 0.598, 0.763, 0.668),
    _cosyn("pannuke", "real + augmentation", None, None, None, 0.816, 0.641, 0.791, 0.708),
    _cosyn("pannuke", "real + NuDiff", None, None, 1292.05, None, None, None, None),
    _cosyn("pannuke", "real + Semantic Palette", 109.23, 3.36, 1.23, None, None, None, None),
    _cosyn("pannuke", "real + Park et al. (GCDP)", 61.16, 3.48, 34.43, None, None, None, None),
    _cosyn("pannuke", "real + SDM", 107.80, 3.82, None, 0.821, 0.654, 0.800, 0.702),
    _cosyn("pannuke", "real + CoSyn", 37.35, 3.77, 1.44, 0.824, 0.662, 0.806, 0.736),
    _cosyn("endonuke", "real", None, None, None, 0.878, 0.594, 0.815, 0.891),
    _cosyn("endonuke", "real + augmentation", None, None, None, 0.889, 0.602, 0.820, 0.905),
    _cosyn("endonuke", "real + NuDiff", None, None, 931.21, None, None, None, None),
    _cosyn("endonuke", "real + Semantic Palette", 90.0, 1.40, 1.88, None, None, None, None),
    _cosyn("endonuke", "real + Park et al. (GCDP)", 52.99, 1.88, 110.0, None, None, None, None),
    _cosyn("endonuke", "real + SDM", 105.17, 2.27, None, 0.900, 0.642, 0.848, 0.909),
    _cosyn("endonuke", "real + CoSyn", 69.94, 2.17, 29.57, 0.899, 0.645, 0.844, 0.926),
    _daff_gan("real", HOVERNET, 0.8381, 0.5245, 0.6440, 0.7614, 0.4917),
    _daff_gan("real + pix2pixHD", HOVERNET, 0.8388, 0.5286, 0.6454, 0.7640, 0.4944),
    _daff_gan("real + DAFF-GAN", HOVERNET, 0.8411, 0.5325, 0.6577, 0.7683, 0.5067),
    _daff_gan("real", RESNET34, 0.8359, 0.5464, 0.6767, 0.7705, 0.5225),
    _daff_gan("real + pix2pixHD", RESNET34, 0.8365, 0.5494, 0.6800, 0.7727, 0.5267),
    _daff_gan("real + DAFF-GAN", RESNET34, 0.8381, 0.5577, 0.6946, 0.7742, 0.5388),
    _nudiff("monuseg", "real", 0.1, 0.7969, 0.6344),
    _nudiff("monuseg", "real + NuDiff", 0.1, 0.8291, 0.6785),
    _nudiff("monuseg", "real", 1.0, 0.8206, 0.6652),
    _nudiff("monuseg", "real + NuDiff", 1.0, 0.8336, None),
    _nudiff("kumar", "real + NuDiff", 0.1, 0.8049, 0.6161),
    _nudiff("kumar", "real", 1.0, 0.8150, 0.6183),
)
