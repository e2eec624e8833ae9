"""What a pair of 256^2 costs by the recipes as released, to stand beside what `cost` counts of ours.

Evaluations are those of the whole path, a guided step two; GFLOP are as published, of one plain pass of the network for
256^2 and the published classes, nothing kept from step to step. A method without such numbers is absent.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

SIZE_PX = 256
"""Side of the pairs that all of it is said of."""


class ReleasedStage(BaseModel):
    """One network of a released recipe, named as our stage."""

    model_config = ConfigDict(frozen=True)
    name: str
    evaluations: int
    """Passes a pair."""
    gflop_per_evaluation: float


class Released(BaseModel):
    """A recipe as released."""

    model_config = ConfigDict(frozen=True)
    recipe: str
    """How a pair is made, in words."""
    stages: tuple[ReleasedStage, ...]

    @property
    def evaluations(self) -> int:
        """Passes a pair, of all networks."""
        return sum(stage.evaluations for stage in self.stages)

    @property
    def gflop(self) -> float:
        """GFLOP a pair."""
        return sum(stage.evaluations * stage.gflop_per_evaluation for stage in self.stages)

    def told(self) -> dict[str, Any]:
        """The recipe and its sums, as JSON takes them."""
        return {
            "recipe": self.recipe,
            "size": SIZE_PX,
            "evaluations": self.evaluations,
            "gflop_per_pair": self.gflop,
        }


def _released(recipe: str, **stages: tuple[int, float]) -> Released:
    return Released(
        recipe=recipe,
        stages=tuple(
            ReleasedStage(name=name, evaluations=evaluations, gflop_per_evaluation=gflop)
            for name, (evaluations, gflop) in stages.items()
        ),
    )


RELEASED = {
    "nudiff": _released(
        "1000 steps of structures, then 1000 guided ones of images", structure=(1000, 2240.0), image=(2000, 3418.0)
    ),
    "sdm": _released("1000 guided steps", image=(2000, 3634.0)),
    "diffmix": _released("55 guided steps of DDIM, of 100, from a perturbed image", image=(110, 3423.0)),
    "cosyn": _released("1000 guided steps", joint=(2000, 1276.0)),
    "pix2pixhd": _released("one pass of the local enhancer", image=(1, 37.5)),
    "daff_gan": _released(
        "one pass of the local enhancer for a mask, one for an image", mask=(1, 39.4), image=(1, 39.4)
    ),
    "spade": _released("one pass", image=(1, 274.5)),
    "cgpn_gan": _released("one pass, the sentence apart", image=(1, 252.0)),
}
"""By the catalog's names of methods. Of CGPN-GAN at most as much is published."""
