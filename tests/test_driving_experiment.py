"""NEAT against Q-learning: equal budgets, runs that go on where they stopped, and no winner without an interval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from evosparse.topologies.tasks.driving.drivers import examine
from evosparse.topologies.tasks.driving.track import find_track

STEPS = 12_000


@pytest.fixture(scope="module")
def paper(experiment: Callable[[str], ModuleType]) -> ModuleType:
    return experiment("driving_paper")


@pytest.fixture(scope="module")
def runs(paper: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two seeds of NEAT and of the table on both settings."""
    folder = tmp_path_factory.mktemp("driving")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "WARM", dict.fromkeys(paper.METHODS, 300))
        for run in paper.waiting(tuple(paper.SETTINGS), ("neat", "tabular"), 2, STEPS, folder):
            paper.perform(run, folder)
    return folder


def made(method: str, seed: int, laps: float, first_lap: int | None = 5_000) -> dict[str, object]:
    """A row as it is stored, with the same laps on each track."""
    drives = {name: {"laps": laps, "crashed": False, "first_lap": 200} for name in ("one", "other")}
    return {
        "setting": "turn", "method": method, "steps": 9_000, "seed": seed, "used": 9_000, "seconds": 1.0,
        "first_lap": first_lap, "description": "a driver", "curve": [[5_000, laps]],
        "training": drives, "held_out": drives,
    }  # fmt: skip


def test_every_run_uses_the_whole_budget_and_no_more(paper: ModuleType, runs: Path) -> None:
    rows = paper.read(runs)
    assert len(rows) == 8 and {row["used"] for row in rows} == {STEPS}
    for row in rows:
        at, laps = zip(*row["curve"], strict=True)
        assert list(at) == sorted(at) and at[-1] <= STEPS and list(laps) == sorted(laps)
        assert row["first_lap"] is None or 0 < row["first_lap"] <= STEPS


def test_the_driver_that_is_examined_is_the_best_of_its_curve(paper: ModuleType, runs: Path) -> None:
    for row in paper.read(runs):
        laps = [own["laps"] for own in row["training"].values()]
        assert np.mean(laps) == pytest.approx(row["curve"][-1][1], abs=1e-12)


def test_a_run_that_has_a_result_is_not_done_again(paper: ModuleType, runs: Path) -> None:
    every, methods = tuple(paper.SETTINGS), ("neat", "tabular")
    assert paper.waiting(every, methods, 2, STEPS, runs) == []
    more = [run.name for run in paper.waiting(every, methods, 3, STEPS, runs)]
    assert more == [f"{setting}-{method}-{STEPS}-2" for setting in every for method in methods]
    assert len(paper.waiting(every, ("neat",), 1, STEPS + 1, runs)) == 2


def test_a_seed_gives_the_same_result_again(paper: ModuleType, runs: Path, tmp_path: Path) -> None:
    for method in ("neat", "tabular"):
        run = paper.Run("race", method, STEPS, 1)
        paper.perform(run, tmp_path)
        first, again = (json.loads((folder / f"{run.name}.json").read_text()) for folder in (runs, tmp_path))
        assert {**first, "seconds": 0} == {**again, "seconds": 0}


def test_what_neat_cannot_finish_in_its_budget_does_not_count(paper: ModuleType) -> None:
    spec = paper.SETTINGS["turn"]
    whole = paper.neat(spec, STEPS, 0)
    short = paper.neat(spec, whole.curve[-1][0], 0)
    shorter = paper.neat(spec, whole.curve[-1][0] - 1, 0)
    assert list(short.curve) == list(whole.curve) and list(shorter.curve) == list(whole.curve)[:-1]
    tracks = [find_track(name) for name in spec.tracks]
    drives = examine(shorter.driver(len(tracks)), tracks, spec.car, spec.steps, spec.laps)
    assert np.mean([one.laps for one in drives]) == pytest.approx(shorter.curve[-1][1], abs=1e-12)


def test_a_network_s_first_lap_is_counted_from_the_first_step_of_its_first_track(paper: ModuleType) -> None:
    whole = paper.neat(paper.SETTINGS["turn"], STEPS, 0)
    assert paper.neat(paper.SETTINGS["turn"], whole.first_lap, 0).first_lap == whole.first_lap
    assert paper.neat(paper.SETTINGS["turn"], whole.first_lap - 1, 0).first_lap is None


