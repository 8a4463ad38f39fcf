"""The masks problem: from the sections of a campaign file to a search, its fitness and its examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from evosparse.data import DataSet, DataSpec, load
from evosparse.engine.candidate import Candidate
from evosparse.engine.evaluate import Evaluator
from evosparse.engine.fitness import Fitness, as_fitness, find_fitness
from evosparse.engine.problem import Problem, Stage
from evosparse.engine.seeds import SeedKey
from evosparse.masks.examination import ExaminationBench, ExaminationSpec, Examiner, MaskTrial
from evosparse.masks.genome import Mask
from evosparse.masks.methods import AnyMethod, KStarts
from evosparse.masks.operators import random_mask
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets import (
    InitialisationSpec,
    Network,
    NetworkSpec,
    TrainingSpec,
    build,
    choose_device,
    choose_kernel,
    expect_fitting,
)
from evosparse.plugins import local_folders, reference_to
from evosparse.section import Section


class FitnessSpec(Section):
    """A user's fitness.

    Attributes:
        function: ``module:name``, ``path/to/file.py:name`` or an entry point of the group ``evosparse.fitness``.
        parameters: keyword arguments for it.
    """

    function: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class MaskSpec(Section):
    """The sections of a campaign file about masks.

    Attributes:
        data: where the examples come from.
        network: the architecture.
        initialisation: of the weights.
        individual_weights: draw initial weights for each mask apart.
        training: of all networks, in the search and after it.
        search: the method and its parameters.
        fitness: a user's own; by default the method's.
        examination: what happens after the search.
    """

    data: DataSpec = Field(default_factory=lambda: DataSpec(name="digits"))
    network: NetworkSpec = Field(default_factory=lambda: NetworkSpec(name="mlp", hidden=(64, 32)))
    initialisation: InitialisationSpec = Field(default_factory=InitialisationSpec)
    individual_weights: bool = False
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    search: AnyMethod = Field(default_factory=KStarts)
    fitness: FitnessSpec | None = None
    examination: ExaminationSpec = Field(default_factory=ExaminationSpec)

    @field_validator("fitness", mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"function": value} if isinstance(value, str) else value


class MaskProblem(Problem):
    """Which weights of a network shall exist at initialisation.

    Args:
        network: ``mlp``, ``lenet300``, ``lenet5``, or a `NetworkSpec` such as of a user's module.
        data: a name, a path, a `DataSpec`, or a data set in memory.
        search: the method, such as `KStarts` or `Genetic`.
        fitness: a user's marked function, class or instance of `Fitness`, or its name; by default the method's own.
        training: of all networks.
        initialisation: of their weights.
        individual_weights: draw initial weights for each mask apart.
        examination: what happens after the search.
        base: folder of relative paths.

    Raises:
        BadInput: something does not fit.
    """

    kind: ClassVar[str] = "masks"

    def __init__(
        self,
        network: str | NetworkSpec = NetworkSpec(name="mlp", hidden=(64, 32)),
        data: str | DataSpec | DataSet = "digits",
        search: AnyMethod = KStarts(),
        fitness: str | FitnessSpec | Fitness | Callable | None = None,
        training: TrainingSpec = TrainingSpec(),
        initialisation: InitialisationSpec = InitialisationSpec(),
        individual_weights: bool = False,
        examination: ExaminationSpec = ExaminationSpec(),
        base: Path | None = None,
    ) -> None:
        own = fitness if fitness is not None and not isinstance(fitness, (str, FitnessSpec)) else None
        spec = MaskSpec(
            data=DataSpec(name=data.name) if isinstance(data, DataSet) else data,
            network=network,
            initialisation=initialisation,
            individual_weights=individual_weights,
            training=training,
            search=search,
            fitness=fitness if own is None else FitnessSpec(function=reference_to(own)),
            examination=examination,
        )
        self._build(spec, data if isinstance(data, DataSet) else load(spec.data, base), own, base)

    @classmethod
    def from_spec(cls, spec: MaskSpec, base: Path | None = None) -> MaskProblem:
        """Make the problem that the sections of a campaign file describe."""
        problem = cls.__new__(cls)
        problem._build(spec, load(spec.data, base), None, base)
        return problem

    def _build(self, spec: MaskSpec, data: DataSet, own: Fitness | Callable | None, base: Path | None) -> None:
        network = build(spec.network, data.search.input_shape, data.search.classes, base)
        training = _with_kernel(spec.training, spec.search.densest(network.layers), network)
        self.spec = spec.model_copy(update={"training": training})
        self.bench = Workbench(
            data.search, network, training, spec.initialisation, spec.individual_weights, spec.search.freezes
        )
        self.search = spec.search.search(self.bench)
        fitness = self._fitness(spec, own, base)
        self.stage = Stage(fitness, self.bench, Mask)
        self.examination = Stage(Examiner(), ExaminationBench(self.bench, data.test), MaskTrial)
        self.data_hash = data.hash
        self.notes = (*spec.search.notes, *_choices(spec))
        users = [thing for thing in (getattr(fitness, "function", fitness), getattr(network.build, "func", network.build)) if thing is not None]
        self.sources = local_folders(users)

    def _fitness(self, spec: MaskSpec, own: Fitness | Callable | None, base: Path | None) -> Fitness:
        if spec.fitness is None:
            return spec.search.fitness(self.bench, spec.examination.epochs)
        fitness = as_fitness(own) if own is not None else find_fitness(spec.fitness.function, spec.fitness.parameters, base)
        spec.search.check_fitness(fitness)
        return fitness

    def prepare(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None], seed: int) -> None:
        """Find the masks of published methods that the search begins with, if it does and has not begun."""
        starts = self.search.starts
        if starts is not None and not starts.members:
            starts.find(make, seed, progress)

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[MaskTrial]:
        """Return the winner's trials, and those of baselines over the same seeds.

        These are random masks, the dense network and dropout; and where the search began with masks of published methods, of
        each the first with as many weights as the winner.
        """
        spec = self.spec.examination
        members = _spread(hall_of_fame, spec.members, by_weights=len(self.stage.fitness.objectives) > 1)
        starts, trials = self.search.starts, []
        for number, member in enumerate(members, 1):
            suffix = f" {number}" if len(members) > 1 else ""
            phases = tuple(self.search.phases(member.genome, spec.epochs))
            trials += [
                MaskTrial(f"winner{suffix}", replicate, phases, costs=starts.total_costs if starts else {})
                for replicate in range(spec.seeds)
            ]
            if "random" in spec.baselines:
                trials += self._random(member.genome, phases, suffix)
        if starts is not None and members:
            for label, mask, costs in starts.nearest(members[0].genome.count):
                phases = tuple(self.search.phases(mask, spec.epochs))
                trials += [MaskTrial(f"start {label}", number, phases, costs=costs) for number in range(spec.seeds)]
        whole = (Phase(None, spec.epochs),)
        if "dense" in spec.baselines:
            trials += [MaskTrial("dense", replicate, whole) for replicate in range(spec.seeds)]
        if "dropout" in spec.baselines:
            trials += [MaskTrial("dropout", replicate, whole, spec.dropout) for replicate in range(spec.seeds)]
        return trials

    def trial_of(self, mask: Mask, replicate: int = 0) -> MaskTrial:
        """Return the trial that trains a mask to the end."""
        return MaskTrial("winner", replicate, tuple(self.search.phases(mask, self.spec.examination.epochs)))

    def _random(self, mask: Mask, phases: tuple[Phase, ...], suffix: str) -> list[MaskTrial]:
        """Random masks with the same counts, from the start on and, if the winner was dense at first, after that."""
        spec = self.spec.examination
        dense = sum(phase.epochs for phase in phases if phase.mask is None)
        at_start, after_dense = [], []
        for replicate in range(spec.seeds):
            # Keyed by the winner, so that campaigns with different winners have different baselines.
            rng = SeedKey(int(mask.key[:15], 16)).child("random baseline", replicate).rng()
            other = random_mask(self.bench.network.layers, mask.counts, rng)
            at_start.append(MaskTrial(f"random{suffix}", replicate, (Phase(other, spec.epochs),)))
            later = (Phase(None, dense), Phase(other, max(0, spec.epochs - dense)))
            after_dense.append(MaskTrial(f"random{suffix} after {dense} dense", replicate, later))
        return at_start + (after_dense if dense else [])


def _with_kernel(training: TrainingSpec, counts: Sequence[int], network: Network) -> TrainingSpec:
    """Put in place of ``auto`` the kernel that it stands for here, so that it is recorded and nothing can change it."""
    device = choose_device(None)
    if training.kernel == "auto":
        return training.model_copy(update={"kernel": choose_kernel(network, counts, training.precision, device)})
    expect_fitting(training.kernel, training.precision, network, device)
    return training


def _choices(spec: MaskSpec) -> list[str]:
    method = spec.search.model_dump(mode="json")
    chosen = ", ".join(f"{name} {value}" for name, value in method.items() if not isinstance(value, (dict, list)))
    notes = [f"search: {chosen}; trained with {spec.training.optimizer}, on which how far a weight moves depends"]
    start = getattr(spec.search, "start", None)
    if start is not None:
        notes.append(
            f"start: masks of {', '.join(start.labels)}, each after a training of {start.epochs} epochs if the method trains; "
            "start_epochs and start_multiply_adds are what they cost beside the evaluations"
        )
    return notes


def _spread(hall_of_fame: Sequence[Candidate], members: int, by_weights: bool) -> list[Candidate]:
    """Return the best, or members spread evenly over a front from few weights to many."""
    if not by_weights or len(hall_of_fame) <= members:
        return list(hall_of_fame[:members])
    front = sorted(hall_of_fame, key=lambda member: member.genome.count)
    return [front[index] for index in np.linspace(0, len(front) - 1, members).round().astype(int)]


__all__ = ["FitnessSpec", "MaskProblem", "MaskSpec"]
