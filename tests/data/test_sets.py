"""The types of data: roles cannot be mixed up, arrays are what they say, the hash is that of the content."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ray import cloudpickle

import evosparse.errors
from evosparse.data import DataSet, DataSpec, Examples, SearchData, Test, Train, Validation, describe, load
from evosparse.errors import DataError


def arrays(n: int = 6, features: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n * features, dtype=np.float32).reshape(n, features), np.arange(n) % 2


def search_data() -> SearchData:
    return SearchData(Train(*arrays(6)), Validation(*arrays(4)), classes=2, input_shape=(3,))


def data_set(test_value: float = 0.0) -> DataSet:
    x, y = arrays(2)
    x[1, 2] = test_value
    return DataSet("toy", search_data(), Test(x, y), ("no", "yes"))


@pytest.mark.parametrize(
    ("x", "y", "problem"),
    [
        ([[1.0]], np.zeros(1, np.int64), "x of Train: expected a numpy array"),
        (np.zeros((2, 3)), np.zeros(2, np.int64), "float32.*got float64"),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int32), "y of Train: expected a C-contiguous int64"),
        (np.zeros((3, 2), np.float32).T, np.zeros(2, np.int64), "not contiguous"),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.int64), r"\(2, 3\) and \(3,\)"),
        (np.zeros(2, np.float32), np.zeros(2, np.int64), "input_shape"),
        (np.zeros((0, 3), np.float32), np.zeros(0, np.int64), "at least one example"),
        (np.full((2, 3), np.nan, np.float32), np.zeros(2, np.int64), "not finite"),
        (np.zeros((2, 3), np.float32), np.array([0, -1]), "class indices from 0, got -1"),
    ],
)
def test_examples_of_another_type_shape_or_value_are_refused(x: object, y: np.ndarray, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Train(x, y)


def test_examples_cannot_be_changed_and_leave_the_callers_array_writable() -> None:
    x, y = arrays()
    examples = Examples(x, y)
    with pytest.raises(ValueError, match="read-only"):
        examples.x[0, 0] = 1
    x[0, 0] = 1
    assert len(examples) == 6


@pytest.mark.parametrize("wrong", [Test, Train, Examples])
def test_only_validation_examples_are_accepted_as_validation(wrong: type[Examples]) -> None:
    with pytest.raises(DataError, match=f"as Validation, got {wrong.__name__}"):
        SearchData(Train(*arrays()), wrong(*arrays()), classes=2, input_shape=(3,))


@pytest.mark.parametrize("wrong", [Test, Validation, Examples])
def test_only_training_examples_are_accepted_as_training(wrong: type[Examples]) -> None:
    with pytest.raises(DataError, match=f"as Train, got {wrong.__name__}"):
        SearchData(wrong(*arrays()), Validation(*arrays()), classes=2, input_shape=(3,))


def test_only_test_examples_are_accepted_as_test() -> None:
    with pytest.raises(DataError, match="as Test, got Validation"):
        DataSet("toy", search_data(), Validation(*arrays()), ("no", "yes"))


def test_what_a_search_sees_leads_nowhere_to_the_test_set() -> None:
    dataset = data_set()
    assert set(vars(dataset.search)) == {"train", "validation", "classes", "input_shape"}
    assert not isinstance(dataset.test, Train | Validation)


def test_parts_that_do_not_fit_shape_or_classes_are_refused() -> None:
    train, validation = Train(*arrays()), Validation(*arrays())
    with pytest.raises(DataError, match=r"shape \(4,\), got \(3,\)"):
        SearchData(train, validation, classes=2, input_shape=(4,))
    with pytest.raises(DataError, match="at least 2 classes"):
        SearchData(train, validation, classes=1, input_shape=(3,))
    with pytest.raises(DataError, match="Test: expected class indices below 2, got 2"):
        DataSet("toy", search_data(), Test(arrays(2)[0], np.array([0, 2])), ("no", "yes"))
    with pytest.raises(DataError, match="2 class names"):
        DataSet("toy", search_data(), Test(*arrays()), ("no",))


def test_the_hash_changes_with_a_single_value_and_with_a_role() -> None:
    assert data_set().hash == data_set().hash
    assert data_set(test_value=1.0).hash != data_set().hash
    x, y = arrays(4)
    swapped = SearchData(Train(x, y), Validation(*arrays(6)), classes=2, input_shape=(3,))
    assert DataSet("toy", swapped, data_set().test, ("no", "yes")).hash != data_set().hash


def test_the_hash_does_not_depend_on_the_process() -> None:
    program = "from evosparse.data import DataSpec, load; print(load(DataSpec(name='digits')).hash)"
    root = str(Path(evosparse.errors.__file__).parents[1])
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another than that of this process
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert elsewhere == load(DataSpec(name="digits")).hash


def test_a_data_set_survives_serialisation_without_copying_its_arrays() -> None:
    dataset = data_set()
    buffers: list[pickle.PickleBuffer] = []
    payload = cloudpickle.dumps(dataset, protocol=5, buffer_callback=buffers.append)
    again = cloudpickle.loads(payload, buffers=buffers)
    assert again.hash == dataset.hash
    assert np.shares_memory(again.search.train.x, dataset.search.train.x)
    assert np.array_equal(again.test.x, dataset.test.x)


def test_a_data_set_is_described_in_one_line() -> None:
    assert describe(data_set()) == "toy: 6 training, 4 validation, 2 test examples, input 3, 2 classes"
