"""Masks of published methods, with which a search may begin in place of random ones.

They are found once, before generation zero, on the campaign's own evaluators, each apart; whoever only looks at a search, or takes
it up again where it needs them once more, finds the same ones in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from evosparse.engine.candidate import Candidate, Objectives, Outcome
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Job, Policy
from evosparse.engine.fitness import Fitness, Measured, Resources
from evosparse.engine.problem import Stage
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import CampaignFailed, SpecError
from evosparse.masks.genome import Mask, MaskLayer
from evosparse.masks.workbench import Workbench
from evosparse.nets import Seeds
from evosparse.section import Section
from evosparse.sparsify.base import Sparsifier, UserMethod, as_method
from evosparse.sparsify.budget import Positions, free, random_positions
from evosparse.sparsify.cohort import Cohort, Replicate
from evosparse.sparsify.problem import AnyMethod as AnySparsifier

_PATIENCE = 1e6  # seconds for each mask where no campaign says how many
_COSTS = ("start_epochs", "start_multiply_adds")


class StartSpec(Section):
    """Published methods whose masks a search begins with; a bare list is that of the methods.

    Attributes:
        methods: each a name, or a section with ``method: NAME`` and its parameters, as in campaigns of kind ``sparsify``;
            ``path/to/file.py:Class`` names the user's own. They share generation zero evenly, each with several replicates.
            What a method that keeps whole units leaves of the budget is filled with random weights.
        epochs: length of the training of methods that find their masks by training.
    """

    methods: tuple[AnySparsifier, ...]
    epochs: int = Field(10, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return {"methods": value}
        one = isinstance(value, (str, Sparsifier, UserMethod)) or (isinstance(value, dict) and "method" in value)
        return {"methods": [value]} if one else value

    @field_validator("methods")
    @classmethod
    def _leave_masks(cls, value: tuple[Sparsifier | UserMethod, ...]) -> tuple[Sparsifier | UserMethod, ...]:
        if not value:  # a least length of the field would complain beside whatever is wrong with a method
            raise ValueError("expected at least one method: name one, or leave start out")
        own = tuple(UserMethod.of(method) or method if isinstance(method, Sparsifier) else method for method in value)
        for method in own:
            if isinstance(method, Sparsifier) and method.dense:
                raise ValueError(f"{method.method} removes no weights: name a method that leaves a mask")
        return own

    def imported(self, base: Path | None) -> StartSpec:
        """Return the same with instances of the user's own methods.

        Args:
            base: folder of relative paths.

        Raises:
            BadInput: one is not there, or leaves no mask.
        """
        methods = [as_method(one.model_dump(), base) if isinstance(one, UserMethod) else one for one in self.methods]
        for method in methods:
            if method.dense:
                raise SpecError(f"search.start: {method.method} removes no weights: name a method that leaves a mask")
        return self.model_copy(update={"methods": tuple(methods)})

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each method: its own with what is not by default, and a number behind it where another has the same."""
        names = [method.label for method in self.methods]
        turns = [names[: place + 1].count(name) for place, name in enumerate(names)]
        return tuple(f"{name} {turn}" if turn > 1 else name for name, turn in zip(names, turns, strict=True))


