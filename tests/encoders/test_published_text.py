"""Published text encoders: the same tokens as transformers gives, files that can run no code, no download unasked."""

import json
import pickle
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import small_text
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from nucleosynth.encoders import hub
from nucleosynth.encoders.text import load
from nucleosynth.errors import UserError

CAPTIONS = ["colon tissue with no nucleus", "breast", "colon tissue including nuclei types of a, b, and c"]
OWN = {
    "clip-text": (small_text.clip, CLIPTextModel, CLIPTokenizer),
    "t5": (small_text.t5, T5EncoderModel, T5Tokenizer),
}


@pytest.mark.parametrize("kind", OWN)
@torch.inference_mode()
def test_tokens_are_the_last_hidden_state_of_transformers_own_model(kind: str, tmp_path: Path) -> None:
    make, network, pieces = OWN[kind]
    folder = make(tmp_path / "published")
    encoder = load(f"{kind}:{folder}")
    own, tokenizer = network.from_pretrained(folder).eval(), pieces.from_pretrained(folder)
    given = tokenizer(CAPTIONS, padding="max_length", max_length=encoder.length, return_tensors="pt")
    expected = own(**given).last_hidden_state
    values, mask = encoder(CAPTIONS)
    assert (encoder.name, encoder.width) == (f"{kind}:published", 16)
    assert encoder.length == {"clip-text": 77, "t5": 256}[kind]
    assert_close(mask, given["attention_mask"].bool())
    assert_close(values, expected * mask[..., None], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_token_of_clip_sees_those_before_it_alone_and_one_of_t5_all(tmp_path: Path) -> None:
    for spec, causal in (
        (f"clip-text:{small_text.clip(tmp_path / 'clip')}", True),
        (f"t5:{small_text.t5(tmp_path / 't5')}", False),
    ):
        (first, second), _ = load(spec)(["colon tissue a", "colon tissue b"])
        assert (first[:2] - second[:2]).abs().max().item() == 0 if causal else (first[0] != second[0]).any()
        assert (first - second).abs().max() > 1e-2


def test_what_was_seen_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder: Any = load(small_text.SPECS["clip-text"](tmp_path))
    values, _ = encoder(CAPTIONS)
    monkeypatch.setattr(encoder, "_network", None)
    assert_close(encoder(CAPTIONS[::-1]).values.flip(0), values, rtol=0, atol=0)
    with pytest.raises(TypeError):
        encoder(["another"])


def test_tokens_are_of_full_precision_whatever_is_around_them(tmp_path: Path) -> None:
    spec = small_text.SPECS["t5"](tmp_path)
    expected = load(spec)(CAPTIONS).values
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(load(spec)(CAPTIONS).values, expected, rtol=0, atol=0)


def test_loading_leaves_the_seed_as_it_is(tmp_path: Path) -> None:
    spec = small_text.SPECS["t5"](tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load(spec)
    assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_the_same_weights_have_the_same_digest_from_any_file(tmp_path: Path) -> None:
    first = load(f"clip-text:{small_text.clip(tmp_path / 'a')}")
    copy = small_text.clip(tmp_path / "b")
    weights = torch.load(copy / "pytorch_model.bin", weights_only=True)
    (copy / "pytorch_model.bin").unlink()
    save_file(weights, copy / "model.safetensors")
    assert load(f"clip-text:{copy}").digest == load(f"plip:{copy}").digest == first.digest
    weights["text_model.final_layer_norm.bias"] += 1
    save_file(weights, copy / "model.safetensors")
    assert load(f"clip-text:{copy}").digest != first.digest


def test_another_vocabulary_is_another_encoder(tmp_path: Path) -> None:
    folder = small_text.clip(tmp_path / "clip")
    before = load(f"clip-text:{folder}").digest
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    assert load(f"clip-text:{folder}").digest != before


def test_either_name_of_t5_s_embedding_will_do(tmp_path: Path) -> None:
    folder = small_text.t5(tmp_path / "t5")
    before = load(f"t5:{folder}").digest
    weights = load_file(folder / "model.safetensors")
    weights["encoder.embed_tokens.weight"] = weights.pop("shared.weight")
    save_file(weights, folder / "model.safetensors")
    assert load(f"t5:{folder}").digest == before
    del weights["encoder.embed_tokens.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"the weights do not fit the network(.|\n)*the encoder of t5:t5"):
        load(f"t5:{folder}")


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = small_text.clip(tmp_path / "clip")
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    for key, value, message in (
        ("text_model.final_layer_norm.bias", torch.ones(3), "the weights do not fit the network"),
        ("text_model.final_layer_norm.bias", torch.full((16,), torch.nan), "weights that are not finite"),
        ("text_model.final_layer_norm.weight", torch.full((16,), 3e38), "tokens that are not finite"),
    ):
        torch.save(weights | {key: value}, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match=message):
            load(f"clip-text:{folder}")


def test_weights_that_could_run_code_are_refused(tmp_path: Path) -> None:
    folder = small_text.clip(tmp_path / "clip")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(UserError, match="not a file of weights"):
        load(f"clip-text:{folder}")


@pytest.mark.parametrize("broken", ["", "[]", '{"text_config": {"hidden_size": "wide"}}', '{"text_config": 3}'])
def test_broken_settings_are_named(broken: str, tmp_path: Path) -> None:
    folder = small_text.clip(tmp_path / "clip")
    (folder / "config.json").write_text(broken)
    with pytest.raises(UserError, match=r"not the settings of such a model(.|\n)*clip"):
        load(f"clip-text:{folder}")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = small_text.t5(tmp_path / "t5")
    config = json.loads((folder / "config.json").read_text())
    model = small_text.t5_model()
    model.resize_token_embeddings(40)
    save_file({key: value.clone() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 40}))
    with pytest.raises(UserError, match=r"tokenizer and network are of two models(.|\n)*below 40(.|\n)*an id 133"):
        load(f"t5:{folder}")


@pytest.mark.parametrize("missing", ["config.json", "pytorch_model.bin", "vocab.json", "merges.txt"])
def test_what_is_missing_in_a_folder_is_told(missing: str, tmp_path: Path) -> None:
    folder = small_text.clip(tmp_path / "clip")
    (folder / missing).unlink()
    with pytest.raises(UserError, match=rf"no files for clip-text:(.|\n)*{missing}(.|\n)*put them into"):
        load(f"clip-text:{folder}")


@pytest.mark.parametrize(
    ("spec", "name"), [("plip", "vinid/plip"), ("t5:google/t5-v1_1-base", "google/t5-v1_1-base"), ("t5:a/b", "a/b")]
)
def test_nothing_is_downloaded_unasked(spec: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(UserError, match=rf"no files for (.|\n)*hf download {name}(.|\n)*:download(.|\n)*words"):
        load(spec)


@pytest.mark.parametrize("spec", ["clip-text", "t5", "t5::download", "clip-text:", "t5:t5", "t5:/no/such/folder"])
def test_a_name_is_needed(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_text.clip(tmp_path / "clip"))  # what lies in the current folder is not taken unasked
    with pytest.raises(UserError, match=r"no files for(.|\n)*give \S+:FOLDER or \S+:OWNER/NAME"):
        load(spec)


@pytest.mark.parametrize(("spec", "kind"), [("plip", "clip"), ("t5:owner/name", "t5")])
def test_a_model_of_the_hub_is_found_in_its_cache(
    spec: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = {"clip": small_text.clip, "t5": small_text.t5}[kind](tmp_path / "snapshot")

    def cached(name: str, file: str) -> str | None:
        assert name in ("vinid/plip", "owner/name")
        return str(folder / file) if (folder / file).is_file() else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    assert load(spec).name == ("clip-text:vinid/plip" if kind == "clip" else "t5:owner/name")


@pytest.mark.parametrize("spec", ["plip:download", "clip-text:vinid/plip:download"])
def test_a_download_fetches_what_is_needed_and_no_more(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = small_text.clip(tmp_path / "snapshot"), []

    def fetched(_: str, file: str) -> str:
        asked.append(file)
        if not (folder / file).is_file():
            raise RemoteEntryNotFoundError("no such file", response=Mock())
        return str(folder / file)

    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub, "hf_hub_download", fetched)
    assert load(spec).name == "clip-text:vinid/plip"
    assert asked == [
        *("config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.json", "merges.txt")
    ]


def test_a_download_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: str) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "hf_hub_download", offline)
    with pytest.raises(UserError, match=r"the download failed(.|\n)*config.json of owner/none(.|\n)*no connection"):
        load("t5:owner/none:download")
