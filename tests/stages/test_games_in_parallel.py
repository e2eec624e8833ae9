"""Games on several devices: what a step leaves without a gradient does not stop the next, and nothing else changes."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth import config
from nucleosynth.adversarial.losses import gradient_penalty
from nucleosynth.stages.game import Game, GameSettings, Judgement
from nucleosynth.stages.image_to_image import ImageToImageSettings, ImageToImageStage
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for, strategy_for


@pytest.fixture
def parallel() -> Iterator[Fabric]:
    """One process that trains as one of several would."""
    before = dict(os.environ)
    fabric = Fabric(accelerator="cpu", devices=1, strategy=strategy_for(2))
    fabric.launch()
    yield fabric
    torch.distributed.destroy_process_group()
    os.environ.clear()
    os.environ.update(before)


class Twice(Game[nn.Linear, Tensor, Tensor]):
    """Numbers from noise; its critic is asked twice, and by itself for the slope of its slope."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        critic = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        super().__init__("twice", nn.Linear(1, 1), {"critic": critic}, GameSettings())

    def received(self, fabric: Fabric, batch: Tensor, moment: Moment) -> Tensor:
        return batch

    def fake(self, batch: Tensor) -> Tensor:
        return self.wrapped_generator(torch.randn(len(batch), 1))  # type: ignore[no-any-return]

    def critic_losses(self, batch: Tensor, fake: Tensor) -> Judgement:
        real, false = ([self.wrapped_critics["critic"](x)] for x in (batch, fake.detach()))
        objective = self.training.objective
        penalty = gradient_penalty(self.critics["critic"], batch)
        return Judgement(
            {"critic": objective.critic(real, false), "penalty": penalty},
            {"critic": objective.told_apart(real, false)},
        )

    def generator_losses(self, batch: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        again = self.critics["critic"](self.generator(torch.randn(len(batch), 1)))
        return {"patch": self.training.objective.generator([self.critics["critic"](fake), again])}


def phased() -> ImageToImageStage:
    torch.manual_seed(1)
    asked = {
        "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 4, "local_blocks": 1, "noise": 2},
        "critic": {"width": 4, "layers": 1, "scales": 1, "spectral": True},
        "training": {"diversity": 1.0, "difference": 9.0},
    }
    return ImageToImageStage("image", config.resolve(ImageToImageSettings(), asked, "test"), 2, 3)


def played(game: Game[Any, Any, Any], fabric: Fabric, batch: Any) -> dict[str, Tensor]:
    """All weights after two steps in each of pix2pixHD's phases."""
    game.setup(fabric)
    for step, progress in enumerate((0.2, 0.4, 0.52, 0.58, 0.7, 0.9)):
        torch.manual_seed(step)
        game.step(fabric, batch, Moment(step, 0.0, progress))
    return {f"{name}.{key}": x for name, part in game.modules.items() for key, x in part.state_dict().items()}


@pytest.mark.parametrize("name", ["phases", "penalty"])
def test_in_parallel_the_same_is_learned(name: str, parallel: Fabric) -> None:
    """pix2pixHD's three phases each leave other parts of the generator alone."""
    generator = np.random.default_rng(0)
    image, label = (generator.random((2, width, 32, 32), np.float32) for width in (3, 2))
    make, batch = (phased, (image, label)) if name == "phases" else (Twice, torch.ones(4, 1))
    found, wanted = played(make(), parallel, batch), played(make(), fabric_for("cpu", "32-true"), batch)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, msg=lambda said, key=key: f"{key}: {said}")
