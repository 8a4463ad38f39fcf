"""A data set is found where the documentation says, and where it is nowhere the error lists every way to get it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from sklearn import datasets
from sklearn.utils import Bunch

from evosparse.data import DataSpec, load
from evosparse.data.sources import find
from evosparse.errors import DataError


@pytest.fixture(autouse=True)
def no_folder_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVOSPARSE_DATA", raising=False)
    monkeypatch.setattr(datasets, "fetch_openml", lambda **query: offline())


def offline() -> Bunch:
    raise URLError("no route to host")


def save(path: Path, value: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=np.full((8, 2), value), y=np.array([0, 1] * 4))
    return path


def value_of(name: str, base: Path | None = None) -> float:
    return float(find(DataSpec(name=name), base).train.x[0, 0])


@pytest.mark.parametrize(
    ("name", "shape"), [("digits", (8, 8)), ("iris", (4,)), ("wine", (13,)), ("breast_cancer", (30,))]
)
def test_the_sets_bundled_with_scikit_learn_need_nothing_else(name: str, shape: tuple[int, ...]) -> None:
    assert find(DataSpec(name=name)).train.x.shape[1:] == shape


def test_digits_are_images() -> None:
    dataset = load(DataSpec(name="digits"))
    assert dataset.search.input_shape == (1, 8, 8)
    assert dataset.class_names == tuple("0123456789")


def test_a_folder_of_the_users_comes_before_the_bundled_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "iris.npz", 7.0)
    digits = load(DataSpec(name="digits")).hash
    monkeypatch.setenv("EVOSPARSE_DATA", str(tmp_path))
    assert value_of("iris") == 7.0
    assert load(DataSpec(name="digits")).hash == digits


def test_openml_is_asked_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(**query: Any) -> Bunch:
        asked.append(query)
        return openml_bunch()

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    monkeypatch.setenv("EVOSPARSE_DATA", str(tmp_path))
    save(tmp_path / "mine.npz", 7.0)
    find(DataSpec(name="iris"))
    find(DataSpec(name="mine"))
    assert asked == []
    find(DataSpec(name="weather"))
    assert (asked[0]["name"], asked[0]["version"]) == ("weather", "active")
    assert (asked[0]["as_frame"], asked[0]["parser"]) == (False, "liac-arff")


def test_relative_paths_start_at_the_campaign_file_and_then_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "campaign" / "both.npz", 1.0)
    save(tmp_path / "here" / "both.npz", 2.0)
    save(tmp_path / "here" / "data" / "one.npz", 3.0)
    monkeypatch.chdir(tmp_path / "here")
    assert value_of("both.npz", tmp_path / "campaign") == 1.0
    assert value_of("both.npz") == 2.0
    assert value_of("data/one.npz", tmp_path / "campaign") == 3.0
    assert value_of(str(tmp_path / "here" / "both.npz"), tmp_path / "campaign") == 2.0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent.npz", "there is no file absent.npz .looked for"),
        ("absent/absent", "there is no file absent/absent"),
        ("~nobody-of-this-name/x.npz", "there is no file"),
        ("x" * 5000 + ".npz", "there is no file"),
        ("./folder", "is a folder"),
        ("./notes.txt", "expected a .npz or .csv file, got '.txt'"),
    ],
)
def test_a_path_without_a_data_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("a,y\n1,0\n")
    with pytest.raises(DataError, match=problem):
        find(DataSpec(name=name), tmp_path / "campaign")


def test_a_name_that_is_nowhere_lists_every_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("did you mean 'digits'", "a path to a .npz or .csv file", "digist.npz in the folder", "not set",
                "openml:NAME with a network", "no route to host"):
        with pytest.raises(DataError) as raised:
            load(DataSpec(name="digist"))
        assert way in str(raised.value)
    save(tmp_path / "fashion.npz", 1.0)
    monkeypatch.setenv("EVOSPARSE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="did you mean 'fashion'"):
        load(DataSpec(name="fashoin"))
    with pytest.raises(DataError, match="there is no data set"):
        load(DataSpec(name="x" * 5000))


@pytest.mark.parametrize(
    "failure", [URLError("no route to host"), TimeoutError("timed out"), ValueError("unknown set"), KeyError("target")]
)
def test_every_failure_of_openml_is_one_data_error(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fetch(**query: Any) -> Bunch:
        raise failure

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    with pytest.raises(DataError, match=f"openml:weather: OpenML gave no data .{type(failure).__name__}.*network"):
        load(DataSpec(name="openml:weather"))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("openml:weather", {"name": "weather", "version": "active"}),
        ("openml:weather@2", {"name": "weather", "version": 2}),
        ("openml:61", {"data_id": 61}),
        ("mnist", {"name": "mnist_784", "version": "active"}),
    ],
)
def test_openml_names_may_carry_a_version_or_be_a_number(
    monkeypatch: pytest.MonkeyPatch, name: str, query: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {}

    def fetch(**query: Any) -> Bunch:
        asked.update(query)
        return openml_bunch()

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    find(DataSpec(name=name))
    assert {key: asked[key] for key in ("name", "version", "data_id") if key in asked} == query


@pytest.mark.parametrize("name", ["openml:", "openml:@1", "openml:weather@", "openml:weather@new"])
def test_openml_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="expected openml:NAME, openml:NAME@VERSION or openml:ID"):
        find(DataSpec(name=name))


def openml_bunch(**changes: Any) -> Bunch:
    values = {
        "data": np.array([[0.0, 20.0], [1.0, 21.0], [2.0, np.nan], [0.0, 23.0]] * 4),
        "target": np.array(["10", "9", "9", "10"] * 4, dtype=object),
        "categories": {"outlook": ["sunny", "rain", "snow"], "play": ["9", "10"]},
        "feature_names": ["outlook", "degrees"],
    }
    return Bunch(**{**values, **changes})


def test_openml_tables_keep_their_nominal_columns_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "fetch_openml", lambda **query: openml_bunch())
    dataset = load(DataSpec(name="openml:weather", missing="mean"))
    assert dataset.search.input_shape == (4,)
    assert dataset.class_names == ("9", "10")
    with pytest.raises(DataError, match="openml:weather: feature 'degrees' is missing"):
        load(DataSpec(name="openml:weather"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"target": None}, "names no class column"),
        ({"target": np.zeros((16, 2), dtype=object)}, "expected one label per example"),
        ({"target": np.linspace(0, 1, 16)}, "expected class labels"),
    ],
)
def test_openml_tables_without_classes_are_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(datasets, "fetch_openml", lambda **query: openml_bunch(**changes))
    for name in ("openml:weather", "weather"):
        with pytest.raises(DataError, match=f"^openml:weather: .*{problem}"):
            find(DataSpec(name=name))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "openml:Kuzushiji-MNIST", "openml:mnist_784@1"])
def test_mnist_and_its_kin_of_openml_become_images_with_the_official_parts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOSPARSE_DATA", raising=False)
    pixels = np.zeros((70000, 784), dtype=np.uint8)
    pixels[60000:] = 1
    labels = np.array(["0", "1"] * 35000, dtype=object)
    names = [f"pixel{index}" for index in range(784)]
    bunch = Bunch(data=pixels, target=labels, categories={}, feature_names=names)
    monkeypatch.setattr(datasets, "fetch_openml", lambda **query: bunch)
    raw = find(DataSpec(name=name))
    assert raw.train.x.shape == (60000, 28, 28) and not raw.train.x.any()
    assert raw.test.x.shape == (10000, 28, 28) and raw.test.x.all()


def test_usps_of_openml_becomes_images_without_an_official_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(9298 * 256, dtype=np.float64).reshape(9298, 256)
    labels = np.array(["1", "2"] * 4649, dtype=object)
    bunch = Bunch(data=pixels, target=labels, categories={}, feature_names=[f"v{index}" for index in range(256)])
    monkeypatch.delenv("EVOSPARSE_DATA", raising=False)
    monkeypatch.setattr(datasets, "fetch_openml", lambda **query: bunch)
    raw = find(DataSpec(name="usps"))
    assert raw.test is None and raw.train.x.shape == (9298, 16, 16)
    assert (raw.train.x[1] == pixels[1].reshape(16, 16)).all()


def test_a_target_where_there_are_no_columns_is_refused(tmp_path: Path) -> None:
    for name in ("digits", str(save(tmp_path / "toy.npz", 1.0))):
        with pytest.raises(DataError, match="target: only .csv files and OpenML"):
            find(DataSpec(name=name, target="class"))
