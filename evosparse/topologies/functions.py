"""The functions of nodes: NEAT's own sigmoid, the common ones, and the one-argument primitives of `activations`.

Each is one line of a table for torch and for exported source, and one branch of a compiled function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from numba import njit
from torch.nn import functional

from evosparse.errors import SpecError, nearest


@dataclass(frozen=True)
class Function:
    """A function of a node.

    Args:
        name: as in a campaign file.
        torch: the same elementwise on tensors; on the CPU, a number's result does not depend on where it stands.
        source: Python text of a call with ``x`` a number, which needs nothing but ``math`` and an ``exp`` that is
            infinite where it overflows.
    """

    name: str
    torch: Callable[[torch.Tensor], torch.Tensor]
    source: str


def _elu(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, torch.expm1(x))


# Torch's own sigmoid, elu and celu have other last bits at the end of a tensor, where numbers fill no register.
_ALL = (
    Function("steep_sigmoid", lambda x: 1 / (1 + torch.exp(-4.9 * x)), "1 / (1 + exp(-4.9 * x))"),
    Function("sigmoid", lambda x: 1 / (1 + torch.exp(-x)), "1 / (1 + exp(-x))"),
    Function("tanh", torch.tanh, "math.tanh(x)"),
    Function("relu", torch.relu, "max(x, 0.0)"),
    Function("identity", lambda x: x, "x"),
    Function("sin", torch.sin, "math.sin(x)"),
    Function("gaussian", lambda x: torch.exp(-x * x), "exp(-x * x)"),
    Function("abs", torch.abs, "abs(x)"),
    Function("step", lambda x: (x > 0).to(x.dtype), "1.0 if x > 0 else 0.0"),
    Function("leaky_relu", functional.leaky_relu, "x if x > 0 else 0.01 * x"),
    Function("elu", _elu, "x if x > 0 else math.expm1(x)"),
    Function("celu", _elu, "x if x > 0 else math.expm1(x)"),
    Function("hardshrink", functional.hardshrink, "x if abs(x) > 0.5 else 0.0"),
    Function("hardtanh", functional.hardtanh, "min(max(x, -1.0), 1.0)"),
    Function("hardswish", functional.hardswish, "x * min(max(x + 3, 0.0), 6.0) / 6"),
    Function("softshrink", functional.softshrink, "math.copysign(max(abs(x) - 0.5, 0.0), x)"),
)
FUNCTIONS: Mapping[str, Function] = {function.name: function for function in _ALL}
NAMES: tuple[str, ...] = tuple(FUNCTIONS)


def code_of(name: str) -> int:
    """Return the number by which compiled code knows a function.

    Raises:
        SpecError: there is none of that name.
    """
    if name not in FUNCTIONS:
        raise SpecError(f"unknown function of a node {name!r}: {nearest(name, FUNCTIONS)}")
    return NAMES.index(name)


def codes_of(names: Sequence[str]) -> list[int]:
    """Return the numbers of several functions (SpecError if one is unknown)."""
    return [code_of(name) for name in names]


@njit(cache=True)
def apply(code: int, x: float) -> float:
    """Return the value of a function, by the place of its name in `NAMES`."""
    if code == 0:
        return 1.0 / (1.0 + math.exp(-4.9 * x))
    if code == 1:
        return 1.0 / (1.0 + math.exp(-x))
    if code == 2:
        return math.tanh(x)
    if code == 3:
        return max(x, 0.0)
    if code == 4:
        return x
    if code == 5:
        return math.sin(x)
    if code == 6:
        return math.exp(-x * x)
    if code == 7:
        return abs(x)
    if code == 8:
        return 1.0 if x > 0 else 0.0
    if code == 9:
        return x if x > 0 else 0.01 * x
    if code == 10 or code == 11:
        return x if x > 0 else math.expm1(x)
    if code == 12:
        return x if abs(x) > 0.5 else 0.0
    if code == 13:
        return min(max(x, -1.0), 1.0)
    if code == 14:
        return x * min(max(x + 3.0, 0.0), 6.0) / 6.0
    return math.copysign(max(abs(x) - 0.5, 0.0), x)
