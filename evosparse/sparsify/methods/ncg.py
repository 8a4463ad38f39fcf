"""de Oliveira and Figueiredo, "Optimizing Connectivity through Network Gradients for Restricted Boltzmann Machines", 2025.

NCG, Neural Networks 2025, arXiv 2209.06932; the machines themselves are in `evosparse.sparsify.rbm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import expit
from threadpoolctl import threadpool_limits
from torch import nn

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.nets import Network
from evosparse.nets.plan import Elementwise
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.budget import ScoreError, best
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.rbm.connectivity import NCG as LearntConnectivity
from evosparse.sparsify.rbm.connectivity import Connections as MachineConnections
from evosparse.sparsify.rbm.connectivity import Connectivity, Dense, Random
from evosparse.sparsify.rbm.data import binarise
from evosparse.sparsify.rbm.machine import RBM
from evosparse.sparsify.rbm.spec import RBMSpec
from evosparse.sparsify.units import expect_chain


@method
class NCG(Sparsifier):
    """Boltzmann machines learn which connections the layers of a network have; the network is trained behind them.

        a machine for each hidden layer, the first one first: its visible units are what the layer reads, and those of the
            last machine also the targets, whose connections are the output layer's
        each is trained as `evosparse.sparsify.rbm.NCG` has it, with as many connections as the layers keep
        keep the greatest scores A~, of equal ones those of the greatest |W|; train what is left

    With ``weights: machines`` and ``tuned: false`` a network of a single hidden layer classifies as its machine does.

    Attributes:
        distribution: of the sparsity over the layers.
        connectivity: that of the machines: learnt, or one of its controls, ``random`` or ``dense`` (kept by |W| alone).
        machine_epochs: of each machine; None for those of a whole training. They count once, however many layers there are.
        steps: k of CD-k.
        batch: examples of a machine's minibatch.
        rate: of a machine's weights and biases.
        rate_ratio: how many times that the scores' is.
        weights: what the network begins with: its own initial weights, or those of the machines, which are of sigmoids.
        tuned: train the network behind the machines.

    Deviations: the source has one machine and no network, and finds a density of its own, where an exact one is kept here.
    Inputs are drawn once as 0 or 1, with themselves as probabilities, or the sigmoids of their standardised values if some are
    not from 0 to 1; so are the targets of a regression, and what a machine hands to the next.
    """

    method: Literal["ncg"] = "ncg"
    distribution: Distribution = Distribution(distribution="er", output_floor=0)
    connectivity: Literal["ncg", "random", "dense"] = "ncg"
    machine_epochs: int | None = Field(None, ge=0)
    steps: int = Field(1, ge=1)
    batch: int = Field(50, ge=1)
    rate: float = Field(0.1, gt=0)
    rate_ratio: float = Field(5.0, gt=0)
    weights: Literal["initial", "machines"] = "initial"
    tuned: bool = True

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        counts(network.layers, sparsity, self.distribution)
        expect_chain(network, self.method)
        layers = network.layers
        if len(layers) < 2 or any(len(layer.shape) != 2 for layer in layers):
            came = ", ".join(f"{layer.name} {layer.shape}" for layer in layers)
            raise SpecError(
                f"{self.method}: expected linear layers alone, and at least one hidden one, got {came}; take such a network, or"
                " another method"
            )
        if self.weights == "machines":
            between = [step.module for step in network.plan or () if isinstance(step, Elementwise)]
            biases = [f"{layer.name}.bias" in network.unmasked for layer in layers]
            if len(between) != len(layers) - 1 or not all(isinstance(own, nn.Sigmoid) for own in between) or not all(biases):
                raise SpecError(
                    f"{self.method}: expected a network of sigmoids with biases where it begins with the weights of machines;"
                    " choose activation: sigmoid, or weights: initial"
                )

    def sparsify(self, cohort: Cohort) -> None:
        """Learn connections, network by network, then train the networks as one population."""
        connections, states = [], []
        for number, replicate in enumerate(cohort.replicates):
            kept = counts(cohort.network.layers, replicate.sparsity, self.distribution)
            state, order = self._judged(cohort.network, self._learn(cohort, number, kept))
            connections.append([best(own.reshape(-1), count) for own, count in zip(order, kept, strict=True)])
            states.append(state)
        cohort.charge([0] * len(cohort), self._epochs(cohort))
        cohort.begin(connections, cohort.epochs, states=states if self.weights == "machines" else None)
        cohort.advance(cohort.epochs if self.tuned and not cohort.masks_alone else 0, final=True)

    @staticmethod
    def _judged(network: Network, machines: Sequence[RBM]) -> tuple[State, list[np.ndarray]]:
        """Return what machines say of a network: its parameters, and the ranks of each layer's connections."""
        state, order = {}, []
        for layer, machine in zip(network.layers[:-1], machines, strict=True):
            told = slice(0, layer.fan_in)
            state[layer.parameter] = machine.weights[:, told]
            state[f"{layer.name}.bias"] = machine.hidden_bias
            order.append(ranks(machine.connections, machine.weights)[:, told])
        # Targets are the last visible units of the last machine; unknown ones are one half, which is a part of the bias.
        (*_, hidden, last), machine = network.layers, machines[-1]
        links, biases = machine.parameters.weights[:, hidden.fan_in :].T, machine.visible_bias[hidden.fan_in :]
        state[f"{hidden.name}.bias"] = machine.hidden_bias + links.sum(axis=0) / 2
        constants = np.repeat(biases[:, None], last.fan_in - links.shape[1], axis=1)
        state[last.parameter], state[f"{last.name}.bias"] = np.concatenate([links, constants], axis=1), biases
        return state, [*order, ranks(None, state[last.parameter])]

    def _learn(self, cohort: Cohort, number: int, budget: Sequence[int]) -> list[RBM]:
        """Return the trained machines of a network's hidden layers, of which each keeps so many connections."""
        layers, key = cohort.network.layers, cohort.replicates[number].key.child("machines", 1)
        inputs = binary(cohort.train.x.reshape(len(cohort.train.x), -1), key.child("inputs"))
        targets, machines = states_of(cohort.train.y, cohort.network.classes, key.child("targets")), []
        for index, (layer, kept) in enumerate(zip(layers[:-1], budget, strict=False)):
            ones = np.ones((len(inputs), layer.fan_in - inputs.shape[1]), np.uint8)  # where a layer reads a constant
            told = targets if index == len(layers) - 2 else targets[:, :0]
            x = np.concatenate([inputs, ones, told], axis=1)
            spec = RBMSpec(
                hidden=layer.shape[0], connectivity=self._connectivity(kept / layer.size), steps=self.steps, batch=self.batch,
                learning_rate=self.rate,
            )  # fmt: skip
            machine = RBM(x.shape[1], spec, key=key.child("machine", index))
            # All connections of the targets are there, as label units have theirs.
            rng = key.child("connections", index).rng()
            machine.connections = spec.connectivity.draw(machine.weights.shape, layer.fan_in, rng, machine.dtype)
            machine.fit(x, epochs=self._epochs(cohort))
            cohort.costs[number] += (2 * self.steps + 3) * machine.weights.size * len(x) * machine.epochs
            machines.append(machine)
            with threadpool_limits(1, "blas"):
                inputs = binarise(machine.hidden_probabilities(x), key.child("hidden", index))
        return machines

    def _epochs(self, cohort: Cohort) -> int:
        return cohort.epochs if self.machine_epochs is None else self.machine_epochs

    def _connectivity(self, density: float) -> Connectivity:
        if self.connectivity == "dense":
            return Dense()
        if self.connectivity == "random":
            return Random(density=density)
        return LearntConnectivity(density=density, rate_ratio=self.rate_ratio, exact=True)


