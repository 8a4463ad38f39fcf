"""The activations problem: from the sections of a campaign file to a search, its fitness and its examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from evosparse.activations.examination import ExaminationBench, ExaminationSpec, Examiner, TripleTrial
from evosparse.activations.fitness import FitnessSpec, TrainedFitness
from evosparse.activations.genome import Triple, given
from evosparse.activations.methods import AnyMethod, Coevolution
from evosparse.activations.primitives import PUBLISHED, RANDOM, PrimitiveSet, find_primitives
from evosparse.activations.workbench import Computation, Workbench, preferred_computation
from evosparse.data import DataSet, DataSpec, load, merged
from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness, as_fitness, find_fitness
from evosparse.engine.problem import Problem, Stage
from evosparse.errors import SpecError
from evosparse.nets import InitialisationSpec, Network, NetworkSpec, TrainingSpec, build, choose_device
from evosparse.plugins import local_folders, reference_to
from evosparse.section import Section


class FunctionsSpec(Section):
    """Of what functions are made, and how they are computed.

    Attributes:
        primitives: published ones by name, and a user's own as ``path/to/file.py:function`` or ``module:function``.
        constants: values that may stand where ``x`` may.
        rrelu: ``eval_aware`` draws slopes in training and uses their mean in evaluation; ``always_random`` draws them in
            evaluation too, as the published code does; ``exclude`` leaves the primitive out.
        computation: ``compiled`` (published primitives, on the CPU), ``tensors`` (torch's operations, on any device), or
            ``auto``: the first where it can be. A campaign records what it stood for.
    """

    primitives: tuple[str, ...] = tuple(PUBLISHED)
    constants: tuple[float, ...] = ()
    rrelu: Literal["eval_aware", "always_random", "exclude"] = "eval_aware"
    computation: Literal["auto", "compiled", "tensors"] = "auto"

    def primitive_set(self, base: Path | None) -> PrimitiveSet:
        """Find the primitives.

        Raises:
            SpecError, PluginError: one cannot be found (see `find_primitives`).
        """
        names = [name for name in self.primitives if not (name == RANDOM and self.rrelu == "exclude")]
        return PrimitiveSet(find_primitives(names, base), self.constants)


class ActivationSpec(Section):
    """The sections of a campaign file about activation functions.

    Attributes:
        data: where the examples come from.
        network: the architecture, with slots for activation functions.
        initialisation: of the weights; by default torch's own.
        training: of all networks.
        functions: of what functions are made.
        search: the method and its parameters.
        fitness: how triples are judged.
        examination: what happens after the search.
    """

    data: DataSpec = Field(default_factory=lambda: DataSpec(name="digits"))
    network: NetworkSpec = Field(default_factory=lambda: NetworkSpec(name="mlp", hidden=(32, 32, 32)))
    initialisation: InitialisationSpec = Field(default_factory=lambda: InitialisationSpec(weights="module"))
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    functions: FunctionsSpec = Field(default_factory=FunctionsSpec)
    search: AnyMethod = Field(default_factory=Coevolution)
    fitness: FitnessSpec = Field(default_factory=FitnessSpec)
    examination: ExaminationSpec = Field(default_factory=ExaminationSpec)


class ActivationProblem(Problem):
    """Which activation functions a network shall have behind its input, hidden and output layers.

    Args:
        network: ``fcn``, ``cnn``, ``mlp``, or a `NetworkSpec` such as of a user's module with `nets.Slot` parts.
        data: a name, a path, a `DataSpec`, or a data set in memory.
        search: the method, such as `Coevolution` or `Cooperative`.
        fitness: a `FitnessSpec`, or a user's marked function, class or instance of `Fitness`, or its name.
        training: of all networks.
        initialisation: of their weights.
        functions: of what functions are made.
        examination: what happens after the search.
        base: folder of relative paths.

    Raises:
        BadInput: something does not fit.
    """

    kind: ClassVar[str] = "activations"

    def __init__(
        self,
        network: str | NetworkSpec = NetworkSpec(name="mlp", hidden=(32, 32, 32)),
        data: str | DataSpec | DataSet = "digits",
        search: AnyMethod = Coevolution(),
        fitness: str | FitnessSpec | Fitness | Callable = FitnessSpec(),
        training: TrainingSpec = TrainingSpec(),
        initialisation: InitialisationSpec = InitialisationSpec(weights="module"),
        functions: FunctionsSpec = FunctionsSpec(),
        examination: ExaminationSpec = ExaminationSpec(),
        base: Path | None = None,
    ) -> None:
        own = None if isinstance(fitness, (str, FitnessSpec)) else fitness
        spec = ActivationSpec(
            data=DataSpec(name=data.name) if isinstance(data, DataSet) else data,
            network=network,
            initialisation=initialisation,
            training=training,
            functions=functions,
            search=search,
            fitness=fitness if own is None else FitnessSpec(function=reference_to(own)),
            examination=examination,
        )
        self._build(spec, data if isinstance(data, DataSet) else load(spec.data, base), own, base)

    @classmethod
    def from_spec(cls, spec: ActivationSpec, base: Path | None = None) -> ActivationProblem:
        """Make the problem that the sections of a campaign file describe."""
        problem = cls.__new__(cls)
        problem._build(spec, load(spec.data, base), None, base)
        return problem

    def _build(self, spec: ActivationSpec, data: DataSet, own: Fitness | Callable | None, base: Path | None) -> None:
        network = build(spec.network, data.search.input_shape, data.search.classes, base)
        _expect_slots(network)
        primitives = spec.functions.primitive_set(base)
        computation = _computation(spec.functions.computation, primitives)
        training = _with_dense_kernel(spec.training)
        functions = spec.functions.model_copy(update={"computation": computation})
        self.spec = spec.model_copy(update={"training": training, "functions": functions})
        self.bench = Workbench(
            data.search, network, primitives, training, spec.initialisation, spec.fitness.individual_weights, computation,
            spec.functions.rrelu == "always_random",
        )  # fmt: skip
        self.search = spec.search.search(self.bench.roles, primitives)
        fitness = self._fitness(spec, own, base)
        self.stage = Stage(fitness, self.bench, Triple)
        self.examined = ExaminationBench(self.bench, merged(data.search), data.test, data.spare)
        examiner = Examiner(spec.examination.epochs, spec.examination.published_trace)
        self.examination = Stage(examiner, self.examined, TripleTrial)
        self._baselines = [
            given(formula, self.bench.roles, primitives, "examination.baselines") for formula in spec.examination.baselines
        ]
        self.data_hash = data.hash
        self.notes = (*_choices(spec, self.search.budget), *([LEGACY] if spec.search.direction != "maximise" else []))
        users = [
            getattr(fitness, "function", fitness),
            getattr(network.build, "func", network.build),
            *(primitive.function for primitive in primitives.primitives if primitive is not PUBLISHED.get(primitive.name)),
        ]
        self.sources = local_folders(users)

    def _fitness(self, spec: ActivationSpec, own: Fitness | Callable | None, base: Path | None) -> Fitness:
        chosen = spec.fitness
        if chosen.function is None:
            return TrainedFitness(chosen.epochs, chosen.reduce, chosen.repeats, chosen.refuse_flawed)
        fitness = as_fitness(own) if own is not None else find_fitness(chosen.function, chosen.parameters, base)
        spec.search.check_fitness(fitness)
        return fitness

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[TripleTrial]:
        """Return the winner's trials, and those of the standard functions over the same seeds."""
        spec = self.spec.examination
        members = hall_of_fame[: spec.members]
        arms = [
            (f"winner {number}" if len(members) > 1 else "winner", member.genome) for number, member in enumerate(members, 1)
        ]
        arms += [(baseline.describe(), baseline) for baseline in self._baselines]
        return [TripleTrial(arm, replicate, triple) for arm, triple in arms for replicate in range(spec.seeds)]


LEGACY = "direction legacy_minimise: parents are replaced by worse children, as in the published code; the best ever seen wins"


def _expect_slots(network: Network) -> None:
    if not network.slots:
        raise SpecError(
            "network: expected places for activation functions, this one has none: give an mlp hidden layers, put"
            " evosparse.nets.Slot('input'), Slot('hidden') or Slot('output') parts into your module, or use fcn or cnn"
        )


def _computation(asked: str, primitives: PrimitiveSet) -> Computation:
    """Return what ``auto`` stands for, or refuse what cannot be."""
    preferred = preferred_computation(primitives)
    if asked == "compiled" and preferred != "compiled":
        where = f"on {choose_device(None)}" if choose_device(None).type != "cpu" else "with primitives of your own"
        raise SpecError(f"functions.computation: compiled functions are not possible {where}; use tensors or auto")
    return preferred if asked == "auto" else asked


def _with_dense_kernel(training: TrainingSpec) -> TrainingSpec:
    if training.kernel not in ("auto", "dense"):
        raise SpecError(f"training.kernel: {training.kernel} gives all networks the same activation; use dense or auto")
    return training.model_copy(update={"kernel": "dense"})


def _choices(spec: ActivationSpec, budget: int) -> list[str]:
    search = spec.search
    baseline = ", and the baseline" if search.start == "measure_baseline" and search.method != "standard" else ""
    budgets = "published" if search.legacy else "equal"
    return [f"search: {search.method}, {search.encoding.name}; {budget} evaluations ({budgets} budget){baseline}"]


__all__ = ["ActivationProblem", "ActivationSpec", "FunctionsSpec"]
