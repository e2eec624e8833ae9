"""What the numbers of a mask mean, by hand."""

import numpy as np
import pytest
import torch

from nucleosynth.stages.points_to_mask import errors, shown

RAW = torch.tensor([0.0, float(np.log(3.0)), 0.5]).view(1, 3, 1, 1)


def test_shares_sum_to_1_and_the_distance_is_bounded() -> None:
    mask = shown(RAW)
    torch.testing.assert_close(mask.flatten(), torch.tensor([0.25, 0.75, np.tanh(0.5)], dtype=torch.float32))
    torch.testing.assert_close(shown(torch.randn(2, 5, 3, 3))[:, :-1].sum(1), torch.ones(2, 3, 3))


def test_errors_by_hand() -> None:
    found = errors(RAW, torch.tensor([0.5, 0.5, -1.0]).view(1, 3, 1, 1), weight=2.0)
    assert float(found["label"]) == pytest.approx(-(np.log(0.25) + np.log(0.75)))
    assert float(found["distance"]) == pytest.approx(2 * (np.tanh(0.5) + 1))
    assert errors(RAW, RAW, weight=0.0) == {}
