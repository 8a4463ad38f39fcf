"""The rules of a vote: ties, weights and probabilities, that deciding and counting agree, and what is refused."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from ensemble_strategies import ballots, beliefs, polled, pool, pools, slow_hits
from hypothesis import given, settings
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.metrics import balanced_accuracy_score, log_loss

from evosparse.ensembles import Chamber, Votes, VoteSpec
from evosparse.ensembles.votes import BadVotes

SOME = settings(max_examples=60, deadline=None)
RULES = {
    "majority": VoteSpec(),
    "accuracy_weighted ties": VoteSpec(ties="accuracy_weighted"),
    "log odds": VoteSpec(rule="weighted"),
    "accuracies": VoteSpec(rule="weighted", weights="accuracy"),
    "soft": VoteSpec(rule="soft"),
}


@pytest.mark.parametrize("name", RULES)
@SOME
@given(polled(soft=True) | polled(soft=True, parts=4))
def test_what_is_counted_is_what_is_decided(name: str, given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    chamber = Chamber.of(votes, RULES[name])
    for row, hits in zip(chosen, chamber.tally(chosen).hits, strict=True):
        if row.any():
            right = chamber.decide(row) == votes.y
            assert hits.tolist() == np.bincount(votes.y[right], minlength=votes.classes).tolist()


@SOME
@given(polled())
def test_accuracies_decide_ties_and_nothing_else(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    # Fractions, because classes may be equal to the last bit only there: these go to the lowest.
    small = [Fraction(int(right), len(votes.y) * (votes.members + 1)) for right in votes.right.sum(axis=0)]
    expected = slow_hits(votes, chosen, ballots(votes, [1 + share for share in small]))
    assert Chamber.of(votes, RULES["accuracy_weighted ties"]).tally(chosen).hits.tolist() == expected


def test_of_two_classes_with_as_many_votes_that_of_the_better_members_wins() -> None:
    # The last two are right three times of four, the first two once; on the first example each pair has its own class.
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=np.int16)
    votes = Votes(("a", "b", "c", "d"), labels, np.array([1, 1, 1, 0]), 2)
    everybody = np.ones(4, dtype=bool)
    assert Chamber.of(votes, RULES["majority"]).decide(everybody).tolist() == [0] * 4
    chamber = Chamber.of(votes, RULES["accuracy_weighted ties"])
    assert chamber.decide(everybody).tolist() == [1] * 4
    outvoted = np.array([True, True, False, True])
    assert chamber.decide(outvoted).tolist() == [0] * 4


def test_sums_of_accuracies_that_are_equal_stay_equal_whatever_rounding_does() -> None:
    # 0 + 0.9 and 0.3 + 0.6, which floating point adds to different sums.
    labels = np.array([[place >= hits for hits in (0, 9, 3, 6)] for place in range(10)], dtype=np.int16)
    chamber = Chamber.of(Votes(tuple("abcd"), labels, np.zeros(10, dtype=np.int64), 2), RULES["accuracy_weighted ties"])
    tied = Votes(tuple("abcd"), np.array([[0, 0, 1, 1], [1, 1, 0, 0]], dtype=np.int16), np.zeros(2, dtype=np.int64), 2)
    assert chamber.elsewhere(tied).decide(np.ones(4, dtype=bool)).tolist() == [0, 0]


@SOME
@given(pools())
def test_weights_are_the_smoothed_log_odds_with_errors_spread_over_the_other_classes(votes: Votes) -> None:
    weights = Chamber.of(votes, RULES["log odds"]).weights
    n = len(votes.y)
    for right, weight in zip(votes.right.sum(axis=0).tolist(), weights, strict=True):
        odds = math.log((right + 1) / (n - right + 1)) + math.log(votes.classes - 1)
        assert weight == pytest.approx(max(odds, 1e-6), rel=1e-9, abs=1e-12)
    assert np.array_equal(Chamber.of(votes, RULES["accuracies"]).weights, np.maximum(votes.accuracies, 1e-6))
    assert Chamber.of(votes, RULES["majority"]).weights is None


def test_a_member_no_better_than_guessing_never_outvotes_one_that_is() -> None:
    labels = np.zeros((40, 4), dtype=np.int16)
    labels[:, 0] = np.arange(40) % 2
    labels[:, 1:] = 1 - labels[:, :1]
    votes = Votes(("good", "bad", "worse", "worst"), labels, np.arange(40) % 2, 2)
    chamber = Chamber.of(votes, RULES["log odds"])
    assert (chamber.weights > 0).all()
    assert chamber.tally(np.ones((1, 4), dtype=bool)).accuracy.tolist() == [1.0]
    assert chamber.decide(np.array([False, True, True, False])).tolist() == labels[:, 1].tolist()


def test_elsewhere_members_keep_their_weights() -> None:
    search, other = pool(40, 6, 3, 0), pool(30, 6, 3, 1)
    chamber = Chamber.of(search, RULES["log odds"])
    moved = chamber.elsewhere(other)
    assert moved.weights is chamber.weights and not np.array_equal(moved.weights, Chamber.of(other, moved.rule).weights)
    chosen = np.random.default_rng(0).random((20, 6)) < 0.5
    assert moved.tally(chosen).hits.tolist() == slow_hits(other, chosen, ballots(other, chamber.weights.tolist()))


@SOME
@given(polled(soft=True))
def test_the_log_loss_is_that_of_scikit_learn(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    tally = Chamber.of(votes, RULES["soft"]).tally(chosen)
    assert tally.hits.tolist() == slow_hits(votes, chosen, beliefs(votes))
    for row, loss in zip(chosen, tally.log_loss, strict=True):
        if row.any():
            mean = votes.probabilities[:, row].astype(np.float64).mean(axis=1)
            mean /= mean.sum(axis=1, keepdims=True)  # which float32 keeps to seven digits
            # Absolute, because what float32 leaves of a sum of 1 is as much of a small loss as of a large one.
            assert loss == pytest.approx(log_loss(votes.y, mean, labels=range(votes.classes)), rel=1e-6, abs=3e-7)
    assert Chamber.of(votes, RULES["majority"]).tally(chosen).log_loss is None


def test_a_true_class_without_probability_costs_much_and_not_infinitely() -> None:
    shares = np.array([[[1, 0]]], dtype=np.float32)
    votes = Votes(("sure",), np.array([[0]], dtype=np.int16), np.array([1]), 2, shares)
    loss = Chamber.of(votes, RULES["soft"]).tally(np.array([[True], [False]])).log_loss
    assert loss.tolist() == pytest.approx([15 * math.log(10)] * 2)


@SOME
@given(polled())
def test_the_accuracies_are_those_of_scikit_learn(given_: tuple[Votes, NDArray]) -> None:
    votes, chosen = given_
    chamber = Chamber.of(votes, RULES["majority"])
    tally = chamber.tally(chosen)
    for row, plain, balanced in zip(chosen, tally.accuracy, tally.balanced_accuracy, strict=True):
        if row.any():
            decided = chamber.decide(row)
            assert plain == pytest.approx((decided == votes.y).mean())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes that are decided for and have no examples
                assert balanced == pytest.approx(balanced_accuracy_score(votes.y, decided))


@pytest.mark.parametrize("name", RULES)
def test_the_shares_of_a_vote_sum_to_one_and_its_decision_has_the_greatest(name: str) -> None:
    votes = pool(50, 7, 4, soft=True)
    chamber = Chamber.of(votes, RULES[name])
    row = np.array([True, False, True, True, False, True, True])
    shares = chamber.shares(row)
    assert shares.shape == (50, 4) and shares.sum(axis=1) == pytest.approx(np.ones(50))
    assert np.array_equal(shares.argmax(axis=1), chamber.decide(row))
    if name == "majority":
        counts = [np.bincount(said[row], minlength=4) for said in votes.labels]
        assert shares == pytest.approx(np.array(counts) / 5)


def test_some_members_are_the_same_as_the_rest_left_out() -> None:
    votes = pool(40, 6, 3, soft=True)
    part = votes.only([4, 1])
    assert part.names == ("m4", "m1") and np.array_equal(part.right, votes.right[:, [4, 1]])
    whole = np.isin(np.arange(6), [1, 4])[None]
    for rule in (RULES["majority"], RULES["soft"]):
        own = Chamber.of(part, rule).tally(np.ones((1, 2), dtype=bool))
        assert np.array_equal(own.hits, Chamber.of(votes, rule).tally(whole).hits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("a", "a")}, "a name of its own"),
        ({"names": ()}, "at least one member"),
        ({"labels": np.zeros((3, 3), dtype=np.int16)}, r"shape \(examples, members\) = \(3, 2\), got \(3, 3\)"),
        ({"labels": np.full((3, 2), 2, dtype=np.int16)}, "votes from 0 to 1, got 2 to 2"),
        ({"y": np.array([0, -1, 1])}, "true classes from 0 to 1, got -1 to 1"),
        ({"y": np.array([], dtype=np.int64), "labels": np.zeros((0, 2), dtype=np.int16)}, "expected votes"),
        ({"probabilities": np.zeros((3, 2, 3), dtype=np.float32)}, r"= \(3, 2, 2\), got \(3, 2, 3\)"),
    ],
)
def test_votes_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    fine = {"names": ("a", "b"), "labels": np.zeros((3, 2), dtype=np.int16), "y": np.array([0, 1, 1]), "classes": 2}
    Votes(**fine)
    with pytest.raises(BadVotes, match=message):
        Votes(**(fine | change))


def test_rules_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(BadVotes, match="soft needs probabilities"):
        Chamber.of(pool(3, 2, 2), RULES["soft"])
    with pytest.raises(ValidationError, match="accuracy_weighted breaks those of a majority"):
        VoteSpec(rule="weighted", ties="accuracy_weighted")
