"""Variational Bernoulli units: Guenter and Sideris, "Robust Learning of Parsimonious Deep Neural Networks", arXiv 2205.04650."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.func import functional_call
from torch.nn import functional

from evosparse.nets import Network
from evosparse.nets.device import configured
from evosparse.nets.losses import total_loss
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.budget import Positions, best
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.learning import Learner, led, minibatches, without_dropout
from evosparse.sparsify.units import expect_chain, expect_units, inputs_of_unit, weights_between, without

Thetas = list[torch.Tensor]


@method
class BernoulliUnits(Sparsifier):
    """RECONSTRUCTION: only abstracts could be read. Hidden units are there with a learnt probability theta, at last 0 or 1.

        in each step draw xi_i = 1 with probability theta_i; unit i's output is multiplied by xi_i
        weights: a step down the gradient of the cost C
        theta_i -= rate (D_i + penalty), within 0 and 1;  D_i = C with the unit minus C without it
        a unit with theta_i below ``tolerance`` is removed for good

    It minimises E[C] + penalty * sum of theta, which is what is left of the variational bound when the prior's parameters are
    chosen best (penalty = -log(gamma) / examples, as C is a mean); at its minima each theta is 0 or 1.

    Attributes:
        penalty: cost of a unit; None to lead it so that the sparsity is reached.
        delta: D_i by the derivative of C by xi_i (``first_order``), or by two passes for each unit (``pairwise``, slow).
        start: theta of all units.
        rate: of theta.
        tolerance: see above.
        tune: share of the epochs, at the end, in which units stay as they are.

    Units with theta of at least one half are kept; while their weights are more than the sparsity allows, that of the least theta
    goes. So there are as many weights as whole units leave room for. Unknown in the source: all defaults, and ``tune``.
    """

    method: Literal["bernoulli_units"] = "bernoulli_units"
    penalty: float | None = Field(None, ge=0)
    delta: Literal["first_order", "pairwise"] = "first_order"
    start: float = Field(0.5, gt=0, le=1)
    rate: float = Field(1.0, gt=0)
    tolerance: float = Field(1e-3, ge=0, lt=0.5)
    tune: float = Field(0.25, ge=0, lt=1)

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            "bernoulli_units: a reconstruction from the papers' abstracts, no agreement with the papers is claimed",
        )

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        expect_chain(network, self.method)
        expect_units(network, sparsity, self.method)

    def sparsify(self, cohort: Cohort) -> None:
        """Learn which units stay, network by network, then train what is left as one population."""
        cohort.begin(cohort.dense, cohort.epochs)
        tuned = round(self.tune * cohort.epochs)
        states, connections = [], []
        for number in range(len(cohort)):
            learnt = self.learn(cohort, number, cohort.population.state(number), cohort.epochs - tuned)
            budget = round((1 - cohort.replicates[number].sparsity) * cohort.size)
            connections.append(kept_units(cohort.network, [own.numpy() for own in learnt.thetas], budget))
            states.append(learnt.state)
            cohort.further[number] = {
                "decided": learnt.decided[-1] if learnt.decided else 0.0,
                "penalty": learnt.penalty,
            }
        cohort.allowed = connections
        cohort.charge_dense(range(len(cohort)), len(cohort.train.x) * (cohort.epochs - tuned))
        cohort.charge([0] * len(cohort), cohort.epochs - tuned)
        cohort.begin(connections, tuned, states=states)
        cohort.advance(0 if cohort.masks_alone else tuned, final=True)

    @configured()
    def learn(self, cohort: Cohort, number: int, state: State, epochs: int) -> Learnt:
        """Learn weights and probabilities of a network, and return them.

        Args:
            cohort: the networks.
            number: which of them.
            state: what it begins with.
            epochs: how long.
        """
        network, module = cohort.network, without_dropout(cohort.network)
        learner, loss = Learner(cohort, state, epochs), cohort.training.loss
        rng = cohort.replicates[number].key.child("units").rng()
        learnt = Learnt([torch.full((layer.shape[0],), self.start) for layer in network.layers[:-1]])
        removed = [theta < 0 for theta in learnt.thetas]
        penalty = 1e-4 if self.penalty is None else self.penalty
        wanted = 1 - cohort.replicates[number].sparsity
        names = learner.parameters
        for epoch in range(epochs):
            for x, y, progress in minibatches(cohort, number, epoch):
                drawn = [torch.from_numpy(rng.random(len(theta), np.float32)) < theta for theta in learnt.thetas]
                present = [xi.float().requires_grad_() for xi in drawn]
                leaves = [learner.tensors[name].detach().requires_grad_() for name in names]
                tensors = {**learner.tensors, **dict(zip(names, leaves, strict=True))}

                def cost(
                    xi: Sequence[torch.Tensor], tensors: Mapping = tensors, x: torch.Tensor = x, y: torch.Tensor = y
                ) -> torch.Tensor:
                    return total_loss(loss, functional_call(module, gated(network, tensors, xi), (x,))[None], y)

                slopes = torch.autograd.grad(cost(present), [*leaves, *present])
                deltas = slopes[len(leaves) :] if self.delta == "first_order" else pairwise(cost, present)
                for theta, delta, gone in zip(learnt.thetas, deltas, removed, strict=True):
                    theta -= self.rate * (delta + penalty)
                    theta.clamp_(0, 1)
                    gone |= theta < self.tolerance
                    theta[gone] = 0
                learner.step(dict(zip(names, slopes, strict=False)), progress)
                if self.penalty is None:
                    density = expected_density(network, learnt.thetas)
                    penalty = led(penalty, density, wanted, progress / epochs)
            every = torch.cat(learnt.thetas) if learnt.thetas else torch.ones(1)
            learnt.decided.append(float(((every == 0) | (every == 1)).float().mean()))
        learnt.state, learnt.penalty = learner.state(), penalty
        return learnt


@dataclass
class Learnt:
    """What was learnt of a network.

    Attributes:
        thetas: (units,) of each hidden layer.
        state: parameters and buffers.
        decided: after each epoch, share of the units with a theta of 0 or 1.
        penalty: at the end.
    """

    thetas: Thetas
    state: State = field(default_factory=dict)
    decided: list[float] = field(default_factory=list)
    penalty: float = 0.0


def gated(
    network: Network, tensors: Mapping[str, torch.Tensor], present: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return parameters of which the weights that read a unit are multiplied by its xi, whatever its activation function is.

    Args:
        network: a chain of layers.
        tensors: its parameters.
        present: (units,) xi of each hidden layer.
    """
    found = dict(tensors)
    for layer, xi in zip(network.layers[1:], present, strict=True):
        columns = xi.repeat_interleave(inputs_of_unit(layer, len(xi)))
        columns = functional.pad(columns, (0, layer.fan_in - len(columns)), value=1.0)  # constants are always there
        found[layer.parameter] = (tensors[layer.parameter].reshape(layer.shape[0], -1) * columns).view(layer.shape)
    return found


