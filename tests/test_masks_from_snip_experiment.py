"""The comparison of evolved masks with SNIP can be run, goes on where it stopped, and prints its tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evosparse.data import DataSet, SearchData, Test, Train, Validation

SMALL = {"population": 4, "generations": 2, "rate": 0.01, "examples": 100, "short": 1, "epochs": 1}


@pytest.fixture(scope="module")
def digits() -> DataSet:
    """Ten noisy prototypes of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    y = np.arange(360) % 10
    x = (rng.normal(size=(10, 8, 8))[y] + rng.normal(size=(360, 8, 8))).astype(np.float32)
    parts = [slice(0, 200), slice(200, 280), slice(280, 360)]
    train, validation, test = (kind(x[part], y[part]) for kind, part in zip((Train, Validation, Test), parts, strict=True))
    return DataSet("toy", SearchData(train, validation, 10, (8, 8)), test, tuple("0123456789"))


def test_all_arms_have_as_many_weights_and_the_row_says_what_the_search_cost(
    experiment: Callable[[str], ModuleType], digits: DataSet
) -> None:
    script = experiment("masks_from_snip")
    rows = [script.compare(digits, 0.98, seed, argparse.Namespace(**SMALL)) for seed in (0, 1)]
    assert rows[0] == script.compare(digits, 0.98, 0, argparse.Namespace(**SMALL)) | {"search_seconds": rows[0]["search_seconds"]}
    for row in rows:
        assert {sum(counts) for counts in row["counts"].values()} == {row["weights"]}
        # Twice the population at first, then all but the two elites; each sees 100 of 200 examples.
        assert row["evaluations"] == 8 + 2 and row["search_epochs"] == 5
        assert row["shared_with_snip"][script.REFERENCE] == 1 and all(0 <= arm["test"] <= 1 for arm in row["arms"].values())
        assert row["loss"]["best of k"] <= row["loss"]["first SNIP"]
    printed = "\n".join(script.report(rows))
    assert "evolved from SNIP" in printed and "of 2" in printed and "10 evaluations" in printed


def test_stored_values_are_reported_and_not_run_again(
    experiment: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = experiment("masks_from_snip")
    monkeypatch.setattr(script, "load", lambda spec: None)
    monkeypatch.setattr(script, "compare", lambda data, sparsity, seed, options: {"sparsity": sparsity, "seed": seed})
    file = tmp_path / "values.jsonl"
    for seeds in (1, 3):
        script.main(["run", "--seeds", str(seeds), "--file", str(file)])
    done = [(row["sparsity"], row["seed"]) for row in script.stored(file)]
    assert sorted(done) == sorted({(sparsity, seed) for sparsity in (0.98, 0.99) for seed in range(3)})


def test_the_page_has_every_pair_of_five_seeds(experiment: Callable[[str], ModuleType]) -> None:
    script = experiment("masks_from_snip")
    rows = script.stored(script.VALUES)
    for sparsity in (0.98, 0.99):
        assert {row["seed"] for row in rows if row["sparsity"] == sparsity} >= set(range(5))
    assert "\n".join(script.report(rows)) in script.VALUES.with_suffix(".md").read_text()
