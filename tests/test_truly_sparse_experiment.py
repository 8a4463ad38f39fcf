"""The experiment on CTRE and truly sparse training can be run, goes on where it stopped, and prints its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evosparse.data import Test, Train, Validation

BRIEF = ("ct3_static", "ct3_set", "ct3_ctre_sim", "se1_dense", "se1_set")


def small(name: str) -> tuple[Train, Validation, Test]:
    """Return random examples of two classes in place of a data set."""
    rng = np.random.default_rng(0)
    parts = [(rng.standard_normal((count, 7)).astype(np.float32), np.arange(count) % 2) for count in (40, 10, 10)]
    return tuple(kind(*part) for kind, part in zip((Train, Validation, Test), parts, strict=True))


def test_networks_are_trained_once_and_reported(
    experiment: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = experiment("truly_sparse_paper")
    monkeypatch.setattr(script, "examples", small)
    file = tmp_path / "values.jsonl"
    for seeds in (1, 2):
        script.main(["run", "--arms", *BRIEF, "--seeds", str(seeds), "--epochs", "2", "--file", str(file)])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((row["arm"], row["seed"]) for row in rows) == sorted((arm, seed) for arm in BRIEF for seed in (0, 1))
    by_arm = {row["arm"]: row for row in rows}
    assert sum(by_arm["ct3_set"]["layers"]) == 1 * (7 + 1000 + 2000 + 2000 + 1002)
    assert by_arm["se1_dense"]["layers"] == [7000, 10**6, 10**6, 2000]
    assert all(row["constant"] for row in rows)
    capsys.readouterr()
    script.main(["report", "--file", str(file)])
    printed = capsys.readouterr().out
    assert "82.53" in printed and "| ct3_ctre_sim | 2 | 2 |" in printed


def test_the_stored_values_are_of_the_published_lengths(experiment: Callable[[str], ModuleType]) -> None:
    script = experiment("truly_sparse_paper")
    rows = script.stored(script.VALUES)
    assert {"ct3_static", "ct3_set", "ct3_ctre_seq"} <= {row["arm"] for row in rows}
    assert all(row["epochs"] == script.SETTINGS[script.ARMS[row["arm"]].setting].epochs for row in rows)
    assert all(row["constant"] for row in rows)