@dataclass(frozen=True)
class StartTask:
    """One mask to find, in the form of a genome.

    Args:
        method: place of its method.
        replicate: number of the repetition.
        total: number of weights that the mask shall have.
    """

    method: int
    replicate: int
    total: int

    @property
    def key(self) -> str:
        """Content hash."""
        return self.describe()

    def describe(self) -> str:
        """Say which."""
        return f"start {self.method}.{self.replicate} of {self.total} weights"

    def to_bytes(self) -> bytes:
        """Encode as JSON."""
        return json.dumps([self.method, self.replicate, self.total]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> StartTask:
        """Decode what `to_bytes` returned."""
        return cls(*json.loads(data))


@dataclass(frozen=True)
class StartBench:
    """What is needed to find masks.

    Args:
        bench: data, network and training of the search.
        spec: the methods.
    """

    bench: Workbench
    spec: StartSpec

    def find(self, task: StartTask, seed: int, device: str | None = None) -> tuple[Mask, Mapping[str, float]]:
        """Return a mask, and what it cost.

        Args:
            task: which.
            seed: of the campaign.
            device: where to compute.
        """
        bench = self.bench
        size = sum(layer.size for layer in bench.network.layers)
        cohort = Cohort(
            bench.network, bench.train, bench.validation, [_Start(task.replicate, 1 - task.total / size, seed)],
            # The kernel was chosen for masks; a method may train the dense network.
            bench.training.model_copy(update={"kernel": "auto"}), bench.initialisation, self.spec.epochs, device,
            masks_alone=True,
        )  # fmt: skip
        self.spec.methods[task.method].sparsify(cohort)
        connections = cohort.connections[0]
        if cohort.allowed is not None:
            rng = cohort.replicates[0].key.child("start").rng()
            connections = filled(connections, [layer.size for layer in bench.network.layers], task.total, rng)
        layers = zip(bench.network.layers, connections, strict=True)
        mask = Mask(tuple(MaskLayer(layer.name, layer.shape, own) for layer, own in layers))
        return mask, {"start_epochs": cohort.epochs_trained, "start_multiply_adds": float(cohort.costs[0])}


def filled(connections: Sequence[Positions], sizes: Sequence[int], total: int, rng: np.random.Generator) -> list[Positions]:
    """Return connections and so many random ones that there are as many as a search asks for.

    A method that keeps whole units leaves what there is room for between them, which seldom is that number.

    Args:
        connections: flat indices for each layer.
        sizes: weights of each layer when dense.
        total: number of weights.
        rng: draws positions, all free ones of the network with equal chances.
    """
    starts = np.cumsum([0, *sizes])
    places = np.concatenate([own + start for own, start in zip(connections, starts[:-1], strict=True)])
    empty = free(places, int(starts[-1]))
    added = empty[random_positions(len(empty), max(0, total - len(places)), rng)]
    whole = np.sort(np.concatenate([places, added]))
    bounds = np.searchsorted(whole, starts)
    return [whole[first:last] - start for first, last, start in zip(bounds[:-1], bounds[1:], starts[:-1], strict=True)]


class _Start(Replicate):
    """A replicate at the initial weights of the search: there its mask is judged. All else is as its number has it."""

    @property
    def seeds(self) -> Seeds:
        own = super().seeds
        return Seeds(Replicate(0, self.sparsity, self.seed).seeds.weights, own.order, own.noise)


class Starter(Fitness):
    """Finds masks, and hands them back with what they cost."""

    objectives: Objectives = {"start_epochs": "min"}
    batched = False

    def prepare(self, resources: Resources) -> None:
        """Keep what is needed."""
        self.bench: StartBench = resources.data
        self.device = resources.device

    def evaluate(self, genomes: Sequence[StartTask], seeds: Sequence[SeedKey]) -> Sequence[Measured]:
        """Find each mask by itself."""
        found = [self.bench.find(task, key.seed, self.device) for task, key in zip(genomes, seeds, strict=True)]
        return [Measured(costs, mask.to_bytes()) for mask, costs in found]


class Starts:
    """The masks of a generation zero.

    Args:
        spec: the methods, which take turns; the user's own are imported.
        bench: data, network and training of the search.
        totals: number of weights of each mask.

    Raises:
        SpecError: a method cannot do with the network, or with so few weights.

    Attributes:
        labels: of the method of each mask.
        members: the candidates of generation zero, once they were proposed.
        costs: of each of them: epochs of training, and multiply-adds.
    """

    def __init__(self, spec: StartSpec, bench: Workbench, totals: Sequence[int]) -> None:
        methods = len(spec.methods)
        self.tasks = [StartTask(place % methods, place // methods, int(total)) for place, total in enumerate(totals)]
        self.labels = [spec.labels[task.method] for task in self.tasks]
        size = sum(layer.size for layer in bench.network.layers)
        for task, label in zip(self.tasks[:methods], self.labels, strict=False):
            try:
                spec.methods[task.method].expect_fitting(bench.network, 1 - task.total / size)
            except SpecError as error:
                raise SpecError(f"search.start: {label}: {error}") from None
        self.stage = Stage(Starter(), StartBench(bench, spec), StartTask)
        self.members: list[Candidate] = []
        self.costs: list[dict[str, float]] = []
        self._found: dict[int, list[Outcome]] = {}

    def find(
        self, make: Callable[[Stage], Evaluator], seed: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Find the masks of the campaign with that seed, unless that was done.

        Args:
            make: gives the evaluator to do it on.
            seed: of the campaign.
            progress: is told how many of how many are done.

        Raises:
            CampaignFailed: a method failed.
            SpecError: a method leaves another number of weights than the search asks for.
        """
        if seed in self._found:
            return
        done = 0

        def report(new: int) -> None:
            nonlocal done
            done += new
            progress(done, len(self.tasks))

        progress(0, len(self.tasks))
        jobs = [Job(task.to_bytes(), SeedKey(seed).child("start", place)) for place, task in enumerate(self.tasks)]
        with make(self.stage) as evaluator:
            outcomes = evaluator.evaluate(jobs, report)
        for task, label, outcome in zip(self.tasks, self.labels, outcomes, strict=True):
            if not outcome.ok:
                raise CampaignFailed(f"search.start: {label}, replicate {task.replicate}: {outcome.status}: {outcome.message}")
            count = Mask.from_bytes(outcome.payload).count
            if count != task.total:
                raise SpecError(
                    f"search.start: expected a mask of {task.total:,} weights, as the search asks for, got one of {count:,} of "
                    f"{label}: give it scope 'global', or a distribution that keeps the total, such as er or erk"
                )
        self._found[seed] = outcomes

    def candidates(self, key: SeedKey) -> list[Candidate]:
        """Return the masks as a generation zero, found in this process if that has not been done.

        Args:
            key: any of the campaign's.
        """
        self.find(lambda stage: InProcessEvaluator(stage, Policy(batch=1, timeout=_PATIENCE)), key.seed)
        outcomes = self._found[key.seed]
        self.members = [Candidate(Mask.from_bytes(outcome.payload)) for outcome in outcomes]
        self.costs = [dict(outcome.measures) for outcome in outcomes]
        return list(self.members)

    @property
    def total_costs(self) -> dict[str, float]:
        """What all masks together cost."""
        return {name: sum(costs[name] for costs in self.costs) for name in _COSTS}

    def nearest(self, weights: int) -> list[tuple[str, Mask, dict[str, float]]]:
        """Return, of each method, the mask whose number of weights is the nearest, with the method's name and the costs."""
        rows = list(zip(self.labels, (member.genome for member in self.members), self.costs, strict=True)) if self.members else []
        return [
            min((row for row in rows if row[0] == label), key=lambda row: abs(row[1].count - weights))
            for label in dict.fromkeys(self.labels)
            if rows
        ]

    def added_to(self, state: State) -> State:
        """Return the state of a search with what must be remembered of its start."""
        values = {**state.values, "start_costs": self.costs}
        return State(values, state.arrays, {**state.candidates, "start": self.members})

    def restore(self, state: State) -> None:
        """Take back what `added_to` added."""
        self.costs = [dict(costs) for costs in state.values["start_costs"]]
        self.members = list(state.candidates["start"])
