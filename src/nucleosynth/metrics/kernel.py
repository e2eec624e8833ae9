"""Kernel distance (KID): unbiased at any number of images, so what to read where the Frechet distance is biased."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.features import check

Floats = NDArray[np.float64]


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
    check(real, synthetic)
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(real), len(synthetic))
    if size == len(real) == len(synthetic):
        subsets = 1  # every subset is everything
    values = [
        squared_mmd(real[rng.permutation(len(real))[:size]], synthetic[rng.permutation(len(synthetic))[:size]])
        for _ in range(subsets)
    ]
    return {"kid": float(np.mean(values)), "kid_spread": float(np.std(values))}


def squared_mmd(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The unbiased squared MMD of kernel (x y / d + 1)^3 between all of x (n d) and y (m d), two images or more each.

    No image is compared with itself. Source: Gretton et al., A kernel two-sample test, JMLR 2012, eq. 3.
    """
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
