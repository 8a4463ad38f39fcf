"""The hand-made tickets: their published sizes, and that they compute what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from evosparse.errors import SpecError
from evosparse.sparsify.planted.targets import CIRCLE_BOUNDS, SHAPES, circle_scores, helix, make_ticket

DEPTHS = (3, 4, 5, 6, 7, 10)


@pytest.mark.parametrize(
    ("task", "sizes"),
    [
        ("circle", {3: 100, 5: 108, 6: 119, 10: 153}),
        ("relu", {3: 2, 5: 4, 6: 5, 10: 9}),
        ("helix", {3: 91, 5: 95, 6: 98, 10: 110}),
    ],
)
def test_tickets_have_the_exact_sizes(task: str, sizes: dict[int, int]) -> None:
    """planted.md, PL2: the true counts."""
    assert {depth: make_ticket(task, depth).size for depth in sizes} == sizes


@pytest.mark.parametrize(
    ("task", "depth", "density"), [("circle", 5, 0.00524), ("relu", 5, 0.0002), ("helix", 3, 0.2275)]
)
def test_the_density_in_a_mother_of_width_100_is_the_published_one(task: str, depth: int, density: float) -> None:
    inputs, outputs = SHAPES[task]
    widths = (inputs, *[100] * (depth - 2), outputs)
    weights = sum(fan_in * units for fan_in, units in zip(widths[:-1], widths[1:], strict=True))
    assert make_ticket(task, depth).size / weights == pytest.approx(density, abs=5e-6)


@pytest.mark.parametrize("task", SHAPES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_tickets_have_the_depth_and_no_dead_units(task: str, depth: int) -> None:
    ticket = make_ticket(task, depth)
    assert (len(ticket.weights), ticket.widths[0], ticket.widths[-1]) == (depth - 1, *SHAPES[task])
    for weights, biases in zip(ticket.weights, ticket.biases, strict=True):
        assert weights.dtype == biases.dtype == np.float64 and weights.shape[0] == len(biases)
        assert weights.any(axis=1).all() and weights.any(axis=0).all()


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_straight_line_of_helix_has_one_weight_and_no_rounding_noise(depth: int) -> None:
    splines = make_ticket("helix", depth).weights[1 if depth == 3 else 2]
    assert [np.count_nonzero(row) for row in splines] == [30, 30, 1]
    assert make_ticket("helix", depth, zero_tolerance=0).size > make_ticket("helix", depth).size


def test_relu_is_exact() -> None:
    x = np.linspace(-1, 1, 101)[:, None]
    for depth in DEPTHS:
        assert np.array_equal(make_ticket("relu", depth).forward(x), np.maximum(x, 0))


@pytest.mark.parametrize("depth", DEPTHS)
def test_helix_joins_the_points_at_30_knots_by_straight_lines(depth: int) -> None:
    knots, x = np.linspace(-1, 1, 30), np.linspace(-1, 1, 997)
    points = np.stack([np.interp(x, knots, column) for column in helix(knots).T], axis=1)
    assert np.abs(make_ticket("helix", depth).forward(x[:, None]) - points).max() < 1e-12


def test_beyond_the_last_knot_helix_goes_on_towards_one_more() -> None:
    beyond = 1 + 2 / 29
    for depth in (3, 4):
        assert np.allclose(make_ticket("helix", depth).forward([[beyond]]), helix([beyond]))


def test_the_helix_is_the_published_curve() -> None:
    y = np.array([2 * np.pi, 5 * np.pi, 8 * np.pi])
    assert np.allclose(helix([-1, 0, 1]), np.stack([y * np.cos(y), y * np.sin(y), y], axis=1) / (8 * np.pi))


def folded(x: np.ndarray, mirrors: int) -> np.ndarray:
    """The points moved into the first quadrant and reflected at one line after the other, by angle: (n, 2) components."""
    angle, radius = np.arctan2(np.abs(x[:, 1]), np.abs(x[:, 0])), np.hypot(*x.T)
    line = 0.0
    for number in range(mirrors):
        line = np.pi / 2 ** (number + 2)
        angle = line - np.abs(angle - line)
    return np.stack([radius * np.cos(angle - line), np.abs(radius * np.sin(angle - line))], axis=1)


@pytest.mark.parametrize(
    ("depth", "last", "counts"),
    [
        (3, (1.0, 1.0), (10, 10)),
        (4, (1.0, 1.0), (10, 10)),
        (5, (1.0, 1.0), (10, 10)),
        (6, (2**0.5, np.sin(np.pi / 4) * 0.7**0.5 + 0.01), (15, 5)),
        (7, (2**0.5, np.sin(np.pi / 8) * 0.7**0.5 + 0.01), (17, 3)),
        (10, (2**0.5, np.sin(np.pi / 64) * 0.7**0.5 + 0.01), (17, 3)),
    ],
)
def test_circle_scores_the_squares_of_the_folded_components(
    depth: int, last: tuple[float, float], counts: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (3000, 2))
    x = x[(x**2).sum(axis=1) < CIRCLE_BOUNDS[-1]]
    squared = 0.0
    for component, end, count in zip((x if depth == 3 else folded(x, max(0, depth - 5))).T, last, counts, strict=True):
        knots = np.linspace(-1 if depth == 3 else 0, end, count)
        squared = squared + np.interp(component, knots, knots**2)
    assert np.abs(make_ticket("circle", depth).forward(x) - circle_scores(squared)).max() < 1e-11


@pytest.mark.parametrize(("depth", "sign"), [(3, -1), (4, -1), (5, 1), (6, 1), (10, 1)])
def test_signs_of_the_splines_alternate_and_end_as_published(depth: int, sign: int) -> None:
    rows = make_ticket("circle", depth).weights[-2]
    first = np.sign(rows[rows[:, 0] != 0, 0])
    assert first[:-1].tolist() == [(-1) ** place for place in range(len(first) - 1)]
    assert first[-1] == sign


def test_the_classes_of_circle_change_at_the_bounds() -> None:
    squared = np.linspace(0, 2, 4003)
    assert np.array_equal(circle_scores(squared).argmax(axis=1), np.digitize(squared, CIRCLE_BOUNDS))
    assert circle_scores([0.0]).tolist() == [[0, -1, -6, -20]]


def test_bad_requests_are_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'circle'"):
        make_ticket("circel", 5)
    with pytest.raises(SpecError, match="depth from 3"):
        make_ticket("relu", 2)
