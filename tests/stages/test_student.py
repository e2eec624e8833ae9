"""Students of few steps: what they are told to say is what takes them where their teacher goes."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import CodedTiles, colours_of
from nucleosynth.data.reader import read
from nucleosynth.diffusion.prediction import State
from nucleosynth.encoders.words import Words
from nucleosynth.methods.jointflow import batch_of
from nucleosynth.nets.blocks import matrices
from nucleosynth.nets.text import TextShape
from nucleosynth.nets.unet import UNetSettings
from nucleosynth.sample import Sample
from nucleosynth.stages import student
from nucleosynth.stages.flow_sampling import SamplingSettings
from nucleosynth.stages.joint import FlowBatch, FlowTraining, JointSizes, build
from nucleosynth.stages.student import StudentSettings, StudentStage, Teacher, headed_for
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

NETWORK = UNetSettings(widths=(16, 32), blocks=(1, 1), attention=(False, True), embedding=32)
SAMPLING = SamplingSettings(steps=4, guided_steps=2, lead=0)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=2&size=64&sources=1"))


@pytest.fixture(scope="module")
def coded(tiles: list[Sample]) -> CodedTiles:
    return CodedTiles(tiles, LabelCoding((1, 2, 3, 4)), 32, 1.5)


def stage_of(coded: CodedTiles, tiles: list[Sample], **settings: Any) -> StudentStage:
    sizes = JointSizes.of(coded.coding, 0, TextShape(64, 64, Words().module()))
    torch.manual_seed(0)
    net = build(NETWORK, sizes).eval()
    for weight in matrices(net):
        torch.nn.init.normal_(weight, std=0.05)

    def crops(number: int) -> FlowBatch:
        return batch_of(coded, Words(), 4, 5, number)

    teacher = Teacher(net, SAMPLING, FlowTraining(batch=4), colours_of(tiles))
    chosen = StudentSettings(batch=4, finest=4, every=2, keep=3, **settings)
    return StudentStage("student", NETWORK, chosen, sizes, teacher, crops, 5)


def moved(state: State, x0: State, t: Tensor, ends: Tensor) -> State:
    """An Euler step of each group, written out."""
    found = {}
    for index, name in enumerate(state):
        rows = []
        for x, point, start, end in zip(state[name], x0[name], t[:, index], ends[:, index], strict=True):
            rows.append(x if start == end else x + (end - start) / (1 - start) * (point - x))
        found[name] = torch.stack(rows)
    return found


def test_what_a_step_heads_for_takes_it_there() -> None:
    here, there = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    t, ends = torch.tensor([0.0, 0.3, 1.0]), torch.tensor([0.6, 1.0, 1.0])
    point = headed_for(here, there, t, ends)
    for k in (0, 1):
        step = (ends[k] - t[k]) / (1 - t[k])
        torch.testing.assert_close(here[k] + step * (point[k] - here[k]), there[k], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(point[2], here[2])


def test_a_trajectory_is_the_same_whenever_it_is_asked_for(
    coded: CodedTiles, tiles: list[Sample], fabric: Fabric
) -> None:
    stage = stage_of(coded, tiles)
    first = stage._followed(fabric, 3)
    torch.manual_seed(99)
    again = stage._followed(fabric, 3)
    for one, other in zip(first.states, again.states, strict=True):
        for name in one:
            assert torch.equal(one[name], other[name])
    assert not torch.equal(stage._followed(fabric, 4).states[0]["image"], first.states[0]["image"])


def test_lessons_of_a_trajectory_lead_along_it(coded: CodedTiles, tiles: list[Sample], fabric: Fabric) -> None:
    stage = stage_of(coded, tiles, directions=(1, 0, 0, 0))
    torch.manual_seed(1)
    lesson = stage._trajectory(fabric, None, Moment(0))  # type: ignore[arg-type]
    path = stage._kept[0]
    ends = moved(lesson.state, lesson.target, lesson.t, lesson.ends)
    steps = set()
    for row, (start, end) in enumerate(zip(lesson.t[:, 0], lesson.ends[:, 0], strict=True)):
        i, j = (int((path.times[:, 0] - clock).abs().argmin()) for clock in (start, end))
        steps.add(j - i)
        assert j > i
        for name in ends:
            torch.testing.assert_close(ends[name][row], path.states[j][name][row].float(), atol=2e-2, rtol=1e-2)
    assert steps <= {1, 2, 4}


def test_only_the_last_trajectories_are_kept(coded: CodedTiles, tiles: list[Sample], fabric: Fabric) -> None:
    stage = stage_of(coded, tiles, objective="trajectory")
    stage.setup(fabric)
    for step in (0, 1, 7):
        torch.manual_seed(step)
        stage.step(fabric, None, Moment(step))  # type: ignore[arg-type]
    assert list(stage._kept) == [1, 2, 3]


def constant(monkeypatch: pytest.MonkeyPatch, stage: StudentStage, value: float) -> None:
    """Let teacher and student expect the same clean state everywhere."""

    def say(_self: Any, state: State, *_: Any) -> State:
        return {name: torch.full_like(part, value) + 0 * part for name, part in state.items()}

    for net in (stage.net, stage.teacher.net, stage.averaged_net):
        monkeypatch.setattr(type(net), "forward", say)


@pytest.mark.parametrize("objective", ["progressive", "meanflow"])
def test_where_the_flow_is_straight_every_step_heads_for_its_end(
    coded: CodedTiles, tiles: list[Sample], fabric: Fabric, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(coded, tiles, directions=(1, 0, 0, 0))
    constant(monkeypatch, stage, 0.4)
    for step in range(6):
        torch.manual_seed(step)
        lesson = getattr(stage, f"_{objective}")(fabric, stage._crops(step), Moment(step, 0, step / 6))
        for part in lesson.target.values():
            np.testing.assert_allclose(part.numpy(), 0.4, atol=1e-3)


def test_meanflow_s_derivative_is_that_of_small_differences(
    coded: CodedTiles, tiles: list[Sample], fabric: Fabric
) -> None:
    """Over no step the target is the teacher's point; over a long one it differs from that by the derivative."""
    whole = stage_of(coded, tiles, directions=(1, 0, 0, 0))
    torch.manual_seed(3)
    lesson = whole._meanflow(fabric, whole._crops(0), Moment())
    with torch.no_grad():
        point = whole.teacher.net(lesson.state, lesson.t, lesson.given)
    still = lesson.ends[:, 0] == lesson.t[:, 0]
    epsilon = 1e-3
    with torch.no_grad():
        features = whole.net.encode(lesson.given)

        def average(state: State, t: Tensor) -> Tensor:
            said = whole.net(state, t, features, lesson.ends)["image"]
            return (said - state["image"]) / (1 - t[:, :1, None, None])

        left = {name: (1 - lesson.t[:, i]).view(-1, 1, 1, 1) for i, name in enumerate(point)}
        ahead, behind = (
            average({n: x + e * (point[n] - x) / left[n] for n, x in lesson.state.items()}, lesson.t + e)
            for e in (epsilon, -epsilon)
        )
        change = (ahead - behind) / (2 * epsilon)
    span = (lesson.ends - lesson.t)[:, 0].view(-1, 1, 1, 1)
    expected = point["image"] + (left["image"] * span * change).clamp(-4, 4)
    early = lesson.t[:, 0] < 0.9
    torch.testing.assert_close(lesson.target["image"][early], expected[early], atol=5e-2, rtol=5e-2)
    torch.testing.assert_close(lesson.target["image"][still], point["image"][still])


