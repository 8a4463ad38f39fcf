"""Files are read as documented, and everything that can be wrong with one gives one error with file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evosparse.data import DataSpec, load
from evosparse.data.files import read_csv, read_npz
from evosparse.errors import DataError

X = np.arange(24.0).reshape(8, 3)
Y = np.array([0, 1] * 4)


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "toy.npz"
    np.savez(path, **arrays)
    return path


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "toy.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_official_parts_of_an_npz_file_are_kept_apart(tmp_path: Path) -> None:
    raw = read_npz(npz(tmp_path, x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2]))
    assert raw.name == "toy"
    assert np.array_equal(raw.train.x, X)
    assert np.array_equal(raw.test.x, X[:2])


def test_n_train_divides_an_npz_file_into_its_official_parts(tmp_path: Path) -> None:
    raw = read_npz(npz(tmp_path, x=X, y=Y, n_train=5))
    assert np.array_equal(raw.train.x, X[:5]) and np.array_equal(raw.train.y, Y[:5])
    assert np.array_equal(raw.test.x, X[5:]) and np.array_equal(raw.test.y, Y[5:])


def test_an_npz_file_without_official_test_part_has_none(tmp_path: Path) -> None:
    assert read_npz(npz(tmp_path, x=X, y=Y)).test is None
    assert read_npz(npz(tmp_path, x_train=X, y_train=Y)).test is None


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"images": X}, "expected the keys x_train, y_train or x, y; got images"),
        ({}, "got no keys"),
        ({"x_train": X}, "y_train is missing"),
        ({"y": Y}, "x is missing"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "y_test is missing"),
        ({"x_train": X, "y_train": Y, "x": X, "y": Y}, "got both"),
        ({"x": X, "y": Y[:5]}, r"y: expected one label per example, shape \(8,\).*got \(5,\)"),
        ({"x": X, "y": np.eye(8)}, r"y: expected one label per example.*got \(8, 8\)"),
        ({"x": X.astype(str), "y": Y}, "x: expected numbers, got <U"),
        ({"x": X.astype(complex), "y": Y}, "x: expected numbers, got complex"),
        ({"x": X.astype(object), "y": Y}, "x: not a readable .npz file of plain arrays.*Object arrays"),
        ({"x": X, "y": Y.astype(object)}, "y: not a readable .npz file of plain arrays.*Object arrays"),
        ({"x": X[:, 0], "y": Y}, r"x: expected at least one example.*got \(8,\)"),
        ({"x": X[:0], "y": Y[:0]}, "x: expected at least one example"),
        ({"x": np.float64(1), "y": Y}, "x: expected at least one example"),
        ({"x": X, "y": Y + 0.5}, "y: expected class labels.*got 0.5"),
        ({"x": X, "y": np.where(Y > 0, np.nan, 0)}, "y: expected class labels.*got nan"),
        ({"x": X, "y": Y * 1e300}, "y: expected class labels"),
        ({"x": X, "y": Y.astype("M8[s]")}, "y: expected class labels"),
        ({"x": X, "y": Y, "n_train": 8}, "n_train: expected one whole number between 1 and 7"),
        ({"x": X, "y": Y, "n_train": 0}, "n_train: expected one whole number"),
        ({"x": X, "y": Y, "n_train": [3, 4]}, "n_train: expected one whole number"),
        ({"x": X, "y": Y, "n_train": 3.5}, "n_train: expected one whole number"),
        ({"x": X, "y": Y, "categorical": [True]}, "categorical: expected one bool per column"),
        ({"x": X, "y": Y, "categorical": [1, 0, 0]}, "categorical: expected one bool per column"),
        ({"x": X, "y": Y, "feature_names": ["a"]}, "feature_names: expected one name per column"),
        ({"x": X, "y": Y, "feature_names": [1, 2, 3]}, "feature_names: expected a list of strings"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"x_test: expected examples of shape \(3,\)"),
    ],
)
def test_an_npz_file_with_wrong_content_is_refused_by_key(
    tmp_path: Path, arrays: dict[str, Any], problem: str
) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(DataError, match=problem) as raised:
        read_npz(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04", b"\x80\x04N."])
def test_what_is_no_npz_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "toy.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="toy.npz: not a readable .npz file"):
        read_npz(path)


def test_a_single_array_under_the_name_of_an_npz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="single array"):
        read_npz(path)


@given(share=st.floats(0, 0.999))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_an_npz_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    whole = npz(tmp_path, x=X, y=Y).read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="cut.npz: not a readable .npz file"):
        read_npz(path)


@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_damaged_byte_gives_the_data_or_a_data_error(tmp_path: Path, place: float, value: int) -> None:
    content = bytearray(npz(tmp_path, x=X, y=Y).read_bytes())
    content[int(place * len(content))] = value
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    try:
        raw = read_npz(path)
    except DataError as error:
        assert "damaged.npz" in str(error)
    else:
        assert np.array_equal(raw.train.x, X) and np.array_equal(raw.train.y, Y)


def test_csv_columns_are_numeric_or_nominal_by_their_cells(tmp_path: Path) -> None:
    lines = ("size,colour,code,kind", "1.5,red,1_0,b", "1.5,red,10,b", "?,blue,10,a", "-2e1,,10,b", "", " 3 ,red,10,a")
    raw = read_csv(csv(tmp_path, "\n".join(lines)), None)
    assert raw.feature_names == ("size", "colour", "code")
    assert raw.nominal.tolist() == [False, True, True]
    assert np.array_equal(raw.train.x[:, 0], [1.5, 1.5, np.nan, -20, 3], equal_nan=True)
    assert np.array_equal(raw.train.x[:, 1], [1, 1, 0, np.nan, 1], equal_nan=True)
    assert raw.train.x[:, 2].tolist() == [1, 0, 0, 0, 0]
    assert raw.train.y.tolist() == ["b", "b", "a", "b", "a"]


def test_the_class_of_a_csv_file_can_be_any_column(tmp_path: Path) -> None:
    raw = read_csv(csv(tmp_path, "label,a,b\n10,1,2\n9,3,4\n"), "label")
    assert raw.train.y.tolist() == [10, 9]
    assert raw.train.x.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "text",
    [
        "a;b;y\n1,5;2;0\n2,5;3;1\n",
        "a\tb\ty\n1.5\t2\t0\n2.5\t3\t1\n",
        '\ufeff"a","b","y"\r\n"1.5","2","0"\r\n"2.5","3","1"',
    ],
)
def test_separators_decimal_commas_and_line_ends_are_understood(tmp_path: Path, text: str) -> None:
    raw = read_csv(csv(tmp_path, text), "y")
    assert raw.feature_names == ("a", "b")
    assert raw.train.x.tolist() == [[1.5, 2], [2.5, 3]]
    assert raw.train.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,y\n", "no line below the header"),
        ("1,2\n3,4\n", "line 1: expected a header line.*only numbers"),
        ("a,b,y\n1,2,0\n1,0\n", "line 3: expected 3 cells as in the header, got 2"),
        ("a,b,y\n1,2,0,7\n", "line 2: expected 3 cells as in the header, got 4"),
        ("a,a,y\n1,2,0\n", "line 1: two columns are called 'a'"),
        (",a,y\n0,1,2\n", "line 1: column 1 has no name"),
        ("a,b,klass\n1,2,0\n", "there is no column 'class'; did you mean 'klass'"),
        ("a,class\n1,x\n2,?\n", "line 3: the class is missing"),
        ("class\nx\n", "at least one feature"),
        ("a,class\n1,0.5\n2,1\n", "column 'class': expected class labels.*got 0.5"),
        (b"a,class\n1,x\n2,\xff\n", "line 3: not UTF-8"),
        ('a,class\n1,"x\n2,y\n', "line 3: not a .csv file"),
        ("a,class\n1,x\x00\n2,y\n", "not a .csv file|'class'"),
    ],
)
def test_a_csv_file_with_wrong_content_is_refused_by_line(tmp_path: Path, text: str | bytes, problem: str) -> None:
    path = csv(tmp_path, text)
    target = "class" if b"class" in path.read_bytes() or b"klass" in path.read_bytes() else None
    with pytest.raises(DataError, match=problem) as raised:
        load(DataSpec(name=str(path), target=target))
    assert str(path) in str(raised.value)


@given(content=st.binary(max_size=60) | st.text("a1,;\n\"?. \t", max_size=60).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_no_csv_file_raises_anything_but_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = csv(tmp_path, content)
    try:
        raw = read_csv(path, None)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert len(raw.train.x) == len(raw.train.y) > 0
