"""Contrast: by hand, with captions that repeat; a step learns; colours change, shapes do not."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from nucleosynth.stages.contrast import ContrastSettings, ContrastStage, Pairs, contrast, recoloured, similarity
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for


def test_similarity_is_the_scaled_cosine() -> None:
    found = similarity(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0], [-6.0, -8.0]]), torch.tensor(5.0))
    assert_close(found, torch.tensor([[4.0, -5.0]]))


def test_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    rows = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))
    columns = math.log(1 + math.exp(-1)) + math.log(2)
    found = contrast(logits, torch.eye(2, dtype=torch.bool))
    assert_close(found, torch.tensor((rows / 2 + columns / 2) / 2))


def test_equal_captions_are_right_in_equal_parts() -> None:
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    assert_close(contrast(torch.zeros(3, 3), same), torch.tensor(math.log(3)))
    sharp = 50.0 * same.float()
    assert_close(contrast(sharp, same), torch.tensor(2 / 3 * math.log(2)))
    assert contrast(sharp, torch.eye(3, dtype=torch.bool)) > 2 / 3 * math.log(2) - 1e-6


def test_colours_vary_channel_by_channel_within_the_range() -> None:
    torch.manual_seed(0)
    image = torch.linspace(-0.5, 0.5, 64).view(1, 1, 8, 8).expand(2, 3, 8, 8)
    found = recoloured(image, 0.1)
    assert found.shape == image.shape
    gains = (found[..., -1, -1] - found[..., 0, 0]).flatten()
    assert len(gains.unique()) == 6
    assert_close(gains, torch.ones(6), atol=0.4, rtol=0)
    assert recoloured(torch.ones(4, 3, 2, 2), 0.5).abs().max() <= 1
    assert torch.equal(recoloured(image, 0.0), image)


class Towers(nn.Module):
    """The mean colour of an image, and a row for each first word."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(3, 4), nn.Embedding(9, 4)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.image(images.mean(dim=(2, 3))), self.text(ids[:, 0]), torch.tensor(10.0)


def test_steps_bring_images_and_their_captions_together() -> None:
    torch.manual_seed(0)
    settings = ContrastSettings(batch=4, optimiser="adamw", learning_rate=0.05, warmup=0, decay=0, colour=0.02)
    stage, fabric = ContrastStage("clip", Towers(), settings, nn.Identity()), fabric_for("cpu", "32-true")
    stage.setup(fabric)
    colours = torch.tensor([[0.8, 0, 0], [0, 0.8, 0], [0, 0, 0.8], [0.8, 0, 0]])
    batch = Pairs(
        colours[:, :, None, None].expand(4, 3, 8, 8), torch.tensor([[1], [2], [3], [1]]), torch.tensor([0, 1, 2, 0])
    )
    logged = [stage.step(fabric, batch, Moment(step)) for step in range(60)]
    assert set(logged[0]) == {"contrast", "right"}
    assert logged[-1]["right"] == 1
    assert logged[-1]["contrast"] < logged[0]["contrast"]
    assert float(logged[-1]["contrast"].detach()) == pytest.approx(math.log(2) / 2, abs=0.1)
