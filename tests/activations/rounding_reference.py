"""What the tests of computations share: random functions, and how far float32 may be from the true value of one.

A running error analysis: each part's value and derivative in float64, with a bound of what rounding to float32 adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evosparse.activations.cgp import CGP
from evosparse.activations.expression import Expression
from evosparse.activations.primitives import PUBLISHED, PrimitiveSet

PRIMITIVES = PrimitiveSet(tuple(PUBLISHED.values()))
KINKS = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0)

UNIT = 2.0**-24  # the relative error of one rounding
_LEAST = 2.0**-126  # below it numbers may count as zero
_MOST = 1e37  # above it something is about to overflow
_MEAN = (1 / 8 + 1 / 3) / 2


class Bound(NamedTuple):
    """A number that float32 may miss, and its derivative.

    Args:
        value, slope: in float64.
        value_error, slope_error: how far float32 may be from them.
        paths: the sum of what all paths through the formula bring to the derivative, without their signs; going
            backwards rounds each of them, even where they cancel.
    """

    value: np.ndarray
    value_error: np.ndarray
    slope: np.ndarray
    slope_error: np.ndarray
    paths: np.ndarray


class Piecewise(NamedTuple):
    """A primitive of straight pieces: its kinks, its value, and its derivative beside them."""

    kinks: tuple[float, ...]
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def _leaky(factor: float) -> Piecewise:
    return Piecewise((0.0,), lambda a: np.where(a > 0, a, factor * a), lambda a: np.where(a > 0, 1.0, factor))


_PIECEWISE = {
    "relu": Piecewise((0.0,), lambda a: np.maximum(a, 0), lambda a: a > 0),
    "leaky_relu": _leaky(0.01),
    "rrelu": _leaky(_MEAN),
    "hardtanh": Piecewise((-1.0, 1.0), lambda a: np.clip(a, -1, 1), lambda a: abs(a) < 1),
    "hardshrink": Piecewise((-0.5, 0.5), lambda a: np.where(abs(a) <= 0.5, 0, a), lambda a: abs(a) > 0.5),
    "softshrink": Piecewise(
        (-0.5, 0.5), lambda a: np.where(abs(a) <= 0.5, 0, a - 0.5 * np.sign(a)), lambda a: abs(a) > 0.5
    ),
}


def bounded(function: Expression, x: np.ndarray) -> tuple[Bound, np.ndarray]:
    """Follow a function and its rounding errors.

    Args:
        function: of published primitives.
        x: (n,) float32 numbers.

    Returns:
        Its bound, and for each number whether it is sure on which side of every kink float32 falls.
    """
    sure = np.ones(len(x), bool)
    one, none = np.ones(len(x)), np.zeros(len(x))
    bounds: dict[Expression, Bound] = {}
    for part in function.parts():
        if part.value is not None:
            bounds[part] = Bound(part.value * one, UNIT * abs(part.value) * one, none, none, none)
        elif not part.arguments:
            bounds[part] = Bound(x.astype(np.float64), none, one, none, one)
        else:
            arguments = [bounds[argument] for argument in part.arguments]
            with np.errstate(over="ignore", invalid="ignore"):
                made, safe = _apply(part, arguments)
                bounds[part] = made
                sure &= safe & (abs(made.value) + made.value_error < _MOST) & (made.paths + made.slope_error < _MOST)
    return bounds[function], sure


def _apply(part: Expression, arguments: list[Bound]) -> tuple[Bound, np.ndarray]:
    a, b = arguments[0], arguments[-1]
    always = np.ones(len(a.value), bool)
    if part.name in ("add", "sub"):
        sign = 1 if part.name == "add" else -1
        value, slope = a.value + sign * b.value, a.slope + sign * b.slope
        value_error = a.value_error + b.value_error
        slope_error = a.slope_error + b.slope_error
        # A sum of exact numbers that float32 can hold is exact: an error would make every tie behind it unsure.
        value_error += UNIT * abs(value) * ((value != value.astype(np.float32)) | (value_error > 0))
        slope_error += UNIT * (abs(slope) + slope_error)
        return Bound(value, value_error, slope, slope_error, a.paths + b.paths), always
    if part.name == "mul":
        value, slope = a.value * b.value, a.slope * b.value + a.value * b.slope
        value_error = a.value_error * abs(b.value) + (abs(a.value) + a.value_error) * b.value_error
        value_error += 2 * UNIT * abs(value) + _LEAST
        paths = a.paths * abs(b.value) + abs(a.value) * b.paths
        slope_error = _product_error(a, b) + _product_error(b, a) + 2 * UNIT * paths
        return Bound(value, value_error, slope, slope_error, paths), always
    if part.name in ("max", "min"):
        first = a.value > b.value if part.name == "max" else a.value < b.value
        tie = a.value == b.value
        sure = (abs(a.value - b.value) > a.value_error + b.value_error) | (part.arguments[0] == part.arguments[1])
        sure |= a.value_error + b.value_error == 0
        slope = np.where(tie, (a.slope + b.slope) / 2, np.where(first, a.slope, b.slope))
        slope_error = np.maximum(a.slope_error, b.slope_error) + 2 * UNIT * np.maximum(a.paths, b.paths)
        value_error = np.maximum(a.value_error, b.value_error)
        value = np.where(first, a.value, b.value)
        return Bound(value, value_error, slope, slope_error, np.maximum(a.paths, b.paths)), sure
    return _unary(part.name, a)


def _product_error(a: Bound, b: Bound) -> np.ndarray:
    """Return the error of a derivative times the other factor."""
    return a.slope_error * (abs(b.value) + b.value_error) + abs(a.slope) * b.value_error


def _unary(name: str, a: Bound) -> tuple[Bound, np.ndarray]:
    value_error, sure = a.value_error.copy(), np.ones(len(a.value), bool)
    if name in _PIECEWISE:
        kinks, function, derivative = _PIECEWISE[name]
        value, factor, factor_error = function(a.value), derivative(a.value).astype(np.float64), 2 * UNIT
        if name in ("leaky_relu", "rrelu", "softshrink"):
            value_error += 2 * UNIT * abs(value)
    elif name == "tanh":
        value, kinks = np.tanh(a.value), ()
        value_error += 4 * UNIT * abs(value) + _LEAST
        factor, factor_error = 1 - value**2, (2 * abs(value) + value_error) * value_error + 2 * UNIT
    elif name in ("elu", "celu"):
        low = np.minimum(a.value, 0)
        value, factor, kinks = np.where(a.value > 0, a.value, np.expm1(low)), np.exp(low), ()
        value_error += 8 * UNIT * abs(value) * (a.value <= 0) + _LEAST
        factor_error = a.value_error + 3 * UNIT
    else:  # hardswish
        value, kinks = a.value * np.clip(a.value + 3, 0, 6) / 6, (-3.0, 3.0)
        value_error = 1.5 * value_error + 4 * UNIT * abs(value) + _LEAST
        factor = np.where(a.value <= -3, 0, np.where(a.value >= 3, 1, a.value / 3 + 0.5))
        factor_error = a.value_error / 3 + 3 * UNIT
    for kink in kinks:
        sure &= (abs(a.value - kink) > a.value_error) | (a.value_error == 0)
    slope = factor * a.slope
    slope_error = abs(factor) * a.slope_error + factor_error * (abs(a.slope) + a.slope_error)
    slope_error += 2 * UNIT * abs(slope) + _LEAST
    return Bound(value, value_error, slope, slope_error, (abs(factor) + factor_error) * a.paths), sure


def random_functions(count: int, seed: int, primitives: PrimitiveSet = PRIMITIVES) -> list[Expression]:
    """Return the canonical functions of genomes of the published grid."""
    rng = np.random.default_rng(seed)
    return [CGP().random(primitives.alphabet, rng).expression.canonical for _ in range(count)]
