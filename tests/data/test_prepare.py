"""Splits are disjoint, stratified and repeatable; nothing outside the training part shapes what it is scaled by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evosparse.data import DataSet, DataSpec, load
from evosparse.data.prepare import prepare
from evosparse.data.raw import RawData, checked_part
from evosparse.errors import DataError


def raw_data(x: Any, y: Any, x_test: Any = None, y_test: Any = None, **rest: Any) -> RawData:
    test = None if x_test is None else checked_part(np.asarray(x_test), np.asarray(y_test), "x_test", "y_test")
    return RawData("toy", "toy.npz", checked_part(np.asarray(x), np.asarray(y), "x", "y"), test, **rest)


def numbered(n: int, classes: int) -> RawData:
    """A table whose first feature is the number of the row and whose second is the class."""
    rows = np.arange(n)
    return raw_data(np.stack([rows, rows % classes], axis=1), rows % classes)


def spec(**settings: Any) -> DataSpec:
    return DataSpec(name="toy", **settings)


def parts(dataset: DataSet) -> dict[str, np.ndarray]:
    return {
        "train": dataset.search.train.x,
        "validation": dataset.search.validation.x,
        "test": dataset.test.x,
    }


@given(n=st.integers(60, 200), classes=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_parts_are_disjoint_complete_and_stratified(n: int, classes: int, seed: int) -> None:
    dataset = prepare(numbered(n, classes), spec(scale="none", split_seed=seed))
    rows = [x[:, 0].astype(int) for x in parts(dataset).values()]
    assert sorted(np.concatenate(rows)) == list(range(n))
    for examples in (dataset.search.train, dataset.search.validation, dataset.test):
        assert np.array_equal(examples.y, examples.x[:, 1])
        counts = np.bincount(examples.y, minlength=classes)
        # Each of two splits may round a class by one.
        assert np.abs(counts - len(examples) * np.bincount(np.arange(n) % classes) / n).max() <= 2


def test_the_splits_depend_on_the_split_seed_and_the_data_alone() -> None:
    first = prepare(numbered(100, 2), spec())
    np.random.seed(1)
    assert prepare(numbered(100, 2), spec()).hash == first.hash
    assert prepare(numbered(100, 2), spec(split_seed=1)).hash != first.hash


def test_sizes_are_fractions_or_numbers_of_examples() -> None:
    dataset = prepare(numbered(100, 2), spec(validation=10, test=0.3))
    assert {part: len(x) for part, x in parts(dataset).items()} == {"train": 60, "validation": 10, "test": 30}


def test_an_official_test_part_stays_as_it_is_and_in_order() -> None:
    train = numbered(100, 2).train
    test = np.array([[5.0, 0], [3, 1], [4, 0]])
    dataset = prepare(raw_data(train.x, train.y, test, [0, 1, 0]), spec(scale="none", test=0.5, limit=40))
    assert np.array_equal(dataset.test.x, test)
    assert dataset.test.y.tolist() == [0, 1, 0]
    assert {part: len(x) for part, x in parts(dataset).items()} == {"train": 32, "validation": 8, "test": 3}


def test_the_limit_is_drawn_stratified_from_the_training_part() -> None:
    rows = np.arange(1000)
    labels = (rows % 10 == 0).astype(int)
    everything = raw_data(rows[:, np.newaxis], labels)
    dataset = prepare(everything, spec(limit=100, scale="none"))
    assert np.bincount(np.concatenate([dataset.search.train.y, dataset.search.validation.y])).tolist() == [90, 10]
    assert np.array_equal(dataset.test.x, prepare(everything, spec(scale="none")).test.x)
    assert prepare(everything, spec(limit=800)).hash == prepare(everything, spec()).hash
    assert len(prepare(everything, spec(limit=799)).search.train) == 639


@pytest.mark.parametrize("scale", ["unit", "standard"])
@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_scaling_uses_the_training_examples_alone(scale: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (200, *shape))
    labels = np.arange(200) % 2
    plain = prepare(raw_data(x, labels), spec(scale="none"))
    scaled = prepare(raw_data(x, labels), spec(scale=scale))
    train = plain.search.train.x.astype(np.float64)
    axes = 0 if len(shape) == 1 else None
    if scale == "unit":
        shift, span = train.min(axis=axes), np.ptp(train, axis=axes)
    else:
        shift, span = train.mean(axis=axes), train.std(axis=axes)
    for part, values in parts(plain).items():
        np.testing.assert_allclose(parts(scaled)[part], (values - shift) / span, rtol=1e-5, atol=1e-5)


def test_values_of_validation_and_test_do_not_change_the_training_part() -> None:
    rows = np.arange(100)
    x = np.stack([rows, rows % 7], axis=1).astype(float)
    before = prepare(raw_data(x, rows % 2), spec(scale="none"))
    outside = np.concatenate([before.search.validation.x[:, 0], before.test.x[:, 0]]).astype(int)
    changed = x.copy()
    changed[outside] += 1000
    for scale in ("unit", "standard"):
        first = prepare(raw_data(x, rows % 2), spec(scale=scale))
        second = prepare(raw_data(changed, rows % 2), spec(scale=scale))
        assert np.array_equal(first.search.train.x, second.search.train.x)
        assert not np.array_equal(first.test.x, second.test.x)


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_a_feature_that_is_constant_in_training_is_zero_everywhere(scale: str) -> None:
    x = np.stack([np.full(100, 0.1), np.arange(100)], axis=1)
    dataset = prepare(raw_data(x, np.arange(100) % 2, [[0.7, 5.0]], [1]), spec(scale=scale))
    for values in parts(dataset).values():
        assert not values[:, 0].any()
        assert values[:, 1].any()


def test_many_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(100, 5))
    x[3:9, 2] = np.nan
    for scale in ("unit", "standard"):
        whole = prepare(raw_data(x, np.arange(100) % 2), spec(scale=scale, missing="mean"))
        monkeypatch.setattr("evosparse.data.prepare._BLOCK", 35)
        blocks = prepare(raw_data(x, np.arange(100) % 2), spec(scale=scale, missing="mean"))
        monkeypatch.undo()
        for part, values in parts(whole).items():
            np.testing.assert_allclose(parts(blocks)[part], values, rtol=1e-6, atol=1e-6)


def test_bytes_of_images_are_scaled_as_a_whole() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 4), dtype=np.uint8)
    images[:, 0] = 0
    images[:, 1] = 255
    dataset = prepare(raw_data(images, np.arange(40) % 2), spec())
    plain = prepare(raw_data(images, np.arange(40) % 2), spec(scale="none"))
    assert dataset.search.input_shape == (1, 5, 4)
    np.testing.assert_allclose(dataset.test.x, plain.test.x / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((5, 4), (1, 5, 4)), ((5, 4, 1), (1, 5, 4)), ((5, 4, 3), (3, 5, 4)), ((1, 5, 4), (1, 5, 4)), ((20,), (20,))],
)
def test_inputs_become_channels_height_width(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> None:
    x = np.arange(40 * np.prod(shape)).reshape(40, *shape)
    dataset = prepare(raw_data(x, np.arange(40) % 2, x[:2], [0, 1]), spec(scale="none"))
    assert dataset.search.input_shape == input_shape
    expected = x[:2].transpose(0, 3, 1, 2) if shape[-1] in (1, 3) else x[:2]
    assert np.array_equal(dataset.test.x.ravel(), expected.ravel())


def test_nominal_columns_become_one_hot_over_the_codes_that_appear() -> None:
    x = np.array([[2.0, 0.5], [7, 0.5], [np.nan, 0.5], [2, 1.5]] * 10)
    nominal = np.array([True, False])
    dataset = prepare(
        raw_data(x, np.arange(40) % 2, [[7, 1.0], [np.nan, 1.0], [9, 1.0]], [0, 1, 1], nominal=nominal),
        spec(scale="none"),
    )
    assert dataset.test.x.tolist() == [[0, 1, 0, 1.0], [0, 0, 0, 1.0], [0, 0, 1, 1.0]]
    train = dataset.search.train.x
    assert np.array_equal(np.unique(train[:, :3], axis=0), [[0, 0, 0], [0, 1, 0], [1, 0, 0]])


def test_missing_numbers_are_refused_by_the_name_of_the_first_feature() -> None:
    x = np.ones((20, 3))
    x[4, 2] = x[5, 1] = x[7, 1] = x[0, 0] = np.nan
    nominal, names = np.array([True, False, False]), ("sex", "age", "height")
    with pytest.raises(DataError, match=r"feature 'age' is missing \(NaN\) in 2 of 20 examples; set missing: mean"):
        prepare(raw_data(x, np.arange(20) % 2, nominal=nominal, feature_names=names), spec())
    with pytest.raises(DataError, match=r"x_test: feature x\[:, 1\] is missing"):
        prepare(raw_data(np.ones((20, 2)), np.arange(20) % 2, [[1, np.nan]], [0]), spec())
    images = np.full((20, 2, 2), np.nan)
    with pytest.raises(DataError, match=r"feature x\[:, 0, 0\] is missing.*pixels"):
        prepare(raw_data(images, np.arange(20) % 2), spec(missing="mean"))


def test_missing_numbers_become_the_mean_of_the_training_examples() -> None:
    rows = np.arange(50.0)
    x = np.stack([rows, rows**2, np.full(50, np.nan)], axis=1)
    x[::5, 1] = np.nan
    dataset = prepare(
        raw_data(x, np.arange(50) % 2, [[-1.0, np.nan, 3.0]], [0]), spec(scale="none", missing="mean")
    )
    train = dataset.search.train.x[:, 0].astype(int)
    mean = np.nanmean(x[train, 1])
    assert dataset.test.x[0].tolist() == [-1.0, np.float32(mean), 3.0]
    expected = np.where(np.isnan(x[train, 1]), mean, x[train, 1])
    np.testing.assert_allclose(dataset.search.train.x[:, 1], expected, rtol=1e-6)
    assert not dataset.search.train.x[:, 2].any()
    standard = prepare(raw_data(x, np.arange(50) % 2), spec(scale="standard", missing="mean")).search.train.x
    np.testing.assert_allclose(standard[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standard[:, :2].std(axis=0), 1, atol=1e-6)
    unit = prepare(raw_data(x, np.arange(50) % 2), spec(scale="unit", missing="mean")).search.train.x
    assert (unit.min(axis=0).tolist(), unit.max(axis=0).tolist()) == ([0, 0, 0], [1, 1, 0])


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("missing", ["mean", "error"])
def test_values_that_are_not_finite_are_refused_by_feature(value: float, missing: str) -> None:
    x = np.ones((20, 3))
    x[4, 1] = value
    with pytest.raises(DataError, match=r"x: feature x\[:, 1\]: expected finite numbers.*in example 5"):
        prepare(raw_data(x, np.arange(20) % 2), spec(missing=missing))


def test_half_precision_is_checked_without_overflow() -> None:
    x = np.ones((20, 2), dtype=np.float16)
    x[4, 1] = np.inf
    with pytest.raises(DataError, match="expected finite numbers"):
        prepare(raw_data(x, np.arange(20) % 2), spec())


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([7, -3] * 10), ("-3", "7")),
        (np.array([2.0, 1.0] * 10), ("1", "2")),
        (np.array(["ham", "egg"] * 10), ("egg", "ham")),
        (np.array([b"ham", b"egg"] * 10), ("egg", "ham")),
        (np.array([2**63, 2**63 + 1] * 10, dtype=np.uint64), (str(2**63), str(2**63 + 1))),
        (np.array([True, False] * 10), ("False", "True")),
    ],
)
def test_labels_of_any_kind_become_sorted_indices(labels: np.ndarray, names: tuple[str, ...]) -> None:
    x = np.arange(20)[:, np.newaxis]
    dataset = prepare(raw_data(x, labels), spec(scale="none"))
    assert dataset.class_names == names
    order = np.unique(labels)
    assert np.array_equal(order[dataset.test.y], labels[dataset.test.x[:, 0].astype(int)])


def test_class_names_belong_to_labels_that_count_from_zero_or_to_sorted_labels() -> None:
    x = np.arange(20)[:, np.newaxis]
    for labels, names, expected in [
        ([0, 2] * 10, ("a", "b", "c"), ("a", "c")),
        ([1, 2] * 10, ("a", "b"), ("a", "b")),
        (["x", "y"] * 10, ("a", "b"), ("a", "b")),
    ]:
        assert prepare(raw_data(x, labels, class_names=names), spec()).class_names == expected
    with pytest.raises(DataError, match="class_names: expected 2 names, one per class, got 3"):
        prepare(raw_data(x, ["x", "y"] * 10, class_names=("a", "b", "c")), spec())


@pytest.mark.parametrize(("labels", "unknown"), [([0, 5], "5"), (["0", "1"], "0"), ([0.0, 3.0], "3")])
def test_a_test_label_that_is_not_in_the_training_part_is_refused(labels: list[Any], unknown: str) -> None:
    with pytest.raises(DataError, match=f"y_test: label {unknown} of the test part does not appear"):
        prepare(raw_data(np.ones((20, 2)), np.arange(20) % 2, np.ones((2, 2)), labels), spec())


def test_texts_are_not_taken_for_the_numbers_they_spell() -> None:
    many = np.arange(120) % 30
    with pytest.raises(DataError, match="y_test: label 1 of the test part does not appear"):
        prepare(raw_data(np.ones((120, 2)), many, np.ones((50, 2)), ["1"] * 50), spec())


@pytest.mark.parametrize(
    ("labels", "settings", "problem"),
    [
        ([0] * 20, {}, "at least 2 classes, got only 0"),
        ([0] * 19 + [1], {}, "cannot split off the test part .*class '1' has 1 of 20 examples, at least 2"),
        ([0, 1] * 10, {"test": 20}, "cannot split off the test part .test: 20. of 20 examples in 2 classes"),
        ([0, 1] * 10, {"validation": 15}, "cannot split off the validation part .validation: 15. of 16 examples"),
        ([0, 1, 2, 3] * 5, {"test": 3}, "cannot split off the test part .test: 3. of 20 examples in 4 classes"),
        ([0] * 96 + [1] * 4, {"limit": 5}, "validation part.*class '1' has 0 of 5 .* or raise limit"),
        ([0] * 98 + [1] * 2, {"test": 0.9}, "no example of class '1' would stay for training"),
    ],
)
def test_classes_that_cannot_be_split_are_refused(labels: list[int], settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        prepare(raw_data(np.ones((len(labels), 2)), labels), spec(**settings))


def test_a_nominal_column_of_names_is_refused() -> None:
    x = np.arange(3000.0).reshape(1500, 2)
    with pytest.raises(DataError, match=r"feature 'id' is nominal with 1500 different values, the most are 1000"):
        prepare(
            raw_data(x, np.arange(1500) % 2, nominal=np.array([True, False]), feature_names=("id", "size")), spec()
        )
    empty = raw_data(np.full((20, 1), np.nan), np.arange(20) % 2, nominal=np.array([True]))
    with pytest.raises(DataError, match="every value of every column is missing"):
        prepare(empty, spec())


def test_a_csv_file_becomes_a_data_set(tmp_path: Path) -> None:
    lines = [f"{index},{'red' if index % 3 else 'blue'},{'yes' if index % 2 else 'no'}" for index in range(40)]
    (tmp_path / "toy.csv").write_text("\n".join(["size,colour,answer", *lines]))
    dataset = load(DataSpec(name="toy.csv"), tmp_path)
    assert dataset.name == "toy"
    assert dataset.class_names == ("no", "yes")
    assert dataset.search.input_shape == (3,)
    assert np.array_equal(dataset.test.x[:, 1] + dataset.test.x[:, 2], np.ones(8))
