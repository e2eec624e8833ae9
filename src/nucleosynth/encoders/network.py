"""What encoders that are torch networks share: tiles are prepared, go through in batches, and come out as features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.errors import UserError
from nucleosynth.training.device import fabric_for

BATCH = 32
TRIED_PX = 64
"""The side of the grey tile that a network is tried on."""


@dataclass(frozen=True)
class Preparation:
    """How tiles come to a network: the whole tile resized to side^2 px, averaging where it shrinks, then normalised.

    mean, spread: of RGB in [0, 1], as the weights were trained with. Nothing is cropped, so that all of a tile counts.
    """

    side: int
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    spread: tuple[float, ...] = (0.229, 0.224, 0.225)
    mode: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, tiles: Tensor) -> Tensor:
        """(b 3 h w), 0..255, to (b 3 side side)."""
        size = (self.side, self.side)
        scaled = functional.interpolate(tiles.float() / 255, size, mode=self.mode, antialias=True).clamp(0, 1)
        mean, spread = (scaled.new_tensor(values)[:, None, None] for values in (self.mean, self.spread))
        return (scaled - mean) / spread


class Network:
    """A network as an encoder, tried on a grey tile when it is made, so that what does not work is known at once."""

    def __init__(
        self,
        name: str,
        digest: str,
        prepare: Callable[[Tensor], Tensor],
        body: nn.Module,
        head: nn.Module | None = None,
        device: str = "auto",
    ) -> None:
        """prepare: RGB tiles (b 3 h w) uint8 to the network's input; body: that to features (b d); head: features to
        the logits of classes (b K).

        Raises:
            UserError: no such device, a network that takes no such input, or that gives something other than features.
        """
        self.name, self.digest = name, digest
        self._device = fabric_for(device, "32-true").device
        self._prepare = prepare
        self._body = body.eval().requires_grad_(False).to(self._device)
        self._head = head.eval().requires_grad_(False).to(self._device) if head else None
        grey = np.full((1, TRIED_PX, TRIED_PX, 3), 128, np.uint8)
        try:
            tried = self._features(grey)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            said = str(error).splitlines()
            raise self._unfit(said[0][:200] if said else type(error).__name__) from error
        if tried.ndim != 2:
            raise self._unfit(f"an output {tried.shape}")
        self.width = tried.shape[1]
        self.classes = self.classify(tried).shape[1] if head else 0

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, width).

        Raises:
            UserError: a feature is not finite.
        """
        parts = [self._features(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to probabilities of the classes (n, classes)."""
        return self.classify(self(images))

    @torch.inference_mode()
    def classify(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, width) that this network gave, to probabilities of the classes (n, classes).

        Raises:
            UserError: it knows no classes.
        """
        if self._head is None:
            raise UserError(
                f"{self.name} knows no classes", expected="a network with its last layer", got="features alone"
            )
        logits = self._head(torch.tensor(features).to(self._device))
        found: NDArray[np.float32] = logits.double().softmax(dim=1).float().cpu().numpy()
        return found

    @torch.inference_mode()
    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        tiles = torch.tensor(images).to(self._device).movedim(-1, 1)
        features: NDArray[np.float32] = self._body(self._prepare(tiles)).float().cpu().numpy()
        return finite(features, self.name)

    def _unfit(self, got: str) -> UserError:
        return UserError(
            f"{self.name} gives no features",
            expected="a network from images (n, 3, side, side) to features (n, d)",
            got=got,
        )


def finite(features: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """The features of an encoder, which must be finite.

    Raises:
        UserError: one is not.
    """
    if not np.isfinite(features).all():
        raise UserError(
            "features that are not finite",
            expected="finite numbers",
            got="NaN or infinity",
            where=f"encoder {name}",
            mend="take other weights: these overflow, or are broken",
        )
    return features


def missing(name: str, expected: str, got: str, mend: str) -> UserError:
    """The error for weights that are not where they are looked for; `expected` names files and places."""
    return UserError(
        f"no weights for {name}",
        expected=expected,
        got=f"{got}, and nothing is downloaded unasked",
        mend=f"{mend}; or take the embedded default: --encoder texture",
    )
