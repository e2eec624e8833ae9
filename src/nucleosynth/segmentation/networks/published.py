"""HoVer-Net as published: a pre-activation residual encoder and up to three decoders of dense units.

Graham et al., HoVer-Net, Medical Image Analysis 2019. Layers are named as in the released code, so that its weights
load by their keys. Bottleneck units 3/4/6/3 make the published network (a ResNet50 whose stem keeps the resolution);
basic units 3/4/6/3 are our definition of its "ResNet34", of which no authoritative code exists: the same stem, and
decoders as wide inside, whose inputs and outputs are as wide as the encoder's maps.

    mode        kernel  image -> maps
    fast        3       256 -> 164      decoders without padding, as released
    original    5       270 -> 80       the stem without padding, too
    same        3       any size back   decoders padded by zeros; takes the weights of fast

Names of the released code: np = nuclei, hv = field, tp = type; d0..d3 encoder, u3..u0 decoder; bna = BatchNorm, ReLU.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Mode = Literal["fast", "original", "same"]
Unit = Literal["bottleneck", "basic"]
BOTTLENECK, GROWTH, GROUPS = 128, 32, 4
"""Channels of a dense unit's 1x1 and kxk convolution, and the groups of the latter."""
STRIDE = 8
"""Of the deepest map."""
BRANCHES = {"tp": "type", "np": "nuclei", "hv": "field"}
"""Decoders in the released order, and what they say."""