@pytest.mark.parametrize("objective", ["trajectory", "progressive", "meanflow"])
@pytest.mark.parametrize("direction", range(4))
def test_every_direction_is_taught(
    coded: CodedTiles, tiles: list[Sample], fabric: Fabric, objective: str, direction: int
) -> None:
    """A side that is given whole carries no loss; what moves is learned."""
    shares = tuple(float(index == direction) for index in range(4))
    stage = stage_of(coded, tiles, directions=shares, objective=objective)
    stage.setup(fabric)
    torch.manual_seed(0)
    losses = stage.step(fabric, stage._crops(0), Moment())
    carries = {"pair": (True, True), "image": (True, False), "label": (False, True), "inpaint": (True, True)}
    found = tuple(bool(losses[name] > 0) for name in ("image", "label"))
    assert found == carries[student.DIRECTIONS[direction]]


@pytest.mark.parametrize("objective", ["progressive", "trajectory"])
def test_a_side_that_stands_still_is_not_taught(
    coded: CodedTiles, tiles: list[Sample], fabric: Fabric, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the label is whole before the image begins one of the two often waits: its target weighs nothing then."""
    stage = stage_of(coded, tiles, objective=objective, directions=(1, 0, 0, 0))
    stage.teacher = stage.teacher._replace(sampling=SAMPLING.model_copy(update={"lead": 1.0}))
    torch.manual_seed(0)
    lesson = getattr(stage, f"_{objective}")(fabric, stage._crops(0), Moment())
    assert not lesson.taught.all()
    assert torch.equal(lesson.taught, lesson.ends > lesson.t)
    monkeypatch.setattr(stage, "descend", lambda *_: None)
    stage.wrapped, losses = stage.net, []
    for wrong in (0.0, 100.0):
        off = {
            name: part + wrong * (~lesson.taught[:, index]).view(-1, 1, 1, 1)
            for index, (name, part) in enumerate(lesson.target.items())
        }
        monkeypatch.setattr(stage, f"_{objective}", lambda *_, off=off: lesson._replace(target=off))
        losses.append(stage.step(fabric, None, Moment()))  # type: ignore[arg-type]
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name])
