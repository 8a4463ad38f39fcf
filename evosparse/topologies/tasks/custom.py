"""A task of the user's own: a marked function of a batch of networks, or a `Task` of one's own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Invalid, Measured, Result, check_objectives, directions
from evosparse.engine.seeds import SeedKey
from evosparse.errors import PluginError
from evosparse.plugins import check_parameters, make, reference_to, resolve
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.base import Task, Tasks, TaskSpec

ENTRY_POINTS = "evosparse.tasks"
_MARK = "evosparse_task"
_SEEDS = "seeds"


@dataclass(frozen=True)
class _Mark:
    """What `task` says of a function."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    objectives: Objectives
    bias: bool
    recurrent: bool


def task(
    *,
    inputs: int | Sequence[str],
    outputs: int | Sequence[str],
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    bias: bool = True,
    recurrent: bool = False,
) -> Callable[[Callable], Callable]:
    """Mark a plain function of a batch of networks as a task.

    The function is called with `Networks`, with ``seeds`` (a `SeedKey` for each network) if it accepts them by that name,
    and with the parameters of the campaign file. It returns a number for each network; or a mapping from measure to an
    array with a number for each network; or for each network a mapping from measure to number, or an `Invalid`. It stays
    an ordinary function: the mark is an attribute.

    Args:
        inputs, outputs: names of what networks are shown and answer, or how many there are.
        maximize, minimize: the objectives by direction, those to maximize first; if none is named, ``fitness`` is
            maximized.
        bias: whether networks need a node that is always 1.
        recurrent: whether networks need a memory.

    Raises:
        PluginError: there are no inputs or no outputs, or an objective is named twice.
    """
    objectives = directions(maximize or (() if minimize else "fitness"), minimize)
    names = (
        _names(inputs, "in", "inputs=2 or inputs=('x', 'speed')"),
        _names(outputs, "out", "outputs=('left', 'right')"),
    )
    mark = _Mark(*names, objectives, bias, recurrent)

    def marked(function: Callable) -> Callable:
        setattr(function, _MARK, mark)
        return function

    return marked


def as_task(thing: object, parameters: Mapping[str, object] | None = None) -> Task:
    """Turn a marked function, a `Task` class or a `Task` into a task ready for use.

    Raises:
        PluginError: it is none of these, or the parameters do not fit it.
    """
    parameters, name = dict(parameters or {}), reference_to(thing)
    if isinstance(thing, Task):
        if parameters:
            raise PluginError(f"{name} is an instance and takes no parameters: name its class instead")
        return _checked(thing)
    if isinstance(thing, type) and issubclass(thing, Task):
        return _checked(make(thing, parameters, "task"))
    if callable(thing) and hasattr(thing, _MARK):
        return FunctionTask(thing, parameters)
    raise PluginError(
        f"{name} is no task: mark the function with @task(inputs=2, outputs=1) of evosparse.topologies.tasks, or derive "
        "the class from its Task"
    )


