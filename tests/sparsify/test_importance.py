"""Importance pruning against a plain reference, and that pruned units stay away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parallel_toys import cohort, trained
from pydantic import ValidationError

from evosparse.nets import Layer
from evosparse.sparsify import SET, Cohort
from evosparse.sparsify.dynamic import Exchange
from evosparse.sparsify.importance import Importance, unimportant


def dense_weights(own: Cohort, number: int) -> list[np.ndarray]:
    state = own.population.state(number)
    return [state[layer.parameter] for layer in own.network.layers]


@given(st.integers(1, 8), st.integers(1, 8), st.floats(0, 1), st.floats(0, 100), st.integers(0, 2**32))
def test_units_up_to_the_percentile_are_unimportant(
    units: int, inputs: int, density: float, percentile: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((units, inputs)) * (rng.random((units, inputs)) < density)
    indices = np.flatnonzero(weights)
    found = unimportant(Layer("l", (units, inputs)), indices, weights.reshape(-1)[indices], percentile)
    sums = {unit: sum(abs(own) for own in row) for unit, row in enumerate(weights) if any(row)}
    cut = np.percentile(list(sums.values()), percentile) if sums else 0
    wanted = [unit in sums and sums[unit] <= cut * (1 + 1e-12) for unit in range(units)]
    near = [unit in sums and abs(sums[unit] - cut) <= 1e-12 for unit in range(units)]
    assert all(mine == theirs or close for mine, theirs, close in zip(found.tolist(), wanted, near, strict=True))


@pytest.mark.parametrize("regrow", ["excluded", "code"])
def test_pruning_takes_the_weights_that_a_loop_would_take(regrow: str) -> None:
    own = trained(SET(), cohort(epochs=3))
    before = [dense_weights(own, number) for number in range(2)]
    Importance(percentile=30, prune_regrow=regrow).prune(own)
    gone = 0
    for number in range(2):
        wanted = [weights.copy() for weights in before[number]]
        for layer in (0, 1):
            importance = np.abs(before[number][layer]).sum(axis=1)
            cut = np.percentile(importance[importance > 0], 30)
            for unit in np.flatnonzero((importance > 0) & (importance <= cut)):
                wanted[layer][unit] = 0
                if regrow == "excluded":
                    wanted[layer + 1][:, unit] = 0
                gone += 1
        for mine, theirs, indices in zip(dense_weights(own, number), wanted, own.connections[number], strict=True):
            assert np.array_equal(mine, theirs)
            assert np.array_equal(indices, np.flatnonzero(theirs))
    assert gone >= 2 * (6 + 5)


def history(regrow: str) -> list[list[int]]:
    """Return, after each exchange, how many hidden units of network 0 have inputs, and have outputs."""

    class Watched(SET):
        def update(self, exchange: Exchange, progress: float) -> None:
            super().update(exchange, progress)
            masks = [own != 0 for own in dense_weights(exchange.cohort, 0)]
            rows.append([int(masks[0].any(axis=1).sum()), int(masks[1].any(axis=0).sum())])

    rows: list[list[int]] = []
    importance = Importance(after=2, every=2, percentile=25, prune_regrow=regrow)
    trained(Watched(importance=importance), cohort(epochs=9, sparsity=0.3))
    return rows


def test_pruned_units_do_not_grow_again_unless_they_may() -> None:
    excluded = history("excluded")
    # Of 20 units a quarter at epochs 4, 6 and 8 (5, 4 and 3 of what is left), and none comes back in between.
    assert excluded == [[20, 20]] * 3 + [[15, 15]] * 2 + [[11, 11]] * 2 + [[8, 8]]
    assert all(own == [20, 20] for own in history("code"))


def test_it_is_due_every_so_often_after_some_epochs() -> None:
    assert [epoch for epoch in range(1, 251) if Importance().due(epoch)] == [210, 220, 230, 240, 250]


def test_it_needs_exchanges_between_epochs() -> None:
    for options in ({"every": 5}, {"fraction": 0}):
        with pytest.raises(ValidationError, match="importance counts epochs"):
            SET(importance=Importance(), **options)
