"""Where an arm's synthetic tiles come from: a recipe, fitted inside the study on exactly a part's training tiles, or a
store. What is finished is read back, what was stopped is gone on with.

    makers/<name>/generator    the recipe's run
    makers/<name>/pairs        the store of its pairs
    makers/<name>/spent.json   the seconds that both took, which an arm real@METHOD trains for; making.json, so far
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucleosynth import catalog
from nucleosynth.data.reader import read
from nucleosynth.data.shards import read_manifest
from nucleosynth.errors import UserError
from nucleosynth.run import RECORD, Budget, Run, RunRecord, now, versions, write_whole
from nucleosynth.sample import Sample
from nucleosynth.studies.arms import Arm, Maker
from nucleosynth.studies.conduct import MakePairs
from nucleosynth.studies.evidence import area_mm2
from nucleosynth.studies.looks import Made
from nucleosynth.studies.parts import Part
from nucleosynth.verbs.fit import lineage, recipe, train
from nucleosynth.verbs.generate import generate

SPENT, MAKING = "spent.json", "making.json"


@dataclass(frozen=True)
class Recipes:
    """How recipes are fitted: for which budget, by which seed, on which device."""

    data: str
    budget: Budget
    seed: int
    device: str
    precision: str


def pair_maker(recipes: Recipes, stores: dict[str, list[Sample]]) -> MakePairs:
    """A function that makes the pairs of a part's makers, or reads them back; stores are read already."""

    def make(maker: Maker, tiles: Sequence[Sample], wanted_mm2: float, folder: Path) -> Made:
        if maker.store:
            return Made(stores[maker.name], None, None, None)
        place, store = folder / "generator", folder / "pairs"
        if not (folder / SPENT).exists():
            _fit_and_make(maker, tiles, wanted_mm2, place, store, recipes)
        spent = json.loads((folder / SPENT).read_text())
        return Made(list(read(str(store))), spent["fit"], spent["make"], _loader(maker, place, recipes))

    return make


def check_enough(arms: Sequence[Arm], parts: Sequence[Part], stores: dict[str, list[Sample]]) -> None:
    """Refuse a ratio that a store's tiles cannot reach.

    Raises:
        UserError: see above.
    """
    for arm in arms:
        if not (arm.maker and arm.maker.store and arm.ratio):
            continue
        held = area_mm2(stores[arm.maker.name])
        for part in parts:
            wanted = arm.ratio * area_mm2(part.training)
            if held < (1 - 1e-9) * wanted:
                raise UserError(
                    "a store with too few tiles",
                    expected=f"{wanted:.3g} mm2, {arm.ratio:g} times the real training tiles ({part.fraction:.0%})",
                    got=f"{held:.3g} mm2, {held / area_mm2(part.training):.2g} times",
                    where=f"--arm {arm.name}",
                    mend="make more pairs, ask for a smaller --ratio, or leave it out to use all of the store",
                )


def seconds_of(run: Run) -> float | None:
    """For how many seconds all stages of a run were trained; None if it has logged none."""
    stages = catalog.load("method", run.record.method).stages
    logged = [lines[-1]["seconds"] for stage in stages if (lines := run.read_log(stage))]
    return float(sum(logged)) if logged else None


def _fit_and_make(
    maker: Maker, tiles: Sequence[Sample], wanted_mm2: float, place: Path, store: Path, recipes: Recipes
) -> None:
    device, precision = recipes.device, recipes.precision
    run = train(
        _record(maker, tiles, recipes),
        tiles,
        place,
        resume=(place / RECORD).exists(),
        device=device,
        precision=precision,
    )
    making = place.parent / MAKING
    if not (read_manifest(store) or {}).get("finished"):  # else it was stopped just before this was written down
        with _timed(making):
            model = _loader(maker, place, recipes)()
            pair_mm2: float = model.size[0] * model.size[1] * (model.mpp or 1.0) ** 2 / 1e6
            count = max(math.ceil(wanted_mm2 / pair_mm2 - 1e-9), 1)
            generate(place, out=store, n=count, seed=recipes.seed, device=device, precision=precision)
    write_whole(place.parent / SPENT, json.dumps({"fit": seconds_of(run), "make": _seconds_in(making)}))


@contextmanager
def _timed(path: Path) -> Iterator[None]:
    """Add the seconds that the work inside takes to those in a file, also when it is stopped."""
    began = time.monotonic()
    try:
        yield
    finally:
        write_whole(path, json.dumps((_seconds_in(path) or 0.0) + time.monotonic() - began))


def _seconds_in(path: Path) -> float | None:
    """What `_timed` has written, if anything."""
    return float(json.loads(path.read_text())) if path.exists() else None


def _loader(maker: Maker, place: Path, recipes: Recipes) -> Callable[[], Any]:
    """A function that loads the fitted method."""

    def load() -> Any:
        from nucleosynth.training.device import fabric_for

        kind = catalog.load("method", maker.method)
        return kind.load(Run.open(place), fabric_for(recipes.device, recipes.precision))

    return load


def _record(maker: Maker, tiles: Sequence[Sample], recipes: Recipes) -> RunRecord:
    settings, before = recipe(maker.method, maker.preset, maker.begin)
    return RunRecord(
        method=maker.method,
        preset=maker.preset,
        settings=settings.model_dump(mode="json"),
        data=recipes.data,
        split=None,
        seed=recipes.seed,
        budget=recipes.budget,
        class_names=tiles[0].class_names,
        class_scheme=tiles[0].class_scheme,
        versions=versions(),
        started=now(),
        **lineage(tiles, before),
    )
