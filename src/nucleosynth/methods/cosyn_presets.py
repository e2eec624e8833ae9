"""What a run of CoSyn is decided by, and its presets: "paper" as published, "gcdp" the system beneath it.

Points were never dropped in the release; here they are, so that the model also runs without them. The decay of its
moving average is not published. "tiny" is for two CPU cores: it puts out the data, not the noise, and is trained by
Muon.
"""

from typing import Self

from pydantic import Field, model_validator

from nucleosynth.conditions.joint_coding import JointCoding
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.cosyn import CoSynNetSettings
from nucleosynth.nets.points import PointsSettings
from nucleosynth.nets.text import TextShape
from nucleosynth.stages.cosyn import CoSynTraining, DiffusionSettings, JointSizes, Part, SamplingSettings


class CoSynSettings(TileSettings):
    """Everything that a run of CoSyn is decided by."""

    point_px: int = Field(2, ge=0)
    """Radius of the disc in which a point's id stands, px; 0 = one pixel as published."""
    without: tuple[Part, ...] = ()
    """What the network is built without: points, distance, text, counts (the paper's ablations)."""
    text: str = "words"
    """The text encoder (encoders.text): words, plip, clip-text:..., t5:..."""
    network: CoSynNetSettings = CoSynNetSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    training: CoSynTraining = CoSynTraining()
    sampling: SamplingSettings = SamplingSettings()

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        """A path takes each clock once, and guidance starts from what the network knows: a part that was dropped."""
        if not 1 <= self.sampling.steps <= self.diffusion.steps:
            raise ValueError(f"1 to {self.diffusion.steps} steps of sampling (sampling.steps is {self.sampling.steps})")
        guides = self.effective_sampling
        for part in guides.guided_by if guides.guidance != 1 else ():
            if part in self.never_dropped:
                raise ValueError(f"training.drop_{part} above 0 where sampling is guided by {part} (it is 0)")
        return self

    def check_files(self) -> None:
        """Refuse a text encoder whose files are not there, are broken, or do not fit.

        Raises:
            UserError: see above.
        """
        self.encoder()

    def encoder(self) -> TextEncoder | None:
        """The text encoder, unless the network is without text."""
        return None if "text" in self.without else texts.load(self.text)

    @property
    def never_dropped(self) -> tuple[Part, ...]:
        """Conditions that the network was always told, so that it knows nothing of their absence."""
        training = self.training
        drops: dict[Part, float] = {
            "points": training.drop_points,
            "text": training.drop_text,
            "counts": training.drop_counts,
        }
        return tuple(part for part, drop in drops.items() if not drop and part not in self.without)

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride

    def sizes(self, coding: JointCoding, text: TextShape | None) -> JointSizes:
        """What the network is built for."""
        has = {name: name not in self.without for name in ("points", "distance", "text", "counts")}
        return JointSizes(
            coding.labels,
            1 + len(coding.counted) if has["counts"] else 0,
            text if has["text"] else None,
            has["points"],
            has["distance"],
        )

    @property
    def effective_sampling(self) -> SamplingSettings:
        """Sampling guided by what there is; by nothing, unguided."""
        guided_by = tuple(name for name in self.sampling.guided_by if name not in self.without)
        scale = self.sampling.guidance if guided_by else 1.0
        return self.sampling.model_copy(update={"guided_by": guided_by, "guidance": scale})


GCDP = ("points", "distance", "counts")
"""What GCDP is without."""
PAPER = CoSynSettings(
    tile=256,
    mpp=None,
    point_px=0,
    without=("counts",),
    text="plip",
    network=CoSynNetSettings(
        width=128,
        multipliers=(1, 2, 4, 8),
        blocks=(2, 4, 8, 8),
        attention=(False, True, True, True),
        heads=8,
        head_channels=64,
        context=128,
        shrink_first=True,
        patch=1,
        stem=64,
        kernels=(3, 7, 15),
        latents=32,
        points=PointsSettings(width=64, blocks=3, growth=32),
    ),
    diffusion=DiffusionSettings(target="eps"),
    training=CoSynTraining(
        batch=4,
        optimiser="adam",
        learning_rate=1e-4,
        warmup=1,
        decay=0,
        ema=0.9999,
        label=3.0,
        label_loss="bound",
        p2=0.5,
        drop_points=0.1,
    ),
    sampling=SamplingSettings(steps=50, guided_by=("text",)),
)
PRESETS = {
    "tiny": CoSynSettings(),
    "base": CoSynSettings(
        tile=256,
        mpp=0.25,
        point_px=4,
        network=CoSynNetSettings(
            width=128,
            multipliers=(1, 2, 4),
            blocks=(1, 3, 5),
            attention=(False, True, True),
            heads=8,
            head_channels=64,
            context=128,
            shrink_first=True,
            stem=64,
            kernels=(3, 7),
            latents=16,
            points=PointsSettings(width=64, blocks=1, growth=32),
        ),
        training=CoSynTraining(batch=32, learning_rate=5e-4, warmup=1000, decay=0.3, ema=0.9998),
        sampling=SamplingSettings(steps=30),
    ),
    "paper": PAPER,
    "gcdp-tiny": CoSynSettings(without=GCDP),
    "gcdp": PAPER.model_copy(
        update={
            "tile": 128,
            "without": GCDP,
            "text": "t5:google/t5-v1_1-base",
            "training": PAPER.training.model_copy(update={"image": 1.0, "label": 1.0}),
        }
    ),
}
