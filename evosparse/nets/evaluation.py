"""How good the networks of a population are on some examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from evosparse.nets.losses import LossName, each_loss


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good each network of a population is on some examples; NaN where its outputs are not finite.

    Args:
        accuracy: (population,) float64 share of correct answers; NaN of all where values are wanted, and not classes.
        loss: (population,) float64 mean loss, by default cross-entropy.
    """

    accuracy: np.ndarray
    loss: np.ndarray


def judged(answers: Iterable[tuple[torch.Tensor, torch.Tensor]], loss: LossName) -> Evaluation:
    """Judge what networks answer.

    Args:
        answers: (population, n, outputs) outputs with their (n,) classes or (n, outputs) values, part by part.
        loss: what to average.
    """
    examples, correct, total = 0, 0.0, 0.0
    broken = False
    for outputs, targets in answers:
        examples += len(targets)
        right = (outputs.argmax(dim=2) == targets).sum(dim=1) if not targets.is_floating_point() else torch.nan
        correct = correct + torch.as_tensor(right, dtype=torch.float64)
        total = total + each_loss(loss, outputs, targets).to(torch.float64).sum(dim=1)
        # One example without a finite answer is enough.
        broken = broken | ~torch.isfinite(outputs).flatten(1).all(dim=1)
    correct = torch.where(broken, torch.nan, correct)
    total = torch.where(broken, torch.nan, total)
    return Evaluation((correct / examples).cpu().numpy(), (total / examples).cpu().numpy())
