"""The game's own promises: who learns in which step, from which losses, at which rate; and that it is won or lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from drawn import drawn_sample
from made_runs import record_of
from nucleosynth.errors import UserError
from nucleosynth.run import Budget, Run
from nucleosynth.stages.game import Game, GameSettings, Judgement
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.training.loop import train


class Line(Game[nn.Linear, Tensor, Tensor]):
    """Numbers from noise; a second critic sees their squares."""

    def __init__(self, maps: Any = None, **training: Any) -> None:
        torch.manual_seed(1)
        frozen = nn.Linear(4, 1).requires_grad_(False)
        critics = {
            "plain": nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
            "square": nn.Sequential(nn.Linear(1, 4), frozen),
        }
        super().__init__("line", nn.Linear(1, 1), critics, GameSettings(**training), maps)

    def received(self, fabric: Fabric, batch: Tensor, moment: Moment) -> Tensor:
        return batch

    def fake(self, batch: Tensor) -> Tensor:
        return self.wrapped_generator(torch.randn(len(batch), 1))  # type: ignore[no-any-return]

    def critic_losses(self, batch: Tensor, fake: Tensor) -> Judgement:
        fake = fake.detach()
        losses, right = {}, {}
        for name, power in (("plain", 1), ("square", 2)):
            real, false = ([self.wrapped_critics[name](x**power)] for x in (batch, fake))
            losses[f"critic_{name}"] = self.training.objective.critic(real, false)
            right[name] = self.training.objective.told_apart(real, false)
        return Judgement(losses, right)

    def generator_losses(self, batch: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        return {"plain": self.training.objective.generator([self.critics["plain"](fake)])}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def copied(module: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def same(before: list[Tensor], module: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_everything_that_changes_is_named() -> None:
    game = Line()
    assert set(game.modules) == {"generator", "average", "watch", "plain", "square"}
    assert set(game.optimisers) == {"generator", "plain", "square"}
    learning = [id(p) for part in game.optimisers.values() for group in part.param_groups for p in group["params"]]
    networks = (game.generator, *game.critics.values())
    assert sorted(learning) == sorted(id(p) for each in networks for p in each.parameters() if p.requires_grad)


@pytest.mark.parametrize("side", ["generator", "critics"])
def test_each_side_learns_from_its_own_losses_alone(side: str, fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of one side's gradients when the other steps: with its losses at 0, it stays as it was."""
    game = Line(ema=0.0)
    game.setup(fabric)
    generator, critics = copied(game.generator), {key: copied(critic) for key, critic in game.critics.items()}
    losses, judge = game.generator_losses, game.critic_losses
    if side == "generator":
        monkeypatch.setattr(game, "generator_losses", lambda *both: {"none": 0 * losses(*both)["plain"]})
    else:
        monkeypatch.setattr(
            game,
            "critic_losses",
            lambda *both: Judgement({k: 0 * v for k, v in judge(*both).losses.items()}, {"plain": torch.tensor(0.5)}),
        )
    game.step(fabric, torch.randn(8, 1) + 3, Moment())
    assert same(generator, game.generator) == (side == "generator")
    assert [same(critics[key], critic) for key, critic in game.critics.items()] == [side == "critics"] * 2
    for network in (game.generator, *game.critics.values()):
        assert all(weight.grad is None for weight in network.parameters())
    assert same(copied(game.averaged_net), game.generator)  # ema 0: the average is the network


def test_two_rates_that_fall_together(fabric: Fabric) -> None:
    game = Line(generator_rate=1e-3, critic_rate=4e-3, decay=0.5)
    game.setup(fabric)
    game.step(fabric, torch.randn(4, 1), Moment(10, 0.0, 0.75))
    rates = {key: part.param_groups[0]["lr"] for key, part in game.optimisers.items()}
    assert rates == pytest.approx({"generator": 0.5e-3, "plain": 2e-3, "square": 2e-3})


