"""The multi-vector head: one unit vector per token, for late interaction (Khattab and Zaharia 2020, ColBERT)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class MultiHead(nn.Module):
    """A linear map of every token but CLS (which stands first)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)

    def forward(self, hidden: Tensor, *, unit: bool = True) -> Tensor:
        """hidden (N, T, D) -> unit rows (N, T - 1, d), or rows of any length with ``unit=False``."""
        rows: Tensor = self.linear(hidden[:, 1:]).float()
        return F.normalize(rows, dim=-1) if unit else rows
