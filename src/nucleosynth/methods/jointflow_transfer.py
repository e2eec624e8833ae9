"""A network that begins from another one's weights, though it tells other classes and tissues apart.

Layers that know classes or tissues hold a block for each named channel. Blocks of the same name are taken over, those
that the other network has not are zero, so that the new network begins as the old one, deaf to what is new. All other
layers are taken over whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.errors import UserError
from nucleosynth.methods.jointflow_conditions import Asking
from nucleosynth.nets.joint import JointNet


class ChannelNames(NamedTuple):
    """Names of the channels that a network has: of its state, of the maps and of the numbers that it is told."""

    state: tuple[str, ...]
    maps: tuple[str, ...]
    amounts: tuple[str, ...]

    @classmethod
    def of(cls, asking: Asking, class_names: Sequence[str]) -> "ChannelNames":
        """In the order of stages.joint."""
        names = [class_names[kind - 1] for kind in asking.coding.told_apart]
        codes = names if asking.settings.coding.classes == "levels" else _bits(asking.coding)
        shares = [f"{what} of {name}" for what in ("counts", "proportions") for name in ("all", *names, "known")]
        return cls(
            ("red", "green", "blue", "outline", *(f"class {code}" for code in codes), "dx", "dy"),
            ("points", *(f"points of {name}" for name in names), "pointed", "image known", "label known"),
            (*shares, *(f"tissue {name}" for name in asking.facts.tissues)),
        )


def begin_from(net: JointNet, channels: ChannelNames, old: JointNet, old_channels: ChannelNames) -> None:
    """Take over the weights of `old`, in place.

    Raises:
        UserError: the networks differ in more than classes and tissues.
    """
    area = net.unet.patch**2
    named = {  # parameter: numbers of each channel in a row, whether channels are rows, and their names
        "unet.stem.weight": (area, False, channels.state, old_channels.state),
        "unet.head.weight": (area, True, channels.state, old_channels.state),
        "unet.head.bias": (area, True, channels.state, old_channels.state),
        "condition.maps.weight": (area, False, channels.maps, old_channels.maps),
        "condition.amounts.0.weight": (1, False, channels.amounts, old_channels.amounts),
    }
    found, theirs = net.state_dict(), old.state_dict()
    for name, own in found.items():
        other = theirs.get(name)
        if name in named and other is not None:
            found[name] = _by_name(own, other, *named[name])
        elif other is None or other.shape != own.shape:
            raise UserError(
                "another network than the one to begin from",
                expected=f"{name} of {tuple(own.shape)}",
                got="none" if other is None else str(tuple(other.shape)),
                mend="leave the network, the coding and the text encoder as they are there",
            )
        else:
            found[name] = other
    net.load_state_dict(found)


def _by_name(
    own: Tensor, other: Tensor, size: int, rows: bool, names: Sequence[str], old_names: Sequence[str]
) -> Tensor:
    """`own` with the blocks of `other` under the same names, zeros under new ones.

    rows: (channels * size, ...); else (rows, taps * channels * size), as the weight of nets.blocks.Conv2d.
    """

    def blocks(weight: Tensor, count: int) -> Tensor:
        return weight.reshape(1, count, -1) if rows else weight.reshape(-1, count, size)

    fresh, given = blocks(torch.zeros_like(own), len(names)), blocks(other.to(own), len(old_names))
    for index, name in enumerate(names):
        if name in old_names:
            fresh[:, index] = given[:, old_names.index(name)]
    return fresh.reshape(own.shape)


def _bits(coding: LabelCoding) -> list[str]:
    return [f"bit {index}" for index in range(coding.codes.shape[1])]
