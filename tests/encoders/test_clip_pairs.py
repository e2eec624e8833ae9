"""Pairs keep their contract, and none has a fault of the released CGPN-GAN: items alone, images scaled once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import small_clips
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from nucleosynth import catalog
from nucleosynth.encoders import clip_pair, identity
from nucleosynth.encoders.clip_pair import KIND, ClipPair, at_shares, load
from nucleosynth.errors import UserError

CAPTIONS = ["Colon image of background", "Breast tumor image of neoplastic tissue, many neoplastic", "few"]
IMAGES = 2 * torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0)) - 1


@pytest.fixture(scope="module", params=[entry.name for entry in catalog.CATALOG["clip"]])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ClipPair:
    """Each pair of the catalog, with weights that have seen nothing."""
    return load(small_clips.SPECS[request.param](tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipPair, Any]:
    """A pair of open_clip's, and open_clip's own model."""
    return load(small_clips.SPECS["open_clip"](tmp_path_factory.mktemp("small"))), small_clips.model()


def prepared(images: Tensor) -> Tensor:
    """Images in [-1, 1] as open_clip's own preparation has them, at the small model's side."""
    mean, spread = (torch.tensor(each)[:, None, None] for each in (small_clips.MEAN, small_clips.SPREAD))
    scaled = functional.interpolate((images + 1) / 2, (32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    return (scaled - mean) / spread


def test_shapes_and_kinds(pair: ClipPair) -> None:
    seen, said = pair.image(IMAGES), pair.text(CAPTIONS)
    assert seen.embedding.shape == said.shape == (3, pair.width)
    assert [each.shape for each in seen.maps] == [(3, pair.map_width, pair.map_side, pair.map_side)] * 3
    assert {each.dtype for each in (seen.embedding, said, *seen.maps)} == {torch.float32}
    assert pair.text([]).shape == (0, pair.width)
    assert not said.requires_grad
    assert pair.name
    assert len(pair.digest) == 16
    assert (said[0] - said[1]).abs().mean() > 1e-3
    assert pair.to(torch.device("cpu")) is pair


def test_what_an_item_gives_does_not_depend_on_its_batch_mates(pair: ClipPair) -> None:
    seen, said = pair.image(IMAGES), pair.text(CAPTIONS)
    for k in range(3):
        alone = pair.image(IMAGES[k : k + 1])
        assert_close(alone.embedding[0], seen.embedding[k], rtol=1e-4, atol=1e-5)
        for own, among in zip(alone.maps, seen.maps, strict=True):
            assert_close(own[0], among[k], rtol=1e-4, atol=1e-5)
        assert torch.equal(pair.text(CAPTIONS[k : k + 1])[0], said[k])


def test_there_is_a_gradient_to_the_image_from_each_output_and_none_to_weights(pair: ClipPair) -> None:
    for part in range(4):
        images = (0.8 * IMAGES).requires_grad_()
        seen = pair.image(images)
        (seen.embedding, *seen.maps)[part].square().sum().backward()
        assert images.grad is not None
        assert images.grad.isfinite().all()
        assert (images.grad.abs().flatten(1).sum(dim=1) > 0).all()
    assert not any(parameter.requires_grad for parameter in pair._net.parameters())  # type: ignore[attr-defined]


def test_the_maps_come_from_three_depths(pair: ClipPair) -> None:
    first, second, third = pair.image(IMAGES).maps
    assert (first - second).abs().mean() > 1e-3
    assert (second - third).abs().mean() > 1e-3


def test_precision_around_it_does_not_change_captions(pair: ClipPair) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inside = pair.text(CAPTIONS)
    fresh = load_again(pair)
    assert torch.equal(inside, fresh)


def load_again(pair: ClipPair) -> Tensor:
    """The captions' vectors, computed anew."""
    pair._seen.cache_clear()  # type: ignore[attr-defined]
    return pair.text(CAPTIONS)


def test_blocks_of_other_depths() -> None:
    assert at_shares(12) == (1, 4, 8) == clip_pair.BLOCKS
    assert (at_shares(24), at_shares(3)) == ((2, 8, 16), (0, 1, 2))


