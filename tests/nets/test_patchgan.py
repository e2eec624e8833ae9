"""Critics of patches: what they see, at which sizes, and that spectral norm and instance norm hold."""

import pytest
import torch

from nucleosynth.nets.count import parameters
from nucleosynth.nets.patchgan import MultiScale, PatchGAN, halved, logits


def test_it_has_the_published_number_of_parameters() -> None:
    # ndf 64, 3 layers, 3 + 6 channels, by hand: kernels 4x4; norms have no parameters, normed layers no biases
    first, last = 9 * 64 * 16 + 64, 512 * 16 + 1
    hidden = 16 * (64 * 128 + 128 * 256 + 256 * 512)
    assert parameters(PatchGAN(9)) == first + hidden + last
    assert parameters(MultiScale(9, 3)) == 3 * (first + hidden + last)


def test_a_logit_sees_70_px() -> None:
    critic = PatchGAN(1, width=4, norm="none").double()
    x = torch.zeros(1, 1, 160, 160, dtype=torch.double, requires_grad=True)
    verdict = critic(x)[-1]
    verdict[0, 0, verdict.shape[2] // 2, verdict.shape[3] // 2].backward()
    assert x.grad is not None
    rows = (x.grad[0, 0].abs().sum(1) > 0).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 70


def test_features_of_every_layer_and_logits_of_every_scale() -> None:
    found = MultiScale(5, 2, width=8)(torch.randn(2, 5, 64, 48))
    assert [[part.shape[1] for part in scale] for scale in found] == [[8, 16, 32, 64, 1]] * 2
    assert found[0][0].shape[2:] == (33, 25)
    assert found[1][0].shape[2:] == (17, 13)
    assert all(a is b[-1] for a, b in zip(logits(found), found, strict=True))


def test_scales_halve_by_means_that_leave_borders_alone() -> None:
    torch.testing.assert_close(halved(torch.full((1, 1, 5, 8), 3.0)), torch.full((1, 1, 3, 4), 3.0))
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 2, 2] = 9
    assert halved(x)[0, 0].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_a_verdict_does_not_depend_on_its_neighbours(norm: str) -> None:
    critic, x = MultiScale(3, 2, width=8, norm=norm, spectral=True).eval(), torch.randn(3, 3, 32, 32)  # type: ignore[arg-type]
    alone, together = critic(x[1:2]), critic(x)
    for first, second in zip(logits(alone), logits(together), strict=True):
        torch.testing.assert_close(first, second[1:2], rtol=1e-5, atol=1e-6)


def test_spectral_norm_is_of_the_hidden_layers_and_its_state_is_kept() -> None:
    critic = PatchGAN(3, width=8, spectral=True)
    for _ in range(200):
        critic(torch.randn(1, 3, 32, 32))
    for layer in critic.hidden:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        torch.testing.assert_close(norm, torch.ones(()), rtol=1e-2, atol=0)
    assert torch.linalg.matrix_norm(critic.first.weight.flatten(1), 2) != 1
    assert {"hidden.0.parametrizations.weight.0._u", "hidden.0.parametrizations.weight.0._v"} <= set(
        critic.state_dict()
    )
