"""The comparison with NEAT's published results can be run, goes on where it stopped, and prints its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_runs_are_stored_once_and_reported_beside_the_published_figures(
    experiment: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = experiment("neat_paper")
    file = tmp_path / "values.jsonl"
    for runs in (1, 2):
        script.main(["run", "--arms", "xor", "dpv", "--runs", str(runs), "--file", str(file)])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((row["arm"], row["seed"]) for row in rows) == [("dpv", 0), ("dpv", 1), ("xor", 0), ("xor", 1)]
    assert all(row["evaluations"] <= 150 * row["generations"] for row in rows)
    capsys.readouterr()
    script.main(["report", "--file", str(file)])
    printed = capsys.readouterr().out
    assert "4,755" in printed and "3,600" in printed and "of 2" in printed


def test_the_stored_values_have_as_many_runs_as_were_published(experiment: Callable[[str], ModuleType]) -> None:
    script = experiment("neat_paper")
    rows = script.stored(script.VALUES)
    for name, arm in script.ARMS.items():
        assert {row["seed"] for row in rows if row["arm"] == name} >= set(range(arm.runs))
