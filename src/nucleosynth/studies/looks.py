"""What the real and the synthetic tiles of a part look like: counts, evidence, pictures.

None of it decides anything: it is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nucleosynth.encoders.encoder import Encoder
from nucleosynth.metrics.resampling import Side
from nucleosynth.progress import say
from nucleosynth.report import results as report
from nucleosynth.sample import Sample
from nucleosynth.studies import colours, figures, panels
from nucleosynth.studies.arms import Maker
from nucleosynth.studies.evidence import common_side, described, evidence, windows
from nucleosynth.studies.fairness import inherited
from nucleosynth.studies.parts import Part
from nucleosynth.studies.plan import Plan
from nucleosynth.studies.witness import Witness

Ceiling = Callable[[Sequence[Sample]], dict[str, float | None]]
"""What perfect maps would score on some tiles."""


@dataclass(frozen=True)
class Made:
    """Synthetic tiles; for how many seconds their generator was fitted and they were made, where that is known; and how
    to load the generator, where there is one."""

    samples: Sequence[Sample]
    fit_seconds: float | None
    make_seconds: float | None
    load: Callable[[], Any] | None

    @property
    def seconds(self) -> float:
        """Of both together."""
        return (self.fit_seconds or 0.0) + (self.make_seconds or 0.0)


class Together(report.Record):
    """What is shown of all makers of a part beside each other."""

    galleries: tuple[report.Gallery, ...]
    colours: tuple[report.Colour, ...]


@dataclass(frozen=True)
class Look:
    """What the real and the synthetic tiles of a part look like, in windows of one size at the judge's resolution."""

    plan: Plan
    part: Part
    made: Mapping[Maker, Made]
    folder: Path
    ceiling: Ceiling
    encoder: Encoder
    witness: Witness

    def real(self) -> report.Part:
        """Counts and pictures of the real tiles."""
        part = self.part
        training, available = described(part.training), described(part.available)
        return report.Part(
            fold=part.fold,
            fraction=part.fraction,
            reached=training.nuclei / available.nuclei,
            available=available,
            training=training,
            test=described(part.tests),
            ceiling=self.ceiling(part.tests),
            truths=figures.write_truths(self.folder, f"{part.slug}_test", part.tests),
            pairs=figures.write_pairs(
                self.folder, f"{part.slug}_pairs_real", self._windows(part.training), self.plan.seed
            ),
        )

    def maker(self, maker: Maker) -> report.Maker:
        """Numbers and pictures of a maker's pairs, beside test windows."""
        part, made = self.part, self.made[maker]
        say(f"what the pairs of {maker.label} look like beside real tiles")
        own, known, tests = (self._windows(tiles) for tiles in (made.samples, part.training, part.tests))
        galleries, diversity = self._galleries(maker) if self._first else ((), None)
        seen = evidence(own, known, tests, part.training, self.encoder, self.plan.seed)
        return report.Maker(
            name=maker.name,
            label=maker.label,
            fold=part.fold,
            fraction=part.fraction,
            made_by=_origin(maker, made),
            inherited=len(inherited(made.samples) - {tile.source for tile in part.training}),
            synthetic=described(made.samples),
            fit_seconds=made.fit_seconds,
            make_seconds=made.make_seconds,
            evidence=seen.model_copy(update={"consistency": self.witness.consistency(own, self._held_out)}),
            pairs=figures.write_pairs(self.folder, f"{part.slug}_pairs_{maker.slug}", own, self.plan.seed),
            galleries=galleries,
            diversity=diversity,
        )

    def together(self) -> Together:
        """One mask through every method, and the colours of all."""
        if not self.made:
            return Together(galleries=(), colours=())
        part, seed, slug = self.part, self.plan.seed, self.part.slug
        models = {maker.label: made.load() for maker, made in self.made.items() if made.load}
        made = {maker.label: each.samples for maker, each in self.made.items()}
        masks = panels.one_mask(models, part.tests, self.folder, slug, seed)
        organs = colours.organs(part.training, made, self.folder, slug, seed)
        return Together(
            galleries=tuple(gallery for gallery in (masks, organs) if gallery),
            colours=colours.colours(part.training, made),
        )

    @property
    def _first(self) -> bool:
        """Galleries are made in the first fold alone: the others would double the report and tell the same."""
        return self.part.fold == self.plan.folds[0]

    @cached_property
    def _held_out(self) -> Side:
        """What the witness makes of test windows, the same beside every maker."""
        return self.witness.sees(self._windows(self.part.tests))

    def _galleries(self, maker: Maker) -> tuple[tuple[report.Gallery, ...], float | None]:
        part, made = self.part, self.made[maker]
        model, slug = made.load() if made.load else None, f"{part.slug}_{maker.slug}"
        return panels.of_maker(maker.label, model, made.samples, part.tests, self.folder, slug, self.plan.seed)

    def _windows(self, tiles: Sequence[Sample]) -> list[Sample]:
        mpp = self.plan.judge["mpp"]
        sets = (self.part.training, self.part.tests, *(each.samples for each in self.made.values()))
        return windows(tiles, mpp, common_side(sets, mpp))


def _origin(maker: Maker, made: Made) -> str:
    """Where synthetic tiles come from, in words."""
    seen = {(str(tile.provenance.get("generator")), str(tile.provenance.get("checkpoint"))) for tile in made.samples}
    return f"{maker.words}: {', '.join(f'{name}, checkpoint {checkpoint}' for name, checkpoint in sorted(seen))}"
