"""CGPN-GAN's game: each loss as its formula says, gradients where they belong, and nothing of CLIP that learns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.adversarial.losses import likeness_of_outputs
from nucleosynth.nets.cgpn import CGPNSettings
from nucleosynth.nets.patchgan import CriticSettings, logits
from nucleosynth.stages.cgpn import CLIP, PATCH, READER, CGPNBatch, CGPNParts, CGPNStage, CGPNTraining, Made, Shown
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

SMALL = CGPNSettings(width=32, coarse=1, modulation=8, noise=4, seed=8, mapping=1)
FEW: dict[str, Any] = {"batch": 4, "hidden": 6, "joint": 4, "feature_matching": 0.0}
PATCHES = CriticSettings(width=4, layers=1, scales=1, spectral=True)
LABELS, SIDE = 4, 32
WORDS = ("many", "few", "several")


class Seen(NamedTuple):
    embedding: Tensor
    maps: tuple[Tensor, ...]


class Pair:
    """A CLIP of one convolution, which knows three words."""

    width, map_width, map_side = 5, 4, 4

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.net = nn.Conv2d(3, 3 * self.map_width, 8, stride=8).requires_grad_(False)
        self.net.weight.normal_(generator=generator)
        self.head = torch.randn(3 * self.map_width, self.width, generator=generator)
        self.words = torch.randn(len(WORDS), self.width, generator=generator)

    def to(self, _device: torch.device) -> "Pair":
        return self

    def text(self, captions: Sequence[str]) -> Tensor:
        return torch.stack([self.words[WORDS.index(caption)] for caption in captions])

    def image(self, images: Tensor) -> Seen:
        found = self.net(images).float()
        return Seen(torch.tanh(found.mean((2, 3))) @ self.head, found.chunk(3, dim=1))


class Pools(nn.Module):
    """Five maps, as VGG19 has."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [functional.avg_pool2d(images, 2**k) for k in range(5)]


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def drawn(sentences: Sequence[str] = ("many", "few", "several", "few")) -> CGPNBatch:
    """Images, each nucleus brighter than the background, one class a quarter of each label."""
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, LABELS - 1, (len(sentences), 4, 4)).repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    labels = np.eye(LABELS, dtype=np.float32)[kinds].transpose(0, 3, 1, 2)
    image = np.repeat(kinds[:, None] / (LABELS - 2), 3, axis=1).astype(np.float32) * 2 - 1
    return CGPNBatch(image, labels, sentences)


def staged(fabric: Fabric, **changes: Any) -> CGPNStage:
    torch.manual_seed(0)
    parts = CGPNParts(network=SMALL, critic=PATCHES, training=CGPNTraining(**FEW | changes))
    stage = CGPNStage("image", parts, LABELS, Pair(), maps=Pools)
    for net in (stage.generator, *stage.critics.values()):
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.2)
    stage.setup(fabric)
    return stage


def shown(stage: CGPNStage, fabric: Fabric, batch: CGPNBatch) -> tuple[Shown, Made]:
    torch.manual_seed(1)
    received = stage.received(fabric, batch, Moment())
    return received, stage.fake(received)


def test_everything_that_learns_is_saved_and_nothing_of_clip(fabric: Fabric) -> None:
    stage = staged(fabric, mask_consistency=1.0)
    assert set(stage.modules) == {"generator", "average", "watch", CLIP, PATCH, READER}
    assert set(stage.optimisers) == {"generator", CLIP, PATCH, READER}
    assert set(staged(fabric).critics) == {CLIP, PATCH}
    frozen = stage.pair.net.weight  # type: ignore[attr-defined]
    learning = [
        part for optimiser in stage.optimisers.values() for group in optimiser.param_groups for part in group["params"]
    ]
    assert not any(part is frozen for part in learning)
    before = frozen.clone()
    stage.step(fabric, drawn(), Moment())
    assert torch.equal(frozen, before)


