"""The counting of votes: right by slow loops, pure, exact beyond a byte, and the same by the product that GPUs use."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_strategies import ballots, beliefs, polled, pool, pools, slow_hits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evosparse.ensembles import Votes, tally
from evosparse.ensembles.tally import count_hits, count_right, count_soft, sum_pairs

SOME = settings(max_examples=60, deadline=None)
PRODUCT = "cpu:0"  # not "cpu", so that the product for GPUs is taken, here on the processor


def hits(votes: Votes, chosen: NDArray, weights: NDArray | None = None, device: str = "cpu") -> NDArray[np.int64]:
    return count_hits(votes.labels, votes.y, votes.classes, chosen, weights, device)


def soft(votes: Votes, chosen: NDArray, device: str = "cpu") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return count_soft(votes.probabilities, votes.y, chosen, device)


def some_of(votes: Votes, count: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((count, votes.members)) < 0.5


@SOME
@given(polled())
def test_a_majority_is_that_of_slow_loops(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    assert hits(votes, chosen).tolist() == slow_hits(votes, chosen, ballots(votes))


@SOME
@given(polled(), st.integers(0, 2**32 - 1), st.booleans())
def test_weighted_votes_are_those_of_slow_loops(given_: tuple[Votes, NDArray], seed: int, whole: bool) -> None:
    votes, chosen = given_
    rng = np.random.default_rng(seed)
    # Whole weights make ties, which other weights hardly do.
    weights = rng.integers(1, 4, votes.members).astype(np.float64) if whole else rng.random(votes.members)
    assert hits(votes, chosen, weights).tolist() == slow_hits(votes, chosen, ballots(votes, weights.tolist()))


@SOME
@given(polled(soft=True) | polled(soft=True, parts=4))
def test_the_mean_of_probabilities_is_that_of_slow_loops(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    found, true = soft(votes, chosen)
    assert found.tolist() == slow_hits(votes, chosen, beliefs(votes))
    for row, means in zip(chosen, true, strict=True):
        own = votes.probabilities[np.arange(len(votes.y)), :, votes.y][:, row].astype(np.float64)
        assert means == pytest.approx(own.mean(axis=1) if row.any() else np.zeros(len(votes.y)), rel=1e-14)


@pytest.mark.parametrize(
    ("labels", "decided"), [((2, 0), 0), ((2, 1), 1), ((1, 2, 2, 1), 1), ((3, 3, 0), 3), ((2,), 2)]
)
def test_ties_go_to_the_lowest_class(labels: tuple[int, ...], decided: int) -> None:
    names = tuple(map(str, range(len(labels))))
    votes = Votes(names, np.tile(np.array(labels, dtype=np.int16), (4, 1)), np.arange(4), 4)
    assert hits(votes, np.ones((1, len(labels)), dtype=bool)).tolist() == [np.eye(4, dtype=int)[decided].tolist()]


@pytest.mark.parametrize("device", ["cpu", PRODUCT])
@pytest.mark.parametrize("members", [255, 256, 300, 513])
def test_counts_beyond_a_byte_are_exact(members: int, device: str) -> None:
    # One vote decides between two halves; and of 256 votes more a byte would keep nothing.
    labels = np.zeros((3, members), dtype=np.int16)
    labels[0, : members // 2 + 1] = 1
    labels[1] = 1
    labels[2, :40] = 1
    votes = Votes(tuple(map(str, range(members))), labels, np.array([1, 1, 0]), 2)
    everybody = np.ones((1, members), dtype=bool)
    assert hits(votes, everybody, device=device).tolist() == [[1, 2]]
    large = pool(30, members, 4, members, skill=0.05)
    chosen = np.random.default_rng(members).random((3, members)) < 0.97
    assert hits(large, chosen, device=device).tolist() == slow_hits(large, chosen, ballots(large))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 511, 512, 513, 1100])
def test_however_many_candidates_each_is_given_what_it_is_given_alone(count: int) -> None:
    votes = pool(40, 11, 5, soft=True)
    chosen = some_of(votes, count)
    weights = np.random.default_rng(1).random(11)
    found, true = soft(votes, chosen)
    together = (hits(votes, chosen), hits(votes, chosen, weights), found, true, count_right(votes.right, chosen))
    for row in {0, count // 2, count - 1}:
        one = chosen[[row]]
        alone = (hits(votes, one), hits(votes, one, weights), *soft(votes, one), count_right(votes.right, one))
        assert all(np.array_equal(own[0], all_[row]) for own, all_ in zip(alone, together, strict=True))


@SOME
@given(polled(soft=True), st.randoms(use_true_random=False))
def test_a_candidate_does_not_depend_on_those_beside_it_to_the_last_bit(
    given_: tuple[Votes, NDArray], random: object
) -> None:
    votes, chosen = given_
    order = random.sample(range(len(chosen)), random.randint(1, len(chosen)))
    weights = np.random.default_rng(len(order)).random(votes.members)
    assert np.array_equal(hits(votes, chosen, weights)[order], hits(votes, chosen[order], weights))
    for whole, part in zip(soft(votes, chosen), soft(votes, chosen[order]), strict=True):
        assert np.array_equal(whole[order], part)


@pytest.mark.parametrize("device", ["cpu", PRODUCT])
def test_an_empty_ensemble_decides_nothing_rightly_not_even_the_lowest_class(device: str) -> None:
    votes = pool(50, 3, 2, soft=True)
    chosen = np.array([[False] * 3, [True] * 3])
    found, true = soft(votes, chosen, device)
    assert hits(votes, chosen, device=device)[0].tolist() == [0, 0]
    assert hits(votes, chosen, np.ones(3), device)[0].tolist() == [0, 0]
    assert found[0].tolist() == [0, 0] and not true[0].any()
    assert hits(votes, chosen, device=device)[1].all() and found[1].all()


def test_a_member_alone_is_right_where_it_is_right() -> None:
    votes = pool(60, 8, 4, soft=True)
    alone = np.eye(8, dtype=bool)
    expected = [np.bincount(votes.y[votes.right[:, member]], minlength=4) for member in range(8)]
    assert np.array_equal(hits(votes, alone), expected)
    assert np.array_equal(soft(votes, alone)[0], expected)


def test_no_candidates_are_no_hits() -> None:
    votes = pool(5, 3, 2, soft=True)
    nobody = np.zeros((0, 3), dtype=bool)
    assert hits(votes, nobody).shape == (0, 2) == soft(votes, nobody)[0].shape


@SOME
@given(polled(soft=True, parts=64), st.integers(1, 200))
def test_the_product_for_gpus_is_exact_for_votes_and_for_parts_of_two(
    given_: tuple[Votes, NDArray], cells: int
) -> None:
    votes, chosen = given_
    weights = np.random.default_rng(cells).integers(1, 129, votes.members) / 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "_CELLS", cells)  # so that it goes in several steps
        assert np.array_equal(hits(votes, chosen), hits(votes, chosen, device=PRODUCT))
        assert np.array_equal(hits(votes, chosen, weights), hits(votes, chosen, weights, PRODUCT))
        for compiled, product in zip(soft(votes, chosen), soft(votes, chosen, PRODUCT), strict=True):
            assert np.array_equal(compiled, product)


@SOME
@given(polled())
def test_members_that_are_right_are_counted_one_by_one(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    expected = [[sum(right[row].tolist()) for right in votes.right] for row in chosen]
    assert count_right(votes.right, chosen).tolist() == expected


@SOME
@given(pools(), st.integers(0, 2**32 - 1))
def test_the_mean_over_pairs_leaves_out_what_is_not_defined(votes: Votes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((votes.members, votes.members))
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    chosen = some_of(votes, 6, seed)
    for row, found in zip(chosen, sum_pairs(matrix, chosen), strict=True):
        members = np.flatnonzero(row)
        pairs = [matrix[first, second] for first in members for second in members if first < second]
        known = [value for value in pairs if not np.isnan(value)]
        assert found == pytest.approx(np.mean(known), abs=1e-12) if known else np.isnan(found)
