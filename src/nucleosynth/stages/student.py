"""A student of few steps, taught by a trained flow: from a clock to a later one in one evaluation.

The student is the teacher's network with the clocks of a step's end beside those of its start (nets.joint). What it
should say at x_t of a step to r is the point that the step heads for: (x_r - kept x_t) / (1 - kept) with
kept = (1 - r) / (1 - t). Where x_r comes from is the objective:

    trajectory    the teacher's own path, with all its guidance, of which a batch is kept for several steps (Luhman and
                  Luhman, 2021; consistency trajectories, Kim et al., ICLR 2024, with the whole path as the solver)
    progressive   two halves of the step: the teacher's for the shortest steps, else those of the student's own average
                  (Salimans and Ho, ICLR 2022, all halvings in one network as in Frans et al., ICLR 2025)
    meanflow      the teacher's velocity and the student's own derivative along it (Geng et al., MeanFlow, 2025)
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, NamedTuple, Self

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nucleosynth.data.crops import Colours
from nucleosynth.diffusion.flow import noised, velocity_weight
from nucleosynth.diffusion.losses import weighted_error
from nucleosynth.diffusion.prediction import Denoise, State
from nucleosynth.nets.conditioning import Given
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import UNetSettings
from nucleosynth.seeds import seed_of
from nucleosynth.stages.flow_sampling import SamplingSettings, denoiser, follow, for_labels
from nucleosynth.stages.joint import GROUPS, Drawn, FlowBatch, FlowTraining, JointSizes, build, draw, kept
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment

DIRECTIONS = ("pair", "image", "label", "inpaint")
TRAJECTORY_KEY = 77
"""Beside (seed, number), for the noise of a trajectory."""


class StudentSettings(TrainingSettings):
    """How a student is trained and asked."""

    steps: int = Field(4, ge=1)
    """Evaluations to make a tile with; a power of 2, as each jump is taught as a whole."""
    objective: Literal["trajectory", "progressive", "meanflow"] = "progressive"
    """What it is taught by."""
    directions: tuple[float, ...] = (0.55, 0.2, 0.15, 0.1)
    """Shares of what is taught: pairs, images for labels, labels for images, and tiles known in part."""
    finest: int = Field(16, ge=1)
    """Steps of the finest ladder; a power of 2. The others have half, a quarter ... of them."""
    every: int = Field(4, ge=1)
    """Steps after which a new batch of trajectories is made."""
    keep: int = Field(8, ge=1)
    """Batches of trajectories that are kept to learn from."""
    batch: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    warmup: int = Field(20, ge=0)
    ema: float = Field(0.99, ge=0, lt=1)

    @model_validator(mode="after")
    def _on_the_ladder(self) -> Self:
        """Jumps are taught from rung to rung."""
        for name, number in (("steps", self.steps), ("finest", self.finest)):
            if number & (number - 1):
                raise ValueError(f"a power of 2 for student.{name} (it is {number})")
        if self.steps > self.finest:
            raise ValueError(f"student.steps of at most student.finest, {self.finest} (it is {self.steps})")
        return self


class Lesson(NamedTuple):
    """States at their clocks, the clocks (b g) of the step's end, and what should be said there; known: Given.known."""

    state: State
    t: Tensor
    ends: Tensor
    target: State
    given: Given
    taught: Tensor
    """(b g), which sides have a target: those that move."""


class Teacher(NamedTuple):
    """The trained flow: its network, how it samples, how it was trained, the colours of its tiles."""

    net: JointNet
    sampling: SamplingSettings
    training: FlowTraining
    colours: Colours


class Trajectory(NamedTuple):
    """A path of the teacher's: states at each clock (n + 1), the sides that stand still, and what was told."""

    states: list[State]
    times: Tensor
    given: Given


