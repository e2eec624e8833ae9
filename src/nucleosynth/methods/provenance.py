"""Where a synthetic sample comes from: enough to make it again, and to refuse it where it would be unfair."""

from dataclasses import dataclass
from typing import Any

from nucleosynth.run import Run
from nucleosynth.sample import Condition
from nucleosynth.training.checkpoint import fingerprint


@dataclass(frozen=True)
class Origin:
    """The trained generator: its name, the fingerprint of its checkpoints, and what it was trained on."""

    generator: str
    checkpoint: str
    training_sources: tuple[tuple[str, str], ...]
    """(source, licence) pairs."""
    class_scheme: str = ""
    """As `Sample.class_scheme` of the training tiles."""

    @classmethod
    def of(cls, run: Run) -> "Origin":
        """The origin of what a run's first stage makes."""
        paths = sorted((run.folder / "checkpoints").glob("*.safetensors"))
        sources = tuple((entry.source, entry.licence) for entry in run.record.training_sources)
        return cls(run.record.method, "-".join(fingerprint(path) for path in paths), sources, run.record.class_scheme)

    @classmethod
    def in_training(cls, generator: str) -> "Origin":
        """The origin of what is made before there is a checkpoint, to look at."""
        return cls(generator, "in training", ())

    @property
    def source(self) -> str:
        """What `Sample.source` holds for made pairs: one source a generator."""
        return f"synthetic/{self.generator}-{self.checkpoint}"

    @property
    def licence(self) -> str:
        """Licences of the training tiles, which the synthetic tiles inherit."""
        return "; ".join(sorted({licence for _, licence in self.training_sources})) or "unknown"

    def of_sample(self, seed: int, k: int, condition: Condition) -> dict[str, Any]:
        """`Sample.provenance` of sample k."""
        given = {"given": sorted(condition.given()), "name": condition.name, "source": condition.source}
        return {
            "kind": "synthetic",
            "generator": self.generator,
            "checkpoint": self.checkpoint,
            "seed": seed,
            "k": k,
            "condition": given,
            "training_sources": [{"source": source, "licence": licence} for source, licence in self.training_sources],
        }
