"""Trains networks by recipes, on workers; and the examination of what came of it, which alone sees the test set."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from torch import nn

from evosparse.data import SearchData, Test
from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Measured, Resources
from evosparse.engine.seeds import SeedKey
from evosparse.nets import InitialisationSpec, Network, TrainingSpec, configured
from evosparse.sparsify.cohort import Cohort, Sparsified, State
from evosparse.sparsify.genome import Recipe
from evosparse.sparsify.trained import decode, encode

_CHUNK = 512
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Bench:
    """What all methods of a campaign are given.

    Args:
        data: train and validation examples.
        network: the architecture.
        training: optimizer, schedule, batch size.
        initialisation: how initial weights are drawn.
        epochs: length of a training.
    """

    data: SearchData
    network: Network
    training: TrainingSpec
    initialisation: InitialisationSpec
    epochs: int

    def sparsify(self, recipes: Sequence[Recipe], seed: int, device: str | None = None) -> list[Sparsified]:
        """Train networks of one method and one sparsity as one population.

        Args:
            recipes: of equal method and sparsity.
            seed: of the campaign.
            device: where to compute.
        """
        cohort = Cohort(
            self.network,
            self.data.train,
            self.data.validation,
            [recipe.of_seed(seed) for recipe in recipes],
            self.training,
            self.initialisation,
            self.epochs,
            device,
        )
        recipes[0].method.sparsify(cohort)
        return cohort.results()


class Training(Fitness):
    """Trains each network to the end; the trained network goes back with its measures.

    Networks of one method and one sparsity are one population. Those of several sparsities are not: a sparsity decides
    which kernel is fast, and a kernel the last bits.
    """

    objectives: Objectives = {"validation_accuracy": "max"}

    def prepare(self, resources: Resources) -> None:
        """Keep what methods are given."""
        self.bench: Bench = resources.data
        self.device = resources.device

    def evaluate(self, genomes: Sequence[Recipe], seeds: Sequence[SeedKey]) -> Sequence[Measured]:
        """Train networks; their seeds are those of the campaign and of their replicates."""
        groups: dict[str, list[int]] = {}
        for place, recipe in enumerate(genomes):
            alike = Recipe(recipe.method, recipe.sparsity, 0).key
            groups.setdefault(alike, []).append(place)
        results: list[Measured] = [Measured({}, b"")] * len(genomes)
        for places in groups.values():
            own = [genomes[place] for place in places]
            for place, result in zip(places, self.bench.sparsify(own, seeds[0].seed, self.device), strict=True):
                results[place] = Measured(result.measures, encode(self.bench.network, result))
        return results


@dataclass(frozen=True)
class TrainedTrial:
    """A trained network under examination.

    Args:
        arm: its method and sparsity.
        replicate: number of the repetition.
        description: of its recipe.
        costs: of its training, by name.
        network: the bytes of `trained.encode`.
    """

    arm: str
    replicate: int
    description: str
    costs: Mapping[str, float]
    network: bytes = field(repr=False)

    @cached_property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Say what was trained."""
        return self.description

    def to_bytes(self) -> bytes:
        """Encode as a JSON head and the network."""
        head = json.dumps([self.arm, self.replicate, self.description, dict(self.costs)]).encode()
        return _LENGTH.pack(len(head)) + head + self.network

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainedTrial:
        """Decode what `to_bytes` returned."""
        start = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        return cls(*json.loads(data[_LENGTH.size : start]), data[start:])


@dataclass(frozen=True)
class ExaminationBench:
    """What the examiner alone is given.

    Args:
        bench: the same as the methods'.
        test: the examples that nothing has seen.
    """

    bench: Bench
    test: Test


class Examiner(Fitness):
    """Measures trained networks on the test set.

    ``test_accuracy`` is that of the last epoch, ``test_accuracy_selected`` that of the epoch with the best validation
    accuracy, the first of equals.
    """

    objectives: Objectives = {"test_accuracy": "max"}

    def prepare(self, resources: Resources) -> None:
        """Keep network and test set."""
        self.network: Network = resources.data.bench.network
        self.test: Test = resources.data.test

    def evaluate(self, genomes: Sequence[TrainedTrial], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Measure networks one by one."""
        return [self._one(trial) for trial in genomes]

    def _one(self, trial: TrainedTrial) -> Mapping[str, float]:
        connections, final, selected = decode(self.network, trial.network)
        return {
            "test_accuracy": accuracy(self.network, final, self.test),
            "test_accuracy_selected": accuracy(self.network, selected, self.test),
            "weights": sum(map(len, connections)),
            "multiply_adds": self.network.multiply_adds(connections),
            **trial.costs,
        }


def module_of(network: Network, state: State) -> nn.Module:
    """Return a network as an ordinary torch module in evaluation mode, with the values of a state."""
    module = network.module().eval()
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return module


@configured()
def accuracy(network: Network, state: State, examples: Test) -> float:
    """Return the share of examples that a network classifies rightly."""
    module, right = module_of(network, state), 0
    with torch.no_grad():
        for start in range(0, len(examples), _CHUNK):
            answers = module(torch.from_numpy(np.array(examples.x[start : start + _CHUNK]))).argmax(dim=1)
            right += int((answers.numpy() == examples.y[start : start + _CHUNK]).sum())
    return right / len(examples)
