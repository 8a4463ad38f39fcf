"""Every learner fits and votes, bootstrap and features really resample, and a member that votes wrongly is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.members import LEARNERS, Fitted, Member, MemberSpec, find_members
from evosparse.ensembles.pool import POOLS

X, Y = load_iris(return_X_y=True)
NAMES = ("setosa", "versicolor", "virginica")


class Spy(ClassifierMixin, BaseEstimator):
    """Remembers what it is fitted to; says the first of its classes."""

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, x: NDArray, y: NDArray) -> Spy:
        self.seen, self.classes_ = (x, y), np.unique(y)
        return self

    def predict(self, x: NDArray) -> NDArray:
        self.asked = x
        return np.full(len(x), self.classes_[0])


class Says(ClassifierMixin, BaseEstimator):
    """Has its classes and says what it is told to."""

    def __init__(self, classes: Sequence[object], voted: object, shares: object = None) -> None:
        self.classes_ = np.array(classes)
        self.voted = voted
        if shares is not None:
            self.predict_proba = lambda x: np.tile(shares, (len(x), 1))

    def predict(self, x: NDArray) -> NDArray:
        return np.array([self.voted] * len(x))


def fit(spec: MemberSpec, key: int = 0, x: NDArray = X, y: NDArray = Y) -> Fitted:
    (member,) = find_members([spec])
    return member.fit(x, y, SeedKey(key), NAMES)


def spied(**settings: object) -> Spy:
    """The spy of a member with these settings, after it was fitted and asked."""
    fitted = Member("spy", MemberSpec(learner="tree", **settings), Spy).fit(X, Y, SeedKey(5), NAMES)
    fitted.labels(X)
    return fitted.estimator


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_fits_and_votes(learner: str) -> None:
    fitted = fit(MemberSpec(learner=learner))
    labels = fitted.labels(X)
    shares = fitted.probabilities(X, labels)
    assert labels.shape == Y.shape and np.isin(labels, Y).all()
    assert shares.shape == (len(Y), 3) and np.allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (labels == Y).mean() > (0.3 if learner == "constant" else 0.8)
    assert np.array_equal(fit(MemberSpec(learner=learner)).labels(X), labels)


def test_a_learner_is_fitted_as_by_hand() -> None:
    fitted = fit(MemberSpec(learner="tree", settings={"max_depth": 2}), key=3)
    tree = DecisionTreeClassifier(max_depth=2, random_state=SeedKey(3).integer() % 2**32).fit(X, Y)
    assert np.array_equal(fitted.labels(X), tree.predict(X))
    assert np.array_equal(fitted.probabilities(X, fitted.labels(X)), tree.predict_proba(X).astype(np.float32))


def test_without_resampling_a_member_sees_all_examples_as_they_are() -> None:
    spy = spied()
    assert np.array_equal(spy.seen[0], X) and np.array_equal(spy.seen[1], Y) and np.array_equal(spy.asked, X)


def test_a_bootstrap_draws_as_many_examples_with_replacement() -> None:
    x, y = spied(bootstrap=True).seen
    numbers = np.arange(len(Y))[:, None].astype(float)
    drawn = Member("spy", MemberSpec(learner="tree", bootstrap=True), Spy).fit(numbers, Y, SeedKey(5), NAMES)
    rows = drawn.estimator.seen[0][:, 0].astype(int)
    assert len(rows) == len(Y) and 0.5 < len(set(rows.tolist())) / len(Y) < 0.75  # 1 - 1/e of them
    assert np.array_equal(x, X[rows]) and np.array_equal(y, Y[rows])


@given(st.floats(0.01, 1.0), st.integers(1, 40), st.integers(0, 2**31))
def test_a_subspace_is_that_share_of_the_features_fitted_and_asked(share: float, width: int, seed: int) -> None:
    x = np.tile(np.arange(width, dtype=float), (6, 1))
    y = np.array([0, 1, 2, 0, 1, 2])
    fitted = Member("spy", MemberSpec(learner="tree", features=share), Spy).fit(x, y, SeedKey(seed), NAMES)
    columns = fitted.estimator.seen[0][0].astype(int).tolist()
    fitted.labels(x)
    assert len(columns) == max(1, round(share * width)) and columns == sorted(set(columns))
    assert fitted.estimator.asked[0].astype(int).tolist() == columns


@pytest.mark.parametrize("settings", [{"bootstrap": True}, {"features": 0.5}, {"bootstrap": True, "features": 0.5}])
def test_copies_differ_and_each_is_repeatable(settings: dict[str, object]) -> None:
    members = find_members([MemberSpec(learner="tree", copies=4, **settings)])
    assert len({member.name for member in members}) == 4

    def votes(member: Member) -> bytes:
        fitted = member.fit(X, Y, SeedKey(1).child(member.name), NAMES)
        return fitted.probabilities(X, fitted.labels(X)).tobytes()

    assert len({votes(member) for member in members}) > 1
    assert [votes(member) for member in members] == [votes(member) for member in members]


def test_every_random_state_is_set_also_those_inside_a_pipeline() -> None:
    def make() -> BaseEstimator:
        return make_pipeline(StandardScaler(), Spy())

    fitted = Member("spy", MemberSpec(learner="tree"), make).fit(X, Y, SeedKey(4), NAMES)
    assert fitted.estimator[-1].random_state == SeedKey(4).integer() % 2**32


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (MemberSpec(learner="tree"), ["tree"]),
        (MemberSpec(learner="tree", settings={"max_depth": 3}), ["tree max_depth=3"]),
        (MemberSpec(learner="tree", bootstrap=True, features=0.5), ["bagged subspace tree"]),
        (MemberSpec(learner="somewhere.py:oak", copies=2), ["oak #1", "oak #2"]),
        (MemberSpec(learner="tree", name="oak", settings={"max_depth": 3}), ["oak"]),
    ],
)
def test_a_member_is_named_by_what_it_is(spec: MemberSpec, names: list[str]) -> None:
    assert [name for name, _ in spec.named()] == names


@pytest.mark.parametrize("pool", POOLS)
def test_the_members_of_a_named_pool_have_names_of_their_own(pool: str) -> None:
    members = find_members(POOLS[pool])
    assert len(members) == 26 == len({member.name for member in members})


def test_classes_that_were_not_seen_get_no_probability() -> None:
    kept = Y != 1
    fitted = fit(MemberSpec(learner="naive_bayes"), x=X[kept], y=Y[kept])
    labels = fitted.labels(X)
    assert set(labels.tolist()) == {0, 2} and not fitted.probabilities(X, labels)[:, 1].any()


def test_one_class_alone_is_said_always() -> None:
    fitted = fit(MemberSpec(learner="rbf_svm"), x=X[Y == 2], y=Y[Y == 2])
    assert (fitted.labels(X) == 2).all() and (fitted.probabilities(X, fitted.labels(X))[:, 2] == 1).all()


def test_a_fitted_classifier_may_know_classes_by_name_in_its_own_order() -> None:
    other = np.array(["Iris " + name for name in NAMES])
    names = (other[2], other[0], other[1])  # classes in an order that is not the alphabet's
    trained = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, other[Y])
    fitted = Member("own", MemberSpec(learner="own.py:make", fitted=True), lambda: trained).fit(X, Y, SeedKey(0), names)
    labels = fitted.labels(X)
    assert np.array_equal(np.array(names)[labels], trained.predict(X))
    shares = fitted.probabilities(X, labels)
    assert np.array_equal(shares[:, [1, 2, 0]], trained.predict_proba(X).astype(np.float32))


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        (Says(["setosa", "rose"], "rose"), "expected classes among setosa, versicolor, virginica, .* 'rose'"),
        (Says(["setosa", "virginica"], "rose"), "something else than one of the classes"),
        (Says([0, 1], 2), "something else than one of the classes"),
        (Says([0, 1], -1), "something else than one of the classes"),
        (Says([0, 1], float("nan")), "something else than one of the classes"),
        (Says([0, 1], [0, 1]), "something else than one of the classes"),
        (Says([0, 1], 1, [0.5, float("nan")]), "NaN or infinity"),
        (Says([0, 1], 1, [0.2, 0.3, 0.5]), "could not be broadcast|shape mismatch"),
    ],
)
def test_votes_for_what_is_no_class_are_refused(estimator: BaseEstimator, told: str) -> None:
    fitted = Fitted(estimator, None, NAMES)
    with pytest.raises(ValueError, match=told):
        fitted.probabilities(X, fitted.labels(X))