def test_each_critic_is_watched_by_itself(fabric: Fabric) -> None:
    """One that tells all apart, and one that takes all for real."""
    stage = staged(fabric)
    batch, fake = shown(stage, fabric, drawn())
    nn.init.zeros_(stage.critics[PATCH].scales[0].logits.weight)  # type: ignore[union-attr, index, arg-type]
    nn.init.ones_(stage.critics[PATCH].scales[0].logits.bias)  # type: ignore[union-attr, index, arg-type]
    (yes,), (no,) = (stage.critics[CLIP](seen.maps, batch.text) for seen in (batch.seen, fake.seen))
    right = stage.critic_losses(batch, fake).right
    assert set(right) == {CLIP, PATCH}
    assert right[PATCH] == 0.5
    torch.testing.assert_close(right[CLIP], ((yes > 0).float().mean() + (no < 0).float().mean()) / 2)


@pytest.mark.parametrize("mismatched", [True, False])
def test_what_the_critics_lose(fabric: Fabric, mismatched: bool) -> None:
    stage = staged(fabric, mismatched=mismatched)
    batch, fake = shown(stage, fabric, drawn())
    found = stage.critic_losses(batch, fake).losses
    critic, patches = stage.critics[CLIP], stage.critics[PATCH]
    other = batch.text.roll(1, dims=0)
    (yes,), (no,), (wrong,) = (
        critic(maps, text)
        for maps, text in ((batch.seen.maps, batch.text), (fake.seen.maps, batch.text), (batch.seen.maps, other))
    )
    negative = functional.relu(1 + no).mean()
    if mismatched:
        negative = (negative + functional.relu(1 + wrong).mean()) / 2
    torch.testing.assert_close(found["critic_caption"], functional.relu(1 - yes).mean() + negative)
    real, false = (
        logits(patches(torch.cat([batch.labels, image], 1)))[0] for image in (batch.image, fake.image.detach())
    )
    hinge = functional.relu(1 - real).mean() + functional.relu(1 + false).mean()
    torch.testing.assert_close(found["critic_patch"], hinge / 2, rtol=1e-3, atol=1e-4)


def test_the_penalty_is_the_sixth_power_of_the_slope_at_real_pairs(fabric: Fabric) -> None:
    stage = staged(fabric)
    batch, fake = shown(stage, fabric, drawn())
    given = [part.detach().requires_grad_() for part in (*batch.seen.maps, batch.text)]
    slopes = torch.autograd.grad(stage.critics[CLIP](given[:-1], given[-1])[0].sum(), given)
    norm = torch.cat([slope.flatten(1) for slope in slopes], dim=1).norm(dim=1)
    found = stage.critic_losses(batch, fake).losses["penalty"]
    torch.testing.assert_close(found, 2 * (norm**6).mean())
    found.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in stage.critics[CLIP].parameters())
    assert all(parameter.grad is None for parameter in stage.generator.parameters())


def test_the_penalty_is_computed_in_full_precision(fabric: Fabric) -> None:
    stage = staged(fabric)
    batch, fake = shown(stage, fabric, drawn())
    plain = stage.critic_losses(batch, fake).losses
    with torch.autocast("cpu", torch.bfloat16):
        mixed = stage.critic_losses(batch, fake).losses
    assert torch.equal(plain["penalty"], mixed["penalty"])
    assert not torch.equal(plain["critic_caption"], mixed["critic_caption"]), "the rest is not"


