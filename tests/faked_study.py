"""A study without networks: judges that forget and misname nuclei by chance, a generator that turns training tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from drawn import drawn_sample
from nucleosynth.report.results import Results
from nucleosynth.run import Budget
from nucleosynth.sample import Sample, without_gaps
from nucleosynth.seeds import generator_of
from nucleosynth.studies.arms import Arm, parse
from nucleosynth.studies.conduct import Made, Material, Trained, conduct
from nucleosynth.studies.plan import Plan

STEPS = 7
JUDGE = {"mpp": 0.25, "synthetic_share": 0.5, "batch": 4, "crop": 128}


def tiles(count: int, first: int = 0, **changes: object) -> list[Sample]:
    """Tiles of noise with square nuclei, each of a source of its own."""
    return [drawn_sample(k, source=f"drawn/{k}", **changes) for k in range(first, first + count)]


def synthetic(sample: Sample, k: int, sources: Sequence[str], **changes: object) -> Sample:
    """The tile as if a generator had made it that was trained on these sources."""
    provenance = {
        "kind": "synthetic",
        "generator": "turner",
        "checkpoint": "0123",
        "seed": 0,
        "k": k,
        "condition": {"given": [], "name": "", "source": ""},
        "training_sources": [{"source": source, "licence": "CC0-1.0"} for source in sources],
    }
    named = replace(sample.transform(3), sample_id=f"turned_{k}", source="synthetic/turner-0123", split="")
    return replace(named, **({"provenance": provenance | dict(changes.pop("provenance", {}))} | changes))  # type: ignore


class Turner:
    """Makes an arm's pairs by turning training tiles; `calls` counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, arm: Arm, tiles: Sequence[Sample], area_mm2: float, folder: Path) -> Made:
        self.calls += 1
        sources = sorted({tile.source for tile in tiles})
        return Made([synthetic(tile, k, sources) for k, tile in enumerate(tiles)], 12.0)


class Forgetful:
    """Judges that forget a third of the nuclei, a sixth if they saw synthetic ones; `calls` lists what was trained."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[tuple[int, int, int]] = []
        self.stop_after = stop_after

    def __call__(self, real: Sequence[Sample], synthetic: Sequence[Sample], seed: int, folder: Path) -> Trained:
        if len(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append((len(real), len(synthetic), seed))
        share = 1 / 6 if synthetic else 1 / 3

        def predict(tests: Sequence[Sample]) -> Iterator[Sample]:
            rng = generator_of(seed, len(synthetic))
            return (forget(test, share, rng) for test in tests)

        losses = tuple((step, 3.0 / step + 0.1 * (seed + 1) + 0.2 * bool(synthetic)) for step in range(1, STEPS + 1))
        return Trained(predict, STEPS, 30.0, losses)


def forget(sample: Sample, share: float, rng: np.random.Generator) -> Sample:
    """The tile with some nuclei gone, shifted by a px, and a tenth of the classes drawn anew."""
    kept = np.append(True, rng.random(len(sample.classes)) >= share)
    instances = np.roll(np.where(kept[sample.instances], sample.instances, 0), 1, axis=1).astype(np.int32)
    drawn = rng.integers(1, len(sample.class_names) + 1, len(sample.classes))
    classes = np.where(rng.random(len(drawn)) < 0.1, drawn, sample.classes).astype(np.uint8)
    instances, classes = without_gaps(instances, classes)
    return replace(sample, instances=instances, classes=classes, labelled_as="derived")


def material(stores: dict[str, list[Sample]] | None = None) -> Material:
    """Four training tiles and two test tiles."""
    training = tiles(4)
    return Material(training, training, tiles(2, first=10, split="test"), stores or {})


def plan(arms: Sequence[Arm], seeds: int = 2, **changes: object) -> Plan:
    """A plan for the drawn tiles."""
    whole = {
        "data": "drawn tiles",
        "split": "official split",
        "arms": tuple(arm.name for arm in arms),
        "fraction": 1.0,
        "seeds": tuple(range(seeds)),
        "steps": STEPS,
        "ratio": 1.0,
        "generator": Budget(steps=1),
        "preset": "tiny",
        "judge_preset": "tiny",
        "judge": JUDGE,
        "seed": 0,
        "digests": {},
    }
    return Plan.model_validate(whole | changes)


def run(
    folder: Path,
    texts: Sequence[str] = ("real", "real+jointflow"),
    seeds: int = 2,
    judge: Forgetful | None = None,
    turner: Turner | None = None,
    given: Material | None = None,
) -> Results:
    """A whole study in a folder."""
    arms = parse(texts, "tiny")
    return conduct(
        plan(arms, seeds),
        arms,
        given or material(),
        folder,
        train=judge or Forgetful(),
        make=turner or Turner(),
        ceiling={"pq": 0.98, "dice": 0.99},
        command="nucleosynth study drawn --arm real",
        hardware="no processor",
    )
