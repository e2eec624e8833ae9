"""Where a synthetic sample comes from: enough to make it again, and to refuse it where it would be unfair."""

from collections.abc import Iterable
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
    preset: str = ""
    """Of which its settings are."""
    without: tuple[str, ...] = ()
    """The parts that it was built without, of the preset and beyond it (`fit --without`)."""
    inherited: frozenset[str] = frozenset()
    """Those of the sources that it knows from the run that its training began from (`fit --from`)."""

    @classmethod
    def of(cls, run: Run) -> "Origin":
        """The origin of what a run's first stage makes."""
        paths = sorted((run.folder / "checkpoints").glob("*.safetensors"))
        record = run.record
        return cls(
            record.method,
            "-".join(fingerprint(path) for path in paths),
            tuple((entry.source, entry.licence) for entry in record.training_sources),
            record.class_scheme,
            record.preset,
            tuple(record.settings.get("without", ())),
            frozenset(entry.source for entry in record.inherited_sources),
        )

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
        return _joined(licence for _, licence in self.training_sources) or "unknown"

    def licence_beside(self, given: str) -> str:
        """Licences of a tile that was made from something given under such licences ("" = under none)."""
        return _joined([self.licence, given])

    def of_sample(self, seed: int, k: int, condition: Condition, begun: bool = False) -> dict[str, Any]:
        """`Sample.provenance` of sample k; begun: painting began from the condition's image (Condition.begin).

        `known_share`: of the pixels of the given sides, where these are known in part.
        """
        fields = sorted(condition.given() | ({"begin"} if begun else set()))
        given: dict[str, Any] = {"given": fields, "name": condition.name, "source": condition.source}
        if condition.known is not None:
            given["known_share"] = round(float(condition.known.mean()), 4)
        if condition.operations:
            given["operations"] = list(condition.operations)
        return {
            "kind": "synthetic",
            "generator": self.generator,
            "preset": self.preset,
            **({"without": list(self.without)} if self.without else {}),
            "checkpoint": self.checkpoint,
            "seed": seed,
            "k": k,
            "condition": given,
            "training_sources": [
                {"source": source, "licence": licence, **({"inherited": True} if source in self.inherited else {})}
                for source, licence in self.training_sources
            ],
        }


def _joined(licences: Iterable[str]) -> str:
    """Licences, some of them joined already, each once."""
    return "; ".join(sorted({each for licence in licences for each in licence.split("; ") if each}))
