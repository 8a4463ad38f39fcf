"""CTRE: similarities against the dense formula, where connections grow in both forms, and constant counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parallel_toys import cohort, expect_equal_cohorts, trained

from evosparse.nets.activity import unit_activities
from evosparse.sparsify import Cohort, CTREseq, CTREsim
from evosparse.sparsify.dynamic import Exchange
from evosparse.sparsify.methods.ctre import CTRE, similarities, stalled, unit_vectors

FORMS = pytest.mark.parametrize("form", [CTREsim, CTREseq])


def formula(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """|sum_n a_np a_nq| / (||a_p|| ||a_q||) term by term, in float64."""
    out = np.zeros((len(after), len(before)))
    for q, mine in enumerate(after.astype(np.float64)):
        for p, theirs in enumerate(before.astype(np.float64)):
            norms = np.sqrt((mine**2).sum()) * np.sqrt((theirs**2).sum())
            out[q, p] = abs((mine * theirs).sum()) / norms if norms else 0
    return out


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.floats(1e-3, 1e3), st.integers(0, 2**32))
def test_similarities_are_the_dense_formula(n_in: int, n_out: int, examples: int, scale: float, seed: int) -> None:
    """CT2."""
    rng = np.random.default_rng(seed)
    before, after = (
        (scale * rng.standard_normal((units, examples))).astype(np.float32) for units in (n_in, n_out)
    )
    before[rng.random(n_in) < 0.3] = 0
    after = np.maximum(after, 0)
    found = similarities(unit_vectors(before), unit_vectors(after))
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found, formula(before, after), atol=1e-6)


def test_similarities_of_a_trained_network_are_the_dense_formula() -> None:
    """CT2, over the raw inputs, what is behind the ReLUs, and the softmax."""
    own = trained(CTREsim(), cohort())
    activities = unit_activities(own.network, own.connections[0], own.population.state(0), own.train.x)
    for before, after in zip(activities[:-1], activities[1:], strict=True):
        found = similarities(unit_vectors(before), unit_vectors(after))
        assert 0 <= found.min() <= found.max() <= 1
        np.testing.assert_allclose(found, formula(before, after), atol=1e-6)


@FORMS
def test_counts_are_constant_without_duplicates(form: type[CTRE]) -> None:
    """CT1, in short; the whole length is in the experiment."""

    class Watched(form):
        def update(self, exchange: Exchange, progress: float) -> None:
            before = [list(map(len, own)) for own in exchange.cohort.connections]
            super().update(exchange, progress)
            after = exchange.cohort.connections
            assert [list(map(len, own)) for own in after] == before
            assert all((np.diff(layer) > 0).all() for own in after for layer in own)
            seen.append(exchange.time)

    seen: list[int] = []
    own = cohort(epochs=30, sparsity=0.9)
    Watched().sparsify(own)
    assert seen == list(range(29))
    wanted = CTREsim().counts(own, 0)
    assert [tuple(map(len, every)) for every in own.connections] == [wanted, wanted]


def occasion(own: Cohort, number: int, layer: int, method: CTRE, count: int) -> Sequence[np.ndarray]:
    """Return, of one layer, what exists, what stays, what are candidates, and what grows."""
    existing = own.connections[number][layer]
    kept = existing[method.kept(own.population.weights(layer, number), count)]
    candidates = np.setdiff1d(np.arange(own.network.layers[layer].size), kept)
    return existing, kept, candidates, method.grown(Exchange(own, 0), number, layer, candidates, count)


def best_by_formula(own: Cohort, number: int, layer: int, candidates: np.ndarray, count: int) -> set[int]:
    activities = unit_activities(own.network, own.connections[number], own.population.state(number), own.train.x)
    scores = formula(activities[layer], activities[layer + 1]).reshape(-1)[candidates]
    order = np.lexsort((candidates, -scores))
    assert scores[order[count - 1]] > scores[order[count]] + 1e-6, "the example has a tie"
    return set(candidates[order[:count]].tolist())


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_most_similar_units_are_joined(layer: int) -> None:
    own = trained(CTREseq(), cohort(epochs=3))
    _, kept, candidates, grown = occasion(own, 1, layer, CTREseq(), 9)
    assert set(grown.tolist()) == best_by_formula(own, 1, layer, candidates, 9)
    assert not set(grown.tolist()) & set(kept.tolist())


def test_in_sim_what_was_just_dropped_gives_way_to_random_places() -> None:
    own = trained(CTREsim(), cohort(epochs=3))
    replaced = 0
    for layer in range(3):
        existing, kept, candidates, grown = occasion(own, 0, layer, CTREsim(), 12)
        chosen = best_by_formula(own, 0, layer, candidates, 12)
        fresh = chosen - set(existing.tolist())
        assert len(set(grown.tolist())) == 12 and not set(grown.tolist()) & set(kept.tolist())
        assert fresh <= set(grown.tolist())
        replaced += len(chosen) - len(fresh)
    assert replaced > 0, "the example shows nothing"


def test_in_seq_growth_is_random_once_validation_stands_still() -> None:
    own = trained(CTREseq(), cohort(epochs=3))
    grow = [occasion(own, 0, 1, CTREseq(patience=patience), 12)[3].tolist() for patience in (40, 1)]
    own._qualities = [np.zeros(2)] * 3  # the first is better than nothing, two are not better than that
    standing = [occasion(own, 0, 1, CTREseq(patience=patience), 12)[3].tolist() for patience in (3, 2)]
    assert sorted(standing[0]) == sorted(grow[0])
    assert set(standing[1]) != set(grow[0])


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 6))
def test_stalled_is_what_a_loop_over_epochs_says(qualities: list[int], patience: int) -> None:
    best, waited, wanted = -np.inf, 0, False
    for quality in qualities:
        best, waited = (quality, 0) if quality > best else (best, waited + 1)
        wanted |= waited >= patience
    assert stalled(np.array(qualities, float), patience) == wanted


@pytest.mark.parametrize("ties", ["index", "random"])
def test_silent_units_are_joined_where_no_others_are_left(ties: str) -> None:
    own = trained(CTREseq(), cohort(epochs=1, sparsity=0.9))
    method = CTREseq(zero_score_ties=ties)
    state = dict(own.population.state(0))
    state["hidden1.bias"] = np.full(20, -100, np.float32)  # all of hidden1 is silent
    own.population.load(0, state)
    *_, candidates, grown = occasion(own, 0, 1, method, 7)
    assert len(set(grown.tolist())) == 7
    assert (sorted(grown.tolist()) == candidates[:7].tolist()) == (ties == "index")


@FORMS
def test_a_network_is_the_same_alone_and_among_others(form: type[CTRE]) -> None:
    both = trained(form(), cohort(numbers=(0, 1))).results()
    alone = trained(form(), cohort(numbers=(1,))).results()[0]
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(both[1].connections, alone.connections, strict=True))
    assert all(np.array_equal(both[1].state[name], alone.state[name]) for name in alone.state)


def test_scores_of_a_sample_are_those_of_that_sample() -> None:
    few, every, all_ = (CTREsim(score_samples=count) for count in (10, 83, None))
    expect_equal_cohorts(trained(every, cohort()), trained(every, cohort()))
    same = [trained(method, cohort()).connections[0] for method in (few, all_)]
    assert any(not np.array_equal(mine, theirs) for mine, theirs in zip(*same, strict=True))
