"""HoVer-Net made compact: trains on a CPU and takes any size.

Kept from Graham et al., HoVer-Net, Medical Image Analysis 2019: the residual encoder, the shared 1x1 bottleneck, the
decoders of dense units (1x1 to 128, 3x3 to 32 in four groups) with skips added, nearest upsampling by two. Departures:
post-activation basic blocks and a narrow width, a stem that may have stride two, SAME padding throughout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from nucleosynth.segmentation.networks.published import BOTTLENECK, GROUPS, GROWTH


class CompactHoVerNet(nn.Module):
    """The network for tiles with `classes` named classes; with one class or none there is no type decoder.

    Example:
        >>> outputs = CompactHoVerNet(4, width=8)(torch.zeros(1, 3, 64, 96))
        >>> {name: tuple(maps.shape) for name, maps in outputs.items()}
        {'nuclei': (1, 2, 64, 96), 'field': (1, 2, 64, 96), 'type': (1, 5, 64, 96)}
    """

    def __init__(
        self,
        classes: int,
        *,
        width: int = 32,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
        stem_stride: int = 2,
        dense: tuple[int, int] = (4, 2),
    ) -> None:
        super().__init__()
        widths = tuple(width * 2**stage for stage in range(4))
        self.encoder = Encoder(widths, blocks, stem_stride)
        self.bottleneck = nn.Conv2d(widths[3], widths[2], 1, bias=False)
        branches = {"nuclei": 2, "field": 2} | ({"type": classes + 1} if classes > 1 else {})
        self.branches = tuple(branches)
        self.decoders = nn.ModuleList(Decoder(widths, dense, stem_stride, channels) for channels in branches.values())
        for module in self.modules():
            # The heads, the only convolutions with a bias, keep torch's start: fan_out makes them certain and wrong.
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (b 3 h w), values 0..255, any size -> logits `nuclei` (b 2 h w) and, where there are several classes,
        `type` (b c+1 h w), background first in both; and `field` (b 2 h w), x then y."""
        *skips, deep = self.encoder((image / 255).contiguous(memory_format=torch.channels_last))
        deep = self.bottleneck(deep)
        h, w = image.shape[-2:]
        maps = (decoder(deep, skips)[..., :h, :w] for decoder in self.decoders)
        return dict(zip(self.branches, maps, strict=True))


class Encoder(nn.Module):
    """The residual encoder (He et al., 2016): maps of strides 1, 2, 4 and 8 after the stem."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], stem_stride: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, stem_stride, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        befores, strides = (widths[0], *widths[:-1]), (1, 2, 2, 2)
        self.stages = nn.ModuleList(map(_residual_stage, befores, widths, blocks, strides))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b 3 h w), values 0..1 -> the four stages' maps, finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """Three times upsampling by two and adding the encoder's map, then to full resolution; `channels` logits."""

    def __init__(self, widths: tuple[int, ...], dense: tuple[int, int], stem_stride: int, channels: int) -> None:
        super().__init__()
        self.level3 = _dense_level(widths[2], dense[0], widths[1])
        self.level2 = _dense_level(widths[1], dense[1], widths[0])
        self.level1 = nn.Sequential(
            nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        # a stem of stride 2 is undone by sub-pixel logits: sharper than interpolated ones, and no dearer
        self.head = nn.Sequential(nn.Conv2d(widths[0], channels * stem_stride**2, 1), nn.PixelShuffle(stem_stride))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """x: the bottleneck's map; skips: the three finer maps, finest first."""
        for level, skip in zip((self.level3, self.level2, self.level1), reversed(skips), strict=True):
            x = level(_double(x, skip) + skip)
        return self.head(x)  # type: ignore[no-any-return]


class DenseUnit(nn.Module):
    """Pre-activated 1x1 and grouped 3x3 convolutions whose output is appended to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, BOTTLENECK, 1, bias=False),
            nn.BatchNorm2d(BOTTLENECK),
            nn.ReLU(inplace=True),
            nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, groups=GROUPS, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c+32 h w)."""
        return torch.cat([x, self.layers(x)], dim=1)


def _residual_stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    skip = None
    if stride != 1 or before != width:
        skip = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    return nn.Sequential(
        BasicBlock(before, width, stride, skip), *(BasicBlock(width, width) for _ in range(blocks - 1))
    )


def _dense_level(before: int, units: int, after: int) -> nn.Sequential:
    """3x3 convolution before -> after channels, dense units, 1x1 back to `after`."""
    grown = after + GROWTH * units
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        *(DenseUnit(after + GROWTH * unit) for unit in range(units)),
        nn.BatchNorm2d(grown),
        nn.ReLU(inplace=True),
        nn.Conv2d(grown, after, 1, bias=False),
    )


def _double(x: Tensor, like: Tensor) -> Tensor:
    """Nearest upsampling by two, cut to the size of `like`: odd where the image is no multiple of the stride."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")[..., : like.shape[-2], : like.shape[-1]]