def test_what_clip_is_shown_is_in_its_range(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """[-1, 1], once: the release scaled images twice."""
    stage, batch, seen = staged(fabric), drawn(), []
    look = stage.pair.image

    def watched(images: Tensor) -> Any:
        seen.append(images.detach())
        return look(images)

    monkeypatch.setattr(stage.pair, "image", watched)
    stage.fake(stage.received(fabric, batch, Moment()))
    assert torch.equal(seen[0], torch.from_numpy(batch.image))
    assert seen[1].abs().max() <= 1
    assert seen[1].min() < -0.1 < 0.1 < seen[1].max(), "both ends are used"


def test_what_the_generator_loses(fabric: Fabric) -> None:
    stage = staged(fabric)
    batch, fake = shown(stage, fabric, drawn())
    found = stage.generator_losses(batch, fake)
    assert set(found) == {"caption", "similarity", "patch"}
    (said,) = stage.critics[CLIP](fake.seen.maps, batch.text)
    torch.testing.assert_close(found["caption"], -said.mean())
    embedding, text = fake.seen.embedding, batch.text
    cosine = (embedding * text).sum(1) / embedding.norm(dim=1) / text.norm(dim=1)
    torch.testing.assert_close(found["similarity"], -2.5 * cosine.mean())
    patches = stage.critics[PATCH](torch.cat([batch.labels, fake.image], 1))
    torch.testing.assert_close(found["patch"], -logits(patches)[0].mean(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weight", ["feature_matching", "mask_consistency", "diversity", "perceptual"])
def test_what_is_weighed_by_0_is_never_computed(fabric: Fabric, weight: str) -> None:
    usual = set(staged(fabric).step(fabric, drawn(), Moment()))
    more = set(staged(fabric, **{weight: 1.0}).step(fabric, drawn(), Moment()))
    names = {"feature_matching": {"feature"}, "mask_consistency": {"mask", "reader"}}
    assert more - usual == names.get(weight, {weight})
    seen = {f"{CLIP}_mean", f"{PATCH}_mean", "critic_mean", "critic_won"}
    assert usual - seen == {"caption", "similarity", "patch", "critic_caption", "critic_patch", "penalty"}
    assert seen < usual


@pytest.mark.parametrize("loss", ["caption", "similarity", "patch", "feature", "mask", "diversity"])
def test_a_gradient_of_each_loss_reaches_the_generator_alone(fabric: Fabric, loss: str) -> None:
    """That of caption and similarity runs through CLIP."""
    stage = staged(fabric, feature_matching=1.0, mask_consistency=1.0, diversity=1.0, difference=9.0)
    batch, fake = shown(stage, fabric, drawn())
    (gradient,) = torch.autograd.grad(stage.generator_losses(batch, fake)[loss], stage.generator.out.weight)
    assert gradient.abs().max() > 1e-6


def test_each_side_moves_in_its_own_step(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = staged(fabric)
    sides = {"generator": stage.generator, **stage.critics}
    before = {name: [part.clone() for part in net.parameters()] for name, net in sides.items()}

    def moved() -> set[str]:
        pairs = {name: zip(before[name], net.parameters(), strict=True) for name, net in sides.items()}
        return {name for name, each in pairs.items() if any(not torch.equal(a, b) for a, b in each)}

    asked = stage.generator_losses

    def between(batch: Shown, fake: Made) -> Any:
        assert moved() == {CLIP, PATCH}
        return asked(batch, fake)

    monkeypatch.setattr(stage, "generator_losses", between)
    stage.step(fabric, drawn(), Moment())
    assert moved() == {"generator", CLIP, PATCH}


def test_a_batch_of_one_sentence_has_no_mismatch(fabric: Fabric) -> None:
    same = drawn(["few"] * 4)
    found = []
    for mismatched in (True, False):
        stage = staged(fabric, mismatched=mismatched)
        found.append(stage.critic_losses(*shown(stage, fabric, same)).losses["critic_caption"])
    torch.testing.assert_close(*found)


def test_nuclei_of_unknown_type_are_not_read(fabric: Fabric) -> None:
    stage, known = staged(fabric, mask_consistency=1.0), drawn()
    labels = known.labels.copy()
    labels[:, :-1, :8] = 0
    batch, fake = shown(stage, fabric, known._replace(labels=labels))
    found = stage.critic_losses(batch, fake).losses["reader"]
    read = stage.critics[READER](batch.image)[:, :, 8:].log_softmax(1)
    wanted = torch.from_numpy(known.labels[:, :-1, 8:])
    torch.testing.assert_close(found, -(read * wanted).sum(1).mean())


def test_the_diversity_is_of_two_images_of_one_map(fabric: Fabric) -> None:
    stage = staged(fabric, diversity=0.5, difference=0.9)
    batch, fake = shown(stage, fabric, drawn())
    torch.manual_seed(7)
    found = stage.generator_losses(batch, fake)["diversity"]
    torch.manual_seed(7)
    noise = torch.randn(2, SMALL.noise)
    other = torch.tanh(stage.generator(batch.labels[:2], batch.text[:2], noise))
    torch.testing.assert_close(found, 0.5 * likeness_of_outputs(fake.image[:2], other, batch.noise[:2], noise, 0.9))


def test_in_bf16_all_stays_finite() -> None:
    fabric = fabric_for("cpu", "bf16-mixed")
    stage = staged(fabric, feature_matching=1.0, mask_consistency=1.0, diversity=1.0, difference=9.0)
    for step in range(3):
        assert all(value.isfinite() for value in stage.step(fabric, drawn(), Moment(step)).values())
