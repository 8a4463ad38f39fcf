"""The contract of a task: what it shows networks, and what it makes of their answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.section import Section
from evosparse.topologies.phenotype import Networks

SOLVED = "solved"  # the measure, 1 or 0, of tasks that can be solved


class Task(ABC):
    """Judges a batch of networks. It must survive being pickled, as it goes to the workers.

    Attributes:
        input_names: of what networks are shown.
        output_names: of what they answer.
        objectives: name and direction of each objective, in order.
        bias: whether networks need a node that is always 1.
        recurrent: whether networks need a memory.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    objectives: Objectives = {"fitness": "max"}
    bias: bool = True
    recurrent: bool = False

    @abstractmethod
    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Measure networks that have seen nothing yet.

        The measures of a network may depend on the network and its key alone, not on what else is in the batch.

        Args:
            networks: what to judge.
            seeds: a key for each of them.

        Returns:
            For each network the value of every objective and of any further measure; among them `SOLVED`, 1 or 0, if the
            task can be solved. Tasks that count steps of an environment call them ``environment_steps``.
        """


@dataclass(frozen=True)
class Tasks:
    """All that a campaign needs to know of a task.

    Args:
        search: drives the search.
        examination: judges the winner at the end, on what the search did not see where there is such a thing; its
            measures are the figures of the final table.
        confirmation: judges the champion of a generation where that costs too much for all networks; only who is
            ``solved`` there has solved the task. None if the search's own measure says so.
        replicates: how often the examination is repeated with other seeds; 1 where nothing is random.
        data_hash: identifies the data, if there are any.
        sources: of the user's own code; functions or classes.
        notes: what a reader of the results must know.
    """

    search: Task
    examination: Task
    confirmation: Task | None = None
    replicates: int = 1
    data_hash: str = ""
    sources: tuple[Callable, ...] = ()
    notes: tuple[str, ...] = ()


class TaskSpec(Section):
    """One task's section of a campaign file; each task is one file with this class and its `Task`."""

    @abstractmethod
    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task.

        Args:
            base: folder that relative paths start at.
        """


