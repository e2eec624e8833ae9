"""Small networks with random weights, in files as each encoder takes them: SPECS[name](folder) is what to load."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import onnx
import open_clip
import timm
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import resnet18, resnet50

CLIP_SETTINGS: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 24, "head_width": 12, "patch_size": 8},
    "text_cfg": {"context_length": 7, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1},
}
CLIP_MEAN, CLIP_SPREAD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
NORMALISATION = {"mean": [0, 0, 0], "std": [1, 1, 1], "side": 16}


class _Blank(FeatureExtractorInceptionV3):
    """The network as it is before any weights."""

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        return None


def inception_weights() -> dict[str, Tensor]:
    """Random ones that keep their signal alive through 94 layers."""
    torch.manual_seed(0)
    nothing = BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    state: dict[str, Tensor] = _Blank("blank", ["2048"], nothing).state_dict()
    for key, value in state.items():
        if key.endswith("conv.weight"):
            state[key] = value * 2.5
    return state


def inception(folder: Path) -> str:
    torch.save(inception_weights(), folder / "inception.pth")
    return f"inception:{folder / 'inception.pth'}"


def resnet_50(folder: Path) -> str:
    torch.manual_seed(0)
    save_file(resnet50(weights=None).state_dict(), folder / "resnet50.safetensors")
    return f"resnet50:{folder / 'resnet50.safetensors'}"


def resnet_18(folder: Path) -> str:
    torch.manual_seed(0)
    torch.save(resnet18(weights=None, num_classes=5).state_dict(), folder / "resnet18.pth")
    return f"torchvision:resnet18:{folder / 'resnet18.pth'}"


def resnet_10t(folder: Path) -> str:
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t", pretrained=False, num_classes=4).state_dict(), folder / "r.safetensors")
    return f"timm:resnet10t:{folder / 'r.safetensors'}"


def clip_model() -> Any:
    """Both towers."""
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(**CLIP_SETTINGS["vision_cfg"])
    return open_clip.CLIP(12, vision, open_clip.CLIPTextCfg(**CLIP_SETTINGS["text_cfg"])).eval()


def clip(folder: Path) -> str:
    place = folder / "tiny-clip"
    place.mkdir()
    preparation = {"mean": CLIP_MEAN, "std": CLIP_SPREAD}
    (place / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CLIP_SETTINGS, "preprocess_cfg": preparation})
    )
    save_file(clip_model().state_dict(), place / "open_clip_model.safetensors")
    return f"clip:{place}"


def onnx_file(path: Path, batch: int | str = "n", side: int | str = "s", output: str = "means") -> Path:
    """Mean, and mean of the square, of each channel; or the image itself."""
    nodes = [
        helper.make_node("Mul", ["images", "images"], ["squares"]),
        helper.make_node("Concat", ["images", "squares"], ["both"], axis=1),
        helper.make_node("GlobalAveragePool", ["both"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
    ]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "means", [given], [made])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    path.with_name(path.name + ".json").write_text(json.dumps(NORMALISATION))
    return path


SPECS: dict[str, Callable[[Path], str]] = {
    "texture": lambda _: "texture",
    "resnet50": resnet_50,
    "torchvision": resnet_18,
    "inception": inception,
    "timm": resnet_10t,
    "clip": clip,
    "onnx": lambda folder: f"onnx:{onnx_file(folder / 'means.onnx')}",
}
