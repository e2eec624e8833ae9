"""Every random number comes from named keys: the same keys give the same numbers, whatever was drawn before.

So a training step depends on (seed, step) and a sample on (seed, k) alone, and resuming needs no generator's state.
"""

import numpy as np


def seed_of(*keys: int) -> int:
    """A 63-bit seed from non-negative integer keys, such as (run seed, k); keys in another order give another seed.

    Example:
        >>> seed_of(7, 0) == seed_of(7, 0), seed_of(7, 0) == seed_of(0, 7)
        (True, False)
    """
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator_of(*keys: int) -> np.random.Generator:
    """A NumPy generator from the same kind of keys."""
    return np.random.default_rng(np.random.SeedSequence(keys))
