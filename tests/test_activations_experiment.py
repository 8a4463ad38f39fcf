"""The comparison of ways to find activation functions: its tasks run and go on, its statistics are right, its page is true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evosparse.data import DataSpec

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.fixture(scope="module")
def paper(experiment: Callable[[str], ModuleType]) -> ModuleType:
    return experiment("activations_paper")


def test_every_method_runs_at_the_same_budget_and_goes_on_where_it_stopped(paper: ModuleType, tmp_path: Path) -> None:
    data = DataSpec(name="digits", limit=300, scale="standard")
    settings = {"small": paper.Setting(data, "fcn", n=2, epochs=2, retrainings=2, seeds=1)}
    waiting = paper.tasks(settings, 5)
    assert [task.method for task in waiting] == list(paper.METHODS)
    rows = [paper.run(task, tmp_path, settings) for task in waiting]
    assert {row["proposed"] for row in rows} == {1, 12 * 2 - 9 + 1}
    assert all(len(row["test_accuracy"]) == 2 and row["diverged_retrainings"] == 0 for row in rows)
    again = paper.run(waiting[-1], tmp_path, settings)
    assert {name: again[name] for name in ("fitness", "functions", "test_accuracy")} == {
        name: rows[-1][name] for name in ("fitness", "functions", "test_accuracy")
    }
    assert "\n".join(paper.report(rows)).count("| cooperative |") == 1


def test_the_permutation_test_exchanges_the_values_of_each_seed(paper: ModuleType) -> None:
    first, second = np.array([5.0, 6.0, 7.0, 8.0]), np.array([1.0, 2.0, 3.0, 4.0])
    # Of the 16 exchanges none but these two make the medians differ by four.
    assert paper.permutation_test(first, second) == pytest.approx(2 / 16)
    assert paper.permutation_test(first, first) == 1.0


def test_holm_corrects_p_values_for_their_number(paper: ModuleType) -> None:
    assert paper.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paper.holm([0.9, 0.9]) == [1.0, 1.0]


def test_the_published_page_is_that_of_its_values(paper: ModuleType) -> None:
    page = (EXPERIMENTS / "papers" / "activations.md").read_text()
    rows = json.loads((EXPERIMENTS / "papers" / "activations.json").read_text())
    assert "\n".join(paper.report(rows)).strip() in page
    for setting in paper.SETTINGS:
        assert len(paper.by_method(rows, setting, "test_accuracy")["coevolution"]) >= 5
