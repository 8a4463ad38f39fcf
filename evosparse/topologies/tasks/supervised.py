"""Classification of a data set as a task: networks are judged on training examples, the winner on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from evosparse.data import DataSet, DataSpec, Examples, load
from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.base import Task, Tasks, TaskSpec
from evosparse.topologies.tasks.shared import highest, measures_of

Aim = Literal["accuracy", "log_loss"]
_MOST_NUMBERS = 2**22  # outputs of all networks that are in memory at a time


@njit(cache=True, nogil=True)
def _count(outputs, classes, right, loss):
    """Add what networks make of some examples, one by one: sums then do not depend on how many were shown at a time."""
    for network in range(len(outputs)):
        for example in range(len(classes)):
            row = outputs[network, example]
            best, label = highest(row), classes[example]
            if best == label:
                right[network] += 1
            total = 0.0
            for value in row:
                total += np.exp(value - row[best])
            loss[network] += np.log(total) - (row[label] - row[best])


def score(networks: Networks, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (networks,) accuracy, and the mean cross-entropy of the softmax of the outputs.

    Args:
        networks: with an input for each number of an example, and an output for each class.
        examples: shown block by block, so that memory is bounded.
    """
    right, loss = np.zeros(len(networks), dtype=np.int64), np.zeros(len(networks))
    rows = examples.x.reshape(len(examples), -1)
    block = max(1, _MOST_NUMBERS // (len(networks) * networks.plan.outputs))
    for first in range(0, len(rows), block):
        some = slice(first, first + block)
        _count(networks.answer(rows[some]), examples.y[some], right, loss)
    return right / len(rows), loss / len(rows)


@dataclass(frozen=True, eq=False)
class Classification(Task):
    """Networks have an output for each class, of which the highest decides.

    Args:
        parts: examples by the prefix of their measures.
        aim: ``accuracy``, or ``log_loss``, whose fitness is the geometric mean of the probability that the softmax of the
            outputs gives the right class: high where the cross-entropy is low, and never negative.
        judged: prefix of the part that fitness is about; None for no fitness, with the accuracy of all parts as
            objectives.
        input_names, output_names: of networks.
        recurrent: whether networks have a memory, which is empty for each example.
    """

    parts: tuple[tuple[str, Examples], ...]
    aim: Aim
    judged: str | None
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    recurrent: bool = False

    @property
    def objectives(self) -> Objectives:
        """Fitness, or else the accuracy of each part."""
        return {"fitness": "max"} if self.judged else {f"{name}_accuracy": "max" for name, _ in self.parts}

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Show all examples to each network."""
        arrays = {}
        for name, examples in self.parts:
            accuracy, loss = score(networks, examples)
            if name == self.judged:
                arrays["fitness"] = accuracy if self.aim == "accuracy" else np.exp(-loss)
            arrays |= {f"{name}_accuracy": accuracy, f"{name}_log_loss": loss}
        return measures_of(arrays)


class SupervisedSpec(TaskSpec):
    """The task section for the classification of a data set.

    Attributes:
        name: of the task.
        data: where the examples come from.
        aim: of the search on the training examples: ``accuracy``, or ``log_loss`` of the softmax of the outputs, for which
            the outputs' function should be ``identity``: bounded ones cannot be sure of any class.
        recurrent: whether networks have a memory.
    """

    name: Literal["supervised"] = "supervised"
    data: DataSpec = Field(default_factory=lambda: DataSpec(name="digits"))
    aim: Aim = "accuracy"
    recurrent: bool = False

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task.

        Raises:
            DataError: the data cannot be found or read.
        """
        return classification(load(self.data, base), self.aim, self.recurrent)


def classification(data: DataSet, aim: Aim = "accuracy", recurrent: bool = False) -> Tasks:
    """Make the task of a data set in memory; the search never sees its test set.

    Args:
        data: the examples.
        aim: of the search (see `Classification`).
        recurrent: whether networks have a memory.
    """
    search = data.search
    inputs = tuple(f"x{place}" for place in range(int(np.prod(search.input_shape))))
    outputs = tuple(f"class_{name}" for name in data.class_names)
    seen = (("train", search.train), ("validation", search.validation))
    return Tasks(
        Classification(seen, aim, "train", inputs, outputs, recurrent),
        Classification((("test", data.test),), aim, None, inputs, outputs, recurrent),
        data_hash=data.hash,
    )
