"""The comparisons of ensembles: their tasks run and go on where they stopped, and their page says what their values say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.datasets import load_wine

from evosparse import ensembles

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
PAGE = (EXPERIMENTS / "papers" / "ensembles.md").read_text()


@pytest.fixture(scope="module")
def uci(experiment: Callable[[str], ModuleType]) -> ModuleType:
    return experiment("ensembles_uci")


@pytest.fixture(scope="module")
def paper(experiment: Callable[[str], ModuleType]) -> ModuleType:
    return experiment("ensembles_paper")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small table that has a nominal column, a missing number and a class of one example."""
    folder = tmp_path_factory.mktemp("tables")
    x, y = load_wine(return_X_y=True)
    x, y = x[:120:2].astype(np.float32), y[:120:2].copy()
    x[3, 0] = np.nan
    x[:, 1] = np.arange(len(x)) % 3
    y[0] = 2
    nominal = np.arange(x.shape[1]) == 1
    np.savez(folder / "small.npz", x=x, y=y.astype(np.uint8), categorical=nominal, class_names=np.array(["a", "b", "c"]))
    return folder


@pytest.fixture
def quick(uci: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The comparison with few members and few evaluations."""
    specs = tuple(ensembles.MemberSpec(learner=name) for name in ("tree", "naive_bayes", "knn"))
    for pool in ("hetero", "bagged"):
        monkeypatch.setitem(ensembles.POOLS, pool, specs)
    monkeypatch.setattr(uci, "POPULATION", 10)
    monkeypatch.setattr(uci, "GENERATIONS", 3)
    monkeypatch.setattr(uci, "OTHERS", {name: {"search": ensembles.UMDA(population=10, generations=3)} for name in uci.OTHERS})
    return uci


def test_a_half_tries_every_method_and_tests_on_the_other_half(quick: ModuleType, tables: Path) -> None:
    rows = [quick.run(quick.Task("small", 0, half), tables) for half in range(2)]
    assert set(ensembles.APPROACHES) <= rows[0]["methods"].keys()
    for name in ("best single", "all", "greedy", "random subset", "stacking", "oracle"):
        assert f"hetero {name}" in rows[0]["methods"] and f"bagged {name}" in rows[0]["methods"]
    data = [quick.halves(quick.Task("small", 0, half), tables) for half in range(2)]
    assert len(data[0].y) + len(data[1].y) == 60 and len(data[0].y_test) == len(data[1].y)
    assert all(np.isfinite(part.x).all() and np.isfinite(part.x_test).all() for part in data)
    for row in rows:
        best = row["methods"]["hetero oracle"]["test"]
        assert all(values["test"] <= best for name, values in row["methods"].items() if name.startswith("hetero-random-acc"))


def test_the_same_half_gives_the_same_figures_again(quick: ModuleType, tables: Path) -> None:
    first, again = (quick.run(quick.Task("small", 1, 0), tables)["methods"] for _ in range(2))
    assert {name: values["test"] for name, values in first.items()} == {name: values["test"] for name, values in again.items()}


def test_a_method_that_failed_anywhere_has_no_mean(quick: ModuleType) -> None:
    lines = [
        {"data": data, "repetition": 0, "half": half, "seconds": {"all": 1.0}, "methods": {
            "whole": {"test": 0.5 + 0.1 * half, "size": 3.0}, "partly": {"test": 0.5} if half else {"failed": "no"},
        }}
        for data in ("one", "two") for half in range(2)
    ]  # fmt: skip
    values = quick.summary(lines)
    assert values["sets"]["one"] == {"whole": {"test": [0.5, 0.6], "size": 3.0}}
    assert values["halves"] == 2 and values["seconds"] == 4
    methods, table = quick.scores(values)
    assert methods == ["whole"] and table.tolist() == [[pytest.approx(0.55)], [pytest.approx(0.55)]]


def test_nested_cross_validation_keeps_the_last_fifth_out(paper: ModuleType, tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "TEN", tuple(ensembles.MemberSpec(learner=name) for name in ("tree", "naive_bayes")))
    rows = [paper.nested_row("small", fold, 0, tables) for fold in range(5)]
    assert all(0 <= row[name] <= 100 for row in rows for name in paper.METHODS)
    assert all(row["oracle"] >= row["umda"] for row in rows)
    sizes = [len(paper.halves(paper.Task("small", 0, fold), tables, parts=5).y_test) for fold in range(5)]
    assert sum(sizes) == 60


def test_the_page_on_the_paper_is_that_of_its_values(paper: ModuleType) -> None:
    rows = paper.read(EXPERIMENTS / "papers" / "ensembles.jsonl")
    assert "\n".join(paper.report(rows)).strip() in PAGE
    assert all(len(row["umda"]) >= 5 for row in rows if "nested" not in row)


def test_the_page_on_small_tables_is_that_of_its_values(uci: ModuleType) -> None:
    values = json.loads((EXPERIMENTS / "papers" / "ensembles_uci.json").read_text())
    assert "\n".join(uci.report(values)).strip() in PAGE
    assert len(values["sets"]) >= 25 and values["halves"] == 10


def test_the_published_cells_are_within_half_a_point_as_the_page_says(paper: ModuleType) -> None:
    rows = paper.read(paper.BOUNDS)
    assert "\n".join(paper.report_bounds(rows)) in PAGE
    for data in paper.DATA:
        for group in paper.SIX:
            ours = paper.cell(rows, data, group, "umda", "test").mean()
            assert abs(ours - paper.PUBLISHED[data][group]) <= 0.5
