"""The operators: exact counts, the right connections, uniform choice, and work that follows the connections."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from evosparse.errors import SpecError
from evosparse.masks.genome import Mask, MaskLayer, MaskMismatch
from evosparse.masks.operators import (
    AdaptiveRate,
    compose,
    crossover,
    exchange_layers,
    random_mask,
    random_submask,
    resize,
    swap_mutation,
)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def shapes(draw: st.DrawFn) -> list[MaskLayer]:
    """One to four empty layers, from one weight to some hundreds."""
    drawn = draw(st.lists(st.lists(st.integers(1, 8), min_size=2, max_size=4), min_size=1, max_size=4))
    return [empty_layer(f"layer{position}", *shape) for position, shape in enumerate(drawn)]


def empty_layer(name: str, *shape: int) -> MaskLayer:
    return MaskLayer(name, shape, np.empty(0, dtype=int))


def draw_counts(data: st.DataObject, layers: list[MaskLayer]) -> list[int]:
    """Counts per layer, with empty and dense layers more often than by chance."""
    return [data.draw(st.one_of(st.sampled_from([0, layer.size]), st.integers(0, layer.size))) for layer in layers]


def draw_mask(data: st.DataObject, layers: list[MaskLayer], counts: list[int] | None = None) -> Mask:
    counts = draw_counts(data, layers) if counts is None else counts
    return random_mask(layers, counts, np.random.default_rng(data.draw(seeds)))


def sets(mask: Mask) -> list[set[int]]:
    return [set(indices.tolist()) for indices in mask.connections]


@given(shapes(), st.data())
def test_random_resized_and_sub_masks_have_exact_counts(layers: list[MaskLayer], data: st.DataObject) -> None:
    counts = draw_counts(data, layers)
    mask = draw_mask(data, layers, counts)
    assert list(mask.counts) == counts
    assert [(layer.name, layer.shape) for layer in mask.layers] == [(layer.name, layer.shape) for layer in layers]

    rng = np.random.default_rng(data.draw(seeds))
    asked = draw_counts(data, layers)
    resized = resize(mask, asked, rng)
    assert list(resized.counts) == asked
    for before, after in zip(sets(mask), sets(resized), strict=True):
        assert before <= after or after <= before

    fewer = [min(count, other) for count, other in zip(counts, asked, strict=True)]
    part = random_submask(mask, fewer, rng)
    assert list(part.counts) == fewer
    assert all(small <= large for small, large in zip(sets(part), sets(mask), strict=True))


@given(shapes(), st.data())
def test_crossover_keeps_what_is_shared_and_draws_the_rest_from_the_differences(
    layers: list[MaskLayer], data: st.DataObject
) -> None:
    counts = draw_counts(data, layers)
    first, second = draw_mask(data, layers, counts), draw_mask(data, layers, counts)
    child = crossover(first, second, np.random.default_rng(data.draw(seeds)))
    assert child.counts == first.counts
    for one, other, new in zip(sets(first), sets(second), sets(child), strict=True):
        assert one & other <= new <= one | other


@given(shapes(), st.data())
def test_crossover_meets_counts_that_are_not_those_of_the_parents(
    layers: list[MaskLayer], data: st.DataObject
) -> None:
    first, second = draw_mask(data, layers), draw_mask(data, layers)
    counts = draw_counts(data, layers)
    child = crossover(first, second, np.random.default_rng(data.draw(seeds)), counts)
    assert list(child.counts) == counts
    for one, other, new in zip(sets(first), sets(second), sets(child), strict=True):
        shared, union = one & other, one | other
        # The chain of sets (shared, all, everything) is filled from the inside.
        assert shared <= new if len(new) >= len(shared) else new <= shared
        assert union <= new if len(new) >= len(union) else new <= union


@given(shapes(), st.data(), st.floats(0, 1))
def test_mutation_moves_connections_to_empty_positions_and_keeps_the_counts(
    layers: list[MaskLayer], data: st.DataObject, rate: float
) -> None:
    parent = draw_mask(data, layers)
    child = swap_mutation(parent, rate, np.random.default_rng(data.draw(seeds)))
    assert child.counts == parent.counts
    movable = any(0 < layer.count < layer.size for layer in parent.layers)
    assert (child != parent) if rate > 0 and movable else (child == parent or rate > 0)
    for before, after in zip(parent.layers, child.layers, strict=True):
        if before.count in (0, before.size):
            assert after == before


@given(shapes(), st.data())
def test_mutation_at_rate_one_moves_all_that_find_an_empty_position(
    layers: list[MaskLayer], data: st.DataObject
) -> None:
    parent = draw_mask(data, layers)
    child = swap_mutation(parent, 1.0, np.random.default_rng(data.draw(seeds)))
    for before, after, layer in zip(sets(parent), sets(child), parent.layers, strict=True):
        assert len(before - after) == min(layer.count, layer.size - layer.count)


@given(shapes(), st.data())
def test_exchange_takes_whole_layers_from_both_parents(layers: list[MaskLayer], data: st.DataObject) -> None:
    first, second = draw_mask(data, layers), draw_mask(data, layers)
    child = exchange_layers(first, second, np.random.default_rng(data.draw(seeds)))
    from_first = [new is one for new, one in zip(child.layers, first.layers, strict=True)]
    from_second = [new is other for new, other in zip(child.layers, second.layers, strict=True)]
    assert all(a != b for a, b in zip(from_first, from_second, strict=True))
    assert len(layers) == 1 or (any(from_first) and any(from_second))


@given(shapes(), st.data())
def test_composition_takes_each_layer_from_its_own_mask(layers: list[MaskLayer], data: st.DataObject) -> None:
    masks = [draw_mask(data, layers) for _ in layers]
    composed = compose(masks)
    assert [layer is masks[i].layers[i] for i, layer in enumerate(composed.layers)] == [True] * len(layers)


@given(shapes(), st.data())
def test_the_same_generator_state_gives_the_same_masks_and_parents_are_not_touched(
    layers: list[MaskLayer], data: st.DataObject
) -> None:
    counts = draw_counts(data, layers)
    first, second = draw_mask(data, layers, counts), draw_mask(data, layers, counts)
    before = sets(first), sets(second)
    for operator in (crossover, exchange_layers, lambda one, _, rng: swap_mutation(one, 0.3, rng)):
        one, other = (operator(first, second, np.random.default_rng(7)) for _ in range(2))
        assert one == other
    assert (sets(first), sets(second)) == before


def assert_uniform(draw: Callable[[np.random.Generator], Mask], outcomes: list[frozenset[int]], times: int) -> None:
    """Chi-square over the possible contents of the first layer, with a fixed seed."""
    rng = np.random.default_rng(20240229)
    seen = Counter(frozenset(draw(rng).connections[0].tolist()) for _ in range(times))
    assert set(seen) <= set(outcomes)
    assert chisquare([seen[outcome] for outcome in outcomes]).pvalue > 0.001


def subsets(of: set[int], count: int, fixed: set[int] = frozenset()) -> list[frozenset[int]]:
    return [frozenset(chosen) | frozenset(fixed) for chosen in combinations(sorted(of), count)]


def mask_of(size: int, *indices: int) -> Mask:
    return Mask((MaskLayer("fc", (1, size), np.array(indices, dtype=int)),))


@pytest.mark.parametrize(("size", "count"), [(6, 3), (6, 5), (5, 1), (12, 2), (12, 3), (20, 2)])
def test_random_masks_are_uniform(size: int, count: int) -> None:
    layers = [empty_layer("fc", 1, size)]
    assert_uniform(lambda rng: random_mask(layers, [count], rng), subsets(set(range(size)), count), 4000)


@pytest.mark.parametrize(("count", "fixed"), [(2, set()), (6, {0, 3, 4, 7})])
def test_resizing_is_uniform_both_ways(count: int, fixed: set[int]) -> None:
    mask = mask_of(12, 0, 3, 4, 7)
    pool = set(range(12)) - fixed if fixed else {0, 3, 4, 7}
    assert_uniform(lambda rng: resize(mask, [count], rng), subsets(pool, count - len(fixed), fixed), 3000)


def test_sub_masks_are_uniform() -> None:
    mask = mask_of(40, 1, 5, 6, 20, 33)
    assert_uniform(lambda rng: random_submask(mask, [3], rng), subsets({1, 5, 6, 20, 33}, 3), 3000)


@pytest.mark.parametrize(
    ("count", "pool", "fixed"),
    [(4, {2, 3, 8, 9}, {0, 5}), (1, {0, 5}, set()), (8, {1, 4, 6, 7, 10, 11}, {0, 2, 3, 5, 8, 9})],
)
def test_crossover_is_uniform_among_the_children_it_may_have(count: int, pool: set[int], fixed: set[int]) -> None:
    first, second = mask_of(12, 0, 2, 3, 5), mask_of(12, 0, 5, 8, 9)
    outcomes = subsets(pool, count - len(fixed), fixed)
    assert_uniform(lambda rng: crossover(first, second, rng, [count]), outcomes, 3000)


def test_a_single_move_is_uniform_over_connections_and_empty_positions() -> None:
    mask = mask_of(8, 1, 2, 6)
    outcomes = [
        frozenset({1, 2, 6} - {gone} | {new}) for gone in (1, 2, 6) for new in set(range(8)) - {1, 2, 6}
    ]
    assert_uniform(lambda rng: swap_mutation(mask, 1e-12, rng), outcomes, 4000)


def test_the_forced_move_falls_on_any_movable_connection_of_the_network_alike() -> None:
    rng = np.random.default_rng(3)
    layers = [empty_layer("dense", 1, 5), empty_layer("a", 2, 10), empty_layer("none", 3, 3), empty_layer("b", 5, 20)]
    parent = random_mask(layers, [5, 4, 0, 12], rng)
    moved = Counter()
    for _ in range(2000):
        child = swap_mutation(parent, 1e-12, rng)
        moved.update(i for i, layer in enumerate(child.layers) if layer != parent.layers[i])
    assert set(moved) == {1, 3} and sum(moved.values()) == 2000
    assert chisquare([moved[1], moved[3]], [500, 1500]).pvalue > 0.001


def test_the_number_of_moves_is_binomial() -> None:
    rng = np.random.default_rng(4)
    parent = random_mask([empty_layer("fc", 20, 20)], [40], rng)
    moves = Counter(
        len(set(parent.connections[0].tolist()) - set(swap_mutation(parent, 0.1, rng).connections[0].tolist()))
        for _ in range(3000)
    )
    expected = binom.pmf(np.arange(41), 40, 0.1)
    expected[1] += expected[0]  # a mutant without a move is given one
    observed = [*(moves[count] for count in range(1, 9)), sum(moves[count] for count in range(9, 41))]
    assert moves[0] == 0
    assert chisquare(observed, 3000 * np.array([*expected[1:9], expected[9:].sum()])).pvalue > 0.001


def test_the_pattern_of_exchanged_layers_is_uniform() -> None:
    rng = np.random.default_rng(5)
    layers = [empty_layer(name, 2, 2) for name in "abc"]
    first, second = random_mask(layers, [1, 1, 1], rng), random_mask(layers, [2, 2, 2], rng)
    seen = Counter(exchange_layers(first, second, rng).counts for _ in range(1200))
    assert len(seen) == 6 and chisquare(list(seen.values())).pvalue > 0.001


def test_every_position_of_a_large_sparse_layer_is_equally_likely() -> None:
    """The path that draws with replacement: density by stretch of positions, for new, grown and moved connections."""
    rng = np.random.default_rng(6)
    mask = random_mask([empty_layer("fc", 1000, 1000)], [20_000], rng)
    grown = resize(mask, [40_000], rng)
    moved = swap_mutation(mask, 0.5, rng)
    before = mask.connections[0]
    for positions in (before, *(np.setdiff1d(new.connections[0], before) for new in (grown, moved))):
        assert chisquare(np.bincount(positions // 20_000, minlength=50)).pvalue > 0.001


def test_memory_follows_the_connections_and_not_the_dense_size() -> None:
    rng = np.random.default_rng(0)
    layers = [empty_layer("wide", 20_000, 20_000)]
    connections = 40_000
    tracemalloc.start()
    try:
        first, second = (random_mask(layers, [connections], rng) for _ in range(2))
        child = swap_mutation(crossover(first, second, rng), 0.1, rng)
        grown = resize(child, [2 * connections], rng)
        assert Mask.from_bytes(random_submask(grown, [connections], rng).to_bytes()).counts == (connections,)
        assert len(child.key) == 32
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * connections < prod(layers[0].shape) / 40


def test_parents_that_do_not_fit_each_other_are_refused() -> None:
    rng = np.random.default_rng(0)
    mask, fewer, wider = mask_of(4, 0, 1), mask_of(4, 0), mask_of(5, 0, 1)
    for operator in (crossover, exchange_layers, lambda one, other, _: compose([one, other])):
        with pytest.raises(MaskMismatch, match=r"same layers, got fc \(1, 4\) and fc \(1, 5\)"):
            operator(mask, wider, rng)
    with pytest.raises(MaskMismatch, match=r"\(2,\) and \(1,\) connections per layer: state the child's 'counts'"):
        crossover(mask, fewer, rng)
    for masks in ([], [mask, mask]):
        with pytest.raises(MaskMismatch, match="one mask per layer"):
            compose(masks)


@pytest.mark.parametrize("counts", [[], [1, 1], [-1], [5]])
def test_counts_that_do_not_fit_the_layers_are_refused(counts: list[int]) -> None:
    rng = np.random.default_rng(0)
    mask = mask_of(4, 0, 1)
    for operator in (
        lambda: random_mask(mask.layers, counts, rng),
        lambda: random_submask(mask, counts, rng),
        lambda: resize(mask, counts, rng),
        lambda: crossover(mask, mask, rng, counts),
    ):
        with pytest.raises(MaskMismatch, match="one count per layer"):
            operator()


def test_a_sub_mask_larger_than_its_mask_is_refused() -> None:
    with pytest.raises(MaskMismatch, match=r"sub-mask of \(2,\) connections per layer cannot have \(3,\)"):
        random_submask(mask_of(4, 0, 1), [3], np.random.default_rng(0))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(SpecError, match="mutation rate from 0 to 1"):
        swap_mutation(mask_of(4, 0), rate, np.random.default_rng(0))


def test_the_adaptive_rate_rises_above_a_fifth_of_successes_and_falls_below() -> None:
    rate = AdaptiveRate(0.1)
    assert rate.updated(3, 10).rate == pytest.approx(0.1 / 0.85)
    assert rate.updated(1, 10).rate == pytest.approx(0.1 * 0.85)
    assert rate.updated(2, 10) == rate == rate.updated(0, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.just(20)), max_size=60))
def test_the_adaptive_rate_stays_within_its_bounds(history: list[tuple[int, int]]) -> None:
    rate = AdaptiveRate(0.05, minimum=0.01, maximum=0.2)
    for successes, trials in history:
        rate = rate.updated(successes, trials)
        assert 0.01 <= rate.rate <= 0.2


@pytest.mark.parametrize(
    "arguments", [{"rate": 0.6}, {"rate": 0.0}, {"rate": 0.1, "maximum": 1.5}, {"rate": 0.1, "factor": 1.0}]
)
def test_an_adaptive_rate_out_of_order_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="expected"):
        AdaptiveRate(**arguments)
