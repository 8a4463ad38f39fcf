"""The scikit-learn classifier: scikit-learn's own checks, honest votes, the rule it votes by, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as some
from joblib.externals.loky import get_reusable_executor
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from evosparse.ensembles import APPROACHES, NSGA2, UMDA, Genetic, MemberSpec, VoteSpec, load
from evosparse.ensembles.classifier import CIFEClassifier
from evosparse.ensembles.pool import POOLS
from evosparse.ensembles.voting import save
from evosparse.errors import SpecError

QUICK = UMDA(population=20, generations=5)
SMALL = ("naive_bayes", "knn", MemberSpec(learner="tree", settings={"max_depth": 1}, features=0.5, copies=4))
RULES = (
    VoteSpec(),
    VoteSpec(ties="accuracy_weighted"),
    VoteSpec(rule="weighted"),
    VoteSpec(rule="weighted", weights="accuracy"),
    VoteSpec(rule="soft"),
)


def quick(pool: Any = SMALL, random_state: int = 0, **parameters: Any) -> CIFEClassifier:
    return CIFEClassifier(pool, search=QUICK, folds=3, random_state=random_state).set_params(**parameters)


def examples(seed: int = 0, classes: int = 3, count: int = 60) -> tuple[NDArray, NDArray]:
    return make_classification(
        count, 6, n_informative=4, n_redundant=0, n_classes=classes, class_sep=0.6, flip_y=0.1, random_state=seed
    )


class Spy(ClassifierMixin, BaseEstimator):
    """Votes for the class it was born with, and notes down the rows it meets, which the first feature numbers."""

    def __init__(self, says: int = 0, notes: list | None = None) -> None:
        self.says = says
        self.notes = notes

    def __sklearn_clone__(self) -> Spy:
        return Spy(self.says, self.notes)  # the same list, so that what the copies write can be read

    def fit(self, x: ArrayLike, y: ArrayLike) -> Spy:
        self.classes_ = np.unique(y)
        self.seen_ = set(x[:, 0])
        self.notes.append(("fit", self.seen_))
        return self

    def predict(self, x: ArrayLike) -> NDArray:
        self.notes.append(("asked", self.seen_, set(x[:, 0])))
        return np.full(len(x), self.says)


class Picky(GaussianNB):
    """Refuses more examples than it can bear."""

    def __init__(self, most: int = 0) -> None:
        super().__init__()
        self.most = most

    def fit(self, x: ArrayLike, y: ArrayLike) -> Picky:
        if len(y) > self.most:
            raise RuntimeError(f"{len(y)} are too many")
        return super().fit(x, y)


@parametrize_with_checks([quick(["tree", "naive_bayes", "knn"])])
def test_it_is_what_scikit_learn_expects_of_a_classifier(estimator: CIFEClassifier, check: Any) -> None:
    check(estimator)


def test_parameters_are_stored_untouched_and_clones_have_them() -> None:
    given_parameters: dict[str, Any] = {
        "pool": {"a": "knn", "b": GaussianNB()}, "approach": None, "initialisation": "greedy",
        "fitness": "balanced_accuracy", "search": QUICK, "vote": RULES[1], "folds": 4, "random_state": 7, "n_jobs": 1,
    }  # fmt: skip
    classifier = CIFEClassifier(**given_parameters)
    assert all(value is given_parameters[name] for name, value in classifier.get_params(deep=False).items())
    copy = clone(classifier).get_params(deep=False)
    assert copy.pop("pool")["a"] == "knn"
    assert copy == {name: value for name, value in given_parameters.items() if name != "pool"}
    x, y = examples()
    assert clone(classifier).fit(x, y).predict(x).tolist() == classifier.fit(x, y).predict(x).tolist()
    assert not hasattr(given_parameters["pool"]["b"], "classes_")


def test_votes_that_drive_the_search_never_come_from_a_model_that_saw_the_example() -> None:
    x, y = examples()
    x[:, 0] = np.arange(len(x))
    notes: list = []
    classifier = quick([Spy(1, notes), Spy(0, notes)]).fit(x, y)
    asked = [note for note in notes if note[0] == "asked"]
    assert len(asked) == 2 * 3
    assert not any(seen & them for _, seen, them in asked)
    for half in (asked[:3], asked[3:]):  # each example once by each member
        assert sorted(row for _, _, them in half for row in them) == x[:, 0].tolist()
    refitted = [seen for kind, seen, *_ in notes if kind == "fit"][2 * 3 :]
    assert refitted == [set(x[:, 0])] * len(classifier.members_)


@given_settings(max_examples=20, deadline=None)
@given(seed=some.integers(0, 10_000), rule=some.sampled_from(RULES), classes=some.integers(2, 4))
def test_it_decides_by_the_rule_of_its_vote(seed: int, rule: VoteSpec, classes: int) -> None:
    x, y = examples(seed, classes, 80)
    classifier = quick(random_state=seed, vote=rule).fit(x[:60], y[:60])
    scores = slow_scores(classifier, rule, x[60:], examples=60)
    for row, decided, shares in zip(scores, classifier.predict(x[60:]), classifier.predict_proba(x[60:]), strict=True):
        # Sums of floating-point numbers that are equal on paper may differ: whoever is that near the best will do.
        assert row[decided] >= max(row) - 1e-9
        assert np.allclose(shares, np.array(row) / sum(row), atol=1e-6)
        if rule == VoteSpec():
            assert decided == row.index(max(row))


def slow_scores(classifier: CIFEClassifier, rule: VoteSpec, x: NDArray, examples: int) -> list[list[float]]:
    """What each class has of an ensemble's votes, example by example and member by member."""
    classes, pool = len(classifier.classes_), classifier.selection_.search.bench.members
    table = []
    for example in x:
        row = [0.0] * classes
        for member, accuracy in zip(classifier.ensemble_.members, classifier.accuracies_, strict=True):
            seen = example[None] if member.columns is None else example[None, member.columns]
            if rule.rule == "soft":
                shares = member.estimator.predict_proba(seen)[0]
                for place, share in zip(member.estimator.classes_, shares, strict=True):
                    row[place] += share
                continue
            weight = 1.0
            if rule.ties == "accuracy_weighted":
                weight = 1 + accuracy / (pool + 1)
            elif rule.rule == "weighted" and rule.weights == "accuracy":
                weight = max(accuracy, 1e-6)
            elif rule.rule == "weighted":
                right = (accuracy * examples + 1) / (examples + 2)
                weight = max(np.log(right / (1 - right) * (classes - 1)), 1e-6)
            row[member.estimator.predict(seen)[0]] += weight
        table.append(row)
    return table


