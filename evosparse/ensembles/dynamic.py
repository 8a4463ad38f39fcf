"""Dynamic selection by DESlib: for each example anew, the members that were right on examples like it.

Cruz, Hafemann, Sabourin and Cavalcanti, "DESlib: A Dynamic ensemble selection library in Python", JMLR 21(8), 2020. An optional
extra; its methods ask classifiers, so the recorded votes are dressed as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import validate_data

from evosparse.ensembles.votes import Votes

DYNAMIC = {
    "knora_e": ("deslib.des", "KNORAE"),
    "knora_u": ("deslib.des", "KNORAU"),
    "des_p": ("deslib.des", "DESP"),
    "meta_des": ("deslib.des", "METADES"),
    "ola": ("deslib.dcs", "OLA"),
}


def installed() -> bool:
    """Whether DESlib is there."""
    return find_spec("deslib") is not None


def decide(
    method: str, votes: Votes, x: NDArray, test: Votes, x_test: NDArray, seed: int
) -> NDArray[np.int64]:
    """Decide test examples by dynamic selection among all members.

    Args:
        method: a key of `DYNAMIC`.
        votes: on the examples by which competence is judged.
        x: (n, features) these examples.
        test: votes on the test examples; their true classes are not looked at.
        x_test: (n_test, features) these examples.
        seed: of what the method draws.

    Returns:
        (n_test,) class indices.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DESlib's own, of numpy's and scikit-learn's former ways
        base = _selector(method)
        # DESlib knows the classes that it sees, and counts them from 0.
        present, y = np.unique(votes.y, return_inverse=True)
        said = [_said(votes, x, test, x_test, member, present) for member in range(votes.members)]
        pool = [_Recorded(answers, len(present)) for answers in said]
        selector = base(pool_classifiers=pool, k=min(7, len(x) - 1), random_state=seed % 2**32)
        selector.fit(x.astype(np.float64), y)
        return present[np.asarray(selector.predict(x_test.astype(np.float64)), dtype=np.int64)]


def _selector(method: str) -> type:
    from importlib import import_module

    module, name = DYNAMIC[method]
    base = getattr(import_module(module), name)

    class Selector(base):
        """DESlib 0.3 calls a method of scikit-learn that became a function in its version 1.6."""

        def _validate_data(self, *arrays: object, **settings: object) -> object:
            renamed = {"force_all_finite": "ensure_all_finite"}
            return validate_data(self, *arrays, **{renamed.get(name, name): value for name, value in settings.items()})

    return Selector


class _Recorded(ClassifierMixin, BaseEstimator):
    """A classifier that says what it is recorded to have said of each example.

    Args:
        answers: by the bytes of an example, its label and its probabilities.
        classes: number of classes.
    """

    def __init__(self, answers: Mapping[bytes, tuple[int, NDArray[np.float64]]], classes: int) -> None:
        self.answers = answers
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, x: NDArray, y: NDArray) -> _Recorded:
        """Learn nothing."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, x: NDArray) -> NDArray[np.int64]:
        """Return the recorded labels."""
        return np.array([self.answers[_bytes(row)][0] for row in x])

    def predict_proba(self, x: NDArray) -> NDArray[np.float64]:
        """Return the recorded probabilities."""
        return np.array([self.answers[_bytes(row)][1] for row in x], dtype=np.float64)


def _said(
    votes: Votes, x: NDArray, test: Votes, x_test: NDArray, member: int, present: NDArray[np.int64]
) -> dict[bytes, tuple[int, NDArray[np.float64]]]:
    """Return what a member says of each example, among the classes that are present."""
    answers = {}
    # The examples of competence come last: what is said of one that is in both parts was said without having seen it.
    for part, rows in ((test, x_test), (votes, x)):
        votes_of = part.labels[:, member]
        whole = np.eye(part.classes)[votes_of] if part.probabilities is None else part.probabilities[:, member]
        shares = whole[:, present] + 1e-9  # of a vote for a class that is not there something must be left
        shares = shares / shares.sum(axis=1, keepdims=True)
        places = np.minimum(np.searchsorted(present, votes_of), len(present) - 1)
        labels = np.where(present[places] == votes_of, places, shares.argmax(axis=1))
        for row, label, share in zip(rows, labels, shares, strict=True):
            answers[_bytes(row)] = (int(label), share)
    return answers


def _bytes(row: NDArray) -> bytes:
    return np.ascontiguousarray(row, dtype=np.float32).tobytes()
