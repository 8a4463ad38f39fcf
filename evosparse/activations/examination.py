"""The final examination: the winner's functions in fresh networks, trained on train and validation, beside the standard ones.

The only place of this room that sees the test set. All arms of a replicate share their seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from pydantic import Field

from evosparse.activations.genome import Triple
from evosparse.activations.workbench import Workbench
from evosparse.data import Test, Train, Validation
from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Invalid, Resources
from evosparse.engine.seeds import SeedKey
from evosparse.nets import Population
from evosparse.section import Section

DIVERGED = "training diverged: outputs are not finite"


class ExaminationSpec(Section):
    """What happens after the search.

    Attributes:
        epochs: length of each training, on train and validation examples together.
        seeds: number of replicates.
        members: how many of the Hall of Fame are examined.
        baselines: functions that stand beside them, in all places.
        published_trace: also report the best test accuracy of any epoch, as the published code does; it is optimistic,
            for comparison with published figures alone.
    """

    epochs: int = Field(30, ge=1)
    seeds: int = Field(5, ge=1)
    members: int = Field(1, ge=0)
    baselines: tuple[str, ...] = ("relu(x)", "leaky_relu(x)")
    published_trace: bool = False


@dataclass(frozen=True)
class TripleTrial:
    """One training to the end.

    Args:
        arm: what is examined.
        replicate: which seeds.
        triple: the functions.
    """

    arm: str
    replicate: int
    triple: Triple

    @property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Return the formulas."""
        return self.triple.describe()

    def to_bytes(self) -> bytes:
        """Encode as JSON."""
        return json.dumps([self.arm, self.replicate, self.triple.to_bytes().decode()]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TripleTrial:
        """Decode what `to_bytes` returned."""
        arm, replicate, triple = json.loads(data)
        return cls(arm, replicate, Triple.from_bytes(triple.encode()))


@dataclass(frozen=True)
class ExaminationBench:
    """A workbench with what no search sees: what the examiner alone is given.

    Args:
        bench: network, primitives and training.
        whole: train and validation examples together.
        test: the examples that nothing has seen.
        spare: training examples that were left out, by which an epoch is chosen; None where there are none.
    """

    bench: Workbench
    whole: Train
    test: Test
    spare: Validation | None


class Examiner(Fitness):
    """Trains to the end and measures on the test set.

    ``test_accuracy`` is that of the last epoch. Where the data set has spare examples, ``test_accuracy_selected`` is that
    of the epoch with the best accuracy on them, the first of equals. ``test_accuracy_best`` is the best of all epochs.

    Args:
        epochs: length of the training.
        published_trace: report the best of all epochs too.
    """

    objectives: Objectives = {"test_accuracy": "max"}

    def __init__(self, epochs: int, published_trace: bool) -> None:
        self.epochs = epochs
        self.published_trace = published_trace

    def prepare(self, resources: Resources) -> None:
        """Keep the workbench and the examples."""
        self.data: ExaminationBench = resources.data

    def evaluate(self, genomes: Sequence[TripleTrial], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float] | Invalid]:
        """Train all trials together, and measure after each epoch."""
        data = self.data
        population = begin(data.bench, genomes, seeds, self.epochs)
        tests, spares = [], []
        for _ in range(self.epochs):
            population.train(data.whole.x, data.whole.y, 1)
            tests.append(population.accuracy(data.test.x, data.test.y))
            if data.spare is not None:
                spares.append(population.accuracy(data.spare.x, data.spare.y))
        trained = population.accuracy(data.whole.x, data.whole.y)
        columns = [np.stack(values, axis=1) if values else None for values in (tests, spares)]
        return [
            self._measures(columns[0][number], None if columns[1] is None else columns[1][number], float(accuracy))
            for number, accuracy in enumerate(trained)
        ]

    def _measures(self, test: np.ndarray, spare: np.ndarray | None, trained: float) -> Mapping[str, float] | Invalid:
        """Return the measures of one network from its accuracies after each epoch."""
        if not np.isfinite(test[-1]):
            return Invalid(DIVERGED)
        measures = {"test_accuracy": float(test[-1]), "train_accuracy": trained}
        if spare is not None:
            measures["test_accuracy_selected"] = float(test[int(np.nanargmax(spare))])
        if self.published_trace:
            measures["test_accuracy_best"] = float(np.nanmax(test))
        return measures


def begin(bench: Workbench, trials: Sequence[TripleTrial], keys: Sequence[SeedKey], epochs: int) -> Population:
    """Initialise the networks of trials, none of which a search has seen."""
    examined = [key.root.child("examination") for key in keys]
    seeds = [bench.seeds(key, trial.replicate) for key, trial in zip(examined, trials, strict=True)]
    return bench.population([trial.triple for trial in trials], seeds, epochs)


def train_to_the_end(data: ExaminationBench, trial: TripleTrial, key: SeedKey, epochs: int) -> Population:
    """Train one trial as the examiner does."""
    population = begin(data.bench, [trial], [key], epochs)
    population.train(data.whole.x, data.whole.y, epochs)
    return population