class StudentStage(AveragedStage[JointNet]):
    """The student in training; it starts as its teacher.

    crops: number -> a batch of training crops, a pure function; seed: of the run.
    """

    def __init__(
        self,
        name: str,
        network: UNetSettings,
        settings: StudentSettings,
        sizes: JointSizes,
        teacher: Teacher,
        crops: Callable[[int], FlowBatch],
        seed: int,
    ) -> None:
        self.settings, self.teacher, self._crops, self._seed = settings, teacher, crops, seed
        net = build(network, sizes, ends=True)
        left = net.load_state_dict(teacher.net.state_dict(), strict=False)
        assert not left.unexpected_keys, "a student has all that its teacher has"
        assert all(key.startswith("ends.") for key in left.missing_keys), "and hears where steps end"
        super().__init__(name, net, net.hidden(), settings)
        self._kept: OrderedDict[int, Trajectory] = OrderedDict()

    def step(self, fabric: Fabric, batch: FlowBatch, moment: Moment) -> dict[str, Tensor]:
        """One lesson."""
        lesson = getattr(self, f"_{self.settings.objective}")(fabric, batch, moment)
        said = self.wrapped(lesson.state, lesson.t, lesson.given, lesson.ends)
        known = lesson.given.known.chunk(len(GROUPS), dim=1)
        weights = dict(zip(said, velocity_weight(lesson.t).unbind(1), strict=True))
        for index, name in enumerate(said):
            weights[name] = torch.where(lesson.taught[:, index], weights[name].clamp(min=1.0), 0.0)
        losses = weighted_error(said, lesson.target, weights, {n: 1 - k for n, k in zip(said, known, strict=True)})
        self.descend(fabric, losses["image"] + self.teacher.training.label_weight * losses["label"], moment)
        return losses

    def _trajectory(self, fabric: Fabric, batch: FlowBatch, moment: Moment) -> Lesson:
        """A step between any two clocks of a kept path, mostly one of the ladder's."""
        newest = moment.step // self.settings.every
        numbers = range(max(newest - self.settings.keep + 1, 0), newest + 1)
        for number in numbers:
            if number not in self._kept:
                self._kept[number] = self._followed(fabric, number)
        while len(self._kept) > self.settings.keep:
            self._kept.popitem(last=False)
        path = self._kept[int(numbers[int(torch.randint(len(numbers), ()))])]
        count = len(path.times) - 1
        size = len(path.given.maps)
        stride = 2 ** torch.randint(count.bit_length(), (size,))
        start = (torch.rand(size) * (count // stride)).long() * stride
        t, ends = path.times[start].to(fabric.device), path.times[start + stride].to(fabric.device)
        state, target = {}, {}
        for index, name in enumerate(path.states[0]):
            here, there = (
                torch.stack([path.states[place][name][row] for row, place in enumerate(places.tolist())])
                for places in (start, start + stride)
            )
            here, there = here.to(fabric.device), there.to(fabric.device)
            state[name] = here
            target[name] = headed_for(here, there, t[:, index], ends[:, index])
        return Lesson(state, t, ends, target, path.given, ends > t)

    @torch.no_grad()
    def _followed(self, fabric: Fabric, number: int) -> Trajectory:
        """The teacher's path of that number: the same whenever it is asked for."""
        number = number * fabric.world_size + fabric.global_rank
        with torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []):
            torch.manual_seed(seed_of(self._seed, number, TRAJECTORY_KEY))
            drawn, noise, direction = self._asked(fabric, self._crops(number))
        whole = {"image": {"label"}, "label": {"image"}}.get(direction, set())
        state = kept(drawn, {name: drawn.x0[name] if name in whole else part for name, part in noise.items()})
        states: list[State] = []
        with fabric.autocast():
            features = self.teacher.net.encode(drawn.given)
        sampling = self.teacher.sampling
        end = follow(
            denoiser(self.teacher.net, fabric, features),
            state,
            noise,
            sampling,
            whole,
            direction == "pair",
            lambda state, _: states.append({name: part.cpu() for name, part in state.items()}),
        )
        states.append({name: part.cpu() for name, part in end.items()})
        return Trajectory(states, sampling.times(len(states) - 1, whole), drawn.given)

    def _asked(self, fabric: Fabric, batch: FlowBatch) -> tuple[Drawn, State, str]:
        """A batch of one direction, and its noise."""
        direction = DIRECTIONS[int(torch.multinomial(torch.tensor(self.settings.directions), 1))]
        training = self.teacher.training.model_copy(update={"inpainting": float(direction == "inpaint")})
        drawn = draw(batch, training, self.teacher.colours, fabric.device)
        return drawn, {name: torch.randn_like(part) for name, part in drawn.x0.items()}, direction

    def _teacher(self, fabric: Fabric, given: Given, noise: State, direction: str) -> Denoise:
        """The teacher under a condition, guided where it is when it paints images for labels."""
        with fabric.autocast():
            denoise = denoiser(self.teacher.net, fabric, self.teacher.net.encode(given))
        return for_labels(denoise, noise, self.teacher.sampling) if direction == "image" else denoise

    def _progressive(self, fabric: Fabric, batch: FlowBatch, moment: Moment) -> Lesson:
        """Two halves of a step, of a ladder that grows coarser as training goes."""
        drawn, noise, direction = self._asked(fabric, batch)
        whole = {"image": {"label"}, "label": {"image"}}.get(direction, set())
        levels = self.settings.finest.bit_length()
        reached = min(int(moment.progress * 1.25 * levels), levels - 1)
        level = int(torch.randint(reached + 1, ()))
        count = self.settings.finest >> level
        times = self.teacher.sampling.times(2 * count, whole).to(fabric.device)
        start = 2 * torch.randint(count, (len(drawn.t),)).to(fabric.device)
        t, middle, ends = times[start], times[start + 1], times[start + 2]
        state = kept(drawn, noised(drawn.x0, noise, t))
        with torch.no_grad():
            teacher = self._teacher(fabric, drawn.given, noise, direction)
            own = self.averaged_net.encode(drawn.given)

            def half(state: State, t: Tensor, ends: Tensor) -> State:
                if not level:
                    return _moved(state, teacher(state, t).x0, t, ends)
                with fabric.autocast():
                    return _moved(state, self.averaged_net(state, t, own, ends), t, ends)

            there = half(half(state, t, middle), middle, ends)
        target = {
            name: headed_for(state[name], there[name], t[:, index], ends[:, index]) for index, name in enumerate(state)
        }
        return Lesson(state, t, ends, target, drawn.given, ends > t)

    def _meanflow(self, fabric: Fabric, batch: FlowBatch, moment: Moment) -> Lesson:
        """The teacher's point, moved on by the student's derivative along the teacher's velocity."""
        drawn, noise, direction = self._asked(fabric, batch)
        whole = {"image": {"label"}, "label": {"image"}}.get(direction, set())
        size, device = len(drawn.t), fabric.device
        fine = self.teacher.sampling.times(1024, whole).to(device)
        start = torch.randint(1000, (size,), device=device)
        length = ((1025 - start) * torch.rand(size, device=device)).long() * (torch.rand(size, device=device) < 0.75)
        t, ends = fine[start], fine[start + length]
        state = kept(drawn, noised(drawn.x0, noise, t))
        with torch.no_grad():
            point = self._teacher(fabric, drawn.given, noise, direction)(state, t).x0
            left = {name: (1 - t[:, i]).view(-1, 1, 1, 1) for i, name in enumerate(state)}
            velocity = {
                name: torch.where(left[name] > 0, (point[name] - state[name]) / left[name].clamp(min=1e-3), 0.0)
                for name in state
            }
            features = self.net.encode(drawn.given)

            def average(image: Tensor, label: Tensor, t: Tensor) -> tuple[Tensor, ...]:
                said = self.net({"image": image, "label": label}, t, features, ends)
                sides = zip(said.values(), (image, label), t.unbind(1), strict=True)
                return tuple((x0 - x) / (1 - clock).clamp(min=1e-3).view(-1, 1, 1, 1) for x0, x, clock in sides)

            moving = (t < 1).float()
            at, along = (state["image"], state["label"], t), (velocity["image"], velocity["label"], moving)
            with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # the one that has such derivatives
                warnings.simplefilter("ignore", FutureWarning)  # of torch about itself, the first time
                change = torch.func.jvp(average, at, along)[1]
        target = {}
        for index, name in enumerate(state):
            span = (ends - t)[:, index].view(-1, 1, 1, 1)
            target[name] = point[name] + (left[name] * span * change[index]).clamp(-4, 4)
        return Lesson(state, t, ends, target, drawn.given, t < 1)


def headed_for(here: Tensor, there: Tensor, t: Tensor, ends: Tensor) -> Tensor:
    """The point that a step from x_t to x_r heads for: (x_r - kept x_t) / (1 - kept); x_t where a side stands still."""
    kept_share = ((1 - ends) / (1 - t).clamp(min=1e-6)).view(-1, 1, 1, 1)
    moves = (ends > t).view(-1, 1, 1, 1)
    return torch.where(moves, (there - kept_share * here) / (1 - kept_share).clamp(min=1e-6), here)


def _moved(state: State, x0: State, t: Tensor, ends: Tensor) -> State:
    """One Euler step of each group from its clock to its end."""
    found = {}
    for index, (name, x) in enumerate(state.items()):
        share = ((1 - ends[:, index]) / (1 - t[:, index]).clamp(min=1e-6)).view(-1, 1, 1, 1)
        moves = (ends[:, index] > t[:, index]).view(-1, 1, 1, 1)
        found[name] = torch.where(moves, share * x + (1 - share) * x0[name], x)
    return found
