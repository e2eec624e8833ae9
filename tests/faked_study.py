"""A study without networks: judges that forget and misname nuclei by chance, a generator that turns training tiles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from drawn import drawn_sample
from nucleosynth.encoders.texture import Texture
from nucleosynth.report.results import Results
from nucleosynth.run import Budget
from nucleosynth.sample import Sample, without_gaps
from nucleosynth.seeds import generator_of
from nucleosynth.studies.arms import Arm, Maker, parse
from nucleosynth.studies.conduct import Frame, Tools, conduct
from nucleosynth.studies.looks import Made
from nucleosynth.studies.parts import Fold, Part, parts
from nucleosynth.studies.plan import Plan
from nucleosynth.studies.trials import MARKS, Diet, Predict, Trained

STEPS = 10
JUDGE = {"mpp": 0.25, "synthetic_share": 0.5, "batch": 4, "crop": 128}
FIT_SECONDS, MAKE_SECONDS = 12.0, 3.0
Write = Callable[..., str]
"""The fixture `write`: name of a store, splits of its tiles -> its path."""


def tiles(count: int, first: int = 0, **changes: object) -> list[Sample]:
    """Tiles of noise in few colours (quick to write as pictures) with square nuclei, each of a source of its own."""
    made = (drawn_sample(k, source=f"drawn/{k}", **changes) for k in range(first, first + count))
    return [replace(tile, image=tile.image & np.uint8(0xC0)) for tile in made]


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
    """Makes pairs by turning training tiles, over and over until the area is reached; `calls` lists how many."""

    def __init__(self, stores: dict[str, list[Sample]] | None = None) -> None:
        self.calls: list[int] = []
        self.stores = stores or {}

    def __call__(self, maker: Maker, tiles: Sequence[Sample], wanted_mm2: float, folder: Path) -> Made:
        if maker.store:
            return Made(self.stores[maker.name], None, None, None)
        one = tiles[0].size[0] * tiles[0].size[1] * (tiles[0].mpp or 0) ** 2 / 1e6
        count = round(wanted_mm2 / one)
        self.calls.append(count)
        sources = sorted({tile.source for tile in tiles})
        made = [synthetic(tiles[k % len(tiles)], k, sources) for k in range(count)]
        return Made(made, FIT_SECONDS, MAKE_SECONDS, None)


class Forgetful:
    """Judges that forget a third of the nuclei, a sixth if they saw synthetic ones, more of them on their way; `calls`
    lists what was trained: real and synthetic tiles, seed, steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[tuple[int, int, int, int]] = []
        self.diets: list[Diet] = []
        self.stop_after = stop_after

    def __call__(self, diet: Diet, seed: int, folder: Path, watch: Callable[[Predict, int], None]) -> Trained:
        if len(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append((len(diet.real), len(diet.synthetic), seed, diet.steps))
        self.diets.append(diet)
        share = 1 / 6 if diet.synthetic else 1 / 3

        def forgetting(share: float) -> Predict:
            def predict(tests: Sequence[Sample]) -> Iterator[Sample]:
                rng = generator_of(seed, len(diet.synthetic))
                return (forget(test, share, rng) for test in tests)

            return predict

        for mark in MARKS:
            watch(forgetting(share + (1 - share) * (1 - mark) / 2), round(mark * diet.steps))
        steps = range(1, diet.steps + 1)
        losses = tuple((step, 3.0 / step + 0.1 * (seed + 1) + 0.2 * bool(diet.synthetic)) for step in steps)
        return Trained(forgetting(share), diet.steps, 30.0, losses)


def forget(sample: Sample, share: float, rng: np.random.Generator) -> Sample:
    """The tile with some nuclei gone, shifted by a px, and a tenth of the classes drawn anew."""
    kept = np.append(True, rng.random(len(sample.classes)) >= share)
    instances = np.roll(np.where(kept[sample.instances], sample.instances, 0), 1, axis=1).astype(np.int32)
    drawn = rng.integers(1, len(sample.class_names) + 1, len(sample.classes))
    classes = np.where(rng.random(len(drawn)) < 0.1, drawn, sample.classes).astype(np.uint8)
    instances, classes = without_gaps(instances, classes)
    return replace(sample, instances=instances, classes=classes, labelled_as="derived")


def material(fractions: Sequence[float] = (1.0,), folds: int = 1) -> tuple[Part, ...]:
    """Four training tiles and two test tiles in every part."""
    made = [Fold(f"fold {k}", tiles(4, 20 * k), tiles(2, 20 * k + 10, split="test")) for k in range(folds)]
    return parts(made, fractions, 0)


def plan(arms: Sequence[Arm], given: Sequence[Part], seeds: int = 2, **changes: object) -> Plan:
    """A plan for the drawn tiles."""
    whole = {
        "data": "drawn tiles",
        "split": "official split",
        "arms": tuple(arm.words for arm in arms),
        "methods": {},
        "fractions": tuple(dict.fromkeys(part.fraction for part in given)),
        "folds": tuple(dict.fromkeys(part.fold for part in given)),
        "seeds": tuple(range(seeds)),
        "steps": STEPS,
        "generator": Budget(steps=1),
        "preset": "tiny",
        "judge_preset": "tiny",
        "judge": JUDGE,
        "encoder": "texture-1",
        "hardware": "no processor",
        "versions": {"nucleosynth": "0"},
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
    given: Sequence[Part] | None = None,
    ratios: Sequence[float] = (),
) -> Results:
    """A whole study in a folder."""
    arms, given = parse(texts, "tiny", ratios), given or material()
    ceiling = {"pq": 0.98, "dice": 0.99}
    return conduct(
        plan(arms, given, seeds),
        arms,
        given,
        folder,
        tools=Tools(judge or Forgetful(), turner or Turner(), lambda _tiles: dict(ceiling), Texture()),
        frame=Frame("", "nucleosynth study drawn --arm real"),
    )
