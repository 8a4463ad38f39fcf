"""A pool may be a file of votes: what stands in it is what is voted, under names and prefixes, and nothing is fitted."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from ensemble_bad_inputs import recorded_votes
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.evaluate import InProcessEvaluator, Policy
from evosparse.ensembles import PredictionsSpec, Problem
from evosparse.ensembles.fitting import Polls
from evosparse.ensembles.recorded import RecordedPool
from evosparse.errors import SpecError


def polls(pool: RecordedPool) -> Polls:
    return pool.polls(lambda stage: InProcessEvaluator(stage, Policy()))


def pool_of(folder: Path, prefix: str = "", members: tuple[int, int] | None = None, **arrays: object) -> RecordedPool:
    np.savez(folder / "votes.npz", **arrays)
    return RecordedPool(PredictionsSpec(file="votes.npz", prefix=prefix, members=members), folder)


@pytest.mark.parametrize("probabilities", [False, True])
def test_what_stands_in_the_file_is_what_is_voted(tmp_path: Path, probabilities: bool) -> None:
    arrays = recorded_votes(probabilities=probabilities)
    pool = pool_of(tmp_path, **arrays)
    found = polls(pool)
    assert found.validation is None and not found.failed and pool.class_names == ("0", "1", "2")
    for part, votes in (("val", found.selection), ("test", found.test)):
        assert votes.names == ("c0", "c1", "c2", "c3")
        assert np.array_equal(votes.labels, arrays[f"{part}_pred"]) and np.array_equal(votes.y, arrays[f"{part}_y"])
        if probabilities:
            assert np.array_equal(votes.probabilities, arrays[f"{part}_proba"])
        else:
            assert votes.probabilities is None


def test_members_and_classes_have_the_names_of_the_file(tmp_path: Path) -> None:
    names = {"names": np.array(["oak", "elm", "ash", "yew"]), "class_names": np.array([*"abcd"])}
    pool = pool_of(tmp_path, **recorded_votes(), **names)
    assert polls(pool).selection.names == ("oak", "elm", "ash", "yew")
    assert pool.class_names == ("a", "b", "c", "d") and polls(pool).test.classes == 4


def test_a_prefix_chooses_one_of_several_tables_and_a_shared_beginning_the_class_names(tmp_path: Path) -> None:
    first, second = recorded_votes(seed=1), recorded_votes(seed=2)
    arrays = {f"a_1_{name}": values for name, values in first.items()}
    arrays |= {f"a_2_{name}": values for name, values in second.items()}
    arrays |= {"a_class_names": np.array([*"xyz"]), "b_class_names": np.array([*"uvw"]), "names": np.array([*"pqrs"])}
    pool = pool_of(tmp_path, "a_2_", **arrays)
    assert np.array_equal(polls(pool).test.labels, second["test_pred"])
    assert pool.class_names == ("x", "y", "z") and polls(pool).test.names == tuple("pqrs")


@given(st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted))
def test_a_range_of_members_is_taken_with_their_names(
    tmp_path_factory: pytest.TempPathFactory, bounds: list[int]
) -> None:
    first, last = bounds
    arrays = recorded_votes(members=12, probabilities=True)
    found = polls(pool_of(tmp_path_factory.mktemp("votes"), members=(first, last), **arrays)).selection
    assert found.names == tuple(f"c{member:02d}" for member in range(first, last + 1))
    assert np.array_equal(found.labels, arrays["val_pred"][:, first : last + 1])
    assert np.array_equal(found.probabilities, arrays["val_proba"][:, first : last + 1])


@pytest.mark.parametrize("changed", ["val_pred", "val_y", "test_pred", "test_y", "val_proba", "test_proba"])
def test_other_votes_have_another_hash(tmp_path: Path, changed: str) -> None:
    arrays = recorded_votes(probabilities=True)
    before = pool_of(tmp_path, **arrays).hash
    assert pool_of(tmp_path, **arrays).hash == before
    arrays[changed] = np.roll(arrays[changed], 1, axis=0)
    assert pool_of(tmp_path, **arrays).hash != before


def test_a_bare_name_is_looked_for_in_the_folder_of_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "own.npz", **recorded_votes())
    monkeypatch.setenv("EVOSPARSE_DATA", str(tmp_path))
    assert polls(RecordedPool(PredictionsSpec(file="own"), tmp_path / "elsewhere")).selection.members == 4


def test_nobody_can_be_fitted_from_a_file_of_votes(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="without classifiers to fit: export to .json"):
        pool_of(tmp_path, **recorded_votes()).fit(["c0"])


def test_the_true_test_classes_are_not_in_what_a_fitness_is_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "votes.npz", **recorded_votes())
    problem = Problem(pool={"predictions": "votes.npz"}, base=tmp_path)
    given, examined = pickle.dumps(problem.stage.data), pickle.dumps(problem.examination.data)
    arrays = {name: np.ascontiguousarray(values) for name, values in recorded_votes().items()}
    assert arrays["test_y"].tobytes() in examined and arrays["val_y"].tobytes() in given
    assert arrays["test_y"].tobytes() not in given
