"""CGPN-GAN: an image for a label and a sentence in one pass, taught by a critic that looks through CLIP.

Zhang et al., "CLIP-guided generative network for pathology nuclei image augmentation", Medical Image Analysis 2025. The
sentence says of what a tile is made and of which type it has few or many (conditions.pathology_captions); any table of
classes will do, and touching nuclei are told apart by a channel of edges. Unless labels are given, images are painted
for windows of the training tiles' labels.

The CLIP is the small one of the embedded default ("own": trained first, on the run's own tiles and their sentences,
and kept in the run), or one that is given (encoders.clip_pair): "quiltnet", as published, "open_clip:FOLDER" ...
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import count as naturals
from pathlib import Path
from typing import ClassVar, Self, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_channels, label_width
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.encoders import clip_pair, identity, own_clip, vgg
from nucleosynth.encoders.clip_pair import ClipPair
from nucleosynth.encoders.own_clip import STAGE
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, Slot, SlotNoise, own_size
from nucleosynth.methods.cgpn_presets import OWN, PRESETS, CGPNGANSettings, sentence_cost
from nucleosynth.methods.clip import every_window, train_clip
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.game_painter import GameFacts, compared
from nucleosynth.methods.kept import keep, kept, kept_windows
from nucleosynth.methods.label_painter import LABEL_KEY, LabelPainter
from nucleosynth.methods.painting import label_of, network_image
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.nets.cgpn import CGPN
from nucleosynth.nets.count import StageCost
from nucleosynth.progress import say
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.cgpn import CGPNBatch, CGPNStage, cost, paint
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

IMAGE = "image"
NOISE = "noise"


class CGPNFacts(GameFacts):
    """What a run learns of its tiles: what is few and what is many, beside what every method wants to know."""

    captions: PathologyCaptions

    def sentence(self, condition: Condition) -> str:
        """The caption of a condition with a label: its own, or the sentence for its nuclei."""
        found = self.captions.of_condition(condition, self.tissue)
        assert found is not None, "a label says which nuclei there are"
        return found


class CGPNGAN(LabelPainter[CGPNGANSettings, CGPN]):
    """A trained CGPN-GAN (see methods.method.Method); of its CLIP, generation uses the text tower."""

    name: ClassVar[str] = "cgpn_gan"
    takes: ClassVar[frozenset[str]] = frozenset({"instances", "caption", "tissue"})
    stages: ClassVar[tuple[str, ...]] = (STAGE, IMAGE)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 5
    facts: CGPNFacts

    def __init__(
        self,
        settings: CGPNGANSettings,
        facts: CGPNFacts,
        class_names: tuple[str, ...],
        net: CGPN,
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
        pair: ClipPair,
    ) -> None:
        super().__init__(settings, facts, class_names, net, tiles, origin, fabric)
        self._pair = pair.to(fabric.device)

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: CGPNGANSettings, run: Run, fabric: Fabric) -> Self:
        """Train on windows of tiles, resampled as the settings say: CLIP first, unless one is given, then images.

        Raises:
            UserError: the tiles show no nucleus; a small CLIP has seen other tiles; or a run to go on with was begun
                with another CLIP.
        """
        _check_sources(settings, run)
        tiles, record = settings.resampled(samples), run.record
        facts, budget = cls.facts_of(tiles, settings), record.budget
        keep(run, tiles)
        run.write_facts(facts.model_dump())
        if settings.clip == OWN:
            _train_own(tiles, facts, settings, run, fabric)
            budget = budget.part(1 - settings.clip_share)
        torch.manual_seed(seed_of(record.seed))
        stage, windows = cls._stage(settings, facts, run, fabric), Crops(tiles, settings.tile)
        pair = _clip_of(stage, run)

        def batch_at(step: int) -> CGPNBatch:
            return cls.batch_of(windows, settings, facts, generator_of(record.seed, step))

        training = Origin.in_training(cls.name)
        model = cls(settings, facts, record.class_names, stage.averaged_net, lambda: tiles, training, fabric, pair)
        show, beside = partial(write_pairs, run, model), identity.record(clip_pair.KIND, pair)
        train(stage, batch_at, budget=budget, run=run, fabric=fabric, picture=show, beside=beside)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained generator of a run folder, its moving average, with the CLIP that it was trained with."""
        settings, facts = CGPNGANSettings.model_validate(run.record.settings), cls.read_facts(run)
        checkpoint.load(run.checkpoint(IMAGE), f"{cls.name}/{IMAGE}", {})  # whose it is, before its CLIP is looked for
        stage = cls._stage(settings, facts, run, fabric)
        net, pair = stage.trained(run, cls.name, fabric), _clip_of(stage, run)
        return cls(
            settings, facts, run.record.class_names, net, cache(partial(kept, run)), Origin.of(run), fabric, pair
        )

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: CGPNGANSettings) -> CGPNFacts:
        """Its nuclei are counted in windows as large as those of training."""
        spreads = PathologyCaptions.fit(every_window(tiles, settings.tile))
        return CGPNFacts(**common(tiles), captions=spreads, perceptual=compared(settings.training))

    @classmethod
    def read_facts(cls, run: Run) -> CGPNFacts:
        """What a run learned."""
        return CGPNFacts.model_validate(run.read_facts())

    @classmethod
    def batch_of(
        cls, windows: Crops, settings: CGPNGANSettings, facts: Facts, generator: np.random.Generator
    ) -> CGPNBatch:
        """Windows as the stage takes them, with the sentence for each."""
        assert isinstance(facts, CGPNFacts), "as `facts_of` makes them"
        drawn = [windows.draw(generator) for _ in range(settings.training.batch)]
        return CGPNBatch(
            np.stack([network_image(window.image) for window in drawn]),
            np.stack([label_channels(facts.slots, window.instances, window.classes) for window in drawn]),
            [facts.captions.of_sample(window) for window in drawn],
        )

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Labels of windows of the training tiles, drawn by (seed, k), with the captions of tiles that have their own.

        Raises:
            UserError: a size above those of training and of every training tile.
        """
        conditions, tiles = super().default_conditions(seed, start, size), self._tiles()
        if not any(tile.caption for tile in tiles):
            return conditions
        crops = kept_windows(tiles, size or self.size, self.size)

        def captioned(k: int, condition: Condition) -> Condition:
            return replace(condition, caption=crops.draw(generator_of(seed, k, LABEL_KEY)).caption or None)

        return map(captioned, naturals(start), conditions)

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        A caption that comes alone is told beside the label of the default condition of that number and size.

        Raises:
            UserError: a condition with neither label nor caption, or with classes that training never saw.
        """
        asked = map(partial(self._labelled, seed), naturals(start), conditions)
        return super().generate(asked, seed, count=count, start=start, batch=batch)

    @classmethod
    def cost(cls, settings: CGPNGANSettings, size: int, classes: int) -> list[StageCost]:
        """CLIP's text tower, for one sentence, and an image."""
        text, width = sentence_cost(settings, cls.stages[0])
        return [text, cost(settings.network, label_width(classes), width, size, IMAGE)]

    @classmethod
    def _stage(cls, settings: CGPNGANSettings, facts: Facts, run: Run, fabric: Fabric) -> CGPNStage:
        """The game, untrained, with its CLIP: the given one, or that of the run."""
        pair = settings.given() or own_clip.of_run(run)
        maps = partial(vgg.load, settings.training.perceptual_weights)
        return CGPNStage(IMAGE, settings, label_width(facts.slots.count), pair, maps)

    def _labelled(self, seed: int, k: int, condition: Condition) -> Condition:
        """Condition k, with a label if it has nothing but a caption."""
        if not condition.caption or condition.given() - {"caption", "tissue", "stain"}:
            return condition
        label = next(super().default_conditions(seed, k, own_size(condition, self.mpp)))
        tissue, stain = condition.tissue or label.tissue, condition.stain or label.stain
        return replace(label, caption=condition.caption, name=condition.name, tissue=tissue, stain=stain)

    def _paint(self, group: Group, maps: Tensor, seed: int) -> Tensor:
        """One pass for a group; a sentence's vector depends on that sentence alone."""
        device = self._fabric.device
        sentences = {slot.position: self.facts.sentence(slot.condition) for slot in group.slots}
        text = self._pair.text([sentences.get(place, "") for place in range(group.width)])
        noise = SlotNoise(group, {NOISE: (self.settings.network.noise,)}, seed, device).normal(NOISE)
        return paint(self._fabric, self._net, maps, text.to(device), noise)

    def _sample(self, slot: Slot, image: Image, seed: int) -> Sample:
        """The painted image with its label and its sentence."""
        height, width = own_size(slot.condition, self.mpp)
        label, sentence = label_of(slot.condition), self.facts.sentence(slot.condition)
        return sample_of(self, slot, seed, image[:height, :width], *label, sentence)


