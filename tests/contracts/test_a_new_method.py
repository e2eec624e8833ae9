"""A newcomer's method: one file and one catalog line, and every verb knows it."""

import sys
from pathlib import Path

import pytest

from nucleosynth import catalog
from nucleosynth.data.reader import read
from nucleosynth.verbs.cost import cost
from nucleosynth.verbs.fit import fit
from nucleosynth.verbs.generate import generate

DATA = "phantom:tiles=2&size=48&sources=2"
FILE = '''
"""Tiles of the one colour that the training tiles have on average: the least that a method can be."""

from itertools import count as naturals

import numpy as np
import torch

from nucleosynth.methods.batches import SlotNoise, aligned
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.sample import Condition
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train


class Plain(TileSettings):
    tile: int = 32
    rate: float = 0.1

    @property
    def stride(self):
        return 1


class Stage:
    name = "colour"

    def __init__(self, rate):
        self.net = torch.nn.ParameterDict({"colour": torch.zeros(3)})
        self.modules = {"net": self.net}
        self.optimisers = {"adam": torch.optim.Adam(self.net.parameters(), rate)}

    def setup(self, fabric):
        self.net.to(fabric.device)

    def step(self, fabric, batch, moment):
        loss = ((self.net["colour"] - torch.from_numpy(batch)) ** 2).mean()
        loss.backward()
        self.optimisers["adam"].step()
        self.optimisers["adam"].zero_grad()
        return {"loss": loss}


class OneColour:
    name, needs, takes, stages = "one_colour", frozenset(), frozenset(), ("colour",)
    presets, published_classes = {"tiny": Plain()}, 1

    def __init__(self, settings, facts, names, stage, origin):
        self.settings, self.facts, self.class_names, self.stage, self.origin = settings, facts, names, stage, origin
        self.size, self.mpp = (settings.tile, settings.tile), None

    @classmethod
    def fit(cls, samples, settings, run, fabric):
        run.write_facts(common(samples))
        stage, mean = Stage(settings.rate), samples[0].image.mean(axis=(0, 1)).astype(np.float32) / 255
        train(stage, lambda step: mean, budget=run.record.budget, run=run, fabric=fabric)
        return cls.load(run, fabric)

    @classmethod
    def load(cls, run, fabric):
        settings, stage = Plain.model_validate(run.record.settings), Stage(0.1)
        checkpoint.load(run.checkpoint("colour"), "one_colour/colour", stage.modules)
        return cls(settings, Facts.model_validate(run.read_facts()), run.record.class_names, stage, Origin.of(run))

    def default_conditions(self, seed, start=0, size=None):
        for _ in naturals(start):
            yield Condition(size or self.size, class_names=self.class_names)

    def generate(self, conditions, seed, *, count, start=0, batch=16):
        kinds = dict(count=count, start=start, batch=batch, size_of=lambda c: c.size, usual=self.size)
        for groups in aligned(conditions, **kinds):
            for group in groups:
                noise = SlotNoise(group, {"image": (3, *group.size)}, seed, torch.device("cpu")).normal("image")
                for slot in group.slots:
                    image = (self.stage.net["colour"].view(3, 1, 1) + noise[slot.position] / 20).clamp(0, 1) * 255
                    image = image.detach().permute(1, 2, 0).byte().numpy()
                    yield sample_of(self, slot, seed, image, np.zeros(group.size, np.int32), np.zeros(0, np.uint8))

    @classmethod
    def cost(cls, settings, size, classes):
        plain = {"gflop_per_evaluation": 1e-9, "gflop_once": 0, "gflop_cached": 1e-9, "evaluations": 1}
        return [StageCost(name="colour", parameters=3, peak_mb=size**2 * 12e-6, **plain)]
'''


def test_one_file_and_one_line_make_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nucleosynth.methods

    (tmp_path / "one_colour.py").write_text(FILE)
    monkeypatch.setattr(nucleosynth.methods, "__path__", [*nucleosynth.methods.__path__, str(tmp_path)])
    line = catalog.Entry("one_colour", "methods.one_colour:OneColour", "tiles of one colour")
    monkeypatch.setitem(catalog.CATALOG, "method", (*catalog.CATALOG["method"], line))
    try:
        run = fit("one_colour", data=DATA, run=tmp_path / "run", steps=60, device="cpu", precision="32-true")
        pairs = list(read(str(generate(run.folder, out=tmp_path / "pairs", n=3, device="cpu"))))
    finally:
        sys.modules.pop("nucleosynth.methods.one_colour", None)
    assert [pair.sample_id for pair in pairs] == [f"one_colour_0_{k:06d}" for k in range(3)]
    assert cost("one_colour")["gflop_per_pair"] == 1e-9
    wanted = next(iter(read(DATA, "train"))).image.mean(axis=(0, 1))
    assert abs(pairs[0].image.mean(axis=(0, 1)) - wanted).max() < 8
