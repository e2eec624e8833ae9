"""Frechet distance between the Gaussians of two populations of features, and what it tends to with ever more images.

The distance of finite samples is biased upwards: by about c / n, where c depends on both populations (Chong and
Forsyth, CVPR 2020), so that numbers from different n cannot be compared. Below some 5000 images read `fd_infinity`, or
the kernel distance, which has no bias. Which encoder it was names the number: "FID" is Inception-v3 with the weights
of torch-fidelity, anything else "FD-<encoder>".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.features import check
from nucleosynth.seeds import generator_of

Floats = NDArray[np.float64]

LEAST_FOR_INFINITY = 20
"""Images on each side; fewer leave no line to fit."""
POINTS = 15
"""Distances that the line is fitted to, as in the paper."""
SMALLEST_SHARE = 0.5
"""Of the images, at the first point: where 1/n is still the leading term for as many images as features or more."""


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

    No covariance is formed: with cov = R R^T on each side, the trace of the root is the sum of the singular values of
    R1^T R2, a matrix of min(n, d) x min(m, d). So fewer images than features cost little, and features that never vary
    cost no digits. Populations without any spread have the distance of their means. Source: as `frechet` (2017).

    Raises:
        UserError: fewer than two images on a side, numbers of features that differ, or a value that is not finite.
    """
    check(real, synthetic)
    (mean1, root1), (mean2, root2) = _moments(real), _moments(synthetic)
    cross = np.linalg.svd(root1.T @ root2, compute_uv=False).sum()
    return max(float(((mean1 - mean2) ** 2).sum() + (root1**2).sum() + (root2**2).sum() - 2 * cross), 0.0)


def fd_infinity(
    real: NDArray[Any], synthetic: NDArray[Any], *, points: int = POINTS, draws: int = 4, seed: int = 0
) -> float:
    """The Frechet distance at infinitely many images: where the line of distance over 1 / n meets 1 / n = 0.

    `points` shares of the images, evenly spaced from one half to all, are drawn without replacement, `draws` times each
    (all of them once): the same share of both sides, since both are samples. The paper draws from the synthetic side
    alone, against a real side that is taken for the population, and from 5000 images on. Unbiased up to terms of
    1 / n^2, so it lies above the truth where images are fewer than features, by less than the distance itself does. It
    may come out below 0 for two samples of one population. Populations without any spread have the distance of their
    means. Source: Chong and Forsyth, Effectively unbiased FID and Inception score, CVPR 2020.

    Raises:
        UserError: fewer than 20 images on a side, fewer than two points, no draw, numbers of features that differ, or a
            value that is not finite.
    """
    check(real, synthetic, LEAST_FOR_INFINITY)
    if points < 2 or draws < 1:
        raise UserError("no line to fit", expected="2 points or more, 1 draw or more", got=f"{points} and {draws}")
    rng = generator_of(seed)
    shares = np.linspace(SMALLEST_SHARE, 1, points)
    found = [[_at(share, real, synthetic, rng) for _ in range(draws if share < 1 else 1)] for share in shares]
    slope_and_end = np.polyfit(1 / shares - 1, [np.mean(each) for each in found], 1)
    return float(slope_and_end[1] - slope_and_end[0])  # 1 / share = 0 lies at -1


def _at(share: float, real: NDArray[Any], synthetic: NDArray[Any], rng: np.random.Generator) -> float:
    """The distance of a share of the images of both sides."""
    some = [part[rng.permutation(len(part))[: round(share * len(part))]] for part in (real, synthetic)]
    return frechet_distance(some[0], some[1])


def _moments(features: NDArray[Any]) -> tuple[Floats, Floats]:
    """The mean (d,), and R (d, min(n, d)) whose R R^T is the unbiased covariance."""
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    root: Floats = (wide - mean) / np.sqrt(len(wide) - 1)
    if len(root) > root.shape[1]:
        root = np.asarray(np.linalg.qr(root, mode="r"))
    return mean, root.T
