"""HoVer-Net's published forward pass as a function of its tensors by their released names, for tests to compare with.

Written from the paper (Graham et al., 2019) and the released layers' order, without any of this project's layers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]
STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))
"""Units and stride of d0..d3."""
CUT = {"fast": (92, 36), "original": (184, 72)}
"""What the skips of d0 and d1 lose of height and width."""


def forward(weights: Weights, image: Tensor, mode: str) -> dict[str, Tensor]:
    """image (b 3 h w), 0..255 -> the logits of the decoders tp, np and hv, BatchNorms by their running statistics."""
    kernel = {"fast": 3, "original": 5}[mode]
    x = image / 255
    x = _conv(weights, "conv0./", _same(x, 7, 1) if mode == "fast" else x)
    x, maps = _norm(weights, "conv0.bn", x), []
    for depth, (units, stride) in enumerate(STAGES):
        x = _residual(weights, f"d{depth}", x, units, stride)
        maps.append(x)
    skips = [_middle(maps[0], CUT[mode][0]), _middle(maps[1], CUT[mode][1]), maps[2]]
    deep = _conv(weights, "conv_bot", maps[3])
    return {branch: _decode(weights, f"decoder.{branch}", deep, skips, kernel) for branch in ("tp", "np", "hv")}


def _residual(weights: Weights, name: str, x: Tensor, units: int, stride: int) -> Tensor:
    shortcut = _conv(weights, f"{name}.shortcut", x, stride)
    for k in range(units):
        unit, step = f"{name}.units.{k}", stride if k == 0 else 1
        y = _norm(weights, f"{unit}.preact/bn", x) if k else x
        y = _norm(weights, f"{unit}.conv1/bn", _conv(weights, f"{unit}.conv1", y))
        y = _norm(weights, f"{unit}.conv2/bn", _conv(weights, f"{unit}.conv2", _same(y, 3, step), step))
        x = shortcut = _conv(weights, f"{unit}.conv3", y) + shortcut
    return _norm(weights, f"{name}.blk_bna.bn", x)


def _decode(weights: Weights, name: str, deep: Tensor, skips: list[Tensor], kernel: int) -> Tensor:
    x = deep
    for level, units, skip in (("u3", 8, skips[2]), ("u2", 4, skips[1])):
        x = _conv(weights, f"{name}.{level}.conva", _twice(x) + skip)
        for k in range(units):
            unit = f"{name}.{level}.dense.units.{k}"
            new = _conv(weights, f"{unit}.conv1", _norm(weights, f"{unit}.preact_bna/bn", x))
            new = _conv(weights, f"{unit}.conv2", _norm(weights, f"{unit}.conv1/bn", new), groups=4)
            x = torch.cat([_middle(x, kernel - 1), new], dim=1)
        x = _conv(weights, f"{name}.{level}.convf", _norm(weights, f"{name}.{level}.dense.blk_bna.bn", x))
    x = _conv(weights, f"{name}.u1.conva", _same(_twice(x) + skips[0], kernel, 1))
    return _conv(weights, f"{name}.u0.conv", _norm(weights, f"{name}.u0.bn", x))


def _conv(weights: Weights, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    return functional.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, groups=groups)


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    scale, shift, mean, spread = (
        weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return functional.relu(functional.batch_norm(x, mean, spread, scale, shift, eps=1e-5))


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's SAME, sides that the stride divides: of an odd padding the larger half comes after."""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return functional.pad(x, (before, after, before, after))


def _middle(x: Tensor, lost: int) -> Tensor:
    return x[..., lost // 2 : -(lost - lost // 2), lost // 2 : -(lost - lost // 2)]


def _twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
