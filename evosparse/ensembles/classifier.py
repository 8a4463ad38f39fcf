"""A scikit-learn classifier that chooses its own ensemble, for people who never write a campaign file.

It fits the members of a pool, searches for those that shall vote by votes on examples they have not seen, and votes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from evosparse.engine.explain import explain
from evosparse.engine.limits import one_thread
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.fitness import FitnessSpec
from evosparse.ensembles.initialisation import Initialisation
from evosparse.ensembles.members import Fitted, Member, MemberSpec, find_members
from evosparse.ensembles.methods.base import Method
from evosparse.ensembles.pool import OUT_OF_FOLD, MemberVotes, Parts, ask_member, collect, member_key
from evosparse.ensembles.problem import EnsembleSpec
from evosparse.ensembles.selection import select
from evosparse.ensembles.votes import Votes, VoteSpec
from evosparse.ensembles.voting import VotingEnsemble
from evosparse.errors import SpecError

_Result = TypeVar("_Result")
_BY_APPROACH: Mapping[str, Any] = {"pool": "hetero", "initialisation": "random", "fitness": "accuracy", "search": None}
# A campaign has time for more; here the search shall take less than fitting the members does.
_QUICK: Mapping[str, int] = {"population": 200, "generations": 50}

OneMember = MemberSpec | str | BaseEstimator


class CIFEClassifier(ClassifierMixin, BaseEstimator):
    """A vote of those members of a pool that an evolutionary search has chosen.

    Every member votes on each training example by a copy of it that has not seen the example; the search is driven by
    these votes; and the members that it chooses are fitted anew to all training examples.

    Args:
        pool: ``hetero``, ``bagged`` or ``subspace``; a sequence of names of learners, `MemberSpec` and unfitted
            classifiers of scikit-learn; or a mapping of names to these. Classifiers are cloned; random states are set.
        approach: of CIF-E, ``C-I-F-E`` such as ``hetero-seeded-acc_div-umda``: stands for pool, initialisation, fitness
            and search, which are then left at their defaults; None to use these.
        initialisation: where the search begins, such as ``accuracy``, or an `Initialisation`.
        fitness: an aim such as ``balanced_accuracy``, or a `FitnessSpec`.
        search: a method such as `UMDA` or `Genetic`; None for UMDA with a population of 200 and at most 50 generations.
        vote: ``weighted``, ``majority`` or ``soft``, or a `VoteSpec`; an approach does not change it.
        folds: of the votes that drive the search.
        random_state: of the members, the folds and the search.
        n_jobs: number of members that are fitted at the same time, as in joblib; it changes no result.

    Attributes:
        classes_: (classes,) array of the classes.
        n_features_in_: number of features.
        feature_names_in_: (features,) array of their names; only where X had any.
        ensemble_: the fitted `VotingEnsemble`.
        members_: names of its members, in the order of the pool.
        accuracies_: (members,) array of their accuracies on examples they had not seen.
        score_: accuracy of the ensemble on the same votes, those that it was chosen by: an optimistic figure.
        selection_: the `Selection`, with the search after its last generation.
        failed_: members that could not be fitted, and why.
    """

    def __init__(
        self,
        pool: str | Sequence[OneMember] | Mapping[str, OneMember] = "hetero",
        approach: str | None = None,
        initialisation: str | Initialisation = "random",
        fitness: str | FitnessSpec = "accuracy",
        search: Method | None = None,
        vote: str | VoteSpec = "weighted",
        folds: int = 5,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.pool = pool
        self.approach = approach
        self.initialisation = initialisation
        self.fitness = fitness
        self.search = search
        self.vote = vote
        self.folds = folds
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike) -> CIFEClassifier:
        """Fit the pool, choose the ensemble, and fit it to all examples.

        Args:
            X: (n, features) examples, finite.
            y: (n,) their classes, at least two, one of which has at least two examples.

        Raises:
            SpecError: a parameter is wrong.
            ValueError: X or y is, or no member of the pool could be fitted.
        """
        spec = self._spec()
        members = find_members(spec.pool.specs()) if isinstance(self.pool, str) else _own_members(self.pool)
        X, y = validate_data(self, X, y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        _expect_folds(codes, self.classes_)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        parts = Parts(X, codes.astype(np.int64), {}, tuple(map(str, self.classes_)))
        # The number of threads changes the last bits of a matrix product, and workers have fewer than this process.
        with one_thread(), Parallel(n_jobs=self.n_jobs) as parallel:
            self._choose(spec, {member.name: member for member in members}, parts, seed, parallel)
        if self.failed_:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.failed_.items())
            warnings.warn(
                f"{len(self.failed_)} of {len(members)} members could not be fitted and are left out: {reasons}",
                FitFailedWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Return the (n,) classes that the ensemble decides for, ties to the first.

        Args:
            X: (n, features) examples.
        """
        check_is_fitted(self)
        return self.ensemble_.predict(validate_data(self, X, reset=False))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the (n, classes) shares of the votes, or the mean probabilities if the vote is soft.

        Args:
            X: (n, features) examples.
        """
        check_is_fitted(self)
        return self.ensemble_.predict_proba(validate_data(self, X, reset=False))

    def _choose(
        self, spec: EnsembleSpec, members: Mapping[str, Member], parts: Parts, seed: int, parallel: Parallel
    ) -> None:
        asked = {name: partial(ask_member, member, parts, seed, spec.pool.folds) for name, member in members.items()}
        answers, self.failed_ = _try_each(asked, parallel)
        while True:
            votes = _votes(answers, self.failed_, parts)
            bench = Bench(votes, spec.vote)
            self.selection_ = select(bench, spec.search, spec.fitness.make(), spec.initialisation, seed)
            chosen = self.selection_.best.genome.chosen
            names = [votes.names[place] for place in np.flatnonzero(chosen)]
            fitted, failed = _try_each({name: _refit(members[name], parts, seed) for name in names}, parallel)
            if not failed:
                break
            # Fitted to every fold, but not to the whole: the search goes on among the others.
            self.failed_ |= failed
            answers = {name: answer for name, answer in answers.items() if name not in failed}
        weights = None if bench.chamber.weights is None else bench.chamber.weights[chosen]
        self.ensemble_ = VotingEnsemble(list(fitted.values()), names, self.classes_, spec.vote.rule, weights)
        self.members_ = tuple(names)
        self.accuracies_ = votes.accuracies[chosen]
        self.score_ = float(bench.tally(chosen[None]).accuracy[0])

    def _spec(self) -> EnsembleSpec:
        """Return the parameters as the sections of a campaign file, of which they are the short form."""
        pool: dict[str, Any] = {"folds": int(self.folds) if isinstance(self.folds, Integral) else self.folds}
        search: Any = dict(_QUICK) if self.search is None else self.search
        if self.approach is not None:
            for name, default in _BY_APPROACH.items():
                own = getattr(self, name)
                if not (own is default or isinstance(own, str) and own == default):
                    raise SpecError(f"approach: {self.approach!r} sets {name}, which is {own!r:.60}: give one of both")
            sections: dict[str, Any] = {"approach": self.approach}
        else:
            if isinstance(self.pool, str):
                pool["members"] = self.pool
            if isinstance(search, dict):
                search = {"method": "umda", **search}
            sections = {"initialisation": self.initialisation, "fitness": self.fitness}
        try:
            return EnsembleSpec.model_validate({**sections, "pool": pool, "search": search, "vote": self.vote})
        except ValidationError as error:
            complaint = explain(error, EnsembleSpec)[0]
            where = ".".join(map(str, complaint.key))
            raise SpecError(f"{where}: {complaint.text}" if where else complaint.text) from None


def _own_members(pool: Sequence[OneMember] | Mapping[str, OneMember]) -> tuple[Member, ...]:
    """Find what a user's list or mapping of members means."""
    if not isinstance(pool, (Mapping, Sequence)) or not pool:
        raise SpecError(f"pool: expected the name of a set, or a list or mapping of members, got {pool!r:.60}: give it")
    given = list(pool.items()) if isinstance(pool, Mapping) else list(zip(_names(pool), pool, strict=True))
    members = [member for name, one in given for member in _meant(name, one)]
    twice = next((name for name, count in Counter(member.name for member in members).items() if count > 1), None)
    if twice is not None:
        raise SpecError(f"pool: two members are called {twice!r}: give a mapping of names to members")
    return tuple(members)


