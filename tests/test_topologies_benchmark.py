"""The comparison with neat-python: it runs, networks that were translated have equal returns, and values are whole."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "experiments" / "benchmarks"
OURS = "evosparse"
Report = Mapping[str, Any]


@pytest.fixture(scope="module")
def small() -> Report:
    """What the script prints for small sizes."""
    for library in ("neat", "gymnasium"):
        pytest.importorskip(library)
    sizes = {"populations": 6, "evolved": 3, "generations": 2, "repeats": 2, "connections": 32, "species": 2}
    words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    run = subprocess.run([sys.executable, str(FOLDER / "topologies.py"), *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def published() -> Report:
    return json.loads((FOLDER / "topologies.json").read_text())


@pytest.fixture(params=["small", "published"])
def report(request: pytest.FixtureRequest) -> Report:
    return request.getfixturevalue(request.param)


def test_networks_of_both_libraries_have_equal_returns(report: Report) -> None:
    rows = report["results"]["evaluations"]
    ways = {"CartPole-v1": 2, "driving": 2}
    assert len(rows) == 4 * len(report["setting"]["populations"])
    for row in rows:
        assert len(row["same_returns"]) == ways[row["task"]]
        assert set(row["same_returns"].values()) == {row["population"]}
        assert row["mean_steps"] > 5
    assert {row["generation"] == 1 for row in rows} == {True, False}


def test_ratios_are_those_of_the_medians(report: Report) -> None:
    results = report["results"]
    assert all(results[part] for part in ("evaluations", "generations", "search"))
    for row in (*results["evaluations"], *results["generations"], *results["search"]):
        medians = {name: median(values) for name, values in row["milliseconds"].items()}
        assert all(len(values) == report["setting"]["repeats"] for values in row["milliseconds"].values())
        assert row["times_faster_than"].keys() == medians.keys() - {OURS}
        for name, ratio in row["times_faster_than"].items():
            assert ratio == pytest.approx(medians[name] / medians[OURS], rel=0.01, abs=0.01)


def test_the_published_search_has_equal_work_for_both(published: Report) -> None:
    setting = published["setting"]
    assert setting["repeats"] >= 5 and setting["populations"] == [150, 1000]
    for row in published["results"]["search"]:
        assert row["mean_connections"] == pytest.approx(setting["connections"], abs=2)
        ours, theirs = row["species_before"].values()
        assert abs(ours - theirs) <= 1 and abs(ours - setting["species"]) <= 4
    assert {row["recurrent"] for row in published["results"]["search"]} == {False, True}


@pytest.mark.parametrize("missing", ["neat", "gymnasium"])
def test_without_a_library_an_error_says_how_to_install_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    spec = importlib.util.spec_from_file_location("neat_python", FOLDER / "neat_python.py")
    with pytest.raises(SystemExit, match=r"pip install neat-python 'evosparse\[gym\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
