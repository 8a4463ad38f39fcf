"""The contract of a fitness function, and how a plain Python function becomes one."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evosparse.engine.candidate import Genome, Objectives
from evosparse.engine.seeds import SeedKey
from evosparse.errors import PluginError
from evosparse.plugins import check_parameters, make, reference_to, resolve

ENTRY_POINTS = "evosparse.fitness"
_INJECTED = ("seed", "data", "device")
_MARK = "evosparse_objectives"


@dataclass(frozen=True)
class Resources:
    """What a fitness is given on each worker.

    Args:
        data: what the problem supplies for its search, never the test set.
        device: ``cpu``, or ``cuda`` on a worker that has a share of a GPU.
    """

    data: object
    device: str = "cpu"


@dataclass(frozen=True)
class Invalid:
    """What a fitness returns in place of the measures of a genome that cannot be measured.

    Args:
        reason: why, in one line; the candidate's message.
    """

    reason: str


@dataclass(frozen=True)
class Measured:
    """What a fitness may return in place of bare measures: with something that is handed back and not stored.

    Args:
        measures: value by name.
        payload: goes to whoever asked for the evaluation, as the outcome's.
    """

    measures: Mapping[str, float]
    payload: bytes


Result = Mapping[str, float] | Measured | Invalid


class Fitness(ABC):
    """Judges genomes; the plug-in point of evosparse.

    Attributes:
        objectives: name and direction of each objective, in order; one entry makes a single-objective search.
        batched: whether genomes of one call share computation. If not, they are evaluated one at a time, so that a bad
            one is known at once.
    """

    objectives: Objectives
    batched: bool = True

    def prepare(self, resources: Resources) -> None:
        """Get ready, once per worker: for instance, bring the data to the device."""

    @abstractmethod
    def evaluate(self, genomes: Sequence[Genome], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Measure genomes.

        The measures of a genome may depend on the genome and its key alone, not on what else is in the call.

        Args:
            genomes: what to judge.
            seeds: the key of each genome's evaluation, made from the campaign's seed and what the genome expresses;
                ``key.root`` is the same for all.

        Returns:
            For each genome the value of every objective, and of any further measure worth keeping; or an `Invalid` that
            says why it cannot be measured, which touches no other genome.
        """


def fitness(*, maximize: str | Sequence[str] = (), minimize: str | Sequence[str] = ()) -> Callable[[Callable], Callable]:
    """Mark a plain function of one genome as a fitness function.

    The function is called with a genome, and by name with whatever of ``seed`` (a `SeedKey`), ``data`` and ``device`` it
    accepts, and with the parameters of the campaign file. It returns a number, a mapping from measure to number, or an
    `Invalid`. It stays an ordinary function: the mark is an attribute.

    Args:
        maximize, minimize: the objectives by direction, those to maximize first.

    Raises:
        PluginError: no objective is named, or one is named twice.
    """
    objectives = directions(maximize, minimize)

    def mark(function: Callable) -> Callable:
        setattr(function, _MARK, objectives)
        return function

    return mark


def directions(maximize: str | Sequence[str], minimize: str | Sequence[str]) -> Objectives:
    """Return objectives with their directions, those to maximize first.

    Raises:
        PluginError: none is named, or one is named twice.
    """
    up, down = ((names,) if isinstance(names, str) else tuple(names) for names in (maximize, minimize))
    objectives: Objectives = {**dict.fromkeys(up, "max"), **dict.fromkeys(down, "min")}
    if not objectives or len(objectives) != len(up) + len(down):
        raise PluginError(
            f"expected at least one objective, each named once, such as maximize='accuracy', got maximize={up} and "
            f"minimize={down}: mend them"
        )
    return objectives


def find_fitness(reference: str, parameters: Mapping[str, object], base: Path | None = None) -> Fitness:
    """Find a user's fitness by name and give it its parameters.

    Args:
        reference: ``module:name``, ``path/to/file.py:name``, or an entry point of the group ``evosparse.fitness``.
        parameters: keyword arguments from the campaign file.
        base: folder of the campaign file.

    Raises:
        PluginError: there is no such thing, it is no fitness, or the parameters do not fit it.
    """
    return as_fitness(resolve(reference, base, ENTRY_POINTS), parameters)


def as_fitness(thing: object, parameters: Mapping[str, object] | None = None) -> Fitness:
    """Turn a marked function, a `Fitness` class or a `Fitness` into a fitness ready for use.

    Raises:
        PluginError: it is none of these, or the parameters do not fit it.
    """
    parameters = dict(parameters or {})
    if isinstance(thing, Fitness):
        if parameters:
            raise PluginError(f"{reference_to(thing)} is an instance and takes no parameters: name its class instead")
        check_objectives(thing)
        return thing
    if isinstance(thing, type) and issubclass(thing, Fitness):
        made = make(thing, parameters, "fitness")
        check_objectives(made)
        return made
    if callable(thing) and hasattr(thing, _MARK):
        return FunctionFitness(thing, parameters)
    raise PluginError(
        f"{reference_to(thing)} is no fitness: mark the function with @evosparse.fitness(maximize='...') "
        "or derive the class from evosparse.Fitness"
    )


def check_objectives(judge: object) -> None:
    """Refuse a user's instance that does not say what it measures (PluginError)."""
    found = getattr(judge, "objectives", None)
    if not isinstance(found, Mapping) or not found or not set(found.values()) <= {"max", "min"}:
        expected = "each objective's direction, such as objectives = {'accuracy': 'max'}"
        raise PluginError(f"{reference_to(judge)}: expected {expected}, got {found!r}: define it in the class")


class FunctionFitness(Fitness):
    """A marked function of one genome, as a fitness.

    Args:
        function: what `fitness` marked.
        parameters: further keyword arguments.

    Raises:
        PluginError: the function does not accept one genome and these parameters.
    """

    batched = False

    def __init__(self, function: Callable, parameters: Mapping[str, object]) -> None:
        self.function = function
        self.parameters = dict(parameters)
        self.objectives = getattr(function, _MARK)
        self._resources = Resources(data=None)
        check_parameters(function, self.parameters, "one genome", _INJECTED)
        accepted = inspect.signature(function).parameters
        self._wanted = [name for name in _INJECTED if name in accepted and name not in self.parameters]

    def prepare(self, resources: Resources) -> None:
        """Keep what the function may ask for."""
        self._resources = resources

    def evaluate(self, genomes: Sequence[Genome], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Call the function once for each genome."""
        return [self._one(genome, seed) for genome, seed in zip(genomes, seeds, strict=True)]

    def _one(self, genome: Genome, seed: SeedKey) -> Result:
        offered = {"seed": seed, "data": self._resources.data, "device": self._resources.device}
        result = self.function(genome, **{name: offered[name] for name in self._wanted}, **self.parameters)
        if not isinstance(result, (Mapping, Measured, Invalid)) and len(self.objectives) == 1:
            return {next(iter(self.objectives)): result}
        return result