def test_what_it_says_of_its_members_and_itself_is_what_the_votes_say() -> None:
    x, y = examples()
    classifier = quick(vote="weighted").fit(x, y)
    votes = classifier.selection_.search.bench.votes
    places = [votes.names.index(name) for name in classifier.members_]
    assert votes.y.tolist() == y.tolist()
    assert classifier.accuracies_.tolist() == [np.mean(votes.labels[:, place] == y) for place in places]
    assert classifier.score_ == classifier.selection_.best.outcome.measures["accuracy"]
    assert classifier.ensemble_.names == list(classifier.members_)
    assert classifier.failed_ == {}


@pytest.mark.parametrize("data", [load_wine, load_breast_cancer])
def test_it_is_at_least_as_good_as_the_mean_member(data: Any) -> None:
    x, y = data(return_X_y=True)
    pool = {
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
        "bayes": GaussianNB(),
        "1": KNeighborsClassifier(1),
        "5": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    }
    alone = [cross_val_score(member, x, y, cv=3).mean() for member in pool.values()]
    assert cross_val_score(quick(pool), x, y, cv=3).mean() >= np.mean(alone)


def test_it_is_searched_over_in_a_pipeline() -> None:
    x, y = examples()
    pipeline = make_pipeline(StandardScaler(), quick())
    rules = ["majority", "weighted", "soft", RULES[1]]
    search = GridSearchCV(pipeline, {"cifeclassifier__vote": rules}, cv=2, error_score="raise").fit(x, y)
    assert search.best_params_["cifeclassifier__vote"] in rules
    assert search.best_estimator_[-1].ensemble_.rule in ("majority", "weighted", "soft")
    assert search.score(x, y) > 0.5


@pytest.fixture
def workers() -> Iterator[None]:
    """Workers of joblib that do not outlive the test."""
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.usefixtures("workers")
def test_the_number_of_jobs_changes_nothing_and_the_random_state_does() -> None:
    x, y = examples()
    pool = [MemberSpec(learner="tree", bootstrap=True, copies=3), "mlp", DecisionTreeClassifier(splitter="random")]
    first, again, parallel, other = (
        quick(pool, random_state, vote="soft", n_jobs=jobs).fit(x, y)
        for random_state, jobs in ((1, None), (1, 1), (1, 2), (2, None))
    )
    for same in (again, parallel):
        assert same.members_ == first.members_
        assert same.accuracies_.tolist() == first.accuracies_.tolist()
        assert same.predict_proba(x).tolist() == first.predict_proba(x).tolist()
    votes, others = (classifier.selection_.search.bench.votes.labels for classifier in (first, other))
    assert (votes != others).any()


