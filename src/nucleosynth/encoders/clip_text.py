"""The text tower of a CLIP as transformers saves it: a token for each piece of a caption, in its context.

`plip` is PLIP's (Huang et al., Nature Medicine 2023), which CoSyn is conditioned on: 512 numbers a token, at most 77
tokens. What a token is: the last hidden state after the final norm, not projected; each sees those before it alone.
"""

from typing import Any

from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from nucleosynth.encoders.frozen_text import FrozenText, making
from nucleosynth.encoders.hub import found
from nucleosynth.encoders.weights import DOWNLOAD, fill, read_weights

PLIP = "vinid/plip"
TOKENIZER = (("tokenizer.json",), ("vocab.json", "merges.txt"))
TOWER = "text_model."
POSITIONS = "embeddings.position_ids"
"""Numbers 0, 1, 2 ..., which older programs saved among the weights."""


def load_plip(where: str = "") -> FrozenText:
    """PLIP of the hub's cache; where: "", "download", or a folder (see `load`)."""
    return load({"": PLIP, DOWNLOAD: f"{PLIP}:{DOWNLOAD}"}.get(where, where))


def load(where: str = "") -> FrozenText:
    """The text tower of FOLDER, OWNER/NAME or OWNER/NAME:download.

    Raises:
        UserError: files that are not there, are broken, hold more than tensors, or do not fit.
    """
    model = found("clip-text", where, TOKENIZER)
    with making(model):
        alone = model.config.get("model_type") == "clip_text_model"
        settings: Any = (
            CLIPTextConfig.from_dict(model.config) if alone else CLIPConfig.from_dict(model.config).text_config
        )
        network: Any = CLIPTextModel(settings)
        tokenizer = CLIPTokenizer.from_pretrained(model.folder, local_files_only=True)
    weights = read_weights(model.weights)
    kept = {key.removeprefix(TOWER): value for key, value in weights.items() if key.startswith(TOWER)}
    kept.pop(POSITIONS, None)
    fill(network.float(), kept, f"the text tower of {model.name}, after {TOWER!r}", str(model.weights))
    return FrozenText(model, tokenizer, network, settings.hidden_size, settings.max_position_embeddings)
