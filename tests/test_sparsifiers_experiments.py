"""The comparisons of published sparsifiers run, go on where they stopped, and print published figures beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from evosparse.data import DataSpec, load
from evosparse.nets import NetworkSpec

PUBLISHED = {
    "snip_paper": ("2.4", "1.6", "1.7"),
    "rigl_paper": ("1.44 (1.48)", "RigL minus static"),
    "han_paper": ("1.59 (dense 1.64)",),
    "lottery_paper": ("98.33", "98.16"),
    "dropout_paper": ("1.06", "Dropout minus none"),
    "bimp_paper": ("(96.82)", "Minus FT at .98, one epoch: SLR", "BIMP, 98 %, 3 cuts"),
    "nn_relief_paper": ("91.1", "20.2"),
    "scl_paper": (".0147, .0145 / 97.7, 97.6", "a reconstruction"),
    "bernoulli_units_paper": ("93-52 / .56 / 98.0", "a reconstruction"),
}
QUICK = {"epochs": 2, "data": DataSpec(name="digits"), "network": NetworkSpec(name="mlp", hidden=(24, 12))}


@pytest.mark.parametrize("name", PUBLISHED)
def test_runs_are_stored_once_and_reported_beside_the_published_figures(
    experiment: Callable[[str], ModuleType], name: str, tmp_path: Path
) -> None:
    script, file = experiment(name), tmp_path / "runs.jsonl"
    paper, quick = script.PAPER, dict(QUICK)
    if name == "dropout_paper":
        quick["training"] = script.TRAINING.model_copy(update={"precision": "float32"})
    if name == "bimp_paper":  # whose last rates are gone through once more, three epochs of them
        quick |= {"epochs": 3, "network": NetworkSpec(name="mlp", hidden=(8,))}
    for seeds in (1, 2):
        for _ in paper.run(list(paper.arms), seeds, file, quick):
            pass
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted((row["arm"], row["seed"]) for row in rows) == sorted((arm, seed) for arm in paper.arms for seed in (0, 1))
    assert all(0 <= row["test"] <= row["test_best"] <= 1 for row in rows)
    printed = "\n".join(script.report(rows))
    for figure in PUBLISHED[name]:
        assert figure in printed


def test_ways_to_choose_units_are_compared(
    experiment: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, digits = experiment("i_spasp_paper"), load(DataSpec(name="digits"))
    monkeypatch.setattr(script, "load", lambda spec: digits)
    monkeypatch.setattr(script, "FILE", tmp_path / "runs.jsonl")
    monkeypatch.setattr(script, "EPOCHS", 3)
    for _ in range(2):
        script.main(["run", "--seeds", "1"])
    rows = [json.loads(line) for line in script.FILE.read_text().splitlines()]
    assert len(rows) == len(script.RATIOS) * len(script.WAYS)
    for row in rows:
        assert row["units"] == int(row["ratio"] * 1000) and 0 <= row["least"] <= row["residual"] <= 1
        if row["way"] == "i-SpaSP" and row["ratio"] >= 0.5:
            assert row["as_sum_of_h"]
    capsys.readouterr()
    script.main(["report"])
    assert ".533, 64 / 96.5" in capsys.readouterr().out


def test_lottery_tickets_are_watched_round_by_round_with_their_controls(
    experiment: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    paper = experiment("lottery_paper").PAPER
    [row] = paper.run(["ticket"], 1, tmp_path / "runs.jsonl", QUICK)
    tickets = [one[0] for one in row["trainings"] if not one[4]]
    assert tickets == sorted(tickets, reverse=True) and tickets[-1] == row["weights"]
    controls = [one[0] for one in row["trainings"] if one[4]]
    assert controls == [tickets[7], tickets[15]]


def test_the_table_has_a_row_for_every_method_and_evolution(
    experiment: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, file = experiment("sparsifiers_table"), tmp_path / "table.jsonl"
    monkeypatch.setattr(script, "SETS", {"digits": script.Set(DataSpec(name="digits"), 1)})
    monkeypatch.setattr(script, "SEEDS", 2)
    methods = ("dense", "snip", script.EVOLVED)
    first = list(script.run(["digits"], methods, (0.9,), file))
    again = list(script.run(["digits"], methods, (0.9,), file))
    assert len(first) == 6 and again == []
    assert {row["weights"] for row in first if row["method"] != "dense"} == {round(0.1 * sum(a * b for a, b in ((64, 300), (300, 100), (100, 10))))}
    table = "\n".join(script.report(script.stored(file)))
    assert "| snip |" in table and "| evolved |" in table and "| dense |" in table
