"""The final examination: the winner is trained to the end, beside random masks, the dense network and plain dropout.

The only place of this room that sees the test set. All arms of a replicate share their seeds.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.data import Test
from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Resources
from evosparse.engine.seeds import SeedKey
from evosparse.masks.genome import Mask
from evosparse.masks.workbench import Phase, Workbench, connections_of
from evosparse.nets import Population
from evosparse.section import Section

Baseline = Literal["random", "dense", "dropout"]
_LENGTH = struct.Struct("<I")


class ExaminationSpec(Section):
    """What happens after the search.

    Attributes:
        epochs: length of the whole training, epochs before the mask was cut included.
        seeds: number of replicates; the first begins at the initial weights of the search.
        members: how many of the Hall of Fame are examined; of a Pareto front they are spread over it.
        baselines: what stands beside them: random masks of the same counts, the dense network, dense with dropout.
        dropout: probability of dropping a hidden activation in that last arm.
    """

    epochs: int = Field(10, ge=1)
    seeds: int = Field(5, ge=1)
    members: int = Field(1, ge=0)
    baselines: tuple[Baseline, ...] = ("random", "dense", "dropout")
    dropout: float = Field(0.5, gt=0, lt=1)


@dataclass(frozen=True)
class MaskTrial:
    """One training to the end.

    Args:
        arm: what is examined.
        replicate: which seeds.
        phases: masks and epochs, one after the other.
        dropout: probability of dropping a hidden activation.
        costs: of finding the masks that the search began with, by name; they become measures.
    """

    arm: str
    replicate: int
    phases: tuple[Phase, ...]
    dropout: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Say what is trained and for how long."""
        parts = [
            f"{'dense' if phase.mask is None else phase.mask.describe()}, {phase.epochs} epochs" for phase in self.phases
        ]
        return "; then ".join(parts) + (f"; dropout {self.dropout:g}" if self.dropout else "")

    def to_bytes(self) -> bytes:
        """Encode as a JSON head and the encodings of the masks."""
        masks = [b"" if phase.mask is None else phase.mask.to_bytes() for phase in self.phases]
        head = {
            "arm": self.arm,
            "replicate": self.replicate,
            "dropout": self.dropout,
            "phases": [[phase.epochs, len(mask)] for phase, mask in zip(self.phases, masks, strict=True)],
        }
        text = json.dumps(head | ({"costs": dict(self.costs)} if self.costs else {})).encode()
        return b"".join([_LENGTH.pack(len(text)), text, *masks])

    @classmethod
    def from_bytes(cls, data: bytes) -> MaskTrial:
        """Decode what `to_bytes` returned."""
        start = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        head = json.loads(data[_LENGTH.size : start])
        phases = []
        for epochs, length in head["phases"]:
            phases.append(Phase(Mask.from_bytes(data[start : start + length]) if length else None, epochs))
            start += length
        return cls(head["arm"], head["replicate"], tuple(phases), head["dropout"], head.get("costs", {}))


@dataclass(frozen=True)
class ExaminationBench:
    """A workbench with the test set: what the examiner alone is given.

    Args:
        bench: data, network and training.
        test: the examples that nothing has seen.
    """

    bench: Workbench
    test: Test


class Examiner(Fitness):
    """Trains to the end and measures on the test set.

    ``test_accuracy`` is that of the last epoch; ``test_accuracy_selected`` that of the epoch with the best validation
    accuracy, the first of equals, counted from where the final mask is set: an earlier epoch would be that of a denser
    network. Where a mask is cut in training, ``test_accuracy_at_cut`` is that of the moment after.
    """

    objectives: Objectives = {"test_accuracy": "max"}

    def prepare(self, resources: Resources) -> None:
        """Keep the workbench and the test set."""
        self.bench: Workbench = resources.data.bench
        self.test: Test = resources.data.test

    def evaluate(self, genomes: Sequence[MaskTrial], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Train together all trials that have the same epochs and dropout; dense networks apart from masked ones."""
        groups: dict[tuple, list[int]] = {}
        for index, trial in enumerate(genomes):
            phases = tuple((phase.epochs, phase.mask is None) for phase in trial.phases)
            groups.setdefault((phases, trial.dropout), []).append(index)
        results: list[Mapping[str, float]] = [{}] * len(genomes)
        for indices in groups.values():
            trials = [genomes[index] for index in indices]
            for index, measures in zip(indices, self._examine(trials, [seeds[index] for index in indices]), strict=True):
                results[index] = measures
        return results

    def _examine(self, trials: Sequence[MaskTrial], keys: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        population = begin(self.bench, trials, keys)
        best = np.full(len(trials), -np.inf)
        selected = np.zeros(len(trials))
        validation, test = self.bench.validation, self.test
        at_cut = population.accuracy(test.x, test.y)
        for epoch in range(max(1, trials[0].phases[-1].epochs)):
            if trials[0].phases[-1].epochs:
                population.train(self.bench.train.x, self.bench.train.y, 1)
            accuracy = population.accuracy(validation.x, validation.y)
            final = population.accuracy(test.x, test.y)
            better = accuracy > best
            best = np.where(better, accuracy, best)
            selected = np.where(better, final, selected)
        rows = zip(trials, final, selected, accuracy, at_cut, strict=True)
        return [self._measures(trial, *map(float, values)) for trial, *values in rows]

    def _measures(
        self, trial: MaskTrial, final: float, selected: float, validation: float, at_cut: float
    ) -> Mapping[str, float]:
        mask = trial.phases[-1].mask
        layers = self.bench.network.layers
        cut = {"test_accuracy_at_cut": at_cut} if len(trial.phases) > 1 else {}
        return {
            "test_accuracy": final,
            "test_accuracy_selected": selected,
            "validation_accuracy": validation,
            "weights": sum(layer.size for layer in layers) if mask is None else mask.count,
            "multiply_adds": self.bench.network.multiply_adds(connections_of(mask, self.bench.network)),
            "epochs_dense": sum(phase.epochs for phase in trial.phases if phase.mask is None),
            **cut,
            **trial.costs,
        }


def begin(bench: Workbench, trials: Sequence[MaskTrial], keys: Sequence[SeedKey]) -> Population:
    """Train trials of equal phases up to the last phase, which has its mask but no epoch yet."""
    seeds = [bench.seeds(key.root, trial.replicate) for trial, key in zip(trials, keys, strict=True)]
    epochs = sum(phase.epochs for phase in trials[0].phases)
    population = bench.population([trial.phases[0].mask for trial in trials], seeds, epochs, trials[0].dropout)
    for number in range(1, len(trials[0].phases)):
        population.train(bench.train.x, bench.train.y, trials[0].phases[number - 1].epochs)
        bench.cut(population, [trial.phases[number].mask for trial in trials])
    return population


def train_to_the_end(bench: Workbench, trial: MaskTrial, key: SeedKey) -> Population:
    """Train one trial as the examiner does."""
    population = begin(bench, [trial], [key])
    population.train(bench.train.x, bench.train.y, trial.phases[-1].epochs)
    return population
