"""The exact budgets of every registered method; a new method is tested here without a new test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from sparsify_registry import (
    DATA,
    EVERY_METHOD,
    NETWORK,
    SIZE,
    cohort,
    quick,
    sparsified,
)

from evosparse.nets.sparsity import counts
from evosparse.sparsify import METHODS, Cohort, Dynamic, Pruning, Sparsifier
from evosparse.sparsify.budget import ScoreError, best, best_of_all

KERNELS = pytest.mark.parametrize("kernel", ["dense", "packed"])
SPARSITIES = (0.5, 0.8, 0.9)


def expect_budget(method: Sparsifier, made: Cohort, connections: Sequence[np.ndarray]) -> None:
    """Compare the weights that are left with what the sparsity says, layer by layer where a method says so."""
    for own, layer in zip(connections, NETWORK.layers, strict=True):
        assert (np.diff(own) > 0).all() and (len(own) == 0 or 0 <= own[0] and own[-1] < layer.size)
    kept, sparsity = [len(own) for own in connections], made.replicates[0].sparsity
    uniform = isinstance(method, (Pruning, Dynamic)) and method.distribution.distribution == "uniform"
    if method.dense:
        assert sum(kept) == SIZE
    elif isinstance(method, Dynamic) and (type(method).counts, type(method).update) == (Dynamic.counts, Dynamic.update):
        assert tuple(kept) == counts(NETWORK.layers, sparsity, method.distribution)
    elif isinstance(method, Pruning) and method.scope == "layer" and uniform and method.rounds_of(made) == 1:
        floors = [0] * (len(kept) - 1) + [method.distribution.output_floor]
        sizes = [layer.size for layer in NETWORK.layers]
        least = [max(1, math.ceil(round(floor * size, 6))) for floor, size in zip(floors, sizes, strict=True)]
        assert kept == [max(low, round((1 - sparsity) * size)) for low, size in zip(least, sizes, strict=True)]
    else:
        allowed = made.allowed or [[range(layer.size) for layer in NETWORK.layers]] * len(made)
        rooms = {sum(map(len, own)) for own in allowed}
        wanted = round((1 - sparsity) * SIZE)
        assert sum(kept) == wanted or sum(kept) < wanted and sum(kept) in rooms  # there are no more places left


@EVERY_METHOD
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_budgets_are_exact(name: str, sparsity: float) -> None:
    made = cohort(sparsity=sparsity)
    for result in sparsified(quick(name), made):
        expect_budget(quick(name), made, result.connections)
        kept = sum(map(len, result.connections))
        assert result.measures["weights"] == kept and result.measures["density"] == kept / SIZE
        assert result.measures["density_with_biases"] == (kept + 21) / (SIZE + 21)
        assert result.measures["multiply_adds"] == kept


class Alike(Cohort):
    """Networks that begin with equal weights, so that magnitudes tie."""

    def begin(self, connections: object, epochs: int, *rest: object, states: object = None, **options: object) -> None:
        super().begin(connections, epochs, *rest, states=states, **options)
        if states is None:
            state = self.population.state(0)
            equal = {key: np.full_like(value, 0.5 if value.ndim > 1 else 0) for key, value in state.items()}
            for number in range(len(self)):
                self.population.load(number, equal)


@EVERY_METHOD
@KERNELS
def test_budgets_are_exact_where_all_scores_tie(name: str, kernel: str) -> None:
    # Of inputs that are zero no weight has a gradient: all keep their one value, and all sensitivities are zero.
    nothing = with_inputs(np.zeros_like(DATA.train.x))
    made = cohort(kernel=kernel, data=nothing, kind=Alike, optimizer="sgd", learning_rate=0.01)
    for result in sparsified(quick(name), made):
        expect_budget(quick(name), made, result.connections)


def with_inputs(x: np.ndarray) -> object:
    """Return examples with other training inputs, such as no real data set would be let in with."""
    return SimpleNamespace(train=SimpleNamespace(x=x, y=DATA.train.y), validation=DATA.validation)


def masks_from(name: str, data: object) -> list[bytes]:
    results = sparsified(quick(name), cohort(data=data, learning_rate=0.05))
    return [own.tobytes() for result in results for own in result.connections]


@EVERY_METHOD
def test_a_score_that_is_no_number_raises(name: str) -> None:
    """A method whose masks depend on the examples cannot do with NaN that comes of them; others do not see it."""
    other = with_inputs(DATA.train.x[:, ::-1].copy())
    # Finite, as a data set must be; what a layer makes of it is not.
    broken = with_inputs(np.full_like(DATA.train.x, 3e38))
    if masks_from(name, DATA) == masks_from(name, other):
        assert masks_from(name, broken) == masks_from(name, DATA)
        return
    with pytest.raises(ScoreError, match="NaN"):
        sparsified(quick(name), cohort(data=broken, learning_rate=0.05))


def test_most_methods_look_at_the_examples() -> None:
    other = with_inputs(DATA.train.x[:, ::-1].copy())
    looking = {name for name in METHODS if masks_from(name, DATA) != masks_from(name, other)}
    assert {"magnitude", "lottery", "snip", "rigl", "set"} <= looking


def test_budgets_pick_the_first_of_equals() -> None:
    scores = np.array([1.0, 2.0, 1.0, 1.0, 0.0])
    assert best(scores, 3).tolist() == [0, 1, 2] and best(scores, 0).tolist() == [] and len(best(scores, 9)) == 5
    existing = [np.array([4, 7]), np.array([2, 3, 9])]
    assert [own.tolist() for own in best_of_all([scores[:2], scores[2:]], 3, existing)] == [[4, 7], [2]]
    with pytest.raises(ScoreError, match="NaN"):
        best(np.array([1.0, np.nan]), 0)
