"""Measures of diversity: by their definitions pair by pair, undefined where these are, and more diverse being more."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

from evosparse.ensembles import Diversity
from evosparse.ensembles.diversity import PAIRWISE, PairCounts

SOME = settings(max_examples=80, deadline=None)
NAMES = (*PAIRWISE, "entropy")


@st.composite
def judged(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Draw (n, members) who is right, with members that always or never are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, members = draw(st.integers(1, 20)), draw(st.integers(1, 7))
    return rng.random((n, members)) < rng.choice([0.0, 0.3, 0.5, 0.9, 1.0], size=members)


def ensembles(members: int) -> NDArray[np.bool_]:
    """Return all ensembles of some members, the empty one too."""
    return (np.arange(2**members)[:, None] >> np.arange(members) & 1).astype(bool)


def pair(name: str, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """A measure of one pair, by the definition."""
    a = b = c = d = 0
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        a, b, c, d = a + (one and other), b + (other and not one), c + (one and not other), d + (not one and not other)
    above, below = {
        "disagreement": (b + c, a + b + c + d),
        "double_fault": (d, a + b + c + d),
        "q": (a * d - b * c, a * d + b * c),
        "correlation": (a * d - b * c, math.sqrt((a + b) * (c + d) * (a + c) * (b + d))),
        "kappa": (2 * (a * d - b * c), (a + b) * (b + d) + (a + c) * (c + d)),
    }[name]
    return above / below if below else math.nan


def entropy(right: NDArray[np.bool_]) -> float:
    """Kuncheva and Whitaker's E of (n, L): the mean of min(l, L - l) / (L - ceil(L / 2)), where l are right."""
    size = right.shape[1]
    below = size - math.ceil(size / 2)
    return sum(min(sum(row), size - sum(row)) / below for row in right.tolist()) / len(right) if below else math.nan


def measure(name: str, right: NDArray[np.bool_]) -> float:
    """A measure of all members."""
    if name == "entropy":
        return entropy(right)
    values = [pair(name, right[:, first], right[:, second]) for first, second in combinations(range(right.shape[1]), 2)]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


@pytest.mark.parametrize("name", NAMES)
@SOME
@given(judged())
def test_the_diversity_of_every_ensemble_is_that_of_its_pairs(name: str, right: NDArray[np.bool_]) -> None:
    chosen = ensembles(right.shape[1])
    for row, found in zip(chosen, Diversity(name, right).of(chosen), strict=True):
        assert found == pytest.approx(measure(name, right[:, row]), abs=1e-12, nan_ok=True)


@SOME
@given(judged())
def test_all_examples_are_in_one_of_the_four_counts(right: NDArray[np.bool_]) -> None:
    counts = PairCounts.of(right)
    assert np.array_equal(
        counts.both + counts.second + counts.first + counts.neither, np.full(2 * right.shape[1:], len(right))
    )
    assert np.array_equal(counts.first, counts.second.T)
    assert np.array_equal(np.diag(counts.both), right.sum(axis=0)) and not np.diag(counts.first).any()


@SOME
@given(judged())
def test_kappa_and_correlation_are_those_of_scikit_learn(right: NDArray[np.bool_]) -> None:
    kappa, correlation = Diversity("kappa", right).pairs, Diversity("correlation", right).pairs
    for first, second in combinations(range(right.shape[1]), 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is not defined
            expected = cohen_kappa_score(right[:, first], right[:, second])
        if not np.isnan(kappa[first, second]):
            assert kappa[first, second] == pytest.approx(expected, abs=1e-12)
        if not np.isnan(correlation[first, second]):
            assert correlation[first, second] == pytest.approx(
                matthews_corrcoef(right[:, first], right[:, second]), abs=1e-12
            )


def test_what_a_pair_leaves_undefined_is_left_out_of_the_mean() -> None:
    always, never = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    some, other = np.array([True, True, False, False]), np.array([True, False, True, False])
    right = np.stack([always, some, other, never], axis=1)
    for name in ("q", "correlation"):
        diversity = Diversity(name, right)
        assert np.isnan(diversity.pairs[0, 1:]).all() and np.isnan(diversity.pairs[3, :3]).all()
        assert diversity.pairs[1, 2] == 0
        assert diversity.of(np.array([[True, True, True, True]])).tolist() == [0.0]
        assert np.isnan(diversity.of(np.array([[True, True, False, False]]))).all()
    assert np.isnan(Diversity("kappa", right[:, [0, 0]]).pairs).all()  # both are always right: nothing to agree beyond


@pytest.mark.parametrize("name", NAMES)
def test_fewer_than_two_members_have_no_diversity_and_gain_nothing_by_it(name: str) -> None:
    diversity = Diversity(name, np.random.default_rng(0).random((20, 3)) < 0.6)
    few = np.vstack([np.zeros((1, 3), dtype=bool), np.eye(3, dtype=bool)])
    assert np.isnan(diversity.of(few)).all() and diversity.gain(few).tolist() == [0.0] * 4


@pytest.mark.parametrize("name", NAMES)
def test_more_gain_is_more_diverse(name: str) -> None:
    # Twins err together, the others apart; all are right half of the time.
    twin = np.tile([True, False], 12)
    right = np.stack([twin, twin, ~twin, np.repeat([True, False], 12)], axis=1)
    diversity = Diversity(name, right)
    twins, strangers, opposites = diversity.gain(
        np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 1, 0]], dtype=bool)
    ).tolist()
    assert twins < strangers < opposites
    alike = diversity.of_members()
    assert alike[2] == max(alike[:3])  # it has no twin


def test_gains_are_the_measures_turned_where_less_is_more_diverse() -> None:
    right = np.random.default_rng(0).random((50, 5)) < 0.6
    chosen = ensembles(5)[7:8]
    gains = {name: float(Diversity(name, right).gain(chosen)[0]) for name in NAMES}
    values = {name: float(Diversity(name, right).of(chosen)[0]) for name in NAMES}
    assert gains == {
        "disagreement": values["disagreement"],
        "double_fault": 1 - values["double_fault"],
        "q": -values["q"],
        "correlation": -values["correlation"],
        "kappa": -values["kappa"],
        "entropy": values["entropy"],
    }


@pytest.mark.parametrize("name", NAMES)
@SOME
@given(judged())
def test_a_members_diversity_is_the_mean_over_its_pairs(name: str, right: NDArray[np.bool_]) -> None:
    measured, sign = (name, 1) if name == "disagreement" else ("disagreement", 1) if name == "entropy" else (name, -1)
    members = range(right.shape[1])
    for member, found in zip(members, Diversity(name, right).of_members(), strict=True):
        values = [pair(measured, right[:, member], right[:, other]) for other in members if other != member]
        known = [value for value in values if not math.isnan(value)]
        assert found == pytest.approx(sign * sum(known) / len(known) if known else 0.0, abs=1e-12)


def test_entropy_counts_more_members_than_a_byte_holds() -> None:
    right = np.random.default_rng(0).random((9, 301)) < 0.9
    everybody = np.ones((1, 301), dtype=bool)
    assert Diversity("entropy", right).of(everybody) == pytest.approx([entropy(right)])
