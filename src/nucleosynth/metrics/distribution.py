"""How far two populations of images lie apart: Frechet distance (FID, FSD) and kernel distance (KID) from features.

A feature array is (images, d): what an encoder says of each image, or the share of its pixels in each class. Which
encoder it was names the number: "FID" is Inception-v3 with the weights of torch-fidelity, anything else
"FD-<encoder>". Below some 5000 images the Frechet distance is biased upwards; the kernel distance is not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import overlap

Floats = NDArray[np.float64]


def frechet(mean1: NDArray[Any], cov1: NDArray[Any], mean2: NDArray[Any], cov2: NDArray[Any]) -> float:
    """|mean1 - mean2|^2 + Tr(cov1 + cov2 - 2 (cov1 cov2)^1/2): the squared distance of two Gaussians, at least 0.

    mean (d,), cov (d d) symmetric, positive semi-definite; singular ones are exact as well, as the trace of the root
    is taken from the eigenvalues of cov1^1/2 cov2 cov1^1/2, which are those of cov1 cov2 and cannot be complex.
    Source: Dowson and Landau, J. Multivariate Analysis 1982; Heusel et al., NeurIPS 2017.

    Raises:
        UserError: shapes that do not fit, or a value that is not finite.
    """
    size = len(mean1)
    for name, array, shape in (
        ("mean1", mean1, (size,)),
        ("cov1", cov1, (size, size)),
        ("mean2", mean2, (size,)),
        ("cov2", cov2, (size, size)),
    ):
        if array.shape != shape or not np.isfinite(array).all():
            got = str(array.shape) if array.shape != shape else "a value that is not finite"
            raise UserError("not the moments of a Gaussian", expected=f"finite numbers {shape}", got=got, where=name)
    values, vectors = np.linalg.eigh(cov1)
    root = vectors * np.sqrt(values.clip(0))
    cross = np.sqrt(np.linalg.eigvalsh(root.T @ cov2 @ root).clip(0)).sum()
    return max(float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross), 0.0)


def frechet_distance(real: NDArray[Any], synthetic: NDArray[Any]) -> float:
    """`frechet` between the Gaussians of two feature arrays (n d), (m d), with unbiased covariances.

    Raises:
        UserError: fewer than two images on a side, numbers of features that differ, or a value that is not finite.
    """
    _check(real, synthetic)
    (mean1, cov1), (mean2, cov2) = _moments(real), _moments(synthetic)
    return frechet(mean1, cov1, mean2, cov2)


def fsd(true_proportions: NDArray[Any], synthetic_proportions: NDArray[Any]) -> float:
    """Frechet distance between per-image class proportions (n K), (m K) in per cent; in per cent squared, at least 0.

    Whether the background is one of the K is the caller's choice at `class_proportions(background=)`, alike on both
    sides, and belongs beside the number: CoSyn's K entries are the channels of its label map, background among them.
    An image without nuclei is an image like any other. Source: Min et al., CoSyn, ECCV 2024.

    Raises:
        UserError: fewer than two images on a side, values outside 0..100, or numbers of classes that differ.
    """
    for name, shares in (("true", true_proportions), ("synthetic", synthetic_proportions)):
        if shares.size and not (shares.min() >= 0 and shares.max() <= 100 * (1 + 1e-9)):
            raise UserError(
                "not proportions", expected="per cent, 0..100", got=f"{shares.min()}..{shares.max()}", where=name
            )
    return frechet_distance(true_proportions, synthetic_proportions)


def class_proportions(
    instances: NDArray[Any], classes: NDArray[Any], number_of_classes: int, *, background: bool
) -> Floats:
    """Per cent of the pixels of a map (h w) in each class; classes (n,) follow the ascending ids that occur.

    With background (C+1,): of all pixels, background first. Without (C,): of the pixels of nuclei of known type.
    Pixels of nuclei of unknown type (class 0) are left out of the whole, so that entries sum to 100. An image without
    nuclei of known type gives 100, 0, 0 ... with background, and zeros without. If no pixel is left, zeros.

    Raises:
        UserError: classes that do not fit the ids, or a class out of range.
    """
    areas = overlap(instances, instances).true_areas
    found = np.asarray(classes, np.int64)
    if len(found) != len(areas) or not 0 <= found.min(initial=0) <= found.max(initial=0) <= number_of_classes:
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"{len(areas)} classes in 0..{number_of_classes}",
            got=f"{len(found)} classes in {found.min(initial=0)}..{found.max(initial=0)}",
        )
    pixels = np.zeros(number_of_classes + 1)
    np.add.at(pixels, found, areas)
    pixels[0] = instances.size - areas.sum()  # the unknown go, the background comes
    kept = pixels if background else pixels[1:]
    return kept * (100 / max(float(kept.sum()), 1.0))


def kid(
    real: NDArray[Any], synthetic: NDArray[Any], *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """`kid`, the unbiased squared MMD of kernel (x y / d + 1)^3, mean over subsets; `kid_spread`, their deviation.

    real (n d), synthetic (m d). Subsets are drawn without replacement, of `subset_size` or as many images as there
    are on the smaller side. About 0, and as often below as above, for two samples of one population.
    Source: Binkowski et al., Demystifying MMD GANs, ICLR 2018.

    Raises:
        UserError: fewer than two images on a side, numbers of features that differ, or a value that is not finite.
    """
    _check(real, synthetic)
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(real), len(synthetic))
    values = [
        _squared_mmd(real[rng.permutation(len(real))[:size]], synthetic[rng.permutation(len(synthetic))[:size]])
        for _ in range(subsets)
    ]
    return {"kid": float(np.mean(values)), "kid_spread": float(np.std(values))}


def _squared_mmd(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The unbiased estimate: no image is compared with itself."""
    n, m = len(x), len(y)
    within_x, within_y, across = _cubic(x, x), _cubic(y, y), _cubic(x, y)
    return float(
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * across.mean()
    )


def _cubic(x: NDArray[Any], y: NDArray[Any]) -> Floats:
    kernel: Floats = (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3
    return kernel


def _moments(features: NDArray[Any]) -> tuple[Floats, Floats]:
    return features.mean(axis=0, dtype=np.float64), np.atleast_2d(np.cov(features, rowvar=False, dtype=np.float64))


def _check(real: NDArray[Any], synthetic: NDArray[Any]) -> None:
    for name, features in (("real", real), ("synthetic", synthetic)):
        if features.ndim != 2 or len(features) < 2 or features.shape[1] != real.shape[1]:
            raise UserError(
                "not enough to compare",
                expected="at least 2 images, with as many features on both sides",
                got=f"{real.shape} and {synthetic.shape}",
                where=name,
                mend="give more images, described by one encoder",
            )
        if not np.isfinite(features).all():
            raise UserError("features are not finite", expected="finite numbers", got="NaN or infinity", where=name)
