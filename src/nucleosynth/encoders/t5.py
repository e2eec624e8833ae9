"""The encoder of a T5 as transformers saves it, which GCDP is conditioned on: a token for each piece of a caption.

The original T5 (google-t5/t5-base) or its version 1.1 (google/t5-v1_1-base), any size whose weights are one file.
"""

from typing import Any

from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from nucleosynth.encoders.frozen_text import FrozenText, making
from nucleosynth.encoders.hub import found
from nucleosynth.encoders.weights import fill, read_weights

LENGTH = 256
"""The most tokens of a caption; the network has no limit of its own."""
TOKENIZER = (("tokenizer.json",), ("spiece.model",))
ENCODER = "encoder."
EMBEDDING = ("shared.weight", "encoder.embed_tokens.weight")
"""Two names of one table, of which files may have either."""


def load(where: str = "") -> FrozenText:
    """The encoder of FOLDER, OWNER/NAME or OWNER/NAME:download.

    Raises:
        UserError: files that are not there, are broken, hold more than tensors, or do not fit.
    """
    model = found("t5", where, TOKENIZER)
    with making(model):
        settings: Any = T5Config.from_dict(model.config)
        network: Any = T5EncoderModel(settings)
        tokenizer = T5Tokenizer.from_pretrained(model.folder, local_files_only=True)
    weights = read_weights(model.weights)
    fill(network.float(), _of_encoder(weights), f"the encoder of {model.name}, after {ENCODER!r}", str(model.weights))
    return FrozenText(model, tokenizer, network, settings.d_model, LENGTH)


def _of_encoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's part of all weights, its embedding under both names."""
    kept = {key: value for key, value in weights.items() if key.startswith(ENCODER)}
    table = next((weights[name] for name in EMBEDDING if name in weights), None)
    return kept if table is None else kept | dict.fromkeys(EMBEDDING, table)