def ranks(connections: MachineConnections | None, weights: np.ndarray) -> np.ndarray:
    """Return which share of all connections is below each one by its score, and of equal ones by the magnitude of the weight.

    Args:
        connections: with scores, or without, where existing ones stand above the others; None where all are equal.
        weights: (H, X) array.

    Returns:
        (H, X) float64 from 0 to below 1; NaN where a weight is.
    """
    first = np.zeros_like(weights) if connections is None else connections.scores
    first = connections.active if first is None else first
    order = np.lexsort((np.abs(weights).ravel(), first.ravel()))
    found = np.empty(weights.size)
    found[order] = np.arange(weights.size) / weights.size
    return np.where(np.isnan(weights), np.nan, found.reshape(weights.shape))


def binary(x: np.ndarray, key: SeedKey) -> np.ndarray:
    """Draw (n, features) states of 0 and 1: values from 0 to 1 are probabilities; of others, the sigmoids of standardised ones.

    Raises:
        ScoreError: a value is no number, or too large to be standardised.
    """
    if x.min() < 0 or x.max() > 1:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x = np.where(x.std(axis=0) == 0, 0, expit((x - x.mean(axis=0)) / x.std(axis=0)))
    if np.isnan(x).any():
        raise ScoreError("ncg: expected inputs that can be standardised, got NaN: the values are too large, scale them")
    return binarise(x, key)


def states_of(y: np.ndarray, outputs: int, key: SeedKey) -> np.ndarray:
    """Return (n, outputs) states of 0 and 1: one unit for each class, or what `binary` draws of the values of a regression."""
    y = np.asarray(y)
    return binary(y.reshape(len(y), outputs), key) if y.dtype.kind == "f" else np.eye(outputs, dtype=np.uint8)[y]
