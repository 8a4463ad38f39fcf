"""The primitives of which activation functions are made: the fifteen of Lapid and Sipper (2022), and a user's own.

All act elementwise on tensors of any shape.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from evosparse.activations.expression import LARGEST, VARIABLE, Expression
from evosparse.errors import PluginError, SpecError, nearest
from evosparse.plugins import resolve

Elementwise = Callable[..., torch.Tensor]

RANDOM = "rrelu"  # the one primitive that is random in training
SLOPES = (1 / 8, 1 / 3)  # between which the slope of its negative side is drawn


@dataclass(frozen=True)
class Primitive:
    """A function of which activation functions are made.

    Args:
        name: in formulas.
        function: of one or two tensors of equal shape.
        arity: how many.
        source: Python text of a call, with ``{0}`` and ``{1}`` for the arguments.
        definition: Python text that the call needs, for a user's own.
    """

    name: str
    function: Elementwise
    arity: int
    source: str
    definition: str = ""


@dataclass(frozen=True)
class Alphabet:
    """What the expressions of a search may consist of, without the functions themselves.

    Args:
        arities: name of each primitive and its number of arguments, in order.
        constants: values that may stand where ``x`` may.
    """

    arities: tuple[tuple[str, int], ...]
    constants: tuple[float, ...] = ()


def _rrelu(x: torch.Tensor) -> torch.Tensor:
    return functional.rrelu(x, *SLOPES, training=False)


_PUBLISHED = (
    Primitive("max", torch.maximum, 2, "torch.maximum({0}, {1})"),
    Primitive("min", torch.minimum, 2, "torch.minimum({0}, {1})"),
    Primitive("add", torch.add, 2, "{0} + {1}"),
    Primitive("sub", torch.sub, 2, "{0} - {1}"),
    Primitive("mul", torch.mul, 2, "{0} * {1}"),
    Primitive("tanh", torch.tanh, 1, "torch.tanh({0})"),
    Primitive("relu", torch.relu, 1, "torch.relu({0})"),
    Primitive("leaky_relu", functional.leaky_relu, 1, "functional.leaky_relu({0})"),
    Primitive("elu", functional.elu, 1, "functional.elu({0})"),
    Primitive("hardshrink", functional.hardshrink, 1, "functional.hardshrink({0})"),
    Primitive("celu", functional.celu, 1, "functional.celu({0})"),
    Primitive("hardtanh", functional.hardtanh, 1, "functional.hardtanh({0})"),
    Primitive("hardswish", functional.hardswish, 1, "functional.hardswish({0})"),
    Primitive("softshrink", functional.softshrink, 1, "functional.softshrink({0})"),
    Primitive(RANDOM, _rrelu, 1, "functional.rrelu({0}, 1 / 8, 1 / 3, training=self.training)"),
)
PUBLISHED: Mapping[str, Primitive] = {primitive.name: primitive for primitive in _PUBLISHED}


@dataclass(frozen=True)
class PrimitiveSet:
    """The primitives and constants of one search.

    Args:
        primitives: in order.
        constants: values that may stand where ``x`` may.

    Raises:
        SpecError: there is no primitive, two have one name, or the constants are no different finite numbers.
    """

    primitives: tuple[Primitive, ...]
    constants: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = [primitive.name for primitive in self.primitives]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if not names or twice or VARIABLE in names:
            got = f"{twice[0]!r} twice" if twice else f"{VARIABLE!r}" if names else "none"
            expected = "expected primitives of different names other than x"
            raise SpecError(f"functions.primitives: {expected}, got {got}: mend it")
        fitting = all(abs(value) <= LARGEST for value in self.constants)
        if not fitting or len(set(self.constants)) < len(self.constants):
            expected = "expected different numbers of single precision"
            raise SpecError(f"functions.constants: {expected}, got {list(self.constants)}: mend them")

    @property
    def alphabet(self) -> Alphabet:
        """Names, arities and constants."""
        # Equal alphabets write their constants alike: 1 is 1.0, and the two zeros are one.
        constants = tuple(float(value) + 0.0 for value in self.constants)
        return Alphabet(tuple((primitive.name, primitive.arity) for primitive in self.primitives), constants)

    @property
    def arities(self) -> Mapping[str, int]:
        """Number of arguments by name, for `expression.parse`; published primitives may be written in any formula."""
        everything = {**PUBLISHED, **self._own}
        return {name: primitive.arity for name, primitive in everything.items()}

    def named(self, name: str) -> Primitive:
        """Return a primitive of this set, or a published one."""
        return self._own.get(name) or PUBLISHED[name]

    @property
    def _own(self) -> Mapping[str, Primitive]:
        return {primitive.name: primitive for primitive in self.primitives}

    def evaluate(self, expression: Expression, x: torch.Tensor) -> torch.Tensor:
        """Apply an expression elementwise, as in evaluation: ``rrelu`` with its mean slope.

        Args:
            expression: the function.
            x: a tensor of any shape.

        Returns:
            A tensor of that shape.
        """
        values: dict[Expression, torch.Tensor] = {}
        for part in expression.parts():
            if part.value is not None:
                values[part] = torch.full_like(x, part.value)
            elif part.arguments:
                values[part] = self.named(part.name).function(*(values[argument] for argument in part.arguments))
            else:
                values[part] = x
        return values[expression]


def find_primitives(names: Sequence[str], base: Path | None = None) -> tuple[Primitive, ...]:
    """Find primitives by name: a published one, or a user's function.

    Args:
        names: each a published primitive, ``path/to/file.py:name`` or ``module:name``.
        base: folder that relative paths are looked for in first.

    Raises:
        SpecError: there is no published primitive of that name.
        PluginError: a user's function cannot be found, or does not act elementwise on one or two tensors.
    """
    return tuple(_find(name, base) for name in names)


def _find(name: str, base: Path | None) -> Primitive:
    if ":" in name:
        return primitive_of(resolve(name, base), name)
    if name not in PUBLISHED:
        mend = f"{nearest(name, PUBLISHED)}; a function of your own is named as path/to/file.py:function"
        raise SpecError(f"functions.primitives: unknown primitive {name!r}: {mend}")
    return PUBLISHED[name]


def primitive_of(function: object, reference: str) -> Primitive:
    """Make a primitive of a user's function of one or two tensors, whose name becomes that in formulas.

    Args:
        function: elementwise; its text must need nothing but ``torch`` and ``functional`` (torch.nn.functional) to be
            exported.
        reference: what to call it in errors.

    Raises:
        PluginError: it is no such function.
    """
    if not callable(function) or not hasattr(function, "__name__"):
        expected = "expected a function of one or two tensors, as in def swish(x)"
        raise PluginError(f"{reference}: {expected}, got {type(function).__name__}: name a function")
    name = function.__name__
    # A formula means the published primitive by that name, and knows whether its arguments may change places.
    if not name.isidentifier() or name in PUBLISHED or name == VARIABLE:
        raise PluginError(f"{reference}: expected a function with a name of its own, got {name!r}: write it with def")
    arity = _arity(function, reference)
    _expect_elementwise(function, arity, reference)
    arguments = ", ".join(f"{{{index}}}" for index in range(arity))
    for place, module in (("torch", torch), ("functional", functional)):
        if getattr(module, name, None) is function:
            return Primitive(name, function, arity, f"{place}.{name}({arguments})")
    return Primitive(name, function, arity, f"{name}({arguments})", _definition(function))


def _expect_elementwise(function: Elementwise, arity: int, reference: str) -> None:
    x = torch.linspace(-3, 3, 64).view(2, 32)
    arguments = (x, x.flip(1))[:arity]
    y = _call(function, arguments, reference)
    if not isinstance(y, torch.Tensor) or y.shape != x.shape or y.dtype != x.dtype:
        got = f"{tuple(y.shape)} of {y.dtype}" if isinstance(y, torch.Tensor) else type(y).__name__
        expected = f"expected a float32 tensor of the arguments' shape {tuple(x.shape)}"
        raise PluginError(f"{reference}: {expected}, got {got}: mend the function")
    some = (slice(1, 2), slice(5, 10))
    apart = _call(function, [argument[some] for argument in arguments], reference)
    if apart.shape != y[some].shape or not torch.allclose(apart, y[some], equal_nan=True):
        raise PluginError(
            f"{reference}: expected each number of the result to depend on the arguments' numbers in its own place, got"
            " others from a part of the same tensors: mend the function"
        )


def _call(function: Elementwise, arguments: Sequence[torch.Tensor], reference: str) -> torch.Tensor:
    try:
        # As in training: what changes its arguments in place, or leaves torch, cannot be trained through.
        return function(*(argument.clone().requires_grad_() for argument in arguments))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        what = f"fails on tensors of shape {tuple(arguments[0].shape)} in training"
        raise PluginError(f"{reference}: {what}: {text}; mend the function") from error


def _arity(function: Callable, reference: str) -> int:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        got = type(function).__name__
        raise PluginError(
            f"{reference}: expected a function written in Python, got {got}: call it in one, with def"
        ) from None
    parameters = signature.parameters.values()
    needed = [part for part in parameters if part.kind in (part.POSITIONAL_ONLY, part.POSITIONAL_OR_KEYWORD)]
    required = [part for part in needed if part.default is part.empty]
    if len(required) not in (1, 2) or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        expected = "expected a function of one or two tensors, as in def swish(x)"
        raise PluginError(f"{reference}: {expected}, got {signature}: mend the function")
    return len(required)


def _definition(function: Callable) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
