"""The members of a pool: scikit-learn's classifiers by name, a user's own, and how one of them is fitted and asked."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from sklearn.base import BaseEstimator, is_classifier
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from evosparse.engine.evaluate import one_line
from evosparse.engine.seeds import SeedKey
from evosparse.errors import PluginError, SpecError, nearest
from evosparse.plugins import resolve
from evosparse.section import Section

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Learner:
    """A way to learn that has a name.

    Args:
        make: scikit-learn's class.
        settings: where they differ from scikit-learn's own.
        scaled: whether features are standardised first, by the training examples.
    """

    make: Callable[..., BaseEstimator]
    settings: Settings
    scaled: bool = False


LEARNERS: Mapping[str, Learner] = {
    "adaboost": Learner(AdaBoostClassifier, {"n_estimators": 50}),
    "boosting": Learner(GradientBoostingClassifier, {"n_estimators": 30, "max_depth": 2, "learning_rate": 0.2}),
    "constant": Learner(DummyClassifier, {}),
    "extra_trees": Learner(ExtraTreesClassifier, {"n_estimators": 30}),
    "forest": Learner(RandomForestClassifier, {"n_estimators": 30}),
    "knn": Learner(KNeighborsClassifier, {}, scaled=True),
    "lda": Learner(LinearDiscriminantAnalysis, {}),
    "linear_svm": Learner(SVC, {"kernel": "linear"}, scaled=True),
    "logistic": Learner(LogisticRegression, {"max_iter": 300}, scaled=True),
    "mlp": Learner(MLPClassifier, {"hidden_layer_sizes": (32,), "max_iter": 100, "learning_rate_init": 0.01}, scaled=True),
    "naive_bayes": Learner(GaussianNB, {}),
    "nearest_centroid": Learner(NearestCentroid, {}, scaled=True),
    "poly_svm": Learner(SVC, {"kernel": "poly", "degree": 2, "coef0": 1.0}, scaled=True),
    "qda": Learner(QuadraticDiscriminantAnalysis, {"reg_param": 0.1}),
    "rbf_svm": Learner(SVC, {}, scaled=True),
    "tree": Learner(DecisionTreeClassifier, {}),
}


class MemberSpec(Section):
    """One member of a pool, or several alike; a bare string is the learner.

    Attributes:
        learner: a name such as ``tree``, or a user's own, ``path/to/file.py:function`` or ``module:function``, which is
            called with the settings and returns a scikit-learn classifier.
        settings: keyword arguments of the classifier.
        name: in tables; by default the learner with its settings.
        copies: number of members that differ by their random seed alone.
        bootstrap: fit each copy to as many examples drawn with replacement.
        features: share of the features that each copy is given, drawn anew for each.
        fitted: the user's function returns a classifier that is fitted already.
    """

    learner: str = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    name: str | None = None
    copies: int = Field(1, ge=1)
    bootstrap: bool = False
    features: float = Field(1.0, gt=0, le=1)
    fitted: bool = False

    @field_validator("fitted")
    @classmethod
    def _users_own(cls, fitted: bool, info: Any) -> bool:
        if fitted and ":" not in info.data.get("learner", ":"):
            raise ValueError("only a function of your own can return a classifier that is fitted: name it as learner")
        return fitted

    def named(self) -> list[tuple[str, MemberSpec]]:
        """Return the members that are meant, with their names."""
        settings = "".join(f" {key}={value}" for key, value in self.settings.items())
        how = "bagged " * self.bootstrap + "subspace " * (self.features < 1)
        name = self.name or f"{how}{self.learner.rpartition(':')[2]}{settings}"
        one = self.model_copy(update={"copies": 1})
        return [(name, one)] if self.copies == 1 else [(f"{name} #{copy}", one) for copy in range(1, self.copies + 1)]


@dataclass(frozen=True)
class Member:
    """A member that can be fitted.

    Args:
        name: of its own in the pool.
        spec: what it is.
        make: returns an unfitted classifier, or a fitted one.
    """

    name: str
    spec: MemberSpec
    make: Callable[[], BaseEstimator]

    def fit(self, x: NDArray, y: NDArray[np.int64], key: SeedKey, class_names: Sequence[str]) -> Fitted:
        """Fit it.

        Args:
            x: (n, features) examples.
            y: (n,) class indices; some classes may be missing.
            key: of its random numbers: state, bootstrap and features.
            class_names: of all classes.
        """
        if self.spec.fitted:
            return Fitted(self.make(), None, tuple(class_names))
        rng = key.rng()
        rows = np.arange(len(y))
        if self.spec.bootstrap:
            rows = rng.integers(len(y), size=len(y))
        columns = None
        if self.spec.features < 1:
            count = max(1, round(self.spec.features * x.shape[1]))
            columns = np.sort(rng.permutation(x.shape[1])[:count])
        estimator = self.make()
        seeded = {name: key.integer() % 2**32 for name in estimator.get_params() if name.split("__")[-1] == "random_state"}
        estimator.set_params(**seeded)
        if len(np.unique(y[rows])) == 1:  # which many classifiers refuse
            estimator = DummyClassifier()
        part = x[rows] if columns is None else x[np.ix_(rows, columns)]
        with warnings.catch_warnings():
            # Weak members are what the search is there to weed out: it sees their votes, nobody needs the complaints.
            warnings.simplefilter("ignore")
            return Fitted(estimator.fit(part, y[rows]), columns, tuple(class_names))


@dataclass(frozen=True)
class Fitted:
    """A fitted member.

    Args:
        estimator: scikit-learn's.
        columns: the features that it is given; None for all.
        class_names: of all classes; an estimator whose own classes are no indices is understood by these.
    """

    estimator: BaseEstimator
    columns: NDArray[np.int64] | None
    class_names: tuple[str, ...]

    def labels(self, x: NDArray) -> NDArray[np.int16]:
        """Return the (n,) class indices that it votes for."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            voted = np.asarray(self.estimator.predict(self._seen(x)))
        own, codes = np.asarray(self.estimator.classes_), self._codes()
        if voted.shape != (len(x),) or not np.isin(voted, own).all():
            raise ValueError(f"predict returned something else than one of the classes {own.tolist()} for each example")
        return (voted if codes is None else codes[np.searchsorted(own, voted)]).astype(np.int16)

    def probabilities(self, x: NDArray, labels: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return the (n, classes) probabilities; of a classifier that has none, 1 for its (n,) labels."""
        shares = np.zeros((len(x), len(self.class_names)), dtype=np.float32)
        if not hasattr(self.estimator, "predict_proba"):
            shares[np.arange(len(x)), labels] = 1
            return shares
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = self.estimator.predict_proba(self._seen(x))
        codes = self._codes()
        shares[:, np.asarray(self.estimator.classes_, dtype=int) if codes is None else codes] = known
        if not np.isfinite(shares).all():
            raise ValueError("predict_proba returned NaN or infinity")
        return shares

    def _seen(self, x: NDArray) -> NDArray:
        return x if self.columns is None else x[:, self.columns]

    def _codes(self) -> NDArray[np.int64] | None:
        """Return the class index of each of the estimator's own classes; None where these are the indices."""
        own = np.asarray(self.estimator.classes_)
        if own.dtype.kind in "iu" and own.min() >= 0 and own.max() < len(self.class_names):
            return None
        places = {name: index for index, name in enumerate(self.class_names)}
        unknown = [str(name) for name in own if str(name) not in places]
        if unknown:
            raise ValueError(f"expected classes among {', '.join(self.class_names)}, the classifier has {unknown[0]!r}")
        return np.array([places[str(name)] for name in own])


def find_members(specs: Sequence[MemberSpec], base: Path | None = None) -> tuple[Member, ...]:
    """Find what the members of a pool are made by.

    Args:
        specs: of the members.
        base: folder that relative paths start at.

    Raises:
        SpecError: a learner or a setting is unknown, or two members have one name.
        PluginError: a user's own cannot be found or is no classifier.
    """
    members = []
    for spec in specs:
        make = _user_maker(spec, base) if ":" in spec.learner else _Maker(spec.learner, tuple(spec.settings.items()))
        if not spec.fitted:
            _expect_classifier(make, spec)
        members += [Member(name, one, make) for name, one in spec.named()]
    names = [member.name for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecError(f"pool.members: two members are called {twice!r}: give one of them another name, or use copies")
    return tuple(members)


@dataclass(frozen=True)
class _Maker:
    """Makes a classifier of scikit-learn's; a value, so that it can travel."""

    learner: str
    settings: tuple[tuple[str, Any], ...]

    def __call__(self) -> BaseEstimator:
        known = LEARNERS[self.learner]
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in self.settings}
        estimator = known.make(**{**known.settings, **settings})
        return make_pipeline(StandardScaler(), estimator) if known.scaled else estimator


@dataclass(frozen=True)
class _UserMaker:
    """Calls a user's function with its settings."""

    function: Callable[..., BaseEstimator]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self) -> BaseEstimator:
        return self.function(**dict(self.settings))


