"""Criss-cross attention: each pixel attends to its row and its column (Huang et al., CCNet, ICCV 2019).

Twice in a row it reaches every pixel, at a memory of h + w a pixel instead of h w.
"""

import torch
from torch import Tensor, nn

REDUCTION = 8
"""Queries and keys are that many times narrower than what is attended to."""


class CrissCross(nn.Module):
    """(b c h w) -> (b c h w): x + gamma * what x sees of its row and column, itself once; gamma starts at 0.

    recurrence: how often, with the same weights; 2 lets every pixel see every other. As published, products of queries
    and keys are not divided by the root of their width.
    """

    def __init__(self, channels: int, recurrence: int = 2) -> None:
        super().__init__()
        narrow = max(channels // REDUCTION, 1)
        self.recurrence = recurrence
        self.query, self.key = nn.Conv2d(channels, narrow, 1), nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for _ in range(self.recurrence):
            x = x + self.gamma * criss_cross(self.query(x), self.key(x), self.value(x))
        return x


def criss_cross(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of each pixel over its row and column: query, key (b d h w), value (b c h w) -> (b c h w).

    Of the h + w places in a row and a column, the pixel's own counts once, in the row.
    """
    height = query.shape[2]
    down = torch.einsum("bdyx,bdjx->byxj", query, key)
    itself = torch.eye(height, dtype=torch.bool, device=query.device).view(1, height, 1, height)
    across = torch.einsum("bdyx,bdyj->byxj", query, key)
    shares = torch.cat([down.masked_fill(itself, -torch.inf), across], dim=-1).float().softmax(-1).to(value.dtype)
    of_column, of_row = shares[..., :height], shares[..., height:]
    return torch.einsum("byxj,bcjx->bcyx", of_column, value) + torch.einsum("byxj,bcyj->bcyx", of_row, value)