def test_deep_q_learning_is_run_by_the_same_protocol(
    paper: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "WARM", {"dqn": 10})
    paper.perform(paper.Run("turn", "dqn", 600, 0), tmp_path)
    (row,) = paper.read(tmp_path)
    assert row["used"] == 600 and row["curve"] == [] and set(row["held_out"]) == set(paper.SETTINGS["turn"].test_tracks)


def test_no_winner_is_named_without_an_interval_that_leaves_out_zero(paper: ModuleType) -> None:
    assert paper.verdict(np.array([5.0]), "neat", "dqn") == "cannot be said of one seed"
    assert paper.verdict(np.array([3.0, -1.0, 2.0]), "neat", "dqn") == "no difference shown"
    assert paper.verdict(np.zeros(5), "neat", "dqn") == "no difference shown"
    assert paper.verdict(np.array([3.0, 3.1, 2.9]), "neat", "dqn") == "neat"
    assert paper.verdict(-np.array([3.0, 3.1, 2.9]), "neat", "dqn") == "dqn"
    alone = "\n".join(paper.report([made("neat", 0, 2.0), made("tabular", 0, 0.5)]))
    assert "cannot be said of one seed" in alone and "±" not in alone.split("within seeds")[1]


def test_the_median_lies_between_the_order_statistics_of_the_binomial_table(paper: ModuleType) -> None:
    # n = 6: 96.9 % between the extremes; n = 10: 97.9 %, second and ninth; n = 20: 95.9 %, sixth and fifteenth.
    assert paper.median_interval(np.arange(5.0)) is None
    assert paper.median_interval(np.arange(6.0)[::-1]) == (0, 5)
    assert paper.median_interval(np.arange(10.0)) == (1, 8)
    assert paper.median_interval(np.arange(20.0)) == (5, 14)


def test_only_seeds_that_all_methods_have_had_are_compared(paper: ModuleType) -> None:
    rows = [made("neat", 0, 1.0), made("neat", 1, 2.0), made("tabular", 1, 0.5)]
    laps = paper.by_method(rows, "training laps")
    assert {name: own.tolist() for name, own in laps.items()} == {"neat": [2.0], "tabular": [0.5]}


def test_a_lap_that_never_came_is_no_number_of_steps(paper: ModuleType) -> None:
    rows = [made("neat", seed, 1.0) for seed in range(3)]
    rows += [made("tabular", seed, 0.5, None if seed else 7_000) for seed in range(3)]
    text = "\n".join(paper.report(rows))
    assert "| never |" in text and "-2,000 (of 1 seeds)" in text


def test_measures_are_those_of_their_tracks(paper: ModuleType) -> None:
    row = made("neat", 0, 1.5)
    row["held_out"] = {name: {"laps": laps} for name, laps in (("a", -0.5), ("b", 0.5), ("c", 1.0), ("d", 2.0))}
    expected = {"training laps": 1.5, "held_out laps": 0.75, "held_out share": 0.625, "held_out success": 50.0}
    assert {measure: paper.value(row, measure) for measure in expected} == expected


def test_the_report_says_that_it_is_a_reconstruction_and_prints_the_budget(paper: ModuleType, runs: Path) -> None:
    text = "\n".join(paper.report(paper.read(runs)))
    assert "reconstruction" in text and text.count("| 12,000 |") == 4
    for setting in paper.SETTINGS:
        assert f"| {setting}, 2 seeds |" in text


def test_pictures_are_drawn_by_one_command(
    paper: ModuleType, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    command = ["driving_paper.py", "pictures", "--out", str(runs), "--pictures", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    paper.main()
    files = [Path(line) for line in capsys.readouterr().out.split()]
    assert len(files) == 5 and sorted(files) == sorted(tmp_path.iterdir())
    for file in files:
        with image.open(file) as picture:
            assert (picture.n_frames > 10) if file.suffix == ".gif" else min(picture.size) > 200


def test_a_folder_without_runs_is_refused_with_the_way_out(
    paper: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["driving_paper.py", "report", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="got none: begin with `run`"):
        paper.main()
