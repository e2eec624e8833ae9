"""What a run of JointFlow is decided by, its presets, and what it learns of its training tiles beside the weights."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from nucleosynth.conditions.coding import CodingSettings
from nucleosynth.data.crops import CodedTiles, Colours, colours_of
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.unet import UNetSettings
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.flow_sampling import SamplingSettings
from nucleosynth.stages.joint import FlowTraining
from nucleosynth.stages.student import StudentSettings

CROPS = 2048
"""Training crops whose counts and proportions are kept, to make pairs from nothing with."""


class JointFlowSettings(TileSettings):
    """Everything that a run of JointFlow is decided by."""

    splat_px: float = Field(1.5, gt=0)
    """Standard deviation of a point's Gaussian."""
    text: str = "words"
    """The encoder of captions (encoders.text)."""
    coding: CodingSettings = CodingSettings()
    network: UNetSettings = UNetSettings()
    training: FlowTraining = FlowTraining()
    sampling: SamplingSettings = SamplingSettings()
    begin: str = ""
    """The run that training begins from: a folder, or pretrained:NAME ("" = from random weights; `fit --from`)."""
    role: Literal["teacher", "student"] = "teacher"
    """The flow itself, or a student of it, which `nucleosynth distil` trains."""
    student: StudentSettings = StudentSettings()

    @model_validator(mode="after")
    def _can_be_taught(self) -> Self:
        """A student of trajectories learns from the steps of one path, halved again and again."""
        steps, taught = self.sampling.steps, self.role == "student" and self.student.objective == "trajectory"
        if taught and (self.sampling.sampler == "heun" or steps & (steps - 1)):
            raise ValueError(
                "a teacher that takes a power of 2 of steps by euler or multistep, for the objective trajectory "
                f"(it takes {steps} by {self.sampling.sampler})"
            )
        return self

    @property
    def stage(self) -> str:
        """The name of the stage whose network generates."""
        return "student" if self.role == "student" else "flow"

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride

    def encoder(self) -> TextEncoder:
        """The encoder of captions.

        Raises:
            UserError: an unknown name, or files that are not there.
        """
        return texts.load(self.text)

    def check_files(self) -> None:
        """Load the encoder once, so that files that are not there are told before any work."""
        self.encoder()


class JointFlowFacts(Facts):
    """What a run of JointFlow learned of its training tiles."""

    colours: Colours
    """Mean and spread of the image channels."""
    tissues: tuple[str, ...] = ()
    """Tissues that are told apart; none where there is one."""
    counts: tuple[tuple[int, ...], ...]
    """Nuclei of each class, then of unknown type, in some training crops."""
    proportions: tuple[tuple[float, ...], ...]
    """Shares of the area that they cover, likewise."""
    crop_tissues: tuple[str, ...]
    """The tissue of each of these crops."""

    @classmethod
    def of_crops(cls, tiles: Sequence[Sample], coded: CodedTiles, seed: int) -> Self:
        """The facts of some tiles, and of crops of them."""
        generator, number = generator_of(seed), len(tiles[0].class_names)
        crops = [coded.amounts(generator, number) for _ in range(CROPS)]
        return cls(
            **common(tiles),
            colours=colours_of(tiles),
            tissues=coded.tissues,
            counts=tuple(tuple(amounts.counts.tolist()) for amounts, _ in crops),
            proportions=tuple(tuple(amounts.proportions.round(5).tolist()) for amounts, _ in crops),
            crop_tissues=tuple(tissue for _, tissue in crops),
        )


PRESETS = {
    "tiny": JointFlowSettings(),
    "small": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(128, 256, 320), blocks=(2, 2, 3), attention=(False, False, True), embedding=512
        ),
        training=FlowTraining(batch=64, learning_rate=1e-3, warmup=500, decay=0.3, ema=0.9995),
        student=StudentSettings(steps=2, batch=64, learning_rate=5e-4, warmup=200, ema=0.999),
    ),
    "base": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(224, 384, 512), blocks=(3, 3, 4), attention=(False, True, True), embedding=768
        ),
        training=FlowTraining(batch=128, learning_rate=7e-4, warmup=1000, decay=0.3, ema=0.9998),
        student=StudentSettings(steps=2, batch=128, learning_rate=3e-4, warmup=500, ema=0.9995),
    ),
}
