"""The topologies problem: from the sections of a campaign file to a search, its task and its examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.problem import Problem, Stage
from evosparse.engine.search import drive
from evosparse.engine.seeds import SeedKey
from evosparse.plugins import local_folders, reference_to
from evosparse.section import Section
from evosparse.topologies.examination import ExaminationSpec, Examiner, TopologyTrial, winners
from evosparse.topologies.fitness import Bench, FitnessSpec
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods import NEAT, AnyMethod
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import SOLVED, AnyTask, CustomSpec, Task, Tasks, TaskSpec, XorSpec
from evosparse.topologies.tasks.custom import as_task


class TopologySpec(Section):
    """The sections of a campaign file about topologies.

    Attributes:
        task: what networks are for; a bare string is its name, or a user's own function if it has a colon.
        search: the method and its parameters.
        fitness: a user's own in place of the task's.
        examination: what happens after the search.
    """

    task: AnyTask = Field(default_factory=XorSpec)
    search: AnyMethod = Field(default_factory=NEAT)
    fitness: FitnessSpec = Field(default_factory=FitnessSpec)
    examination: ExaminationSpec = Field(default_factory=ExaminationSpec)

    @field_validator("task", mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": "custom", "function": value} if ":" in value else {"name": value}
        return value


class TopologyProblem(Problem):
    """Which networks do a task well.

    Args:
        task: its name or section, or a `Task` or marked function of the user's own.
        search: the method, such as `NEAT`.
        fitness: a user's marked function, class or instance of `Fitness` in place of the task's, or where to find one.
        examination: what happens after the search.
        base: folder of relative paths.

    Raises:
        BadInput: something does not fit.
    """

    kind: ClassVar[str] = "topologies"

    def __init__(
        self,
        task: str | TaskSpec | Task | Callable = XorSpec(),
        search: AnyMethod = NEAT(),
        fitness: str | FitnessSpec | Fitness | Callable = FitnessSpec(),
        examination: ExaminationSpec = ExaminationSpec(),
        base: Path | None = None,
    ) -> None:
        own_task = None if isinstance(task, (str, TaskSpec)) else task
        own = None if isinstance(fitness, (str, FitnessSpec)) else fitness
        spec = TopologySpec(
            task=task if own_task is None else CustomSpec(function=reference_to(own_task)),
            search=search,
            fitness=fitness if own is None else FitnessSpec(function=reference_to(own)),
            examination=examination,
        )
        self._build(spec, own_task, own, base)

    @classmethod
    def from_spec(cls, spec: TopologySpec, base: Path | None = None) -> TopologyProblem:
        """Make the problem that the sections of a campaign file describe."""
        problem = cls.__new__(cls)
        problem._build(spec, None, None, base)
        return problem

    def _build(self, spec: TopologySpec, task: object, own: Fitness | Callable | None, base: Path | None) -> None:
        self.spec = spec
        self.tasks = spec.task.tasks(base) if task is None else _tasks_of(task)
        confirm = None if self.tasks.confirmation is None else self.confirms
        self.search = spec.search.search(interface(self.tasks.search, spec.search), confirm)
        fitness = spec.fitness.make(self.tasks.search, own, base)
        spec.search.check_fitness(fitness)
        self.stage = Stage(fitness, Bench(self.tasks.search), Topology)
        examined = self.tasks.examination
        self.examination = Stage(Examiner(examined), Bench(examined), TopologyTrial)
        self.data_hash = self.tasks.data_hash
        self.notes = (f"search: {spec.search.method}, task: {spec.task.name}", *self.tasks.notes)
        users = [*self.tasks.sources, getattr(fitness, "function", fitness)]
        self.sources = local_folders(users)

    def confirms(self, topology: Topology) -> bool:
        """Return whether a network has solved the task by the confirmation that is meant for champions."""
        # Of the genome alone, so that whoever asks gets the same answer.
        key = SeedKey(0).child("confirm", int(topology.phenotype[:8], 16))
        [result] = self.tasks.confirmation.evaluate(Networks.of([topology]), [key])
        return bool(result[SOLVED])

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[TopologyTrial]:
        """Return the trials of the winner, and of networks that were not evolved."""
        spec = self.spec.examination
        trials = winners(hall_of_fame, self.search.solution, spec.members, self.tasks.replicates)
        if "first_generation" in spec.baselines:
            fresh = self.spec.search.search(self.search.face)
            first = next(drive(fresh, 0))[: spec.seeds]
            trials += [TopologyTrial("first generation", replicate, one.genome) for replicate, one in enumerate(first)]
        return trials


def interface(task: Task, search: AnyMethod) -> Interface:
    """Return the interface of the networks that a search proposes for a task."""
    recurrent = task.recurrent if search.recurrent is None else search.recurrent
    sweeps = search.sweeps if recurrent else 1
    return Interface(tuple(task.input_names), tuple(task.output_names), task.bias, recurrent, sweeps)


def _tasks_of(thing: object) -> Tasks:
    task = as_task(thing)
    return Tasks(task, task, sources=(getattr(task, "function", type(task)),))


__all__ = ["TopologyProblem", "TopologySpec", "interface"]
