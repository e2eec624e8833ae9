"""Both towers of a CLIP that open_clip knows, as a pair (encoders.clip_pair).

`quiltnet` is QuiltNet-B-32 (Ikezogwu et al., NeurIPS 2023), CGPN-GAN's: ViT-B/32, 512 numbers. Vectors are those of
open_clip's public encode_image and encode_text, maps those of its blocks by its public forward_intermediates, which
knows how its own version lays out batches; the released CGPN-GAN did not, and attended across the batch. Its other
faults (a text tower without its causal mask, images scaled twice, nearest resizing) are held by tests as well.
"""

from functools import lru_cache
from typing import Any

import open_clip
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor

from nucleosynth.encoders.clip_pair import FrozenPair, Seen, at_shares
from nucleosynth.encoders.open_clip_files import Asked, Model, found, not_made
from nucleosynth.encoders.weights import DOWNLOAD, digest_of, fill, read_weights
from nucleosynth.errors import UserError
from nucleosynth.progress import say

QUILTNET = "wisdomik/QuiltNet-B-32"
OTHERWISE = "the embedded default: own:RUN, as `nucleosynth fit clip` trains it"
ASKED = Asked("open_clip", OTHERWISE)


def load_quiltnet(where: str = "") -> FrozenPair:
    """QuiltNet-B-32 of the hub's cache; where: "", "download", or a folder.

    A file of its weights alone does not say which activation they were trained with, so none is taken: give it as
    open_clip:MODEL:FILE, where MODEL says it (ViT-B-32 or ViT-B-32-quickgelu).

    Raises:
        UserError: as `load`.
    """
    places = {"": QUILTNET, DOWNLOAD: f"{QUILTNET}:{DOWNLOAD}"}
    return _loaded(places.get(where, where), Asked("quiltnet", OTHERWISE))


def load(where: str = "") -> FrozenPair:
    """The pair of FOLDER, MODEL:FILE, OWNER/NAME or OWNER/NAME:download.

    Raises:
        UserError: an unknown model, one whose towers are not CLIP's own, or files that are not there, are broken, hold
            more than tensors, or do not fit.
    """
    return _loaded(where, ASKED)


def _loaded(where: str, asked: Asked) -> FrozenPair:
    model = found(where, asked)
    net, tokenizer = _made(model, asked)
    fill(net, read_weights(model.weights), f"both towers of {model.name}", str(model.weights))
    blocks = list(at_shares(len(net.visual.transformer.resblocks)))

    def look(prepared: Tensor) -> Seen:
        seen = net.forward_intermediates(image=prepared, image_indices=blocks, normalize=False)
        return Seen(seen["image_features"], tuple(seen["image_intermediates"]))

    def encode(caption: str, device: torch.device) -> Tensor:
        return net.encode_text(_ids(tokenizer, caption).to(device))[0]  # type: ignore[no-any-return]

    return FrozenPair(f"{asked.kind}:{model.name}", digest_of(net.state_dict()), net, model.prepare(), encode, look)


def _made(model: Model, asked: Asked) -> tuple[Any, Any]:
    """The model, its weights still random, and its tokenizer, whose table comes with open_clip."""
    settings = model.settings
    expected = "a vision transformer beside open_clip's own text tower and tokenizer"
    text = {**settings.get("text_cfg", {}), "output_tokens": False}
    foreign = [name for name in ("hf_model_name", "hf_tokenizer_name") if text.get(name)]
    if foreign:
        raise not_made(model, asked, f"text_cfg with {foreign[0]} {text[foreign[0]]!r}", expected)
    vision = {**settings["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    try:
        with torch.random.fork_rng(devices=[]):
            net: Any = open_clip.CLIP(
                settings["embed_dim"],
                open_clip.CLIPVisionCfg(**vision),
                open_clip.CLIPTextCfg(**text),
                quick_gelu=settings.get("quick_gelu", False),
            )
        tokenizer = _tokenizer(net.context_length)
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise not_made(model, asked, str(error) or type(error).__name__, expected) from error
    if not isinstance(net.visual, VisionTransformer):
        raise not_made(model, asked, f"an image tower of the kind {type(net.visual).__name__}", expected)
    if net.vocab_size < tokenizer.vocab_size:
        raise UserError(
            "tokenizer and network are of two models",
            expected=f"rows for the {tokenizer.vocab_size} pieces of open_clip's tokenizer",
            got=f"rows for {net.vocab_size}",
            where=f"{asked.kind}:{model.name}",
            mend=f"give a CLIP that was trained with that tokenizer; or take {asked.otherwise}",
        )
    return net, tokenizer


@lru_cache(1)
def _tokenizer(length: int) -> Any:
    """Reading its table takes longer than all else."""
    return open_clip.SimpleTokenizer(context_length=length)


def _ids(tokenizer: Any, caption: str) -> Tensor:
    """(1 length) pieces of a caption; what is longer is cut, the end's piece kept, and said."""
    pieces, most = len(tokenizer.encode(caption)) + 2, tokenizer.context_length
    if pieces > most:
        say(f"a caption of {pieces} tokens: the first {most} count, of {caption[:60]!r}...")
    return tokenizer([caption])  # type: ignore[no-any-return]
