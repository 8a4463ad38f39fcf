"""What the tests of dynamic methods share: small examples, cohorts over them, and how two of them are compared."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evosparse.data import Train, Validation
from evosparse.nets import InitialisationSpec, TrainingSpec, multilayer_perceptron
from evosparse.sparsify import Cohort, Replicate, Sparsifier
from evosparse.sparsify.together import PartWorker, Work

SGD = TrainingSpec(optimizer="sgd", learning_rate=0.05, momentum=0.9, batch=16, kernel="packed")


def drawn(count: int, seed: int, features: int = 13, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy prototypes of classes."""
    rng, prototypes = np.random.default_rng(seed), np.random.default_rng(99).random((classes, features))
    y = rng.integers(classes, size=count)
    return (prototypes[y] + 0.4 * rng.standard_normal((count, features))).astype(np.float32), y


def cohort(
    epochs: int = 6,
    numbers: Sequence[int] = (0, 1),
    sparsity: float = 0.7,
    training: TrainingSpec = SGD,
    examples: int = 83,
    hidden: Sequence[int] = (20, 17),
) -> Cohort:
    """Return a cohort of perceptrons on small data."""
    return Cohort(
        multilayer_perceptron((13,), 3, hidden),
        Train(*drawn(examples, 0)),
        Validation(*drawn(40, 1)),
        [Replicate(number, sparsity) for number in numbers],
        training,
        InitialisationSpec(weights="he_uniform"),
        epochs,
    )


def trained(method: Sparsifier, own: Cohort) -> Cohort:
    """Let a method train a cohort, and return it."""
    method.sparsify(own)
    return own


def expect_equal_cohorts(one: Cohort, other: Cohort) -> None:
    """Compare all results, bit for bit."""
    for mine, theirs in zip(one.results(), other.results(), strict=True):
        assert mine.measures == theirs.measures
        for own, its in zip(mine.connections, theirs.connections, strict=True):
            assert np.array_equal(own, its)
        for state, its in ((mine.state, theirs.state), (mine.selected, theirs.selected)):
            assert state.keys() == its.keys()
            assert all(np.array_equal(state[name], its[name]) for name in state)


class Mortal(Work):
    """Makes workers, the first of which dies at its task of a given number, once."""

    def __call__(self, part: object) -> PartWorker:
        """Make one of its number and examples, the number of the task or None, and a file to be made on dying."""
        number, train, task, mark = part
        worker, done = super().__call__((number, train)), [0]
        work = worker.work

        def until_then(own: object) -> object:
            done[0] += 1
            if number == 0 and done[0] == task and not Path(mark).exists():
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return work(own)

        worker.work = until_then  # type: ignore[method-assign]
        return worker
