"""The campaign files are valid, the paper's comparison runs, and its table says what its rows say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from evosparse.engine.spec import read

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.fixture(scope="module")
def paper(experiment: Callable[[str], ModuleType]) -> ModuleType:
    return experiment("kstarts_paper")


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.rglob("*.yaml")), ids=lambda file: file.name)
def test_every_campaign_file_is_valid(file: Path) -> None:
    if "cluster" not in file.parts:  # manifests, tested with their page
        named = file.name.partition("_")[0].removesuffix(".yaml")
        kinds = {"neat": "topologies", **{kind: kind for kind in ("activations", "ensembles", "sparsify", "topologies")}}
        assert read(file).kind == kinds.get(named, "masks")


def test_the_comparison_runs_every_method_with_the_same_seeds(paper: ModuleType) -> None:
    setting = paper.settings(SimpleNamespace(data="digits", genetic=True))
    rows = paper.compare(replace(setting, epochs=2, judge_epochs=1), 0.9, 0)
    arms = {row["arm"]: row for row in rows}
    assert arms.keys() == {*paper.methods(0.9, setting), "random", "random after 1 dense", "dense", "dropout"}
    assert {row["weights"] for row in rows if row["arm"] not in ("dense", "dropout")} == {679}
    assert all(0 <= row["test_accuracy"] <= 1 for row in rows)


def test_the_table_gives_paired_gains_over_random(paper: ModuleType) -> None:
    rows = [
        {"arm": arm, "sparsity": 0.9, "seed": seed, "test_accuracy": accuracy}
        for arm, accuracies in (("random after 1 dense", (0.5, 0.7)), ("combined", (0.6, 0.8)))
        for seed, accuracy in enumerate(accuracies)
    ]
    *_, random, combined = paper.table(rows)
    assert "60.00 ±" in random and "70.00 ±" in combined and "(+10.00 ± 0.00)" in combined


def test_the_published_report_is_that_of_its_values(paper: ModuleType) -> None:
    page = (EXPERIMENTS / "papers" / "kstarts.md").read_text()
    for data in ("mnist", "digits"):
        rows = json.loads((EXPERIMENTS / "papers" / f"kstarts_{data}.json").read_text())
        assert "\n".join(paper.table(rows)) in page
        assert {row["seed"] for row in rows} == set(range(5))
    mnist = json.loads((EXPERIMENTS / "papers" / "kstarts_mnist.json").read_text())
    assert "\n".join(paper.targets(mnist)) in page
