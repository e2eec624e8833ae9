"""The image tower of any CLIP that open_clip knows: what images have in common with captions (Radford et al., 2021).

`clip:` and what encoders.open_clip_files takes. Features are the projected embedding, not normalised. A tile is resized
once, bicubic with averaging, to the model's side; mean and spread are the folder's, else CLIP's own. Both towers, for
networks that are told in words, are encoders.open_clip_pair's.
"""

from typing import Any

import open_clip

from nucleosynth.encoders.network import Network
from nucleosynth.encoders.open_clip_files import Asked, Model, found, not_made
from nucleosynth.encoders.weights import digest_of, fill, read_weights

TOWER = "visual."
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
"""A text tower as small as can be, since a model is made whole: only the image tower is kept."""
ASKED = Asked("clip", "the embedded default: --encoder texture")


def load(where: str = "") -> Network:
    """The encoder of FOLDER, MODEL:FILE, OWNER/NAME or OWNER/NAME:download.

    Raises:
        UserError: an unknown model, files that are not there, are broken, hold more than tensors, or do not fit.
    """
    model = found(where, ASKED)
    tower = _tower(model)
    weights = read_weights(model.weights)
    kept = {key.removeprefix(TOWER): value for key, value in weights.items() if key.startswith(TOWER)}
    fill(tower, kept, f"the image tower of {model.name}, after {TOWER!r}", str(model.weights))
    return Network(f"clip:{model.name}", digest_of(tower.state_dict()), model.prepare(), tower)


def _tower(model: Model) -> Any:
    """The image tower, its weights still random."""
    vision = {**model.settings["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    try:
        return open_clip.CLIP(
            model.settings["embed_dim"],
            open_clip.CLIPVisionCfg(**vision),
            open_clip.CLIPTextCfg(**NO_TEXT),
            quick_gelu=model.settings.get("quick_gelu", False),
        ).visual
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError, ArithmeticError) as error:
        said = str(error) or type(error).__name__
        raise not_made(model, ASKED, said, "vision_cfg with settings that it knows") from error
