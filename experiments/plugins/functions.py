"""Primitives of one's own: what activation functions may be made of, beside the published ones.

Any plain function of one or two tensors that acts on each number alone. Its name is its name in formulas. Written with
nothing but `torch` and `functional` (torch.nn.functional), it goes into exported files with its text.
"""

from __future__ import annotations

import torch


def swish(x: torch.Tensor) -> torch.Tensor:
    """Return the tensor times its own sigmoid."""
    return x * torch.sigmoid(x)


def gate(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the first tensor, as far as the second lets it through."""
    return x * torch.sigmoid(y)
