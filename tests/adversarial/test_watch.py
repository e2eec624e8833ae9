"""Who has won: said by name at the training's pictures, logged at every step, and kept through a resume."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from nucleosynth.adversarial.watch import Watch
from nucleosynth.training.checkpoint import Moment

STEPS = 40


def seen(watch: Watch, rights: Mapping[str, float], steps: range = range(STEPS)) -> dict[str, Tensor]:
    """What is logged at the last of some steps that all tell these shares apart."""
    found: dict[str, Tensor] = {}
    for step in steps:
        found = watch.see({key: torch.tensor(x) for key, x in rights.items()}, Moment(step, 0, step / STEPS), "image")
    return found


def test_a_critic_that_wins_is_told_once_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    found = seen(Watch(["critic"], 0.95, memory=0.5), {"critic": 1.0})
    said = capsys.readouterr().err
    assert said.count("image: the discriminator has won (critic): it tells") == 4
    assert "training.critic_rate" in said
    assert found["critic_won"] == 1


def test_a_fair_game_is_no_victory(capsys: pytest.CaptureFixture[str]) -> None:
    found = seen(Watch(["critic"], 0.95, memory=0.5), {"critic": 0.9})
    assert capsys.readouterr().err == ""
    assert {key: value.item() for key, value in found.items()} == pytest.approx({"critic_mean": 0.9, "critic_won": 0})


def test_one_lucky_step_is_no_victory(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(["critic"], 0.95)
    for step, right in enumerate((0.6, 0.6, 1.0)):
        found = watch.see({"critic": torch.tensor(right)}, Moment(step, 0.0, step / 4), "image")
    assert capsys.readouterr().err == ""
    assert found["critic_won"] == 0


def test_of_two_critics_the_one_that_has_won_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Their mean, .8, would have hidden it; a critic that is not judged is left out."""
    watch = Watch(["first", "second", "reader"], 0.95, memory=0.5)
    found = seen(watch, {"first": 0.6, "second": 1.0})
    said = capsys.readouterr().err
    assert said.count("has won (second)") == 4
    assert "(first)" not in said
    wanted = {"first_mean": 0.6, "second_mean": 1.0, "critic_mean": 1.0, "critic_won": 1.0}
    assert {key: value.item() for key, value in found.items()} == pytest.approx(wanted)


def test_what_was_logged_does_not_move_with_the_mean() -> None:
    watch = Watch(["critic"], 0.95, memory=0.5)
    first = seen(watch, {"critic": 1.0}, range(1))
    seen(watch, {"critic": 1.0})
    assert first["critic_mean"] == 0.75


def test_a_resumed_watch_says_and_logs_what_an_uninterrupted_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped after the last step before a picture."""
    whole, half, rest = (Watch(["critic"], 0.95, memory=0.85) for _ in range(3))
    wanted = seen(whole, {"critic": 1.0}, range(21))
    said = capsys.readouterr().err
    assert said.count("has won") == 1
    seen(half, {"critic": 1.0}, range(20))
    rest.load_state_dict(half.state_dict())
    assert capsys.readouterr().err == ""
    assert seen(rest, {"critic": 1.0}, range(20, 21)) == wanted
    assert capsys.readouterr().err == said