def pairwise(cost: object, present: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return, for each unit, the cost with it minus the cost without it, all others as they were drawn."""
    found = []
    with torch.no_grad():
        for layer, xi in enumerate(present):
            deltas = torch.zeros_like(xi)
            for unit in range(len(xi)):
                both = []
                for value in (1.0, 0.0):
                    other = xi.detach().clone()
                    other[unit] = value
                    both.append(cost([*present[:layer], other, *present[layer + 1 :]]))
                deltas[unit] = both[0] - both[1]
            found.append(deltas)
    return found


def kept_units(network: Network, thetas: Sequence[np.ndarray], budget: int) -> list[Positions]:
    """Return the weights between kept units: those with theta of at least one half, fewer if their weights are too many.

    Each hidden layer keeps its best unit at least, so that something is passed on.

    Args:
        network: a chain of layers.
        thetas: (units,) of each hidden layer.
        budget: how many weights there may be at most, if one unit a layer allows it.
    """
    kept = [theta >= 0.5 for theta in thetas]
    for own, theta in zip(kept, thetas, strict=True):
        own[best(theta, 1)] = True
    order = sorted(
        ((theta[unit], layer, unit) for layer, theta in enumerate(thetas) for unit in np.flatnonzero(kept[layer]))
    )
    for _, layer, unit in order:
        if weights_between(network, kept) <= budget:
            break
        if kept[layer].sum() > 1:
            kept[layer][unit] = False
    everywhere = [np.arange(layer.size) for layer in network.layers]
    return without(network.layers, everywhere, [~own for own in kept])


def expected_density(network: Network, thetas: Thetas) -> float:
    """Return the share of weights between units that are there, if each is with its theta."""
    return weights_between(network, [theta.numpy() for theta in thetas]) / sum(layer.size for layer in network.layers)
