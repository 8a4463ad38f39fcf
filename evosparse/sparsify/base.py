"""What every published method of sparse training is: a section of a campaign file, and what it does with some networks."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import ConfigDict, ValidationError

from evosparse.engine.explain import explain
from evosparse.errors import PluginError, SpecError, nearest
from evosparse.nets import Network
from evosparse.plugins import reference_to, resolve
from evosparse.section import Section
from evosparse.sparsify.cohort import Cohort


class Sparsifier(Section):
    """Parameters of one method; each method is one file with a class that is its difference from its neighbours.

    Attributes:
        method: its name in the registry.
    """

    dense: ClassVar[bool] = False
    """Whether networks end with all their weights, whatever sparsity is asked for."""

    method: str

    @abstractmethod
    def sparsify(self, cohort: Cohort) -> None:
        """Train the networks of a cohort to the end, and leave each with the sparsity that it shall have.

        All randomness comes from the cohort's keys.
        """

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        """Refuse a network or a sparsity that the method cannot do with, before anything is trained; by default none.

        Raises:
            SpecError: it cannot.
        """

    @property
    def label(self) -> str:
        """The name, and those parameters that are not as they are by default."""
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"method"})
        return " ".join([self.method, *(f"{key}={value}" for key, value in own.items())])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know."""
        return ()


class UserMethod(Section):
    """A user's own method as a campaign file names it; it is imported when the folder of the file is known.

    Attributes:
        method: ``path/to/file.py:Class`` or ``module:Class``; beside it stand the parameters of the class.
    """

    model_config = ConfigDict(extra="allow")

    method: str

    @classmethod
    def of(cls, method: Sparsifier) -> UserMethod | None:
        """Return how a campaign file names an instance; None if its class is one of this package."""
        kind = type(method)
        if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return None
        return cls(**method.model_dump(mode="json") | {"method": reference_to(kind)})


METHODS: dict[str, type[Sparsifier]] = {}
_Kind = TypeVar("_Kind", bound=type[Sparsifier])


def method(kind: _Kind) -> _Kind:
    """Register a class of `Sparsifier` under the default of its field ``method``.

    Raises:
        SpecError: another class has that name, or it has no name.
    """
    name = kind.model_fields["method"].default
    if not isinstance(name, str):
        raise SpecError(f"{kind.__name__}: expected a default of the field 'method', its name; got {name!r}")
    known = METHODS.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise SpecError(f"two methods are called {name!r}: {known.__qualname__} and {kind.__qualname__}; rename one")
    METHODS[name] = kind
    return kind


def find_method(name: str, base: Path | None = None) -> type[Sparsifier]:
    """Return the method of that name, or the user's own as ``module:Class`` or ``path/to/file.py:Class``.

    Raises:
        SpecError: there is none.
        PluginError: the user's cannot be found.
    """
    if ":" in name:
        kind = resolve(name, base)
        if not (isinstance(kind, type) and issubclass(kind, Sparsifier)):
            raise SpecError(f"{name}: expected a class of evosparse.sparsify.Sparsifier, got {kind!r}")
        if kind.__abstractmethods__:
            raise PluginError(f"{name} is no whole method: define {', '.join(sorted(kind.__abstractmethods__))}")
        if not isinstance(kind.model_fields["method"].default, str):
            raise PluginError(f"{name} has no name: give its field 'method' a default, such as {kind.__name__.lower()!r}")
        return kind
    if name not in METHODS:
        raise SpecError(f"unknown method {name!r}: {nearest(name, METHODS)}")
    return METHODS[name]


def as_method(value: object, base: Path | None = None) -> Sparsifier:
    """Make a method of its name, of a mapping with its name and parameters, or leave one as it is.

    Args:
        value: see above.
        base: folder of relative paths.

    Raises:
        SpecError: there is no such method, or a parameter is wrong.
    """
    if isinstance(value, Sparsifier):
        return value
    values = {"method": value} if isinstance(value, str) else value
    if not isinstance(values, dict) or not isinstance(values.get("method"), str):
        raise SpecError(f"expected the name of a method, or a mapping with 'method: NAME', got {value!r}")
    kind = find_method(values["method"], base)
    own = {key: part for key, part in values.items() if key != "method"}
    try:
        return kind.model_validate(own)
    except ValidationError as error:
        complaints = explain(error, kind)
        told = (f"{'.'.join(map(str, (values['method'], *one.key)))}: {one.text}" for one in complaints)
        raise SpecError("; ".join(told)) from None
