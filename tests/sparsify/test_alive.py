"""Units that are alive are those that remain when dead ones are removed one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sparsify_registry import DATA, NETWORK, cohort, sparsified

from evosparse.nets import multilayer_perceptron
from evosparse.sparsify import Static
from evosparse.sparsify.alive import alive_units


def slowly(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Remove hidden units without inputs or without outputs, with their weights, until nothing changes."""
    masks = [mask.copy() for mask in masks]
    changed = True
    while changed:
        changed = False
        for before, after in zip(masks[:-1], masks[1:], strict=True):
            for unit in range(len(before)):
                # Of a unit that only lacks one side, the weights of the other side are still there to be removed.
                if before[unit].any() != after[:, unit].any():
                    before[unit], after[:, unit] = False, False
                    changed = True
    return [masks[0].any(axis=0), *(mask.any(axis=1) for mask in masks[:-1]), np.ones(len(masks[-1]), bool)]


@st.composite
def masked(draw: st.DrawFn) -> tuple[list[int], list[np.ndarray]]:
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    density = draw(st.sampled_from([0.1, 0.3, 0.6]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return widths, [rng.random((out, width)) < density for width, out in zip(widths[:-1], widths[1:], strict=True)]


@given(masked())
def test_alive_units_are_what_is_left_after_removing_one_by_one(case: tuple[list[int], list[np.ndarray]]) -> None:
    widths, masks = case
    network = multilayer_perceptron((widths[0],), widths[-1], widths[1:-1])
    alive = alive_units(network.layers, [np.flatnonzero(mask) for mask in masks])
    for own, expected in zip(alive, slowly(masks), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_all_units_of_a_dense_network_are_alive() -> None:
    network = multilayer_perceptron((4,), 2, (3,))
    assert [own.tolist() for own in alive_units(network.layers, [None, None])] == [[True] * 4, [True] * 3, [True] * 2]


def test_a_unit_behind_a_dead_one_is_dead() -> None:
    network = multilayer_perceptron((2,), 1, (2, 2))
    # Input 0 reaches unit 0 of layer 1, which nothing reads; unit 1 of layer 1 reads nothing, and feeds unit 0 of layer 2.
    alive = alive_units(network.layers, [np.array([0]), np.array([1]), np.array([0])])
    assert [own.tolist() for own in alive] == [[False, False], [False, False], [False, False], [True]]


def test_measures_tell_how_many_are_alive() -> None:
    [result] = sparsified(Static(), cohort((0,), 0.9))
    masks = []
    for layer, own in zip(NETWORK.layers, result.connections, strict=True):
        mask = np.zeros(layer.size, bool)
        mask[own] = True
        masks.append(mask.reshape(layer.shape))
    expected = [int(own.sum()) for own in slowly(masks)[:-1]]
    names = ("inputs", "hidden1", "hidden2")
    assert [result.measures[f"alive_{name}"] for name in names] == expected and expected[0] < DATA.input_shape[0]