def _user_maker(spec: MemberSpec, base: Path | None) -> _UserMaker:
    function = resolve(spec.learner, base)
    if not callable(function):
        raise PluginError(f"pool.members: expected a function that returns a classifier, {spec.learner!r} is none")
    return _UserMaker(function, tuple(spec.settings.items()))


def _expect_classifier(make: Callable[[], BaseEstimator], spec: MemberSpec) -> None:
    if isinstance(make, _Maker):
        if spec.learner not in LEARNERS:
            raise SpecError(f"pool.members: unknown learner {spec.learner!r}: {nearest(spec.learner, LEARNERS)}")
        accepted = inspect.signature(LEARNERS[spec.learner].make).parameters
        for setting in spec.settings:
            if setting not in accepted:
                raise SpecError(f"pool.members: {spec.learner} has no setting {setting!r}: {nearest(setting, accepted)}")
    try:
        estimator = make()
    except Exception as error:
        raise PluginError(f"pool.members: {spec.learner!r} cannot be made: {one_line(error)}; mend it or its settings") from error
    if not (isinstance(estimator, BaseEstimator) and is_classifier(estimator)):
        got = type(estimator).__name__
        raise PluginError(f"pool.members: expected a scikit-learn classifier of {spec.learner!r}, got {got}: return one")
