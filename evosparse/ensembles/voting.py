"""A fitted ensemble as a scikit-learn classifier, and how it is kept in a file without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import skops.io
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from evosparse.ensembles.members import Fitted
from evosparse.ensembles.votes import Chamber, Votes, VoteSpec
from evosparse.errors import BadInput

# Beside what skops itself trusts: types one by one, because in a whole package there may be something that does harm.
_TRUSTED = frozenset({
    "evosparse.ensembles.members.Fitted",
    "evosparse.ensembles.voting.VotingEnsemble",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
})  # fmt: skip
_DISTANCES = "sklearn.metrics._dist_metrics."


class BadExport(BadInput):
    """A file is no exported ensemble, or holds what must not be loaded unasked."""


class VotingEnsemble(ClassifierMixin, BaseEstimator):
    """Fitted members that vote.

    Args:
        members: the fitted members, each of which votes for class indices.
        names: of the members.
        class_names: of the classes; what `predict` returns.
        rule: ``majority``, ``weighted`` or ``soft``, as in `VoteSpec`.
        weights: (members,) of the votes; None for one each.
        facts: where it comes from, as text by name.
    """

    def __init__(
        self,
        members: Sequence[Fitted],
        names: Sequence[str],
        class_names: Sequence[object],
        rule: str = "majority",
        weights: ArrayLike | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.members = members
        self.names = names
        self.class_names = class_names
        self.rule = rule
        self.weights = weights
        self.facts = facts

    @property
    def classes_(self) -> NDArray:
        """(classes,) what `predict` chooses from."""
        return np.asarray(self.class_names)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, x: ArrayLike, y: ArrayLike) -> VotingEnsemble:
        """Do nothing, because the members are fitted."""
        return self

    def predict_proba(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the (n, classes) shares of the votes, or the mean probabilities if the rule is soft.

        Args:
            x: (n, features) inputs, prepared as those that the members were fitted to.
        """
        return self._chamber(x).shares(self._everybody)

    def predict(self, x: ArrayLike) -> NDArray:
        """Return the (n,) classes, ties to the first.

        Args:
            x: (n, features) inputs, prepared as those that the members were fitted to.
        """
        return self.classes_[self._chamber(x).decide(self._everybody)]

    @property
    def _everybody(self) -> NDArray[np.bool_]:
        return np.ones(len(self.members), dtype=bool)

    def _chamber(self, x: ArrayLike) -> Chamber:
        x = np.asarray(x)
        x = x.reshape(len(x), -1)
        classes = len(self.class_names)
        labels = [member.labels(x) for member in self.members]
        shares = None
        if self.rule == "soft":  # other rules do not look at probabilities, which some members are slow to give
            both = zip(self.members, labels, strict=True)
            shares = np.stack([member.probabilities(x, said) for member, said in both], axis=1)
        unknown = np.zeros(len(x), dtype=np.int64)
        votes = Votes(tuple(self.names), np.stack(labels, axis=1), unknown, classes, shares)
        weights = None if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        return Chamber(votes, VoteSpec(rule=self.rule), weights)


def save(ensemble: VotingEnsemble, path: Path) -> None:
    """Write an ensemble to a .skops file, in which there is no pickle."""
    skops.io.dump(ensemble, path)


def load(path: str | Path, trusted: Sequence[str] = ()) -> VotingEnsemble:
    """Read what ``evosparse export`` wrote to a .skops file.

    Args:
        path: the file.
        trusted: names of further types that it may hold, such as a user's own classifiers.

    Raises:
        BadExport: it is no such file, or holds a type that is not known to be harmless; nothing of it is run.
    """
    try:
        found = skops.io.get_untrusted_types(file=path)
        unknown = [name for name in found if not (name in _TRUSTED or name in trusted or name.startswith(_DISTANCES))]
        if unknown:
            raise BadExport(f"{path}: holds the type {unknown[0]}: if you know where it comes from, name it in trusted")
        ensemble = skops.io.load(path, trusted=found)
    except BadExport:
        raise
    except Exception as error:
        raise BadExport(f"{path}: not a readable .skops file ({type(error).__name__}: {error})") from error
    if not isinstance(ensemble, VotingEnsemble):
        raise BadExport(f"{path}: expected an exported ensemble, got {type(ensemble).__name__}")
    return ensemble
