"""Exclusive or: the smallest task that needs a hidden node, as Stanley and Miikkulainen (2002) set it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.base import SOLVED, Task, Tasks, TaskSpec
from evosparse.topologies.tasks.shared import measures_of

_CASES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
_TARGETS = (0.0, 1.0, 1.0, 0.0)


class Xor(Task):
    """Fitness is ``(4 - sum |target - output|)^2`` over four cases; solved if each output is on its side of one half."""

    input_names = ("a", "b")
    output_names = ("xor",)

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Show the four cases to each network."""
        targets = np.array(_TARGETS)
        outputs = networks.answer(_CASES)[:, :, 0]
        # Running sums, because the order of numpy's own sum depends on the number of networks.
        error = np.abs(targets - outputs).cumsum(axis=1)[:, -1]
        return measures_of({"fitness": (4 - error) ** 2, SOLVED: ((outputs >= 0.5) == (targets >= 0.5)).all(axis=1)})


class XorSpec(TaskSpec):
    """The task section for exclusive or.

    Attributes:
        name: of the task.
    """

    name: Literal["xor"] = "xor"

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task."""
        return Tasks(Xor(), Xor())
