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
from functools import partial
from itertools import count as naturals
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_channels, label_width
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops, network_image
from nucleosynth.encoders import clip_pair, identity, own_clip, vgg
from nucleosynth.encoders.clip_pair import ClipPair
from nucleosynth.encoders.own_clip import STAGE
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, Slot, SlotNoise, own_size
from nucleosynth.methods.cgpn_presets import OWN, PRESETS, CGPNGANSettings, sentence_cost
from nucleosynth.methods.clip import every_window, train_clip
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.game_painter import GameFacts, GamePainter
from nucleosynth.methods.label_painter import PainterStage
from nucleosynth.methods.painting import label_of
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.nets.cgpn import CGPN
from nucleosynth.nets.count import StageCost
from nucleosynth.progress import say
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.stages.cgpn import CGPNBatch, CGPNStage, cost, paint
from nucleosynth.training import checkpoint

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


class CGPNGAN(GamePainter[CGPNGANSettings, CGPN]):
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
        stage: PainterStage[CGPN],
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        super().__init__(settings, facts, class_names, stage, tiles, origin, fabric)
        self._pair = _clip_of(stage).to(fabric.device)

    @classmethod
    def check(cls, tiles: Sequence[Sample], settings: CGPNGANSettings, run: Run) -> None:
        """Refuse another run's small CLIP that has seen sources beside this run's: samples tell only of these.

        Raises:
            UserError: see above, and as every game does.
        """
        super().check(tiles, settings, run)
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

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: CGPNGANSettings) -> CGPNFacts:
        """Its nuclei are counted in windows as large as those of training."""
        spreads = PathologyCaptions.fit(every_window(tiles, settings.tile))
        return CGPNFacts(**super().facts_of(tiles, settings).model_dump(), captions=spreads)

    @classmethod
    def read_facts(cls, run: Run) -> CGPNFacts:
        """What a run learned."""
        return CGPNFacts.model_validate(run.read_facts())

    @classmethod
    def batch_of(
        cls, windows: Crops, settings: CGPNGANSettings, facts: Facts, generator: np.random.Generator
    ) -> CGPNBatch:
        """Windows as the stage takes them, with the sentence for each."""
        captions = _known(facts).captions
        drawn = [windows.draw(generator) for _ in range(settings.training.batch)]
        return CGPNBatch(
            np.stack([network_image(window.image) for window in drawn]),
            np.stack([label_channels(facts.slots, window.instances, window.classes) for window in drawn]),
            [captions.of_sample(window) for window in drawn],
        )

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
    def before(
        cls, tiles: Sequence[Sample], settings: CGPNGANSettings, facts: Facts, run: Run, fabric: Fabric
    ) -> Budget:
        """Train the small CLIP of these tiles and their sentences in its share of the budget, unless one is given."""
        budget = run.record.budget
        if settings.clip != OWN:
            return budget
        say(f"no CLIP is given: a small one is trained first, on these tiles and captions alone (clip={OWN})")

        def tell(window: Sample, _generator: np.random.Generator) -> str:
            return _known(facts).captions.of_sample(window)

        train_clip(tiles, tell, settings.own, settings.tile, run, fabric, budget.part(settings.clip_share))
        return budget.part(1 - settings.clip_share)

    @classmethod
    def beside(cls, stage: PainterStage[CGPN]) -> Mapping[str, str]:
        """Which CLIP the generator was trained with."""
        return identity.record(clip_pair.KIND, _clip_of(stage))

    @classmethod
    def _stage(cls, settings: CGPNGANSettings, facts: Facts, run: Run, fabric: Fabric) -> CGPNStage:
        """The game, untrained, with its CLIP, given or of the run; once begun, with no other than it began with."""
        path = run.checkpoint(IMAGE)
        began = path.exists()
        if began:
            checkpoint.load(path, f"{cls.name}/{IMAGE}", {})  # whose it is, before its CLIP is looked for
        pair = settings.given() or own_clip.of_run(run)
        if began:
            identity.check(clip_pair.KIND, pair, checkpoint.beside(path), str(path))
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


def _known(facts: Facts) -> CGPNFacts:
    """Facts as `facts_of` makes them."""
    return cast(CGPNFacts, facts)


def _clip_of(stage: PainterStage[CGPN]) -> ClipPair:
    """The CLIP of a stage that `_stage` made."""
    return cast(ClipPair, cast(CGPNStage, stage).pair)
