"""Arms of several campaigns in one table: pairs of equal replicates, tests that agree with scipy, costs, and the command."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from console import Evosparse
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.records import Generation, Header
from evosparse.engine.results import TrialResult
from evosparse.engine.search import State
from evosparse.engine.store import Store
from evosparse.errors import BadInput
from evosparse.report.compare import as_json, cells, compare, difference, flip_test

EVOLVED = {"winner": [0.91, 0.93, 0.92], "dense": [0.97, 0.98, 0.96]}
PUBLISHED = {"snip 0.9": [0.90, 0.92, 0.89, 0.95], "rigl 0.95": [0.9, 0.9, 0.9, 0.9]}
GAINS = st.lists(st.integers(-8, 8).map(lambda value: value / 64), min_size=2, max_size=8)


def made(
    folder: Path, arms: dict[str, list[float]], document: dict[str, object], extra: dict[str, dict[str, float]] | None = None, **header: object
) -> Path:
    """A finished campaign with one generation, 12 evaluations in 3 seconds, and an examination; -1 marks a failure."""
    whole = {"name": folder.name, "seed": 0, **document}
    head = Header(whole, **{"data_hash": "d", "notes": (), "base": "/", "objectives": {"accuracy": "max"}, **header})
    with Store.create(folder, head) as store:
        store.commit(Generation(0, [], [], State(), {"generation": 0}, seconds=3.0, evaluations=12))
        trials = []
        for arm, values in arms.items():
            for number, value in enumerate(values):
                measures = {"test_accuracy": value, **(extra or {}).get(arm, {})}
                outcome = Outcome(Status.OK, measures) if value >= 0 else Outcome(Status.FAILED, message="no")
                trials.append(TrialResult(arm, number, "a net", outcome))
        store.finish(trials, "generations")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    masks = {
        "kind": "masks", "search": {"method": "genetic", "epochs": 2}, "fitness": None, "examination": {"epochs": 7},
    }  # fmt: skip
    first = made(
        tmp_path / "evolved", EVOLVED, masks, {"winner": {"weights": 100.0, "start_epochs": 6.0}, "dense": {"weights": 1000.0}}
    )
    costs = {"weights": 100.0, "epochs": 20.0, "training_multiply_adds": 5e9}
    second = made(
        tmp_path / "published", PUBLISHED, {"kind": "sparsify"}, {"snip 0.9": costs, "rigl 0.95": {**costs, "weights": 50.0}}
    )
    return first, second


def table(*folders: Path, **options: object) -> dict[tuple[str, str], dict]:
    stores = [Store.open(folder) for folder in folders]
    try:
        rows = as_json(compare(stores, **options))["rows"]
    finally:
        for store in stores:
            store.close()
    return {(Path(row["run"]).name, row["arm"]): row for row in rows}


def test_every_arm_of_every_run_has_a_row_with_its_costs(runs: tuple[Path, Path]) -> None:
    rows = table(*runs)
    assert list(rows) == [("evolved", "winner"), ("evolved", "dense"), ("published", "snip 0.9"), ("published", "rigl 0.95")]
    winner, dense, snip, _ = rows.values()
    # Twelve evaluations of two epochs, and what the masks were trained that the search began with.
    assert winner["search"] == {"evaluations": 12, "epochs": 30.0, "seconds": 3.0}
    assert dense["search"] == {"evaluations": None, "epochs": None, "seconds": None}
    assert winner["training"] == {"epochs": 7, "multiply_adds": None}
    assert snip["training"] == {"epochs": 20.0, "multiply_adds": 5e9} and snip["weights"] == 100
    assert winner["seeds"] == 3 and winner["median"] == 0.92 and winner["mean"] == pytest.approx(0.92)
    assert winner["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(3))


def test_differences_are_of_equal_replicates(runs: tuple[Path, Path]) -> None:
    rows = table(*runs)
    assert rows["evolved", "winner"]["difference"] is None
    found = rows["published", "snip 0.9"]["difference"]
    gains = np.array([0.90, 0.92, 0.89]) - np.array([0.91, 0.93, 0.92])
    assert found["pairs"] == 3 and found["mean"] == pytest.approx(gains.mean())
    assert found["p_t"] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue) and found["p_signs"] == 0.25


def test_the_reference_can_be_any_arm_and_a_failed_replicate_has_no_pair(runs: tuple[Path, Path], tmp_path: Path) -> None:
    rows = table(*runs, against=f"{runs[1]}:rigl 0.95")
    assert rows["published", "rigl 0.95"]["difference"] is None
    assert rows["published", "snip 0.9"]["difference"]["mean"] == pytest.approx(np.mean(PUBLISHED["snip 0.9"]) - 0.9)
    assert table(*runs, against=f"{runs[1]}/")["published", "snip 0.9"]["difference"] is None
    broken = made(tmp_path / "broken", {"winner": [0.5, -1, 0.7]}, {"kind": "masks", "search": {}})
    found = table(runs[0], broken)["broken", "winner"]
    assert found["seeds"] == 2 and found["values"] == {"0": 0.5, "2": 0.7}
    assert found["difference"]["pairs"] == 2 and found["difference"]["mean"] == pytest.approx((0.5 - 0.91 + 0.7 - 0.92) / 2)


def test_equal_weights_keeps_arms_with_as_many_as_the_reference(runs: tuple[Path, Path]) -> None:
    assert list(table(*runs, equal_weights=True)) == [("evolved", "winner"), ("published", "snip 0.9")]
    assert list(table(*runs, against=f"{runs[1]}:rigl 0.95", equal_weights=True)) == [("published", "rigl 0.95")]


def test_what_cannot_be_compared_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = made(tmp_path / "other", {"winner": [0.5]}, {"kind": "masks", "seed": 4, "search": {}}, data_hash="e")
    reward = made(tmp_path / "reward", {}, {"kind": "topologies"})
    with Store.open(runs[0]) as first, Store.open(other) as second, Store.open(reward) as third:
        found = compare([first, second])
        with pytest.raises(BadInput, match="resume it first"):
            compare([first, third])
        with pytest.raises(BadInput, match="weights were not counted"):
            compare([second], equal_weights=True)
        for against in ("nowhere", f"{other}:loser"):
            with pytest.raises(BadInput, match="--against"):
                compare([first, second], against)
    assert len(found.notes) == 2 and "different data" in found.notes[0] and "(0, 4)" in found.notes[1]


def test_an_arm_of_another_measure_has_no_difference(runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "cars"
    head = Header({"name": "cars", "kind": "topologies", "seed": 0}, "d", (), "/", {"reward": "max"})
    with Store.create(folder, head) as store:
        store.finish([TrialResult("winner", 0, "a net", Outcome(Status.OK, {"reward": 3.0, "weights": 9.0}))], "generations")
    with Store.open(runs[0]) as first, Store.open(folder) as second:
        found = compare([first, second])
    [row] = [row for row in as_json(found)["rows"] if row["measure"] == "reward"]
    assert row["difference"] is None and row["mean"] == 3.0 and row["half_width"] is None
    assert {line["measure"] for line in cells(found)} == {"test_accuracy", "reward"}


@given(GAINS)
def test_the_sign_flip_test_is_scipys_and_that_of_all_choices(gains: list[float]) -> None:
    values = np.array(gains)
    found = flip_test(values)
    choices = [abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True))) for signs in product((1, -1), repeat=len(gains))]
    assert found == np.mean([choice >= abs(sum(gains)) for choice in choices])
    if len(gains) <= 6:
        expected = stats.permutation_test(
            (values,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        # Scipy doubles the smaller tail, which for a symmetric distribution are both tails.
        assert found == pytest.approx(expected.pvalue)


@given(GAINS)
def test_the_t_test_is_scipys(gains: list[float]) -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 64, len(gains)) / 64
    found = difference(reference + gains, reference)
    if len(set(gains)) > 1:
        assert found.t_p == pytest.approx(stats.ttest_rel(reference + gains, reference).pvalue)
    else:
        assert found.t_p == (1.0 if gains[0] == 0 else 0.0)
    assert found.values.mean == pytest.approx(np.mean(gains))


def test_few_and_many_pairs_say_what_they_can() -> None:
    assert math.isnan(difference(np.ones(1), np.zeros(1)).t_p) and math.isnan(difference(np.ones(1), np.zeros(1)).flip_p)
    many = np.random.default_rng(0).normal(size=40)
    found = difference(many, np.zeros(40))
    assert math.isnan(found.flip_p) and found.t_p == pytest.approx(stats.ttest_1samp(many, 0).pvalue)


def test_the_command_prints_the_table_and_json(runs: tuple[Path, Path], evosparse: Evosparse) -> None:
    said = evosparse("compare", *runs)
    assert said.code == 0 and said.err == ""
    for word in ("evolved", "published", "reference", "snip 0.9", "0.9200 ± 0.0248", "-0.0167", "0.25"):
        assert word in said.out
    found = json.loads(evosparse("compare", *runs, "--json", "--equal-weights").out)
    assert [row["arm"] for row in found["rows"]] == ["winner", "snip 0.9"] and found["reference"]["arm"] == "winner"


def test_bad_input_ends_with_2_and_one_line(runs: tuple[Path, Path], tmp_path: Path, evosparse: Evosparse) -> None:
    for words in ((tmp_path / "nowhere",), (*runs, "--against", "elsewhere"), (runs[0], "--against", f"{runs[0]}:winer")):
        said = evosparse("compare", *words)
        assert said.code == 2 and said.out == "" and len(said.err.splitlines()) == 1
