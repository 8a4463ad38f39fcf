"""What a limit leaves out gives spare examples, which no other part holds; a final training merges train and
validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from evosparse.data import DataSet, DataSpec, SearchData, Test, Train, Validation, describe, merged
from evosparse.data.prepare import prepare
from evosparse.data.raw import RawData, checked_part
from evosparse.errors import DataError

seeds = st.integers(0, 2**32 - 1)


def numbered(y: np.ndarray) -> RawData:
    """A table whose only feature is the number of the row."""
    return RawData("toy", "toy.npz", checked_part(np.arange(len(y))[:, np.newaxis], y, "x", "y"))


def spec(**settings: Any) -> DataSpec:
    return DataSpec(name="toy", **settings)


def rows(examples: Train | Validation | Test) -> np.ndarray:
    return examples.x[:, 0].astype(int)


@given(n=st.integers(60, 300), classes=st.integers(2, 5), share=st.floats(0.2, 0.95), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_spare_examples_are_in_no_other_part(n: int, classes: int, share: float, seed: int) -> None:
    y = np.arange(n) % classes
    available = len(merged(prepare(numbered(y), spec(split_seed=seed)).search))
    limit = max(6 * classes, int(share * available))
    dataset = prepare(numbered(y), spec(scale="none", limit=limit, split_seed=seed))
    others = np.concatenate([rows(part) for part in (dataset.search.train, dataset.search.validation, dataset.test)])
    assert len(set(others)) == len(others)
    if limit >= available:
        assert dataset.spare is None
        return
    spare = rows(dataset.spare)
    assert len(set(spare)) == len(spare) == min(len(dataset.search.validation), available - limit)
    assert not set(spare) & set(others)
    assert np.array_equal(dataset.spare.y, y[spare])
    left_out = np.setdiff1d(np.arange(n), others)
    expected = np.bincount(y[left_out], minlength=classes) * len(spare) / len(left_out)
    assert np.abs(np.bincount(dataset.spare.y, minlength=classes) - expected).max() <= 1


@given(n=st.integers(60, 300), classes=st.integers(2, 5), limit=st.none() | st.integers(30, 300), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_spare_examples_change_no_other_part(n: int, classes: int, limit: int | None, seed: int) -> None:
    y = np.arange(n) % classes
    dataset = prepare(numbered(y), spec(scale="none", limit=limit, split_seed=seed))
    kept, test = train_test_split(np.arange(n), test_size=0.2, stratify=y, random_state=seed)
    if limit is not None and limit < len(kept):
        kept = resample(kept, replace=False, n_samples=limit, stratify=y[kept], random_state=seed)
    train, validation = train_test_split(kept, test_size=0.2, stratify=y[kept], random_state=seed)
    assert rows(dataset.search.train).tolist() == train.tolist()
    assert rows(dataset.search.validation).tolist() == validation.tolist()
    assert rows(dataset.test).tolist() == test.tolist()


def test_classes_of_which_the_limit_leaves_a_single_example_are_no_obstacle() -> None:
    y = np.repeat([0, 1, 2], [300, 6, 6])
    x = np.arange(len(y))[:, np.newaxis]
    test = checked_part(x[:1], y[:1], "x_test", "y_test")
    raw = RawData("toy", "toy.npz", checked_part(x, y, "x", "y"), test)
    dataset = prepare(raw, spec(scale="none", limit=260))
    left_out = np.setdiff1d(np.arange(len(y)), rows(merged(dataset.search)))
    assert np.bincount(y[left_out]).tolist()[1:] == [1, 1]
    assert len(dataset.spare) == 52 == len(left_out)
    assert len(prepare(raw, spec(limit=260, validation=20)).spare) == 20


def test_spare_examples_depend_on_the_split_seed_and_the_data_alone() -> None:
    y = np.arange(500) % 3
    first = prepare(numbered(y), spec(limit=100, scale="none"))
    np.random.seed(1)
    again = prepare(numbered(y), spec(limit=100, scale="none"))
    assert again.hash == first.hash and np.array_equal(rows(again.spare), rows(first.spare))
    assert set(rows(prepare(numbered(y), spec(limit=100, scale="none", split_seed=1)).spare)) != set(rows(first.spare))


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_spare_examples_are_scaled_by_the_training_examples_alone(scale: str) -> None:
    y = np.arange(500) % 2
    plain = prepare(numbered(y), spec(limit=20, scale="none"))
    train = plain.search.train.x.astype(np.float64)
    shift, span = (train.min(), np.ptp(train)) if scale == "unit" else (train.mean(), train.std())
    scaled = prepare(numbered(y), spec(limit=20, scale=scale))
    np.testing.assert_allclose(scaled.spare.x, (plain.spare.x - shift) / span, rtol=1e-5, atol=1e-6)


def part(role: type, n: int, start: float = 0.0, features: int = 3) -> Any:
    return role(np.arange(start, start + n * features, dtype=np.float32).reshape(n, features), np.arange(n) % 2)


def data_set(spare: Any = None) -> DataSet:
    search = SearchData(part(Train, 6), part(Validation, 4, 100), classes=2, input_shape=(3,))
    return DataSet("toy", search, part(Test, 2), ("no", "yes"), spare)


def test_the_hash_covers_spare_examples() -> None:
    hashes = {data_set(spare).hash for spare in (None, part(Validation, 2), part(Validation, 2, 1.0))}
    assert len(hashes) == 3


def test_a_search_does_not_see_spare_examples() -> None:
    assert set(vars(data_set(part(Validation, 2)).search)) == {"train", "validation", "classes", "input_shape"}


@pytest.mark.parametrize("wrong", [Train, Test])
def test_only_validation_examples_are_accepted_as_spare(wrong: type) -> None:
    with pytest.raises(DataError, match=f"expected the spare part as Validation, got {wrong.__name__}"):
        data_set(part(wrong, 2))


def test_spare_examples_that_do_not_fit_shape_or_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"Spare: expected inputs of shape \(3,\), got \(4,\)"):
        data_set(part(Validation, 2, features=4))
    with pytest.raises(DataError, match="Spare: expected class indices below 2, got 2"):
        data_set(Validation(np.zeros((1, 3), np.float32), np.array([2])))


def test_spare_examples_are_described() -> None:
    described = describe(data_set(part(Validation, 3)))
    assert described == "toy: 6 training, 4 validation, 2 test, 3 spare examples, input 3, 2 classes"


def test_merged_are_the_training_examples_and_then_those_of_validation() -> None:
    search = data_set().search
    both = merged(search)
    assert type(both) is Train and len(both) == 10
    assert np.array_equal(both.x[:6], search.train.x) and np.array_equal(both.x[6:], search.validation.x)
    assert np.array_equal(both.y[:6], search.train.y) and np.array_equal(both.y[6:], search.validation.y)
