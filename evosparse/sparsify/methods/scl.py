"""Sparse connectivity learning: Tang et al., "Automatic Sparse Connectivity Learning for Neural Networks", arXiv 2201.05020."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.func import functional_call

from evosparse.nets.device import configured
from evosparse.nets.losses import total_loss
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.budget import best_of_all
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.learning import Learner, led, minibatches, without_dropout

START = 0.5  # of every mask variable
FIRST_PENALTY = 1e-3


@method
class SCL(Sparsifier):
    """RECONSTRUCTION: only the abstract could be read. Each weight is theta H(m), and both are trained; H is the unit step.

        gradient of theta = dL/dW H(m)
        gradient of m, of a unit's incoming weights = (dL/dW theta) / its norm over the unit + penalty
        m -= rate * gradient of m, within -1 and 1

    The gradient goes through H as if it were the identity; the penalty makes the number of weights cost something. At the end
    the greatest m are kept, as many as the sparsity allows, and trained on as they are.

    Attributes:
        penalty: cost of a weight (lambda). If given, only weights with m > 0 are kept, and there may be fewer than the
            sparsity allows. If not, it is led so that as many have m > 0 as shall be kept.
        norm: what the gradient of m is divided by, over the weights into each unit: its l2 norm, its standard deviation,
            or its greatest magnitude.
        scope: whether the penalty of a weight is the same everywhere (``global``), or grows with the size of its layer
            (``layer``: times the layer's share of all weights and the number of layers).
        rate: learning rate of m.
        bounded: keep m within -1 and 1; without it masks freeze.
        tune: share of the epochs, at the end, in which masks stay as they are.

    Unknown in the source, and ours: all defaults, the start of m at 0.5, how the penalty is led, the choice by the
    greatest m, and ``tune``.
    """

    method: Literal["scl"] = "scl"
    penalty: float | None = Field(None, ge=0)
    norm: Literal["l2", "std", "max"] = "l2"
    scope: Literal["global", "layer"] = "global"
    rate: float = Field(0.05, gt=0)
    bounded: bool = True
    tune: float = Field(0.25, ge=0, lt=1)

    @property
    def notes(self) -> tuple[str, ...]:
        return ("scl: a reconstruction from the paper's abstract, no agreement with the paper is claimed",)

    def sparsify(self, cohort: Cohort) -> None:
        """Learn masks network by network, then train what is left as one population."""
        cohort.begin(cohort.dense, cohort.epochs)
        tuned = round(self.tune * cohort.epochs)
        states, connections = [], []
        for number in range(len(cohort)):
            learnt = self.learn(cohort, number, cohort.population.state(number), cohort.epochs - tuned)
            count = round((1 - cohort.replicates[number].sparsity) * cohort.size)
            if self.penalty is not None:
                count = min(count, sum(int((own > 0).sum()) for own in learnt.masks))
            everywhere = [np.arange(layer.size) for layer in cohort.network.layers]
            connections.append(best_of_all(learnt.masks, count, everywhere))
            states.append(learnt.state)
            cohort.further[number] = {
                "flips": learnt.flips[-1] if learnt.flips else 0,
                "dead_units": learnt.dead,
                "penalty": learnt.penalty,
            }
        if self.penalty is not None:
            cohort.allowed = connections
        cohort.charge_dense(range(len(cohort)), len(cohort.train.x) * (cohort.epochs - tuned))
        cohort.charge([0] * len(cohort), cohort.epochs - tuned)
        cohort.begin(connections, tuned, states=states)
        cohort.advance(0 if cohort.masks_alone else tuned, final=True)

    @configured()
    def learn(self, cohort: Cohort, number: int, state: State, epochs: int) -> Learnt:
        """Learn weights and masks of a network, and return them.

        Args:
            cohort: the networks.
            number: which of them.
            state: what it begins with.
            epochs: how long.
        """
        network, module = cohort.network, without_dropout(cohort.network)
        learner = Learner(cohort, state, epochs)
        names = [layer.parameter for layer in network.layers]
        masks = {name: torch.full_like(learner.tensors[name], START) for name in names}
        shares = self._shares(cohort)
        wanted = (1 - cohort.replicates[number].sparsity) * cohort.size
        penalty = FIRST_PENALTY if self.penalty is None else self.penalty
        learnt = Learnt()
        for epoch in range(epochs):
            before = {name: mask > 0 for name, mask in masks.items()}
            for x, y, progress in minibatches(cohort, number, epoch):
                inputs = {
                    name: value.detach().clone()
                    for name, value in learner.tensors.items()
                    if name in learner.parameters
                }
                for name, mask in masks.items():
                    inputs[name] *= mask > 0
                leaves = [inputs[name].requires_grad_() for name in learner.parameters]
                loss = total_loss(
                    cohort.training.loss, functional_call(module, learner.tensors | inputs, (x,))[None], y
                )
                slopes = dict(zip(learner.parameters, torch.autograd.grad(loss, leaves), strict=True))
                for name, share in zip(names, shares, strict=True):
                    normed = self._normed(slopes[name] * learner.tensors[name].detach())
                    slopes[name] = slopes[name] * (masks[name] > 0)
                    masks[name] -= self.rate * (normed + penalty * share)
                    if self.bounded:
                        masks[name].clamp_(-1, 1)
                learner.step(slopes, progress)
                if self.penalty is None:
                    left = sum(int((mask > 0).sum()) for mask in masks.values())
                    penalty = led(penalty, left / cohort.size, wanted / cohort.size, progress / epochs)
            learnt.flips.append(sum(int((before[name] != (masks[name] > 0)).sum()) for name in names))
        learnt.masks = [masks[name].reshape(-1).numpy() for name in names]
        learnt.dead = sum(int((~(masks[name].flatten(1) > 0).any(dim=1)).sum()) for name in names)
        learnt.state, learnt.penalty = learner.state(), penalty
        return learnt

    def _normed(self, slopes: torch.Tensor) -> torch.Tensor:
        """Return the gradients of the masks of each unit's incoming weights, divided by their norm."""
        rows = slopes.flatten(1)
        norms = {
            "l2": lambda: rows.norm(dim=1, keepdim=True),
            "std": lambda: rows.std(dim=1, keepdim=True, correction=0),
            "max": lambda: rows.abs().amax(dim=1, keepdim=True),
        }[self.norm]()
        return (rows / (norms + 1e-12)).view(slopes.shape)

    def _shares(self, cohort: Cohort) -> Sequence[float]:
        layers = cohort.network.layers
        return (
            [1.0] * len(layers)
            if self.scope == "global"
            else [len(layers) * layer.size / cohort.size for layer in layers]
        )


@dataclass
class Learnt:
    """What was learnt of a network.

    Attributes:
        masks: (size,) m of each layer.
        state: parameters and buffers, those of weights with m <= 0 too.
        flips: masks that an epoch turned on or off, for each epoch.
        dead: units without incoming weights.
        penalty: at the end.
    """

    masks: list[np.ndarray] = field(default_factory=list)
    state: State = field(default_factory=dict)
    flips: list[int] = field(default_factory=list)
    dead: int = 0
    penalty: float = 0.0
