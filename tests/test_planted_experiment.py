"""The planted-ticket experiment can be run, goes on where it stopped, prints its tables, and judges evolved masks too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from evosparse.masks import Genetic
from evosparse.sparsify.planted.benchmark import Benchmark


def test_runs_are_stored_once_and_reported_beside_the_measured_figures(
    experiment: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = experiment("planted_paper")
    file = tmp_path / "values.jsonl"
    for seeds in (1, 2):
        script.main(["run", "--arms", "tickets", "--tasks", "relu", "--seeds", str(seeds), "--file", str(file)])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["seed"], row["depth"]) for row in rows] == [(seed, depth) for seed in (0, 1) for depth in script.DEPTHS]
    capsys.readouterr()
    script.main(["report", "--file", str(file)])
    printed = capsys.readouterr().out
    assert all(f"| PL{number} |" in printed for number in range(1, 11))
    assert "of 10 | 2 |" in printed and "0.938" in printed


def test_what_is_stored_is_not_asked_for_again(experiment: Callable[[str], ModuleType]) -> None:
    script = experiment("planted_paper")
    everything = list(script.jobs(script.ARMS, ("circle",), 1, []))
    assert (script.pruned, "circle", 0, "snip", "multishot", list(script.DENSITIES)) in everything
    one = {"arm": "pruned", "task": "circle", "seed": 0, "method": "snip", "protocol": "multishot", "density": "0.1"}
    left = list(script.jobs(script.ARMS, ("circle",), 1, [one]))
    assert (script.pruned, "circle", 0, "snip", "multishot", ["0.5", "0.01", "planted"]) in left
    assert len(left) == len(everything)


def test_a_search_over_masks_is_given_the_mother_that_methods_are_given(experiment: Callable[[str], ModuleType]) -> None:
    script = experiment("planted_paper")
    benchmark = Benchmark("circle", depth=3, width=24, seed=3, epochs=2, samples=500)
    evaluations, candidates = script.evolve(benchmark, Genetic(sparsity=0.7, population=4, elites=1), 2)
    assert evaluations == len(candidates) == 4 + 3
    first = candidates[0]
    # The search trains one epoch: the benchmark does the same from the same mother, order and data.
    short = Benchmark("circle", depth=3, width=24, seed=3, epochs=1, samples=500)
    cohort = short._cohort([0.0])
    cohort.begin([list(first.genome.connections)], 1)
    cohort.advance(1, final=True)
    assert cohort.results()[0].measures["validation_accuracy"] == first.outcome.measures["accuracy"]
    best = script.best_within(candidates, 1.0)
    [verdict] = benchmark.judge([list(best.connections)])
    assert verdict.mask.size_with_biases == best.count
    assert script.best_within(candidates, 0.01) is None