@torch.no_grad()
def test_embeddings_are_those_of_open_clip_s_own_functions(small: tuple[ClipPair, Any]) -> None:
    pair, model = small
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    assert_close(pair.image(IMAGES).embedding, model.encode_image(prepared(IMAGES)), rtol=1e-4, atol=1e-5)
    assert_close(pair.text(CAPTIONS), model.encode_text(tokenizer(CAPTIONS)), rtol=1e-4, atol=1e-5)
    assert (pair.name, pair.width, pair.side, pair.map_width, pair.map_side) == ("open_clip:small", 12, 32, 24, 4)


@torch.no_grad()
def test_maps_are_what_hooks_catch_behind_blocks_1_4_and_8(small: tuple[ClipPair, Any]) -> None:
    pair, model = small
    caught: list[Tensor] = []
    blocks = [model.visual.transformer.resblocks[block] for block in (1, 4, 8)]
    hooks = [block.register_forward_hook(lambda *given: caught.append(given[2])) for block in blocks]
    model.encode_image(prepared(IMAGES))
    for hook in hooks:
        hook.remove()
    for found, tokens in zip(pair.image(IMAGES).maps, caught, strict=True):
        assert tokens.shape == (3, 17, 24), "batch first, the class token before the patches"
        assert_close(found, tokens[:, 1:].mT.unflatten(2, (4, 4)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_piece_of_a_caption_sees_those_before_it_alone(small: tuple[ClipPair, Any]) -> None:
    """Without padding, under a mask that is made here: what stands behind the end of a caption plays no part."""
    pair, model = small
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    for caption, vector in zip(CAPTIONS, pair.text(CAPTIONS), strict=True):
        ids = torch.tensor([[49406, *tokenizer.encode(caption), 49407]])
        n = ids.shape[1]
        x = model.token_embedding(ids) + model.positional_embedding[:n]
        told = {
            causal: model.ln_final(
                model.transformer(x, attn_mask=torch.full((n, n), -torch.inf).triu(1) if causal else None)
            )[0, -1]
            @ model.text_projection
            for causal in (True, False)
        }
        assert_close(vector, told[True], rtol=1e-4, atol=1e-5)
        assert (vector - told[False]).abs().mean() > 1e-2


@torch.no_grad()
def test_an_image_is_scaled_once_and_resized_as_open_clip_does(small: tuple[ClipPair, Any]) -> None:
    pair, model = small
    rough = np.random.default_rng(0).normal(size=(4, 4, 3))
    smooth = np.asarray(Image.fromarray((40 * rough + 128).clip(0, 255).astype(np.uint8)).resize((80, 80), 3))
    prepare = open_clip.image_transform(32, False, tuple(small_clips.MEAN), tuple(small_clips.SPREAD), "squash")
    given = torch.from_numpy(smooth.copy()).movedim(-1, 0)[None] / 127.5 - 1
    expected = model.encode_image(prepare(Image.fromarray(smooth))[None])
    assert (pair.image(given).embedding - expected).abs().mean() < 0.02
    half = model.encode_image(prepare(Image.fromarray((smooth / 2 + 127.5).astype(np.uint8)))[None])
    assert (half - expected).abs().mean() > 0.2, "the released fault would be seen"


@torch.no_grad()
def test_black_and_white_come_to_the_ends_of_the_range(
    small: tuple[ClipPair, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, _ = small
    given: list[Tensor] = []
    monkeypatch.setattr(pair, "_look", lambda x: given.append(x) or clip_pair.Seen(x[:, :, 0, 0], ()))
    pair.image(torch.stack([-torch.ones(3, 40, 40), torch.ones(3, 40, 40)]))
    mean, spread = torch.tensor(small_clips.MEAN), torch.tensor(small_clips.SPREAD)
    assert_close(given[0].amin(dim=(2, 3)), torch.stack([-mean / spread, (1 - mean) / spread]))
    assert_close(given[0].amax(dim=(2, 3)), torch.stack([-mean / spread, (1 - mean) / spread]))


def test_what_is_too_long_is_cut_and_said(small: tuple[ClipPair, Any], capsys: pytest.CaptureFixture[str]) -> None:
    pair, _ = small
    long = pair.text(["colon " * 40])
    assert long.isfinite().all()
    assert "a caption of 42 tokens: the first 16 count" in capsys.readouterr().err


def test_a_model_by_name_takes_a_file_and_quiltnet_does_not_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = small_clips.folder(tmp_path / "small") / "open_clip_model.safetensors"
    monkeypatch.setattr(open_clip, "list_models", lambda: ["ViT-B-32"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: small_clips.SETTINGS)
    named = load(f"open_clip:ViT-B-32:{file}")
    assert (named.name, named.digest) == ("open_clip:ViT-B-32", load(f"open_clip:{file.parent}").digest)
    with pytest.raises(UserError, match=r"no weights for quiltnet:(.|\n)*a folder: quiltnet:FOLDER"):
        load(f"quiltnet:{file}")


def test_quiltnet_is_looked_for_in_the_hub_s_cache_and_fetched_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("nucleosynth.encoders.hub.try_to_load_from_cache", lambda name, _: asked.append(name))
    with pytest.raises(
        UserError, match=r"no weights for quiltnet:wisdomik(.|\n)*quiltnet:wisdomik/QuiltNet-B-32:downlo"
    ):
        load("quiltnet")
    assert set(asked) == {"wisdomik/QuiltNet-B-32"}
    folder = small_clips.folder(tmp_path / "small")
    fetched: list[str] = []

    def fetch(name: str, file: str) -> str:
        fetched.append(name)
        return str(folder / file)

    monkeypatch.setattr("nucleosynth.encoders.hub.hf_hub_download", fetch)
    assert load("quiltnet:download").name == "quiltnet:wisdomik/QuiltNet-B-32"
    assert set(fetched) == {"wisdomik/QuiltNet-B-32"}


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("text_cfg", {"hf_model_name": "roberta-base"}, "hf_model_name 'roberta-base'"),
        ("text_cfg", {"hf_tokenizer_name": "bert"}, "hf_tokenizer_name 'bert'"),
        ("text_cfg", {"wings": 2}, "wings"),
        ("text_cfg", {"vocab_size": 50}, r"49408 pieces(.|\n)*rows for 50(.|\n)*open_clip:small(.|\n)*own:RUN"),
        ("vision_cfg", {"layers": [1, 1, 1, 1], "head_width": 8, "width": 8}, "ModifiedResNet"),
    ],
)
def test_what_is_no_pair_of_ours_is_refused(part: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    place = small_clips.folder(tmp_path / "small")
    settings = {**small_clips.SETTINGS, part: {**small_clips.SETTINGS[part], **changes}}
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    with pytest.raises(UserError, match=said):
        load(f"open_clip:{place}")


def test_weights_that_overflow_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = small_clips.model()
    with torch.no_grad():
        huge.text_projection.fill_(3e38)
    monkeypatch.setattr(small_clips, "model", lambda *_: huge)
    with pytest.raises(UserError, match="vectors that are not finite"):
        load(f"open_clip:{small_clips.folder(tmp_path / 'small')}")


def test_another_pair_is_refused(pair: ClipPair) -> None:
    recorded = identity.record(KIND, pair)
    identity.check(KIND, pair, recorded, "there")
    identity.check(KIND, pair, {**recorded, KIND: "a copy"}, "there")
    with pytest.raises(UserError, match=r"another CLIP(.|\n)*theirs, digest 0123(.|\n)*" + pair.digest):
        identity.check(KIND, pair, {KIND: "theirs", "CLIP's digest": "0123"}, "there")
    with pytest.raises(UserError) as caught:
        identity.check(KIND, pair, {}, "runs/a/image.safetensors")
    assert caught.value.where == "runs/a/image.safetensors"
    with pytest.raises(UserError, match="did you mean 'quiltnet'"):
        load("quilnet")
