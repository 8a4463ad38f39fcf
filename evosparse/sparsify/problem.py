"""The sparsifiers problem: from the sections of a campaign file to methods, trained networks and their examination."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from evosparse.data import DataSet, DataSpec, load
from evosparse.engine.candidate import Candidate
from evosparse.engine.problem import Problem, Stage
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import BadInput, SpecError
from evosparse.nets import InitialisationSpec, Network, NetworkSpec, TrainingSpec, build
from evosparse.plugins import local_folders
from evosparse.section import Section
from evosparse.sparsify.base import Sparsifier, UserMethod, as_method
from evosparse.sparsify.fitness import Bench, ExaminationBench, Examiner, TrainedTrial, Training
from evosparse.sparsify.genome import Recipe


def _method(value: object) -> Sparsifier | UserMethod:
    if isinstance(value, UserMethod):
        return value
    named = {"method": value} if isinstance(value, str) else value
    if isinstance(named, dict) and ":" in str(named.get("method")):
        return UserMethod.model_validate(named)
    try:
        return as_method(value)
    except BadInput as error:
        raise ValueError(str(error)) from None


AnyMethod = Annotated[SerializeAsAny[Sparsifier | UserMethod], BeforeValidator(_method)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]


class SparsifySpec(Section):
    """The sections of a campaign file about published methods.

    Attributes:
        data: where the examples come from.
        network: the architecture.
        initialisation: of the weights; by default not scaled to the mask, as published methods have it.
        training: of all networks.
        methods: each a name, or a section with ``method: NAME`` and its parameters; ``path/to/file.py:Class`` names the
            user's own.
        sparsities: of the networks that each method leaves.
        seeds: number of networks for each method and sparsity; the same seeds for all.
        epochs: length of a training; what methods train beside it counts too.
    """

    data: DataSpec = Field(default_factory=lambda: DataSpec(name="digits"))
    network: NetworkSpec = Field(default_factory=lambda: NetworkSpec(name="mlp", hidden=(64, 32)))
    initialisation: InitialisationSpec = Field(default_factory=lambda: InitialisationSpec(mask_aware=False))
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    methods: tuple[AnyMethod, ...] = Field(("snip", "rigl"), min_length=1)
    sparsities: tuple[Sparsity, ...] = Field((0.9,), min_length=1)
    seeds: int = Field(5, ge=1)
    epochs: int = Field(10, ge=1)

    @field_validator("methods", "sparsities", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, (str, float, dict, Sparsifier, UserMethod)) else value

    def recipes(self, methods: Sequence[Sparsifier]) -> list[list[Recipe]]:
        """Return the replicates of each method at each sparsity; dense networks once.

        Args:
            methods: those of the section, users' own imported.
        """
        pairs = [
            (method, sparsity)
            for method in methods
            for sparsity in (self.sparsities if not method.dense else (0.0,))
        ]
        return [[Recipe(method, sparsity, number) for number in range(self.seeds)] for method, sparsity in pairs]


class SparsifySearch(Search):
    """Goes through methods and sparsities, one pair a generation, and keeps the networks that they leave.

    Args:
        recipes: of each generation.

    Attributes:
        networks: by uid of the candidate, the bytes of `trained.encode`.
        costs: by uid, those of its training.
    """

    def __init__(self, recipes: Sequence[Sequence[Recipe]]) -> None:
        self.recipes = recipes
        self.generations = len(recipes)
        self.networks: dict[str, bytes] = {}
        self.costs: dict[str, dict[str, float]] = {}
        self._generation = 0

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self._generation >= len(self.recipes):
            return []
        return [Candidate(recipe, population=recipe.arm) for recipe in self.recipes[self._generation]]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            if candidate.ok:
                measures = candidate.outcome.measures
                self.networks[candidate.uid] = candidate.outcome.payload
                self.costs[candidate.uid] = {name: measures[name] for name in ("training_multiply_adds", "epochs")}
        self._generation += 1

    def trials(self) -> list[TrainedTrial]:
        """Return every network that was trained."""
        found = []
        for uid, network in self.networks.items():
            generation, _, index = uid.partition(".")
            recipe = self.recipes[int(generation)][int(index)]
            found.append(TrainedTrial(recipe.arm, recipe.replicate, recipe.describe(), self.costs[uid], network))
        return found

    def state(self) -> State:
        arrays = {uid: np.frombuffer(network, np.uint8) for uid, network in self.networks.items()}
        return State({"generation": self._generation, "costs": self.costs}, arrays)

    def restore(self, state: State) -> None:
        self._generation = int(state.values["generation"])
        self.costs = dict(state.values["costs"])
        self.networks = {uid: array.tobytes() for uid, array in state.arrays.items()}


class SparsifyProblem(Problem):
    """What published methods make of a network.

    Args:
        network: ``mlp``, ``lenet300``, ``lenet5``, or a `NetworkSpec` such as of a user's module.
        data: a name, a path, a `DataSpec`, or a data set in memory.
        methods: names or instances.
        sparsities: that each leaves.
        seeds: networks for each method and sparsity.
        epochs: length of a training.
        training: of all networks.
        initialisation: of their weights.
        base: folder of relative paths.

    Raises:
        BadInput: something does not fit.
    """

    kind: ClassVar[str] = "sparsify"

    def __init__(
        self,
        network: str | NetworkSpec = NetworkSpec(name="mlp", hidden=(64, 32)),
        data: str | DataSpec | DataSet = "digits",
        methods: Sequence[str | Sparsifier] = ("snip", "rigl"),
        sparsities: Sequence[float] = (0.9,),
        seeds: int = 5,
        epochs: int = 10,
        training: TrainingSpec = TrainingSpec(),
        initialisation: InitialisationSpec = InitialisationSpec(mask_aware=False),
        base: Path | None = None,
    ) -> None:
        spec = SparsifySpec(
            data=DataSpec(name=data.name) if isinstance(data, DataSet) else data,
            network=network,
            initialisation=initialisation,
            training=training,
            methods=tuple(UserMethod.of(own) or own if isinstance(own, Sparsifier) else own for own in methods),
            sparsities=tuple(sparsities),
            seeds=seeds,
            epochs=epochs,
        )
        own = [method if isinstance(method, Sparsifier) else None for method in methods]
        self._build(spec, data if isinstance(data, DataSet) else load(spec.data, base), own, base)

    @classmethod
    def from_spec(cls, spec: SparsifySpec, base: Path | None = None) -> SparsifyProblem:
        """Make the problem that the sections of a campaign file describe."""
        problem = cls.__new__(cls)
        problem._build(spec, load(spec.data, base), [None] * len(spec.methods), base)
        return problem

    def _build(
        self, spec: SparsifySpec, data: DataSet, own: Sequence[Sparsifier | None], base: Path | None
    ) -> None:
        named = zip(own, spec.methods, strict=True)
        methods = [method or as_method(_plain(section), base) for method, section in named]
        network = build(spec.network, data.search.input_shape, data.search.classes, base)
        recipes = spec.recipes(methods)
        for replicates in recipes:
            expect_fitting(replicates[0], network)
        arms = [replicates[0].arm for replicates in recipes]
        twice = next((arm for arm in arms if arms.count(arm) > 1), None)
        if twice is not None:
            raise SpecError(
                f"methods, sparsities: expected each method with each sparsity once, got {twice!r} twice; remove one"
            )
        self.spec = spec
        self.bench = Bench(data.search, network, spec.training, spec.initialisation, spec.epochs)
        self.search = SparsifySearch(recipes)
        self.stage = Stage(Training(), self.bench, Recipe)
        self.examination = Stage(Examiner(), ExaminationBench(self.bench, data.test), TrainedTrial)
        self.data_hash = data.hash
        self.notes = tuple(dict.fromkeys(f"{method.method}: {note}" for method in methods for note in method.notes))
        users = [*map(type, methods), getattr(network.build, "func", network.build)]
        self.sources = local_folders(users)

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[TrainedTrial]:
        """Return all networks, each as it was trained: nothing is trained again."""
        return self.search.trials()


def expect_fitting(recipe: Recipe, network: Network) -> None:
    """Refuse what cannot be done with a network, before anything is trained.

    Raises:
        SpecError: no weight would be left, or the method cannot have that sparsity in this network.
    """
    size = sum(layer.size for layer in network.layers)
    if not recipe.method.dense and round((1 - recipe.sparsity) * size) < 1:
        raise SpecError(f"sparsities: {recipe.sparsity:g} leaves none of the network's {size:,} weights; lower it")
    try:
        recipe.method.expect_fitting(network, recipe.sparsity)
    except SpecError as error:
        raise SpecError(f"methods: {recipe.arm}: {error}") from None


def _plain(section: Sparsifier | UserMethod) -> object:
    return section.model_dump() if isinstance(section, UserMethod) else section
