"""The experiment on learnt connections can be run, goes on where it stopped, and its page says what its values say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evosparse.sparsify.rbm import AnnealingSpec

PAGE = Path(__file__).resolve().parents[2] / "experiments" / "papers" / "ncg.md"


@pytest.fixture
def script(experiment: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    script = experiment("ncg_paper")
    for name in ("SHORT", "SHORT_OF_FEWER"):
        monkeypatch.setattr(script, name, AnnealingSpec(pieces=((0.0, 1.0, 0.1),)))
    return script


def test_the_rows_of_the_page_are_run_once_and_reported_beside_the_measured_figures(script: ModuleType) -> None:
    rows = list(script.bas(0, [], quick=2))
    assert [(row["steps"], row["connectivity"], row["density"]) for row in rows] == [
        (steps, *start) for steps in (1, 10) for start in (("dense", 1.0), ("ncg", 1.0), ("ncg", 0.5), ("ncg", 0.1))
    ]
    assert not list(script.bas(0, rows, quick=2)) and len(list(script.bas(0, rows[:3], quick=2))) == 5
    printed = "\n".join(script.report(rows))
    assert all(f"| NC{number} |" in printed for number in (1, 2, 3)) and "| 3.90 | 4.63 | 4.76 | 5.20 |" in printed


def test_random_machines_have_the_density_that_ncg_ended_with(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (60, 8)).astype(np.uint8), rng.integers(0, 10, 60)
    monkeypatch.setattr(script, "_images", lambda limit: (x, y, x, y, x, y))
    rows = list(script.mnist_longer(1, [], 60))
    assert [row["connectivity"] for row in rows] == ["ncg", "random", "dense"]
    ncg, random, dense = rows
    assert random["density"] == ncg["final_density"] == pytest.approx(random["final_density"], abs=0.05)
    assert dense["final_density"] == 1 and ncg["density"] == 0.5
    assert [row["connectivity"] for row in script.mnist_longer(1, rows[:1], 60)] == ["random", "dense"]
    [again] = script.mnist_longer(1, rows[1:], 60)
    costs = ("training_seconds", "seconds")
    assert {key: again[key] for key in again if key not in costs} == {key: ncg[key] for key in ncg if key not in costs}


def test_the_published_page_is_that_of_its_values(script: ModuleType) -> None:
    rows = script.read()
    assert "\n".join(script.report(rows)) in PAGE.read_text()
    assert {row["seed"] for row in rows if row["arm"] == "bas"} == set(range(10))
