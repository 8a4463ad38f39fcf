"""Where searches begin: the probabilities of each way, and that ensembles are drawn with them."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble_strategies import pool
from pydantic import ValidationError

from evosparse.ensembles import Bench, Initialisation, Votes, greedy_selection

VOTES = pool(120, 9, 3, skill=0.4)
BENCH = Bench(VOTES)
WAYS = ("random", "accuracy", "diversity", "size", "greedy")
DRAWS = 20_000


@pytest.mark.parametrize("by", WAYS)
def test_members_are_drawn_with_their_probabilities(by: str) -> None:
    start = Initialisation(by=by, low=0.1, high=0.7)
    expected = start.marginals(BENCH)
    if by == "size":  # all sizes from 1 to 9 alike: five of nine on the average
        expected = np.full(9, 5 / 9)
    found = start.draw(BENCH, DRAWS, np.random.default_rng(0)).mean(axis=0)
    assert found == pytest.approx(expected, abs=4 * 0.5 / DRAWS**0.5)


@pytest.mark.parametrize(
    ("by", "values"), [("accuracy", VOTES.accuracies), ("diversity", BENCH.diversity("q").of_members())]
)
def test_ranks_are_spread_evenly_from_low_to_high(by: str, values: np.ndarray) -> None:
    marginals = Initialisation(by=by, low=0.2, high=0.8, diversity="q").marginals(BENCH)
    assert marginals.min() == pytest.approx(0.2) and marginals.max() == pytest.approx(0.8)
    for first in range(9):
        for second in range(9):
            assert np.sign(values[first] - values[second]) == np.sign(round(marginals[first] - marginals[second], 12))
    if len(set(values)) == 9:
        assert np.diff(np.sort(marginals)) == pytest.approx(np.full(8, 0.6 / 8))


def test_members_of_equal_rank_have_equal_probability() -> None:
    twins = Bench(Votes(("a", "b", "c"), VOTES.labels[:, [0, 0, 1]], VOTES.y, 3))
    marginals = Initialisation(by="accuracy").marginals(twins)
    assert marginals[0] == marginals[1] != marginals[2]
    assert np.mean(marginals) == pytest.approx(0.5)


def test_a_pool_of_one_takes_its_only_member_with_the_high_probability() -> None:
    assert Initialisation(by="accuracy", high=0.9).marginals(Bench(VOTES.only([3]))).tolist() == [0.9]


def test_the_greedy_start_begins_with_the_greedy_selection() -> None:
    greedy = greedy_selection(VOTES) > 0
    start = Initialisation(by="greedy", low=0.0, high=1.0)
    drawn = start.draw(BENCH, 5, np.random.default_rng(0))
    assert (drawn == greedy).all()
    loose = Initialisation(by="greedy").draw(BENCH, 50, np.random.default_rng(0))
    assert np.array_equal(loose[0], greedy) and not (loose == greedy).all()


def test_sizes_are_drawn_alike_and_never_nobody() -> None:
    sizes = Initialisation(by="size").draw(BENCH, DRAWS, np.random.default_rng(0)).sum(axis=1)
    counts = np.bincount(sizes, minlength=10)
    assert counts[0] == 0
    spread = (DRAWS * (1 / 9) * (8 / 9)) ** 0.5
    assert np.abs(counts[1:] - DRAWS / 9).max() < 4 * spread


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValidationError, match="low .* must not be above high"):
        Initialisation(low=0.8, high=0.2)
