"""The three tasks of the planted-ticket benchmark and, for each, the small network made by hand that solves it.

Fischer and Burkholz, "Plant 'n' Seek: Can You Find the Winning Ticket?", ICLR 2022, arXiv 2111.11153, and their code
(RelationalML/PlantNSeek). Deviations: what is zero in exact arithmetic is zero here (in their Helix it is noise of 1e-16
and counted); Circle has the two inputs of their code, not the three of their text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosparse.errors import SpecError, nearest
from evosparse.sparsify.planted.network import Masks, ReluNetwork

Task = Literal["circle", "relu", "helix"]
Floats = NDArray[np.float64]
_Layers = tuple[list[Floats], list[Floats]]  # weights, biases

# Number of inputs and outputs.
SHAPES: Mapping[Task, tuple[int, int]] = {"circle": (2, 4), "relu": (1, 1), "helix": (1, 3)}
# Squared radii between the classes.
CIRCLE_BOUNDS = (0.2, 0.5, 0.7)
_CIRCLE_SLOPES = (5.0, 10.0, 20.0, 40.0)
_CIRCLE_KNOTS = 10  # per component of the input
_HELIX_KNOTS = 30


@dataclass(frozen=True, eq=False)
class Ticket(ReluNetwork):
    """The target: a small network whose weights are known to solve a task.

    Args:
        weights: per layer, an (n_out, n_in) float64 array.
        biases: per layer, an (n_out,) float64 array.
        task: what it solves.
    """

    task: Task

    @property
    def masks(self) -> Masks:
        """Where the weights are not zero, and all biases."""
        return Masks(
            tuple(weights != 0 for weights in self.weights),
            tuple(np.ones(len(biases), dtype=bool) for biases in self.biases),
        )

    @property
    def size(self) -> int:
        """Number of weights that are not zero; biases do not count."""
        return sum(int(np.count_nonzero(weights)) for weights in self.weights)


def make_ticket(task: Task, depth: int, zero_tolerance: float = 1e-9) -> Ticket:
    """Build the ticket of a task.

    Args:
        task: ``circle``, ``relu`` or ``helix``.
        depth: number of layers, the input counted, from 3: the ticket has ``depth - 1`` layers of weights.
        zero_tolerance: weights and biases of at most this magnitude become exactly zero. With 0 the rounding noise of
            Helix stays and counts, as in the published code.

    Raises:
        SpecError: there is no such task, or the depth is below 3.
    """
    check_task(task)
    if depth < 3:
        raise SpecError(f"expected a depth from 3 (input, one hidden layer, output), got {depth}")
    weights, biases = {"circle": _circle, "relu": _relu, "helix": _helix}[task](depth)
    return Ticket(
        tuple(np.where(np.abs(layer) > zero_tolerance, layer, 0.0) for layer in weights),
        tuple(np.where(np.abs(layer) > zero_tolerance, layer, 0.0) for layer in biases),
        task,
    )


def check_task(task: str) -> None:
    """Raise a SpecError unless there is such a task."""
    if task not in SHAPES:
        raise SpecError(f"there is no planted task {task!r}: {nearest(task, SHAPES)}")


def circle_scores(squared_radius: ArrayLike) -> Floats:
    """Return the (n, 4) scores of the classes for (n,) squared radii; the largest changes at `CIRCLE_BOUNDS`."""
    return np.multiply.outer(squared_radius, _CIRCLE_SLOPES) + _circle_offsets()


def helix(x: ArrayLike) -> Floats:
    """Return the (n, 3) points of the helix for (n,) positions from -1 to 1."""
    return np.stack([coordinate(np.asarray(x)) for coordinate in _HELIX], axis=-1)


def _relu(depth: int) -> _Layers:
    return [np.ones((1, 1))] * (depth - 1), [np.zeros(1)] * (depth - 1)


def _helix(depth: int) -> _Layers:
    """Build Helix: from depth 4 on x is moved to [0, 2]; identity layers get outputs moved by 1, as relu passes no less."""
    shift = 0.0 if depth == 3 else 1.0
    knots = np.linspace(-1, 1, _HELIX_KNOTS) + shift
    signs = _alternating(len(knots))
    splines = [_spline_output(lambda x, part=part: part(x - shift), knots, signs) for part in _HELIX]
    weights, biases = [signs[:, None], np.stack([slopes for slopes, _ in splines])], [-signs * knots]
    biases.append(np.array([offset for _, offset in splines]))
    if depth > 3:
        weights.insert(0, np.ones((1, 1)))
        biases.insert(0, np.ones(1))
    if depth > 4:
        weights += [np.eye(3)] * (depth - 4)
        biases += [np.zeros(3)] * (depth - 5) + [-np.ones(3)]
        biases[2] = biases[2] + 1
    return weights, biases


def _circle(depth: int) -> _Layers:
    """Build Circle: absolute values, mirrors that fold the plane, splines of the two squares, class scores."""
    weights: list[Floats] = []
    if depth >= 4:
        weights.append(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
    # How the two components that are squared are read off the units below.
    components = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]]) if depth == 4 else np.eye(2)
    if depth >= 5:
        weights.append(np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]]))
    if depth >= 6:
        weights += _mirrors(depth - 5)
        components = np.array([[1.0, 0, 0], [0, 1, 1]])

    all_signs, all_knots, all_slopes, offset = [], [], [], 0.0
    for knots in _circle_knots(depth):
        signs = _alternating(len(knots), last=-1 if depth <= 4 else 1)
        slopes, bias = _spline_output(np.square, knots, signs)
        all_signs.append(signs)
        all_knots.append(knots)
        all_slopes.append(slopes)
        offset += bias
    weights.append(np.concatenate([np.outer(signs, row) for signs, row in zip(all_signs, components, strict=True)]))
    weights.append(np.outer(_CIRCLE_SLOPES, np.concatenate(all_slopes)))
    biases = [np.zeros(len(layer)) for layer in weights[:-2]]
    biases.append(-np.concatenate(all_signs) * np.concatenate(all_knots))
    biases.append(np.array(_CIRCLE_SLOPES) * offset + _circle_offsets())
    return weights, biases


def _mirrors(count: int) -> list[Floats]:
    """Return the layers that fold the first quadrant along pi/4, then the half that is left along pi/8, and so on."""
    layers = []
    place = np.eye(2)  # the point in the plane, from the units below
    for number in range(count):
        angle = math.pi / 2 ** (number + 2)
        along, across = np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), -math.cos(angle)]])
        layers.append(np.stack([along, across, -across]) @ place)
        place = np.stack([along, across, across], axis=1)
    return layers


def _circle_knots(depth: int) -> tuple[Floats, Floats]:
    """Return the knots of the two components; the total is the same for every depth.

    From depth 6 on, the component across the last mirror is short, and takes knots in proportion to its length, at
    least 3; only squared radii up to the last bound count, with a margin of 0.01 (published code; not in the paper).
    """
    if depth <= 5:
        knots = np.linspace(-1 if depth == 3 else 0, 1, _CIRCLE_KNOTS)
        return knots, knots
    long = math.sqrt(2)
    short = math.sin(math.pi / 2 ** (depth - 4)) * math.sqrt(CIRCLE_BOUNDS[-1]) + 0.01
    total = 2 * _CIRCLE_KNOTS
    many = min(math.ceil(total * long / (long + short)), total - 3)
    return np.linspace(0, long, many), np.linspace(0, short, total - many)


def _circle_offsets() -> Floats:
    """Return the (4,) constants that make neighbouring classes equal at the bounds, the first being 0."""
    return np.concatenate([[0.0], np.cumsum(-np.diff(_CIRCLE_SLOPES) * CIRCLE_BOUNDS)])


def _alternating(count: int, last: float | None = None) -> Floats:
    signs = np.where(np.arange(count) % 2, -1.0, 1.0)
    if last is not None:
        signs[-1] = last
    return signs


def _spline_output(function: Callable[[Floats], Floats], knots: Floats, signs: Floats) -> tuple[Floats, float]:
    """Return weights and bias of an output that joins a function's values at the knots by straight lines.

    Its inputs are the hidden units ``relu(sign * (x - knot))``. Beyond the last knot it goes on towards the function's
    value at one more knot.

    Args:
        function: of one variable.
        knots: (n,) evenly spaced, rising.
        signs: (n,) of 1 and -1, the first 1.
    """
    points = np.append(knots, 2 * knots[-1] - knots[-2])
    slopes = np.diff(function(points)) / np.diff(points)
    bends = np.diff(slopes)
    weights = np.concatenate([[slopes[0] + bends[signs[1:] < 0].sum()], bends])
    bias = function(knots[:1])[0] - weights @ np.maximum(signs * (knots[0] - knots), 0)
    return weights, float(bias)


def _angle(x: Floats) -> Floats:
    return 5 * np.pi + 3 * np.pi * x


_HELIX: tuple[Callable[[Floats], Floats], ...] = (
    lambda x: _angle(x) * np.cos(_angle(x)) / (8 * np.pi),
    lambda x: _angle(x) * np.sin(_angle(x)) / (8 * np.pi),
    lambda x: _angle(x) / (8 * np.pi),
)
