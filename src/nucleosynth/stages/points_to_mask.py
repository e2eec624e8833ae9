"""The mask that DAFF-GAN's first generator makes of points: what its numbers mean, and how far they are from a label's.

Numbers (b c+1 h w): logits of background and classes, then the distance before its tanh (conditions.mask_coding).
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def shown(raw: Tensor) -> Tensor:
    """Numbers (b c+1 h w) as a mask: shares of background and classes that sum to 1, and the distance in -1..1."""
    return torch.cat([raw[:, :-1].softmax(dim=1), raw[:, -1:].tanh()], dim=1)


def errors(raw: Tensor, mask: Tensor, weight: float) -> Mapping[str, Tensor]:
    """Cross-entropy in nats of the shares, and the mean difference of the distance, weighted; nothing at weight 0.

    mask (b c+1 h w): shares that sum to 1 (halved masks have parts of them), and the distance.
    """
    if not weight:
        return {}
    entropy = functional.cross_entropy(raw[:, :-1], mask[:, :-1])
    return {"label": weight * entropy, "distance": weight * functional.l1_loss(raw[:, -1:].tanh(), mask[:, -1:])}
