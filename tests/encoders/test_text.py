"""Text encoders keep their contract: tokens of each caption alone, nothing where there is no word, ids that stay."""

from pathlib import Path

import pytest
import small_text
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn
from torch.testing import assert_close

from nucleosynth import catalog
from nucleosynth.conditions.captions import caption
from nucleosynth.data.consep import CLASS_NAMES
from nucleosynth.data.puma import CLASS_NAMES as PUMA
from nucleosynth.encoders import words
from nucleosynth.encoders.identity import check, record
from nucleosynth.encoders.text import KIND, TextEncoder, load
from nucleosynth.errors import UserError

CAPTIONS = ["colon tissue with no nucleus", "", "breast", "colon tissue including nuclei types of a, b, and c"]


@pytest.fixture(params=[entry.name for entry in catalog.CATALOG["text encoder"]])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> TextEncoder:
    """Each text encoder of the catalog, with weights that have seen nothing."""
    return load(small_text.SPECS[request.param](tmp_path))


@torch.inference_mode()
def in_context(encoder: TextEncoder, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Vectors (b n width) and mask of some captions, whichever kind the encoder is of."""
    torch.manual_seed(0)
    values, mask = encoder(captions)
    module = encoder.module()
    return module(values) if module else values, mask


def test_its_tokens_are_of_each_caption_alone(encoder: TextEncoder) -> None:
    values, mask = in_context(encoder, CAPTIONS)
    assert values.shape == (4, encoder.length, encoder.width)
    assert (values.dtype, mask.dtype, mask.shape) == (torch.float32, torch.bool, (4, encoder.length))
    assert torch.isfinite(values).all()
    assert not values[~mask].any()
    lengths = mask.sum(dim=1)
    assert_array_equal(mask, torch.arange(encoder.length) < lengths[:, None])
    assert lengths[1] == 0 < lengths[2] < lengths[0] < lengths[3]
    again, _ = in_context(encoder, CAPTIONS[::-1])
    alone = torch.cat([in_context(encoder, [caption])[0] for caption in CAPTIONS])
    assert_close(again.flip(0), values)
    assert_close(alone, values)
    assert encoder.name
    assert len(encoder.digest) == 16


def test_a_token_knows_the_others_of_its_caption(encoder: TextEncoder) -> None:
    values, _ = in_context(encoder, ["a colon b", "a colon c", "c colon a"])
    assert (values[0] - values[2]).abs().mean() > 1e-3
    assert (values[0] - values[1]).abs().mean() > 1e-3


def test_a_frozen_one_has_features_and_a_trained_one_ids(encoder: TextEncoder) -> None:
    values, _ = encoder(CAPTIONS)
    assert encoder.trained == (encoder.module() is not None) == (values.dtype == torch.int64)
    assert values.shape[1:] == ((encoder.length,) if encoder.trained else (encoder.length, encoder.width))
    assert not values.requires_grad
    empty = encoder([])
    assert (empty.values.shape, empty.mask.shape) == ((0, *values.shape[1:]), (0, encoder.length))


def test_what_is_too_long_is_cut_and_said(encoder: TextEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    long = "colon " * 300
    values, mask = in_context(encoder, [long])
    assert mask.all()
    assert torch.isfinite(values).all()
    assert f"the first {encoder.length} count" in capsys.readouterr().err


def test_another_encoder_is_refused(encoder: TextEncoder) -> None:
    recorded = record(KIND, encoder)
    check(KIND, encoder, recorded, "there")
    check(KIND, encoder, recorded | {KIND: "a copy"}, "there")
    theirs = {"text encoder": "theirs", "text encoder's digest": "0123"}
    with pytest.raises(UserError, match=r"another text encoder(.|\n)*theirs, digest 0123(.|\n)*" + encoder.digest):
        check(KIND, encoder, theirs, "there")
    with pytest.raises(UserError, match="one that the checkpoint names"):
        check(KIND, encoder, {}, "there")


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(UserError, match="did you mean 'plip'"):
        load("pllip")
    with pytest.raises(UserError, match=r"words takes no file(.|\n)*words:mine"):
        load("words:mine")


def test_words_are_read_by_their_letters_alone() -> None:
    (first, second, third, fourth), mask = words.Words()(
        ["H&E stained, non-neoplastic", "h & e STAINED non neoplastic!", "H&E stained neoplastic", "ä_b 1"]
    )
    assert_array_equal(first, second)
    assert_array_equal(mask.sum(dim=1), [6, 6, 5, 3])
    assert third[4] == first[5]
    assert fourth[0] not in first
    assert (words.id_of("colon"), words.id_of("nucleus")) == (931793, 789896)  # the same on every machine, for ever


def test_the_words_of_real_captions_have_ids_of_their_own() -> None:
    sentence = caption("endometrium", "IHC", ["a"]) + caption(None, None, [])
    known = {*words.WORD.findall(sentence.lower())} | {
        word for name in (*CLASS_NAMES, *PUMA) for word in words.WORD.findall(name.lower())
    }
    assert len({words.id_of(word) for word in known}) == len(known) > 30
    ids = torch.tensor([words.id_of(word) for word in known])
    assert ids.min() >= 1
    assert ids.max() <= words.ROWS**2 == 2**20
    pairs = {((id - 1) // words.ROWS, (id - 1) % words.ROWS) for id in ids.tolist()}
    assert len(pairs) == len(known)


@torch.inference_mode()
def test_ids_that_share_a_row_of_one_table_differ() -> None:
    module = words.Words().module()
    ids = torch.tensor([[1 + 7 * words.ROWS + 3], [1 + 7 * words.ROWS + 5], [1 + 9 * words.ROWS + 3]])
    first, second, third = module(ids)
    assert min((first - second).abs().mean(), (first - third).abs().mean()) > 0.1


def test_padding_does_not_leak_into_words() -> None:
    encoder = words.Words()
    module = encoder.module()
    (ids,), _ = encoder(["colon tissue with b"])
    with torch.inference_mode():
        assert_close(module(ids[None, :4]), module(ids[None])[:, :4])
        assert_close(module(ids[None, :4]).std(), torch.tensor(1.0), rtol=0.1, atol=0)


def test_each_part_of_the_words_network_is_trained() -> None:
    encoder = words.Words()
    module = encoder.module()
    assert isinstance(module, nn.Module)
    values = module(encoder(CAPTIONS).values)
    (values * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
