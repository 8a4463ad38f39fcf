"""How topologies are judged: by their task, a whole batch at once, or by a user's own function of one genome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Resources, Result, as_fitness, find_fitness
from evosparse.engine.seeds import SeedKey
from evosparse.section import Section, bare_string
from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.base import Task


class Bench:
    """What a user's fitness function works with: the task, and the means to run networks.

    Args:
        task: that networks are shown.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def networks(self, genomes: Sequence[Topology]) -> Networks:
        """Return networks that have seen nothing yet."""
        return Networks.of(genomes)

    def evaluate(self, genomes: Sequence[Topology], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Return the measures of the task for each genome, see `Task.evaluate`."""
        return self.task.evaluate(self.networks(genomes), seeds)


class TaskFitness(Fitness):
    """The fitness that a task gives.

    Args:
        task: whose objectives they are.
    """

    def __init__(self, task: Task) -> None:
        self.objectives: Objectives = task.objectives

    def prepare(self, resources: Resources) -> None:
        """Keep the task.

        Raises:
            TypeError: it is handed something else than a `Bench`.
        """
        if not isinstance(resources.data, Bench):
            raise TypeError(f"expected the bench of a task, got {type(resources.data).__name__}")
        self.bench = resources.data

    def evaluate(self, genomes: Sequence[Topology], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Judge genomes as one batch."""
        return self.bench.evaluate(genomes, seeds)


class FitnessSpec(Section):
    """A user's own fitness in place of the task's; a bare string is the function.

    Attributes:
        function: ``module:name``, ``path/to/file.py:name`` or an entry point of the group ``evosparse.fitness``; None for
            the fitness that the task gives.
        parameters: keyword arguments for it.
    """

    function: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    _bare = bare_string("function")

    @model_validator(mode="after")
    def _fits_together(self) -> FitnessSpec:
        if self.parameters and self.function is None:
            raise ValueError("parameters are those of a user's function, and none is named: name it, or leave them out")
        return self

    def make(self, task: Task, own: Fitness | Callable | None = None, base: Path | None = None) -> Fitness:
        """Make the fitness.

        Args:
            task: that judges where no function does.
            own: a user's in Python, in place of a named one.
            base: folder that relative paths start at.
        """
        if own is not None:
            return as_fitness(own)
        return TaskFitness(task) if self.function is None else find_fitness(self.function, self.parameters, base)
