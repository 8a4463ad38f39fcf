"""Members are fitted once and never to what they are judged on; what is remembered of them changes no vote."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from evosparse.data import DataSet, DataSpec, SearchData, load
from evosparse.engine.evaluate import Evaluator, InProcessEvaluator, Policy
from evosparse.engine.problem import Stage
from evosparse.ensembles import MemberSpec, PoolSpec, Problem, fitting
from evosparse.ensembles.fitting import Polls, Pool
from evosparse.ensembles.members import Member, find_members
from evosparse.errors import CampaignFailed

MEMBERS = (
    MemberSpec(learner="tree", settings={"max_depth": 2}),
    MemberSpec(learner="tree", bootstrap=True, copies=2),
    MemberSpec(learner="lda"),
)
SPEC = PoolSpec(members=MEMBERS, judged_on="out_of_fold", folds=3)
_ARRAYS = ("labels", "probabilities", "y")
OWN = "from sklearn.naive_bayes import GaussianNB\n\n\ndef make():\n    return GaussianNB()\n"


@pytest.fixture(scope="module")
def wine() -> DataSet:
    return load(DataSpec(name="wine"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("EVOSPARSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the members that are asked, in order."""
    asked: list[str] = []
    ask = fitting.ask_member
    monkeypatch.setattr(fitting, "ask_member", lambda member, *rest: (asked.append(member.name), ask(member, *rest))[1])
    yield asked


def here(stage: Stage) -> Evaluator:
    return InProcessEvaluator(stage, Policy(retries=0))


def polls(data: DataSet, spec: PoolSpec = SPEC) -> Polls:
    return Pool(spec, find_members(spec.specs()), data).polls(here)


def same(first: Polls, second: Polls) -> bool:
    pairs = [(getattr(first, part), getattr(second, part)) for part in ("selection", "validation", "test")]
    return all(
        one.names == other.names and all(np.array_equal(getattr(one, what), getattr(other, what)) for what in _ARRAYS)
        for one, other in pairs
    )


def test_votes_are_found_once_and_then_remembered(wine: DataSet, fitted: list[str], cache: Path) -> None:
    first = polls(wine)
    assert fitted == ["tree max_depth=2", "bagged tree #1", "bagged tree #2", "lda"]
    assert len(list(cache.rglob("*.npz"))) == 4
    assert same(first, polls(wine)) and len(fitted) == 4


def test_one_pool_finds_its_votes_once(wine: DataSet, fitted: list[str]) -> None:
    pool = Pool(SPEC.model_copy(update={"cache": False}), find_members(MEMBERS), wine)
    assert pool.polls(here) is pool.polls(here) and len(fitted) == 4


def test_a_further_member_costs_its_own_fit_alone(wine: DataSet, fitted: list[str]) -> None:
    polls(wine)
    more = SPEC.model_copy(update={"members": (MemberSpec(learner="naive_bayes"), *MEMBERS)})
    assert polls(wine, more).selection.names[1:] == polls(wine).selection.names and fitted[4:] == ["naive_bayes"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"folds": 4}, {"judged_on": "validation"}])
def test_what_changes_the_votes_is_not_remembered_from_another(
    change: dict[str, object], wine: DataSet, fitted: list[str]
) -> None:
    polls(wine)
    polls(wine, SPEC.model_copy(update=change))
    assert len(fitted) == 8


def test_other_settings_or_data_are_not_remembered_from_another(
    wine: DataSet, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SPEC.model_copy(update={"members": MEMBERS[:1]})
    polls(wine, one)
    deeper = MEMBERS[0].model_copy(update={"settings": {"max_depth": 3}, "name": "tree max_depth=2"})
    polls(wine, SPEC.model_copy(update={"members": (deeper,)}))
    polls(load(DataSpec(name="wine", scale="none")), one)
    tree = fitting.LEARNERS["tree"]
    monkeypatch.setattr(fitting, "LEARNERS", {"tree": replace(tree, settings={"criterion": "entropy"})})
    polls(wine, one)
    assert fitted == ["tree max_depth=2"] * 4


@pytest.mark.parametrize("damage", ["empty", "half", "text", "other arrays", "fewer examples"])
def test_damaged_memories_are_found_again(damage: str, wine: DataSet, fitted: list[str], cache: Path) -> None:
    first = polls(wine)
    for file in cache.rglob("*.npz"):
        with np.load(file) as arrays:
            shorter = {name: values[1:] for name, values in arrays.items()}
        whole = file.read_bytes()
        file.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "text": b"no votes"}.get(damage, whole))
        if damage == "other arrays":
            np.savez(file, images=np.zeros(3))
        if damage == "fewer examples":
            np.savez(file, **shorter)
    assert same(first, polls(wine)) and len(fitted) == 8
    assert same(first, polls(wine)) and len(fitted) == 8


def test_without_the_cache_nothing_is_written(wine: DataSet, fitted: list[str], cache: Path) -> None:
    without = SPEC.model_copy(update={"cache": False})
    first = polls(wine, without)
    assert same(first, polls(wine, without)) and len(fitted) == 8 and not cache.exists()


