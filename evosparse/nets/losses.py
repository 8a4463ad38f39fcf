"""What training minimises: cross-entropy of classes, or squared errors."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

LossName = Literal["cross_entropy", "squared_error", "sigmoid_squared_error"]


def total_loss(name: LossName, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the sum over networks of the mean loss over the minibatch: no network's gradient depends on another's.

    Args:
        name: ``cross_entropy`` of classes; ``squared_error``, half the sum over outputs; ``sigmoid_squared_error``, the
            same of the sigmoids of the outputs.
        outputs: (networks, batch, outputs).
        targets: (batch,) or (networks, batch) int64 classes; or values, (batch, outputs) or (networks, batch, outputs).
    """
    return each_loss(name, outputs, targets).sum() / outputs.shape[1]


def each_loss(name: LossName, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the (networks, batch) loss of each example; for the arguments see `total_loss`."""
    networks, batch, classes = outputs.shape
    if name == "cross_entropy":
        labels = targets.expand(networks, batch).reshape(-1)
        each = functional.cross_entropy(outputs.reshape(-1, classes), labels, reduction="none")
        return each.view(networks, batch)
    if not targets.is_floating_point():
        targets = functional.one_hot(targets, classes).to(outputs.dtype)
    answers = torch.sigmoid(outputs) if name == "sigmoid_squared_error" else outputs
    return 0.5 * (answers - targets).square().sum(dim=2)