class FunctionTask(Task):
    """A marked function of a batch of networks, as a task.

    Args:
        function: what `task` marked.
        parameters: further keyword arguments.

    Raises:
        PluginError: the function does not accept networks and these parameters.
    """

    def __init__(self, function: Callable, parameters: Mapping[str, object]) -> None:
        mark: _Mark = getattr(function, _MARK)
        self.function, self.parameters = function, dict(parameters)
        self.input_names, self.output_names = mark.input_names, mark.output_names
        self.objectives, self.bias, self.recurrent = mark.objectives, mark.bias, mark.recurrent
        self._seeded = _SEEDS in inspect.signature(function).parameters and _SEEDS not in self.parameters
        check_parameters(function, self.parameters, "networks", (_SEEDS,))

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Call the function once.

        Raises:
            PluginError: what it returns is not a number or a mapping for each network.
        """
        more = {_SEEDS: seeds} if self._seeded else {}
        return self._results(self.function(networks, **more, **self.parameters), len(networks))

    def _results(self, returned: Any, count: int) -> list[Result]:
        if isinstance(returned, Mapping):
            columns = {str(name): self._column(values, count, f"{name!r} with ") for name, values in returned.items()}
            self._expect_objectives(columns)
            return [_finite({name: column[place] for name, column in columns.items()}) for place in range(count)]
        if isinstance(returned, Sequence) and any(isinstance(one, (Mapping, Measured, Invalid)) for one in returned):
            if len(returned) != count:
                raise self._wrong(f"one result for each of {count} networks, got {len(returned)}")
            return [self._one(result) for result in returned]
        column = self._column(returned, count)
        self._expect_single()
        return [_finite({next(iter(self.objectives)): value}) for value in column]

    def _one(self, result: Any) -> Result:
        if isinstance(result, Mapping):
            self._expect_objectives(result)
            return _finite(result)
        if isinstance(result, Real):
            self._expect_single()
            return _finite({next(iter(self.objectives)): float(result)})
        if isinstance(result, (Measured, Invalid)):
            return result
        raise self._wrong(
            f"a mapping from measure to number for each network, got {type(result).__name__}: {result!r:.80}"
        )

    def _column(self, values: Any, count: int, what: str = "") -> list[float]:
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError):
            raise self._wrong(f"{what}a number for each of {count} networks, got {type(values).__name__}") from None
        if array.shape != (count,):
            raise self._wrong(f"{what}an array of shape ({count},), a number for each network, got shape {array.shape}")
        return array.tolist()

    def _expect_single(self) -> None:
        if len(self.objectives) > 1:
            raise self._wrong(f"a mapping with the objectives {', '.join(self.objectives)}, got numbers without names")

    def _expect_objectives(self, given: Mapping) -> None:
        missing = [name for name in self.objectives if name not in given]
        if missing:
            got = ", ".join(map(str, given)) or "nothing"
            raise self._wrong(f"the objectives {', '.join(self.objectives)}, got {got}")

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"{reference_to(self.function)} must return {what}: mend its last line")


class CustomSpec(TaskSpec):
    """The task section for a task of the user's own.

    Attributes:
        name: of the task.
        function: ``module:name``, ``path/to/file.py:name`` or an entry point of the group ``evosparse.tasks``: a function
            marked by `task`, a class derived from `Task`, or an instance of one.
        parameters: keyword arguments for it.
        replicates: how often the winner is examined, with other seeds each time.
    """

    name: Literal["custom"] = "custom"
    function: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    replicates: int = Field(default=1, ge=1)

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task.

        Raises:
            PluginError: there is no such thing, it is no task, or the parameters do not fit it.
        """
        own = resolve(self.function, base, ENTRY_POINTS)
        made = as_task(own, self.parameters)
        source = own if isinstance(own, type) or not isinstance(own, Task) else type(own)
        return Tasks(made, made, replicates=self.replicates, sources=(source,))


def _names(given: int | Sequence[str], stem: str, example: str) -> tuple[str, ...]:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return tuple(f"{stem}_{place}" for place in range(given))
    plain = not isinstance(given, (int, str)) and isinstance(given, Sequence)
    if not plain or not given or not all(isinstance(name, str) for name in given) or len(set(given)) < len(given):
        raise PluginError(
            f"expected at least one name, each once, or how many there are, such as {example}, got {given!r}"
        )
    return tuple(given)


def _finite(measures: Mapping[str, float]) -> Result:
    for name, value in measures.items():
        if isinstance(value, Real) and not math.isfinite(value):
            return Invalid(f"expected a finite number for {name!r}, got {value}")
    return measures


def _checked(made: Task) -> Task:
    """Refuse a task that does not say what networks and objectives it needs."""
    name = reference_to(made)
    for attribute, example in (("input_names", "('x', 'speed')"), ("output_names", "('left', 'right')")):
        found = getattr(made, attribute, None)
        if not isinstance(found, tuple) or not found or not all(isinstance(word, str) for word in found):
            raise PluginError(f"{name}: expected {attribute} such as {example}, got {found!r}: define it in the class")
    check_objectives(made)
    return made
