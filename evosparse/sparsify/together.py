"""Several workers, each with a part of the examples, train the networks of a cohort with SET's exchanges in two phases.

    phase 1   workers send gradients, the cohort's own population makes the steps and exchanges connections
    phase 2   each worker trains and exchanges by itself; their networks are averaged

Here is what both ways of phase 1 share: what a worker does, the second phase, and the average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evosparse.errors import SpecError
from evosparse.nets import Connections, InitialisationSpec, Network, TrainingSpec
from evosparse.nets.shared import SharedPopulation, TrainingState, Values
from evosparse.sparsify.budget import Positions, best
from evosparse.sparsify.cohort import Cohort, Replicate
from evosparse.sparsify.dynamic import Dynamic

Allowed = list[list[Positions]] | None


@dataclass(frozen=True, eq=False)
class Part:
    """The examples of a worker.

    Args:
        x: (n, *input_shape) inputs.
        y: (n,) classes, or (n, outputs) values.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Work:
    """What all workers are told once; called with a worker's part, it makes the worker.

    Args:
        method: whose exchanges are made.
        network: the architecture.
        replicates: the networks.
        training: with the kernel that the cohort's own population uses.
        initialisation: of grown weights.
        epochs: of the whole training.
        device: where to compute.
        connections: any with which a population can begin.
    """

    method: Dynamic
    network: Network
    replicates: Sequence[Replicate]
    training: TrainingSpec
    initialisation: InitialisationSpec
    epochs: int
    device: str | None
    connections: Sequence[Connections]

    def __call__(self, part: object) -> PartWorker:
        """Make a worker of its number and its examples."""
        number, train = part
        return PartWorker(self, number, train)


@dataclass(frozen=True, eq=False)
class Push:
    """The task of phase 1: the gradients of a minibatch.

    Args:
        version: of the connections.
        connections: of each network.
        values: of all parameters.
        epoch, number: which minibatch, of which epoch over the worker's own examples.
        step: number for which dropout is drawn.
    """

    version: int
    connections: Sequence[Connections]
    values: Values
    epoch: int
    number: int
    step: int


@dataclass(frozen=True, eq=False)
class Alone:
    """The task of phase 2, and its answer: where a worker's own training stands.

    Args:
        state: of the training.
        allowed: see `Cohort`.
        epoch: the number of the epoch to train, before which connections are exchanged.
    """

    state: TrainingState
    allowed: Allowed
    epoch: int


class PartWorker:
    """Trains on a part of the examples; all of its state is in the tasks, so that a fresh worker can take over.

    Args:
        work: what is trained.
        number: of the worker.
        train: its examples.
    """

    def __init__(self, work: Work, number: int, train: Part) -> None:
        replicates = [replace(own, worker=number) for own in work.replicates]
        # A worker chooses nothing, so its own examples may stand for those of validation.
        self._cohort = Cohort(
            work.network, train, train, replicates, work.training, work.initialisation, work.epochs, work.device
        )
        self._cohort.begin(work.connections, work.epochs, kind=SharedPopulation)
        self._method = work.method

    def work(self, task: object) -> object:
        """Return the version of the connections and the gradients by them, or the training after an epoch."""
        cohort, population = self._cohort, self._cohort.population
        if isinstance(task, Push):
            population.assume(task.connections, task.values)
            return task.version, population.push(cohort.train.x, cohort.train.y, task.epoch, task.number, task.step)
        population.resume(task.state)
        cohort.allowed = task.allowed
        self._method.after_epoch(cohort, task.epoch - 1)
        population.train(cohort.train.x, cohort.train.y, 1)
        return Alone(population.save(), cohort.allowed, task.epoch + 1)


def parts(train: object, workers: int) -> list[tuple[int, Part]]:
    """Deal the examples to workers one by one; a single worker gets them all in their order.

    Args:
        train: all examples, with ``x`` and ``y``.
        workers: how many.

    Raises:
        SpecError: there are fewer examples than workers.
    """
    if workers > len(train.x):
        raise SpecError(f"workers: expected at most one for each of the {len(train.x)} training examples, got {workers}")
    return [
        (number, Part(np.ascontiguousarray(train.x[number::workers]), np.ascontiguousarray(train.y[number::workers])))
        for number in range(workers)
    ]


def averaged(
    states: Sequence[TrainingState], budgets: Sequence[Sequence[int]], names: Sequence[str]
) -> tuple[list[Connections], Values]:
    """Average networks over the union of their connections, and keep the largest weights of each layer.

    A connection that one of them lacks counts as zero there.

    Args:
        states: of the same networks in the hands of several workers.
        budgets: for each network, the weights that each layer keeps; fewer if the union is smaller.
        names: of the weights of each layer.
    """
    values: dict[str, list[np.ndarray]] = {
        name: [np.mean(each, axis=0) for each in zip(*(state.values[name] for state in states), strict=True)]
        for name in states[0].values
        if name not in names
    }
    connections: list[list[np.ndarray]] = [[] for _ in budgets]
    for index, name in enumerate(names):
        values[name] = []
        for number, budget in enumerate(budgets):
            supports = [state.connections[number][index] for state in states]
            union = np.unique(np.concatenate(supports))
            total = np.zeros(len(union), np.float32)
            for state, own in zip(states, supports, strict=True):
                total[np.searchsorted(union, own)] += state.values[name][number]
            total /= len(states)
            kept = best(np.abs(total), budget[index])
            connections[number].append(union[kept])
            values[name].append(total[kept])
    return connections, values