def _train_own(tiles: Sequence[Sample], facts: CGPNFacts, settings: CGPNGANSettings, run: Run, fabric: Fabric) -> None:
    """Train the small CLIP of these tiles and their sentences in its share of the budget, and say so."""
    say(f"no CLIP is given: a small one is trained first, on these tiles and captions alone (clip={OWN}); no QuiltNet")

    def tell(window: Sample, _generator: np.random.Generator) -> str:
        return facts.captions.of_sample(window)

    train_clip(tiles, tell, settings.own, settings.tile, run, fabric, run.record.budget.part(settings.clip_share))


def _check_sources(settings: CGPNGANSettings, run: Run) -> None:
    """Refuse another run's small CLIP that has seen sources beside this run's: samples tell only of these."""
    kind, _, where = settings.clip.partition(":")
    if kind != OWN or not where:
        return
    seen = {entry.source for entry in Run.open(Path(where).expanduser()).record.training_sources}
    strange = sorted(seen - {entry.source for entry in run.record.training_sources})
    if strange:
        raise UserError(
            "a CLIP that has seen other tiles",
            expected="one trained on sources that this run trains on",
            got=", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else ""),
            where=settings.clip,
            mend=f"train it on the same tiles, or take clip={OWN}, which does",
        )


def _clip_of(stage: CGPNStage, run: Run) -> ClipPair:
    """The CLIP of a stage, if it is the one that the generator of the run was trained with, should that have begun."""
    pair = cast(ClipPair, stage.pair)
    if run.checkpoint(IMAGE).exists():
        identity.check(clip_pair.KIND, pair, checkpoint.beside(run.checkpoint(IMAGE)))
    return pair