def test_it_neither_reads_nor_moves_the_global_generator_when_it_has_a_random_state() -> None:
    x, y = examples()
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    quick().fit(x, y)
    assert np.random.get_state()[1].tolist() == before


def test_a_member_that_cannot_be_fitted_is_left_out_with_a_warning() -> None:
    x, y = examples()
    with pytest.warns(FitFailedWarning, match="1 of 2 members could not be.*picky: RuntimeError: 40 are too many"):
        classifier = quick({"picky": Picky(), "tree": "tree"}).fit(x, y)
    assert classifier.failed_ == {"picky": "RuntimeError: 40 are too many"}
    assert classifier.members_ == ("tree",)


def test_a_chosen_member_that_cannot_be_fitted_to_the_whole_is_left_out_and_the_search_repeated() -> None:
    x, y = examples()
    with pytest.warns(FitFailedWarning, match="picky: RuntimeError: 60 are too many"):
        classifier = quick({"picky": Picky(40), "constant": "constant"}).fit(x, y)
    assert classifier.members_ == ("constant",)
    assert classifier.selection_.search.bench.votes.names == ("constant",)


@pytest.mark.parametrize("most", [0, 40])
def test_a_pool_of_which_none_can_be_fitted_is_an_error(most: int) -> None:
    with pytest.raises(ValueError, match="none of the 1 members of the pool could be fitted; Picky: RuntimeError"):
        quick([Picky(most)]).fit(*examples())


@pytest.mark.parametrize("names", [["b", "a", "c"], [True, False], [-3, 10, 7], [0.0, 2.0], ["0", "1"]])
def test_classes_may_be_called_anything(names: list) -> None:
    x, y = examples(classes=len(names))
    named = np.array(names)[y]
    numbered = quick().fit(x, np.unique(named, return_inverse=True)[1]).predict(x)
    classifier = quick().fit(x, named)
    assert classifier.classes_.tolist() == sorted(names)
    assert classifier.predict(x).tolist() == np.array(sorted(names))[numbered].tolist()


@pytest.mark.parametrize("rare", [1, 2])
def test_classes_may_be_missing_in_a_fold(rare: int) -> None:
    x, y = examples(classes=2)
    y[:rare] = 7
    classifier = quick().fit(x, y)
    assert classifier.classes_.tolist() == [0, 1, 7]
    assert classifier.predict_proba(x).shape == (60, 3)
    assert classifier.failed_ == {}


def test_two_examples_of_one_class_and_one_of_another_are_enough() -> None:
    classifier = quick(["tree"]).fit([[0.0], [1.0], [5.0]], ["a", "a", "b"])
    assert classifier.predict([[0.5], [6.0]]).tolist() == ["a", "b"]


def test_a_constant_member_votes_for_the_most_frequent_class() -> None:
    x, y = examples()
    y[:40] = 2
    classifier = quick(["constant"]).fit(x, y)
    assert set(classifier.predict(x)) == {2}
    assert classifier.score_ == np.mean(y == 2)


@pytest.mark.parametrize("search", [None, Genetic(population=10, generations=3)])
@pytest.mark.parametrize("fitness", ["accuracy", "near_best_diversity", "accuracy_diversity"])
@pytest.mark.parametrize("initialisation", ["random", "accuracy", "diversity", "size", "greedy"])
def test_a_pool_of_one_member_is_that_member(search: Any, fitness: str, initialisation: str) -> None:
    x, y = examples()
    one = quick([GaussianNB()], search=search, fitness=fitness, initialisation=initialisation).fit(x, y)
    assert one.members_ == ("GaussianNB",)
    assert one.predict(x).tolist() == GaussianNB().fit(x, y).predict(x).tolist()