class PublishedHoVerNet(nn.Module):
    """The network for tiles with `classes` named classes; with one class or none there is no type decoder.

    While `frozen` is set, training leaves the encoder's residual units alone, as in the released code: no gradient
    reaches d1 to d3 and the units of d0. Their BatchNorm goes on collecting statistics and normalises by the batch;
    the stem, the shortcut of d0 and all that comes after the encoder learn.

    Example:
        >>> outputs = PublishedHoVerNet(4, width=8)(torch.zeros(1, 3, 256, 256))
        >>> {name: tuple(maps.shape) for name, maps in outputs.items()}
        {'nuclei': (1, 2, 164, 164), 'field': (1, 2, 164, 164), 'type': (1, 5, 164, 164)}
    """

    def __init__(
        self,
        classes: int,
        *,
        unit: Unit = "bottleneck",
        width: int = 64,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        dense: tuple[int, int] = (8, 4),
        mode: Mode = "fast",
    ) -> None:
        super().__init__()
        self.mode, self.frozen = mode, False
        grows = 4 if unit == "bottleneck" else 1
        widths = tuple(grows * width * 2**stage for stage in range(4))
        stem = nn.Conv2d(3, width, 7, padding=0 if mode == "original" else 3, bias=False)
        self.conv0 = _named({"/": stem, **dict(_bna(width).named_children())})
        befores, strides = (width, *widths[:-1]), (1, 2, 2, 2)
        self.d0, self.d1, self.d2, self.d3 = map(
            ResidualStage, befores, (width * 2**stage for stage in range(4)), widths, blocks, strides, [unit] * 4
        )
        self.conv_bot = nn.Conv2d(widths[3], widths[3] // 2, 1, bias=False)
        kernel = 5 if mode == "original" else 3
        padding = kernel // 2 if mode == "same" else 0
        channels = ({"tp": classes + 1} if classes > 1 else {}) | {"np": 2, "hv": 2}
        self.decoder = nn.ModuleDict(
            {name: _decoder(width, widths, dense, kernel, padding, count) for name, count in channels.items()}
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (b 3 h w), values 0..255 -> logits `nuclei` (b 2 h' w') and, where there are several classes, `type`
        (b c+1 h' w'), background first in both; and `field` (b 2 h' w'), x then y.

        h' w' are those of the image in mode same, else `lost_px` less; then h and w (less 6 in mode original) must be
        multiples of 8.
        """
        h, w = image.shape[-2:]
        image = (image / 255).contiguous(memory_format=torch.channels_last)
        if self.mode == "same":
            image = functional.pad(image, (0, -w % STRIDE, 0, -h % STRIDE), mode="replicate")
        *skips, deep = self._encode(image)
        outputs = {BRANCHES[name]: _decode(branch, deep, skips) for name, branch in self.decoder.items()}
        if self.mode == "same":
            outputs = {name: maps[..., :h, :w] for name, maps in outputs.items()}
        return {name: outputs[name] for name in ("nuclei", "field", "type") if name in outputs}

    def _encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The three finer maps, finest first, and the bottleneck."""
        learns = torch.is_grad_enabled() and not self.frozen
        stem = self.conv0(image)
        assert not any(side % STRIDE for side in stem.shape[-2:]), f"no multiple of {STRIDE}: {tuple(stem.shape)}"
        d0 = self.d0(stem, learns)
        with torch.set_grad_enabled(learns):
            d1 = self.d1(d0, learns)
            d2 = self.d2(d1, learns)
            d3 = self.d3(d2, learns)
        return d0, d1, d2, self.conv_bot(d3)


class ResidualStage(nn.Module):
    """Pre-activated residual units at one resolution (He et al., Identity mappings, ECCV 2016), then BatchNorm, ReLU.

    The first unit has no BatchNorm of its own: that which ends the stage before has done it.
    """

    def __init__(self, before: int, width: int, after: int, blocks: int, stride: int, unit: Unit) -> None:
        super().__init__()
        make = _bottleneck if unit == "bottleneck" else _basic
        self.units = nn.ModuleList(
            [
                make(before, width, after, stride, False),
                *(make(after, width, after, 1, True) for _ in range(blocks - 1)),
            ]
        )
        same = before == after and stride == 1
        self.shortcut = None if same else nn.Conv2d(before, after, 1, stride, bias=False)
        self.blk_bna = _bna(after)

    def forward(self, x: Tensor, learns: bool = True) -> Tensor:
        """(b c h w) -> (b c' h/stride w/stride); `learns`: whether the units take part in gradients."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        for unit in self.units:
            with torch.set_grad_enabled(learns):
                change = unit(x)
            x = shortcut = change + shortcut
        return self.blk_bna(x)  # type: ignore[no-any-return]


class DenseBlock(nn.Module):
    """Dense units (Huang et al., CVPR 2017) whose output is appended to the input's middle, then BatchNorm, ReLU."""

    def __init__(self, width: int, units: int, kernel: int, padding: int) -> None:
        super().__init__()
        grown = range(width, width + GROWTH * units, GROWTH)
        self.units = nn.ModuleList(_dense_unit(before, kernel, padding) for before in grown)
        self.blk_bna = _bna(width + GROWTH * units)

    def forward(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c+32n h' w'); without padding each unit takes k - 1 px of height and width."""
        for unit in self.units:
            new = unit(x)
            x = torch.cat([middle(x, new), new], dim=1)
        return self.blk_bna(x)  # type: ignore[no-any-return]


def lost_px(dense: tuple[int, int], mode: Mode) -> int:
    """By how much the maps are smaller than the image, px, both sides together.

    Example:
        >>> [lost_px((8, 4), mode) for mode in ("fast", "original", "same")]
        [92, 190, 0]
    """
    if mode == "same":
        return 0
    # A kxk convolution takes k - 1 px: one and a dense block of them at stride 4, the same at stride 2.
    taken = 4 * (1 + dense[0]) + 2 * (1 + dense[1])
    return 2 * taken if mode == "fast" else 4 * taken + 6


def middle(x: Tensor, like: Tensor) -> Tensor:
    """The middle of (b c h w) of the height and width of `like`."""
    top, left = ((x.shape[axis] - like.shape[axis]) // 2 for axis in (-2, -1))
    return x[..., top : top + like.shape[-2], left : left + like.shape[-1]]


def _decode(branch: nn.Module, deep: Tensor, skips: list[Tensor]) -> Tensor:
    """`skips`: finest first; each is cut to the middle that is left at its level."""
    u3, u2, u1, u0 = branch.children()
    x = deep
    for level, skip in zip((u3, u2, u1), reversed(skips), strict=True):
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = level(x + middle(skip, x))
    return u0(x)  # type: ignore[no-any-return]


def _decoder(
    width: int, widths: tuple[int, ...], dense: tuple[int, int], kernel: int, padding: int, channels: int
) -> nn.Sequential:
    """widths: of the encoder's four maps; width: of its first 3x3 convolution, four times which u3 begins with."""
    levels = {
        "u3": _dense_level(widths[2], 4 * width, dense[0], widths[1], kernel, padding),
        "u2": _dense_level(widths[1], 2 * width, dense[1], widths[0], kernel, padding),
        "u1": _named({"conva": nn.Conv2d(widths[0], width, kernel, padding=kernel // 2, bias=False)}),
        "u0": _named({**dict(_bna(width).named_children()), "conv": nn.Conv2d(width, channels, 1)}),
    }
    return _named(levels)


def _dense_level(before: int, width: int, units: int, after: int, kernel: int, padding: int) -> nn.Sequential:
    return _named(
        {
            "conva": nn.Conv2d(before, width, kernel, padding=padding, bias=False),
            "dense": DenseBlock(width, units, kernel, padding),
            "convf": nn.Conv2d(width + GROWTH * units, after, 1, bias=False),
        }
    )


def _dense_unit(before: int, kernel: int, padding: int) -> nn.Sequential:
    return _named(
        {
            **_normed("preact_bna", before),
            "conv1": nn.Conv2d(before, BOTTLENECK, 1, bias=False),
            **_normed("conv1", BOTTLENECK),
            "conv2": nn.Conv2d(BOTTLENECK, GROWTH, kernel, padding=padding, groups=GROUPS, bias=False),
        }
    )


def _bottleneck(before: int, width: int, after: int, stride: int, preact: bool) -> nn.Sequential:
    """1x1, 3x3 with the stride, 1x1."""
    return _named(
        {
            **(_normed("preact", before) if preact else {}),
            "conv1": nn.Conv2d(before, width, 1, bias=False),
            **_normed("conv1", width),
            "conv2/pad": _same(stride),
            "conv2": nn.Conv2d(width, width, 3, stride, bias=False),
            **_normed("conv2", width),
            "conv3": nn.Conv2d(width, after, 1, bias=False),
        }
    )


def _basic(before: int, width: int, after: int, stride: int, preact: bool) -> nn.Sequential:
    """3x3 with the stride, 3x3."""
    return _named(
        {
            **(_normed("preact", before) if preact else {}),
            "conv1/pad": _same(stride),
            "conv1": nn.Conv2d(before, width, 3, stride, bias=False),
            **_normed("conv1", width),
            "conv2/pad": _same(1),
            "conv2": nn.Conv2d(width, after, 3, bias=False),
        }
    )


def _same(stride: int) -> nn.ZeroPad2d:
    """TensorFlow's SAME for a 3x3 convolution: at stride 2, sides even, nothing before and one after."""
    return nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)


def _normed(name: str, width: int) -> dict[str, nn.Module]:
    return {f"{name}/bn": nn.BatchNorm2d(width), f"{name}/relu": nn.ReLU(inplace=True)}


def _bna(width: int) -> nn.Sequential:
    return _named({"bn": nn.BatchNorm2d(width), "relu": nn.ReLU(inplace=True)})


def _named(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
