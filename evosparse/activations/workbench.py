"""What every judge of activation functions works with: data, network, primitives, and how networks are trained.

A user's fitness function receives it as ``data``; the test set is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from evosparse.activations.expression import Expression
from evosparse.activations.genome import Triple
from evosparse.activations.primitives import PrimitiveSet
from evosparse.activations.tensors import TensorActivations
from evosparse.data import SearchData, Train, Validation
from evosparse.engine.seeds import SeedKey
from evosparse.nets import (
    Activations,
    InitialisationSpec,
    Network,
    Population,
    Role,
    Seeds,
    TrainingSpec,
    choose_device,
)

Computation = Literal["compiled", "tensors"]

_POINTS = 64  # on which a function is looked at before a network is trained with it


@dataclass(frozen=True)
class Workbench:
    """Data, network, primitives and training of one campaign.

    Args:
        data: train and validation examples.
        network: the architecture, bound to the shape of the data, with slots.
        primitives: of which functions are made.
        training: optimizer, batch size and schedule.
        initialisation: how initial weights are drawn.
        individual_weights: draw initial weights for each candidate apart, instead of the same for all.
        computation: how functions are computed: by compiled loops on the CPU, or by torch's operations.
        always_random: ``rrelu`` draws its slopes in evaluation too.
    """

    data: SearchData
    network: Network
    primitives: PrimitiveSet
    training: TrainingSpec
    initialisation: InitialisationSpec
    individual_weights: bool = True
    computation: Computation = "tensors"
    always_random: bool = False

    @property
    def train(self) -> Train:
        """The examples to train on."""
        return self.data.train

    @property
    def validation(self) -> Validation:
        """The examples to judge by."""
        return self.data.validation

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of the network's slots, each once, from the input to the output."""
        return tuple(role for role in ("input", "hidden", "output") if role in self.network.slots)

    def seeds(self, key: SeedKey, replicate: int = 0) -> Seeds:
        """Return the seeds of one network's training.

        Args:
            key: the key of a genome's evaluation; only its root counts unless weights are individual.
            replicate: number of the repetition.
        """
        weights = key if self.individual_weights else key.root
        return Seeds(
            weights=weights.child("weights", replicate).integer(),
            order=key.root.child("order", replicate).integer(),
            noise=key.root.child("noise", replicate).integer(),
        )

    def population(self, triples: Sequence[Triple], seeds: Sequence[Seeds], epochs: int) -> Population:
        """Initialise networks, one for each triple of functions, that will be trained together.

        Args:
            triples: the functions of each network.
            seeds: of each network.
            epochs: how many epochs there will be in all, for the learning-rate schedule.
        """
        every = [None] * len(self.network.layers)
        return Population(
            self.network, [every] * len(triples), seeds, self.training, self.initialisation, total_epochs=epochs,
            kernel="dense", activations=self.activations(triples, seeds),
        )  # fmt: skip

    def activations(self, triples: Sequence[Triple], seeds: Sequence[Seeds]) -> Activations:
        """Return the functions of networks in the form in which they are computed."""
        functions = [[triple.function(role) for triple in triples] for role in self.network.slots]
        noise = [own.noise for own in seeds]
        if self.computation == "compiled":
            from evosparse.activations.compiled import CompiledActivations  # importing numba takes half a second

            return CompiledActivations(functions, noise, self.always_random)
        return TensorActivations(functions, self.primitives, noise, self.always_random)

    def train_networks(self, triples: Sequence[Triple], keys: Sequence[SeedKey], epochs: int) -> Population:
        """Train a fresh network with each triple of functions.

        Args:
            triples: the functions of each network.
            keys: the key of each triple's evaluation.
            epochs: how long.

        Returns:
            The trained networks, one for each triple.
        """
        population = self.population(triples, [self.seeds(key) for key in keys], epochs)
        population.train(self.train.x, self.train.y, epochs)
        return population

    def flaw(self, triple: Triple) -> str:
        """Say why no network need be trained with a triple: a function is constant or not finite; empty if none is.

        Looked at on 64 fixed points of a standard normal distribution.
        """
        for role, function in zip(triple.roles, triple.expressions, strict=True):
            values = self.primitives.evaluate(function, fixed_points(_POINTS))
            if not torch.isfinite(values).all():
                return f"the {role} function {function} is not finite on points of a standard normal distribution"
            if (values == values[0]).all():
                return f"the {role} function {function} is constant on points of a standard normal distribution"
        return ""


def fixed_points(count: int) -> torch.Tensor:
    """Return points of a standard normal distribution, the same ones always."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(count).astype(np.float32))


def behaviour(function: Expression, primitives: PrimitiveSet) -> bytes:
    """Return what a function does on fixed points, to five digits: equal for functions that differ in form alone."""
    points = torch.cat([fixed_points(_POINTS), 4 * fixed_points(_POINTS)])
    values = primitives.evaluate(function, points).double().numpy()
    return np.array([float(f"{value:.5g}") + 0.0 for value in values]).tobytes()


def preferred_computation(primitives: PrimitiveSet) -> Computation:
    """Return how functions are computed where nothing else is asked for: compiled on the CPU, if they can be."""
    if choose_device(None).type != "cpu":
        return "tensors"
    from evosparse.activations.compiled import can_compile

    return "compiled" if can_compile(primitives) else "tensors"
