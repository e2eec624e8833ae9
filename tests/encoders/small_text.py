"""Small text encoders with random weights, in folders as each is published: SPECS[name](folder) is what to load."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPModel, T5Config, T5ForConditionalGeneration

MERGES = (("c", "o"), ("co", "l"), ("col", "o"), ("colo", "n</w>"))
SPOKEN = ["colon tissue image including nuclei types of a, b, and c", "breast tissue with no nucleus"]


def clip_model() -> CLIPModel:
    """Both towers."""
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**text, "image_size": 32, "patch_size": 16}
    ends = {"bos_token_id": 516, "eos_token_id": 517}
    text |= {"vocab_size": 518, "max_position_embeddings": 77, **ends}  # type: ignore[dict-item]
    torch.manual_seed(0)
    return loud(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval())


def t5_model() -> T5ForConditionalGeneration:
    """Encoder and decoder, gated as in version 1.1."""
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 160}
    torch.manual_seed(0)
    return loud(T5ForConditionalGeneration(T5Config(**settings, feed_forward_proj="gated-gelu")).eval())


def loud(model: Any) -> Any:
    """Weights so large that each layer changes what it is given."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.normal_(std=0.4)
    return model


def clip(folder: Path) -> Path:
    """A folder as the hub has PLIP: config.json, pytorch_model.bin, vocab.json and merges.txt."""
    folder.mkdir(exist_ok=True)
    model = clip_model()
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in MERGES)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: k for k, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    (folder / "config.json").write_text(model.config.to_json_string())
    weights = {f"text_model.{key}": value for key, value in model.text_model.state_dict().items()}
    weights |= {"text_model.embeddings.position_ids": torch.arange(77)[None], "logit_scale": torch.tensor(2.0)}
    torch.save(weights | {"visual_projection.weight": torch.ones(8, 16)}, folder / "pytorch_model.bin")
    return folder


def t5(folder: Path) -> Path:
    """A folder as the hub has T5: config.json, model.safetensors, spiece.model."""
    folder.mkdir(exist_ok=True)
    model, pieces = t5_model(), BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SPOKEN * 20), model_writer=pieces, vocab_size=34, minloglevel=2, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(pieces.getvalue())
    (folder / "config.json").write_text(model.config.to_json_string())
    weights = {key: value for key, value in model.state_dict().items() if not key.endswith("embed_tokens.weight")}
    save_file({key: value.clone() for key, value in weights.items()}, folder / "model.safetensors")
    return folder


SPECS: dict[str, Callable[[Path], str]] = {
    "words": lambda _: "words",
    "plip": lambda folder: f"plip:{clip(folder / 'plip')}",
    "clip-text": lambda folder: f"clip-text:{clip(folder / 'plip')}",
    "t5": lambda folder: f"t5:{t5(folder / 't5')}",
}
