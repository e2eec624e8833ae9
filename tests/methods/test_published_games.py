"""The published sizes of every method that is trained in a game: each phase moves what it trains, and nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from encoders.small_clips import folder
from made_runs import record_of
from nucleosynth import catalog, config
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.encoders import vgg
from nucleosynth.methods.daff_gan import IMAGE, MASK, _Windows, coding_of, stages_of
from nucleosynth.methods.facts import Facts
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.game import Game
from nucleosynth.stages.image_to_image import ImageToImageStage
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

SIDE = 64
Made = tuple[Game[Any, Any, Any], Any]
"""A game at a preset, untrained, and a batch."""
PHASES = {"global": 0.0, "local": 0.55, "both": 0.8}
"""A share of the budget in each."""
STEPS = 2
"""Of each phase: what stands behind a factor that begins at 0 has no gradient before the second."""


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=3&size=64&sources=3"))


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights that have seen nothing."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.manual_seed(0)
    torch.save(vgg.VGG19().state_dict(), path)
    return path


def painter(method: str, preset: str, changes: Mapping[str, Any], tiles: list[Sample], place: Path) -> Made:
    """The game of a painter of labels."""
    kind = catalog.load("method", method)
    settings = config.resolve(kind.presets[preset], {"tile": SIDE, **changes}, "test")
    tiles = settings.resampled(tiles)
    facts = kind.facts_of(tiles, settings)
    run = Run.create(place, record_of(method, settings, tiles))
    stage = kind._stage(settings, facts, run, fabric_for("cpu", "32-true"))
    return stage, kind.batch_of(Crops(tiles, SIDE), settings, facts, generator_of(0))


def daff_gan(preset: str, changes: Mapping[str, Any], tiles: list[Sample], stage: str) -> Made:
    """One of its two games."""
    kind = catalog.load("method", "daff_gan")
    settings = config.resolve(kind.presets[preset], {"tile": SIDE, **changes}, "test")
    tiles = settings.resampled(tiles)
    facts = Facts.of(tiles)
    windows = _Windows(Crops(tiles, SIDE), coding_of(settings, facts.slots), settings, 0)
    batch = windows.masks(0) if stage == MASK else windows.images(0)
    return stages_of(settings, facts)[stage == IMAGE], batch


def weights_of(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Those of its layers; biases, which a norm may take away again, and single factors are none."""
    return ((name, weight) for name, weight in net.named_parameters() if weight.ndim > 1)


def learns(phase: str, name: str) -> bool:
    """Whether a phase trains the weight of that name of a generator."""
    coarse = name.startswith("net.coarse.")
    if name.startswith("sketch."):
        return phase == "global"
    return {"global": coarse, "local": not coarse, "both": True}[phase]


def play(game: Game[Any, Any, Any], batch: Any, fabric: Fabric) -> None:
    """Some steps of each phase, with their assertions."""
    game.setup(fabric)
    phased = isinstance(game, ImageToImageStage) and game.settings.network.local_width
    nets = {"generator": game.generator, **game.critics}
    for phase in PHASES if phased else ["both"]:
        before = {key: {name: weight.clone() for name, weight in weights_of(net)} for key, net in nets.items()}
        for step in range(STEPS):
            losses = game.step(fabric, batch, Moment(step, 0.0, PHASES[phase]))
            assert all(loss.isfinite() for loss in losses.values()), (phase, losses)
            assert ("perceptual" in losses) == (game.training.perceptual > 0)
        for key, net in nets.items():
            assert all(weight.isfinite().all() for weight in net.parameters()), (phase, key)
            moved = {name for name, weight in weights_of(net) if not torch.equal(weight, before[key][name])}
            assert moved == {name for name in before[key] if key != "generator" or learns(phase, name)}, (phase, key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "preset", "stage"),
    [
        ("pix2pixhd", "paper", IMAGE),
        ("pix2pixhd", "paper-global", IMAGE),
        ("spade", "paper", IMAGE),
        ("cgpn_gan", "paper", IMAGE),
        ("cgpn_gan", "narrow", IMAGE),
        *(("daff_gan", preset, stage) for preset in ("paper", "paper-global") for stage in (MASK, IMAGE)),
    ],
)
def test_each_phase_of_a_published_game_moves_what_it_trains_and_nothing_else(
    method: str, preset: str, stage: str, tiles: list[Sample], vgg19: Path, fabric: Fabric, tmp_path: Path
) -> None:
    """At 64^2, with random networks in the place of weights that are fetched; windows one by one, but for sentences."""
    torch.manual_seed(0)
    changes: dict[str, Any] = {"training.batch": 1, "training.perceptual_weights": str(vgg19)}
    if method == "cgpn_gan":
        changes |= {"training.batch": 2, "clip": f"open_clip:{folder(tmp_path / 'small')}"}
    if method == "daff_gan":
        made = daff_gan(preset, {f"image.{key}": value for key, value in changes.items()}, tiles, stage)
    else:
        made = painter(method, preset, changes, tiles, tmp_path / "run")
    play(*made, fabric)


@pytest.mark.parametrize(
    ("method", "preset", "channels"),
    [
        ("spade", "paper", ["texture"]),
        ("pix2pixhd", "paper", ["network.noise"]),
        ("pix2pixhd", "paper-global", ["network.noise"]),
        ("daff_gan", "paper", ["mask.network.noise", "image.network.noise"]),
        ("daff_gan", "paper-global", ["mask.network.noise", "image.network.noise"]),
    ],
)
def test_as_published_no_noise_stands_beside_a_label(method: str, preset: str, channels: list[str]) -> None:
    for channel in channels:
        found: Any = catalog.load("method", method).presets[preset]
        for part in channel.split("."):
            found = getattr(found, part)
        assert found == 0, channel