def test_a_users_own_learner_is_never_remembered(
    wine: DataSet, fitted: list[str], cache: Path, forgetful: Path
) -> None:
    (forgetful / "never_remembered.py").write_text(OWN)
    members = find_members([MemberSpec(learner="never_remembered.py:make"), MEMBERS[0]], forgetful)
    for _ in range(2):
        Pool(SPEC, members, wine).polls(here)
    assert fitted == ["make", "tree max_depth=2", "make"] and len(list(cache.rglob("*.npz"))) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_else(wine: DataSet, cache: Path) -> None:
    first = polls(wine)
    os.rename(cache, cache.with_name("away"))
    cache.write_text("a file where the folder should be")
    assert same(first, polls(wine))


def test_progress_is_told_from_the_beginning_to_the_end(wine: DataSet) -> None:
    told: list[tuple[int, int]] = []
    pool = Pool(SPEC, find_members(MEMBERS), wine)
    pool.find(here, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 4) and told[-1] == (4, 4) and told == sorted(told)
    Pool(SPEC, find_members(MEMBERS), wine).find(here, lambda done, total: told.append((-1, -1)))
    assert (-1, -1) not in told


class Diary(ClassifierMixin, BaseEstimator):
    """Writes down which examples it is fitted to and which it is asked about, by the number in their first feature."""

    written: list[tuple[str, set[int]]] = []  # estimators are copied, and this is not

    def fit(self, x: NDArray, y: NDArray) -> Diary:
        self.written.append(("fit", set(x[:, 0].astype(int).tolist())))
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: NDArray) -> NDArray:
        self.written.append(("asked", set(x[:, 0].astype(int).tolist())))
        return np.full(len(x), self.classes_[0])


def numbered(wine: DataSet) -> tuple[DataSet, dict[str, set[int]]]:
    """The data with the number of each example as its first feature, and the numbers of each part."""
    numbers: dict[str, set[int]] = {}
    parts, start = [], 0
    for name, part in (("train", wine.search.train), ("validation", wine.search.validation), ("test", wine.test)):
        numbers[name] = set(range(start, start + len(part)))
        x = part.x.copy()
        x[:, 0] = sorted(numbers[name])
        parts.append(type(part)(x, part.y))
        start += len(part)
    search = SearchData(parts[0], parts[1], wine.search.classes, wine.search.input_shape)
    return DataSet("numbered", search, parts[2], wine.class_names), numbers


@pytest.mark.parametrize("judged_on", ["validation", "out_of_fold"])
def test_no_vote_comes_from_a_classifier_that_saw_the_example(
    judged_on: str, wine: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, set[int]]] = []
    monkeypatch.setattr(Diary, "written", written)
    data, numbers = numbered(wine)
    spec = SPEC.model_copy(update={"judged_on": judged_on, "cache": False})
    Pool(spec, [Member("diary", MemberSpec(learner="tree"), Diary)], data).polls(here)

    fits = [rows for what, rows in written if what == "fit"]
    assert all(rows <= numbers["train"] for rows in fits) and fits[-1] == numbers["train"]
    seen: set[int] = set()
    judged: list[int] = []
    for what, rows in written:
        if what == "fit":
            seen = rows
        else:
            assert not rows & seen
            judged += sorted(rows)
    expected = numbers["validation"] | numbers["test"] | (numbers["train"] if judged_on == "out_of_fold" else set())
    assert sorted(judged) == sorted(expected)  # each example once
    assert len(fits) == (4 if judged_on == "out_of_fold" else 1)


@pytest.mark.parametrize("judged_on", ["validation", "out_of_fold"])
def test_what_a_fitness_is_given_does_not_hold_the_test_examples(judged_on: str, wine: DataSet) -> None:
    problem = Problem(wine, pool=SPEC.model_copy(update={"judged_on": judged_on}))
    given, fitting_data, examined = (
        pickle.dumps(stage.data) for stage in (problem.stage, problem.pool.stage, problem.examination)
    )
    y, x = wine.test.y.tobytes(), wine.test.x.tobytes()
    tested = np.ascontiguousarray(problem.polls.test.labels).tobytes()
    assert y in examined and x in examined and tested in examined  # they would be found
    assert y not in given and x not in given and tested not in given
    assert y not in fitting_data and wine.search.validation.y.tobytes() not in fitting_data


def test_the_parts_of_the_votes_are_those_of_the_data(wine: DataSet) -> None:
    folds, validation = polls(wine), polls(wine, SPEC.model_copy(update={"judged_on": "validation"}))
    assert np.array_equal(folds.selection.y, wine.search.train.y)
    assert np.array_equal(folds.validation.y, validation.selection.y) and validation.validation is None
    assert np.array_equal(folds.validation.labels, validation.selection.labels)
    assert np.array_equal(folds.test.labels, validation.test.labels)
    members = Pool(SPEC, find_members(MEMBERS), wine).fit(folds.test.names)
    again = np.stack([member.labels(wine.test.x) for member in members], axis=1)
    assert np.array_equal(again, folds.test.labels)  # fitted again for an export


class Failing(Diary):
    """Cannot be fitted."""

    def fit(self, x: NDArray, y: NDArray) -> Failing:
        raise RuntimeError("no such luck")


def test_a_member_that_fails_is_left_out_and_told_of(wine: DataSet) -> None:
    members = [Member("failing", MemberSpec(learner="own.py:make"), Failing), *find_members(MEMBERS)]
    found = Pool(SPEC, members, wine).polls(here)
    assert found.failed == {"failing": "failed: RuntimeError: no such luck"}
    assert same(found, polls(wine))
    with pytest.raises(CampaignFailed, match="none of the 1 members .* failing: failed: RuntimeError: no such luck"):
        Pool(SPEC, members[:1], wine).polls(here)