def _names(pool: Sequence[OneMember]) -> Iterable[str | None]:
    """Name classifiers by their class, with a number where there are several; None where a member names itself."""
    kinds = [None if isinstance(one, (str, MemberSpec)) else type(one).__name__ for one in pool]
    count, met = Counter(kinds), Counter[str | None]()
    for kind in kinds:
        met[kind] += 1
        yield kind if kind is None or count[kind] == 1 else f"{kind} #{met[kind]}"


def _meant(name: str | None, one: OneMember) -> tuple[Member, ...]:
    if name is not None and (not isinstance(name, str) or not name):
        raise SpecError(f"pool: expected text as the name of a member, got {name!r}: mend the mapping")
    if isinstance(one, str) and one:
        one = MemberSpec(learner=one)
    if isinstance(one, MemberSpec):
        return find_members([one if name is None else one.model_copy(update={"name": name})])
    if isinstance(one, type) or not hasattr(one, "fit") or not is_classifier(one):
        raise SpecError(
            "pool: expected the name of a learner, a MemberSpec or an unfitted classifier of scikit-learn, got "
            f"{one!r:.60}: mend that member"
        )
    return (Member(name, MemberSpec(learner=type(one).__name__, name=name), partial(clone, one)),)


def _expect_folds(codes: NDArray[np.int64], classes: NDArray) -> None:
    if len(classes) < 2:
        raise ValueError(f"expected at least two classes in y, got one class, {classes[0]!r}: give more examples")
    if np.bincount(codes).max() < 2:
        raise ValueError(
            f"expected a class with at least two examples in y, got {len(classes)} classes with one each: give more, "
            "so that members can be judged on examples that they have not seen"
        )


def _votes(answers: Mapping[str, MemberVotes], failed: Mapping[str, str], parts: Parts) -> Votes:
    if not answers:
        name, reason = next(iter(failed.items()))
        raise ValueError(f"none of the {len(failed)} members of the pool could be fitted; {name}: {reason}")
    return collect(list(answers), list(answers.values()), OUT_OF_FOLD, parts.y, len(parts.class_names))


def _refit(member: Member, parts: Parts, seed: int) -> Callable[[], Fitted]:
    return partial(member.fit, parts.x, parts.y, member_key(seed, member.name), parts.class_names)


def _try_each(
    calls: Mapping[str, Callable[[], _Result]], parallel: Parallel
) -> tuple[dict[str, _Result], dict[str, str]]:
    """Return what the calls return; and of those that raise, why."""
    outcomes = dict(zip(calls, parallel(delayed(_try)(call) for call in calls.values()), strict=True))
    good = {name: outcome for name, outcome in outcomes.items() if not isinstance(outcome, str)}
    return good, {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)}


def _try(call: Callable[[], _Result]) -> _Result | str:
    try:
        with one_thread():
            return call()
    except Exception as error:  # a member that raises costs itself and no other
        return f"{type(error).__name__}: {error}"