def test_what_is_logged(fabric: Fabric) -> None:
    game = Line()
    game.setup(fabric)
    found = game.step(fabric, torch.randn(4, 1), Moment())
    means = {"plain_mean", "square_mean", "critic_mean"}
    assert set(found) == {"plain", "critic_plain", "critic_square", "critic_won"} | means
    assert all(0 <= float(found[key]) <= 1 for key in means)
    assert float(found["critic_mean"]) == max(float(found["plain_mean"]), float(found["square_mean"]))


def test_the_log_says_that_one_critic_has_won(
    fabric: Fabric, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its share is 1, the other's 0: their mean would say that all is well."""
    game = Line()
    judge = game.critic_losses

    def won(*both: Tensor) -> Judgement:
        return Judgement(judge(*both).losses, {"plain": torch.tensor(0.0), "square": torch.tensor(1.0)})

    monkeypatch.setattr(game, "critic_losses", won)
    run = Run.create(tmp_path / "run", record_of("method", GameSettings(), [drawn_sample()]))
    train(game, lambda _step: torch.randn(4, 1), budget=Budget(steps=175), run=run, fabric=fabric)
    log = run.read_log("line")
    assert [line["critic_won"] for line in log] == [0] * 4 + [1] * 3  # 1 - .98^n / 2 is above .95 from n = 114
    assert log[-1]["square_mean"] == pytest.approx(1 - 0.98**175 / 2, rel=1e-4)
    assert log[-1]["plain_mean"] < 0.02
    assert "line: the discriminator has won (square)" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["least_squares", "vanilla", "hinge"])
def test_a_generator_finds_what_is_real(loss: str, fabric: Fabric) -> None:
    """Real numbers are N(3, 1), made ones begin around 0."""
    game = Line(loss=loss, generator_rate=0.02, critic_rate=0.02, decay=0.5, ema=0.9)
    game.setup(fabric)
    for step in range(400):
        torch.manual_seed(step)
        game.step(fabric, torch.randn(64, 1) + 3, Moment(step, 0.0, step / 400))
    made = game.averaged_net(torch.randn(4000, 1))
    assert made.mean().item() == pytest.approx(3, abs=0.5)


def test_a_resumed_game_equals_an_uninterrupted_one(fabric: Fabric, tmp_path: Path) -> None:
    def played(game: Line, steps: range) -> Line:
        for step in steps:
            torch.manual_seed(step)
            game.step(fabric, torch.randn(8, 1) + 3, Moment(step, 0.0, step / 10))
        return game

    whole, half, rest = Line(), Line(), Line()
    for game in (whole, half):
        game.setup(fabric)
    played(whole, range(6))
    played(half, range(3))
    path = tmp_path / "line.safetensors"
    checkpoint.save(path, "line", half.modules, half.optimisers, Moment(3, 0.0, 0.3))
    rest.setup(fabric)
    checkpoint.load(path, "line", rest.modules, rest.optimisers)
    played(rest, range(3, 6))
    for name, module in whole.modules.items():
        for key, value in module.state_dict().items():
            torch.testing.assert_close(rest.modules[name].state_dict()[key], value, rtol=0, atol=0, msg=f"{name} {key}")


def test_a_network_of_features_is_loaded_when_training_begins_and_it_is_asked_for(fabric: Fabric) -> None:
    calls, network = [], nn.Linear(1, 1)

    def load() -> nn.Module:
        calls.append(1)
        return network

    unasked, asked = Line(load, perceptual=0.0), Line(load, perceptual=1.0)
    assert calls == []
    unasked.setup(fabric)
    assert (calls, unasked.maps) == ([], None)
    asked.setup(fabric)
    assert calls == [1]
    assert asked.maps is network


def test_the_generator_of_a_run_is_its_average(fabric: Fabric, tmp_path: Path) -> None:
    game = Line()
    nn.init.constant_(game.averaged_net.weight, 7)
    run = Run.create(tmp_path / "run", record_of("method", GameSettings(), [drawn_sample()]))
    checkpoint.save(run.checkpoint("line"), "method/line", game.modules, game.optimisers, Moment())
    assert Line().trained(run, "method", fabric).weight.item() == 7
    with pytest.raises(UserError, match="another method"):
        Line().trained(run, "other", fabric)