def test_members_are_named_by_learner_class_or_mapping() -> None:
    pool = ["tree", GaussianNB(), MemberSpec(learner="knn", copies=2), KNeighborsClassifier(1), KNeighborsClassifier(3)]
    x, y = examples()
    names = quick(pool).fit(x, y).selection_.search.bench.votes.names
    assert names == (
        "tree", "GaussianNB", "knn #1", "knn #2", "KNeighborsClassifier #1", "KNeighborsClassifier #2"
    )  # fmt: skip
    mapping = quick({"x": "tree", "y": MemberSpec(learner="knn"), "z": GaussianNB()}).fit(x, y)
    assert mapping.selection_.search.bench.votes.names == ("x", "y", "z")


@pytest.mark.parametrize("name", [APPROACHES[0], APPROACHES[-1]])
def test_an_approach_sets_pool_initialisation_fitness_and_search(name: str) -> None:
    x, y = load_iris(return_X_y=True)
    search = CIFEClassifier(approach=name, folds=2, random_state=0).fit(x[::3], y[::3]).selection_.search
    pool, _, _, method = name.split("-")
    expected = {"hetero": 26, "bagged": 26}[pool]
    assert search.bench.members == expected == sum(member.copies for member in POOLS[pool])
    assert all(given_name.startswith("bagged") == (pool == "bagged") for given_name in search.bench.votes.names)
    assert search.parameters.method == method
    assert search.start.by == {"random": "random", "seeded": "accuracy"}[name.split("-")[1]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pool": "heterogenous"}, "pool.members: unknown set of members 'heterogenous'.*hetero"),
        ({"pool": []}, "pool: expected the name of a set, or a list or mapping of members, got"),
        ({"pool": 3}, "pool: expected the name of a set, or a list or mapping"),
        ({"pool": ["tre"]}, "unknown learner 'tre': did you mean 'tree'"),
        ({"pool": [GaussianNB]}, "pool: expected the name of a learner, a MemberSpec or an unfitted classifier"),
        ({"pool": [StandardScaler()]}, "pool: expected the name of a learner"),
        ({"pool": ["tree", "tree"]}, "two members are called 'tree'"),
        ({"pool": {1: "tree"}}, "expected text as the name of a member, got 1"),
        ({"fitness": "precision"}, "fitness.aim: expected"),
        ({"fitness": "log_loss"}, "log_loss needs vote.rule: soft"),
        ({"fitness": "accuracy_size"}, "use nsga2"),
        ({"search": "umda"}, "search: "),
        ({"search": NSGA2()}, "nsga2 needs at least two objectives"),
        ({"vote": "borda"}, "vote.rule: expected"),
        ({"initialisation": "best"}, "initialisation.by: expected"),
        ({"folds": 1}, "pool.folds: expected a whole number >= 2, got 1"),
        ({"folds": 2.0}, "pool.folds: expected a whole number"),
        ({"approach": "hetero-random-acc-sa", "pool": "hetero", "search": None}, "approach: expected one of"),
        ({"approach": APPROACHES[0], "pool": "hetero"}, "sets search, which is UMDA.*: give one"),
        ({"approach": APPROACHES[0], "pool": ["tree"], "search": None}, "sets pool, which is .'tree'.: give one"),
    ],
)  # fmt: skip
def test_parameters_that_are_wrong_are_named(parameters: Mapping[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        quick(**{"pool": SMALL, **parameters}).fit(*examples())


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[0.0], [np.nan], [1.0]], [0, 1, 1], "contains NaN"),
        (csr_array(np.eye(4)), [0, 1, 0, 1], "Sparse data was passed"),
        (np.eye(4), [1, 1, 1, 1], "at least two classes in y, got one class"),
        (np.eye(4), [0, 1, 2, 3], "got 4 classes with one each"),
        (np.eye(4), [0.1, 0.2, 0.3, 0.4], "continuous"),
        (np.eye(1), [0], "minimum of 2 is required"),
    ],
)
def test_examples_that_cannot_be_used_are_refused(x: Any, y: list, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        quick().fit(x, y)


def test_whole_numbers_of_numpy_will_do_for_folds() -> None:
    x, y = examples()
    assert quick(folds=np.int64(4)).fit(x, y).score_ == quick(folds=4).fit(x, y).score_


@pytest.mark.parametrize("rule", RULES)
def test_its_ensemble_is_kept_in_a_file_and_decides_as_before(rule: VoteSpec, tmp_path: Path) -> None:
    x, y = examples()
    classifier = quick(vote=rule).fit(x, np.array(["a", "b", "c"])[y])
    save(classifier.ensemble_, tmp_path / "ensemble.skops")
    assert load(tmp_path / "ensemble.skops").predict(x).tolist() == classifier.predict(x).tolist()
