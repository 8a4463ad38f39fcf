"""Greedy selection: the steps that slow loops take, the best of them, and never worse than the best single member."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_strategies import pool, pools
from hypothesis import given, settings
from hypothesis import strategies as st

from evosparse.ensembles import Votes, greedy_selection

SOME = settings(max_examples=60, deadline=None)


def right(votes: Votes, taken: list[int]) -> int:
    """Count the examples that the majority of members, who may stand there twice, decides rightly."""
    hits = 0
    for said, true in zip(votes.labels[:, taken].tolist(), votes.y.tolist(), strict=True):
        counts = [said.count(label) for label in range(votes.classes)]
        hits += counts.index(max(counts)) == true
    return hits


def slow_greedy(votes: Votes, steps: int, replacement: bool) -> list[int]:
    """Caruana's selection in loops; the best step, the first of equals."""
    taken: list[int] = []
    history = []
    for _ in range(steps):
        able = [member for member in range(votes.members) if replacement or member not in taken]
        if able:
            taken = [*taken, max(able, key=lambda member: right(votes, [*taken, member]))]
            history.append(taken)
    best = max(history, key=lambda step: right(votes, step))
    return [best.count(member) for member in range(votes.members)]


@SOME
@given(pools(members=6), st.integers(1, 8), st.booleans())
def test_each_step_adds_what_slow_loops_add(votes: Votes, steps: int, replacement: bool) -> None:
    assert greedy_selection(votes, steps, replacement).tolist() == slow_greedy(votes, steps, replacement)


@SOME
@given(pools())
def test_it_is_never_worse_than_the_best_single_member(votes: Votes) -> None:
    taken = np.repeat(np.arange(votes.members), greedy_selection(votes))
    assert right(votes, taken.tolist()) >= votes.right.sum(axis=0).max()


def test_it_returns_its_best_step_and_not_its_last() -> None:
    # The first member is always right; without replacement the others soon outvote it.
    labels = np.ones((10, 6), dtype=np.int16)
    labels[:, 0] = 0
    votes = Votes(tuple("abcdef"), labels, np.zeros(10, dtype=np.int64), 2)
    assert greedy_selection(votes, 6, replacement=False).tolist() == [1, 0, 0, 0, 0, 0]
    assert greedy_selection(votes, 6).tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_without_replacement_nobody_votes_twice(seed: int) -> None:
    votes = pool(80, 10, 3, seed)
    assert greedy_selection(votes, 50, replacement=False).max() == 1
    assert greedy_selection(votes, 50).sum() <= 50


def test_among_equals_the_first_is_taken() -> None:
    labels = np.tile(np.array([1, 0, 0], dtype=np.int16), (5, 1))
    assert greedy_selection(Votes(("a", "b", "c"), labels, np.zeros(5, dtype=np.int64), 2)).tolist() == [0, 1, 0]
