"""A user's own method runs from a campaign file, in process and on a worker, and goes on after an interruption."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from console import Evosparse
from sparsify_registry import DATA, examples

from evosparse import Campaign, sparsify
from evosparse.data import DataSet, Test
from evosparse.engine.spec import read
from evosparse.engine.store import Store
from evosparse.errors import PluginError, SpecError
from evosparse.nets import NetworkSpec
from evosparse.sparsify import Problem
from evosparse.sparsify.base import as_method

PROJECT = Path(__file__).resolve().parents[2]
PLUGINS = PROJECT / "experiments" / "plugins"
OWN = """
from typing import Literal

from evosparse.sparsify import {base}


class Own({base}):
    method: Literal["own"] = "own"
    power: float = 1.0
{body}
"""
SCORES = """
    def scores(self, cohort, number, connections, turn):
        rng = cohort.replicates[number].key.child("own", turn).rng()
        return [rng.random(len(own)) ** self.power for own in connections]
"""
CAMPAIGN = """
name: own
kind: sparsify
data: wine
network: {name: mlp, hidden: [8]}
methods: [snip, {method: 'own_method.py:Own', power: 2.0}]
sparsities: [0.5, 0.8]
seeds: 2
epochs: 1
"""
ARMS = {"snip 0.5", "snip 0.8", "own power=2.0 0.5", "own power=2.0 0.8"}


@pytest.fixture
def place(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a campaign file and a method beside it; the current folder is another one."""
    (forgetful / "there").mkdir()
    (forgetful / "here").mkdir()
    monkeypatch.chdir(forgetful / "here")
    (forgetful / "there" / "own_method.py").write_text(OWN.format(base="Pruning", body=SCORES))
    (forgetful / "there" / "own.yaml").write_text(CAMPAIGN)
    return forgetful / "there"


def digest(place: Path, out: Path, workers: int) -> str:
    with Campaign.from_spec(read(place / "own.yaml"), out, place) as campaign:
        campaign.run(workers=workers)
        assert {trial.arm for trial in campaign.problem.trials([])} == ARMS
        return campaign.store.digest()


@pytest.mark.usefixtures("connected")
def test_a_method_beside_the_campaign_file_gives_the_same_in_process_and_on_a_worker(place: Path, tmp_path: Path) -> None:
    assert digest(place, tmp_path / "first", 0) == digest(place, tmp_path / "second", 1)


def test_a_campaign_with_a_method_of_ones_own_goes_on_in_another_process(place: Path, tmp_path: Path) -> None:
    expected = digest(place, tmp_path / "whole", 0)
    with Campaign.from_spec(read(place / "own.yaml"), tmp_path / "run", place) as campaign:
        campaign.run(generations=1, workers=0)
    words = [sys.executable, "-m", "evosparse", "resume", "run", "--workers", "0", "--quiet", "--generations", "4"]
    # This project, whether it is installed or not.
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with Store.open(tmp_path / "run") as store:
        assert store.finished and store.digest() == expected


def test_the_example_runs(forgetful: Path, evosparse: Evosparse) -> None:
    folder = Path(shutil.copytree(PLUGINS, forgetful / "elsewhere", ignore=shutil.ignore_patterns("__pycache__")))
    changes = ("--set", "epochs=2", "--set", "seeds=2", "--workers", 0)
    said = evosparse("run", folder / "sparsify.yaml", "--out", forgetful / "run", *changes)
    assert said.code == 0, said.err
    shown = evosparse("show", forgetful / "run", "2.0", "--json")
    assert shown.code == 0 and json.loads(shown.out) and "active" in shown.out and "200" in shown.out


def test_an_instance_of_ones_own_is_recorded_by_where_its_class_is(place: Path, tmp_path: Path) -> None:
    own = as_method({"method": "own_method.py:Own", "power": 3.0}, place)
    data = DataSet("prototypes", DATA, Test(*examples(31, 3)), ("a", "b", "c"))
    problem = Problem(NetworkSpec(name="mlp", hidden=(8,)), data, [own, "snip"], [0.5], seeds=1, epochs=1)
    assert problem.spec.model_dump(mode="json")["methods"][0] == {
        **own.model_dump(mode="json"), "method": "own_method:Own",
    }  # fmt: skip
    assert problem.sources == (place,)
    assert problem.search.recipes[0][0].method is own
    [network] = sparsify(NetworkSpec(name="mlp", hidden=(8,)), data, own, 0.5, epochs=1)
    assert network.measures["weights"] == round(0.5 * 128)


@pytest.mark.parametrize(
    ("source", "value", "error", "told"),
    [
        (OWN.format(base="Pruning", body="    pass"), {}, PluginError, "is no whole method: define scores"),
        (OWN.format(base="Pruning", body=SCORES), {"pover": 2}, SpecError, "did you mean 'power'?"),
        (OWN.format(base="Pruning", body=SCORES), {"power": "two"}, SpecError, "power: expected a number"),
        (OWN.format(base="Pruning", body=SCORES).replace('Literal["own"] = "own"', "str"), {}, PluginError, "has no name"),
        ("Own = 3\n", {}, SpecError, "expected a class of evosparse.sparsify.Sparsifier, got 3"),
        ("class Other: pass\n", {}, PluginError, "has no 'Own'"),
    ],
)
def test_what_is_no_method_is_refused(
    place: Path, source: str, value: dict[str, object], error: type[Exception], told: str
) -> None:
    (place / "own_method.py").write_text(source)
    with pytest.raises(error) as caught:
        as_method({"method": "own_method.py:Own"} | value, place)
    assert told in str(caught.value)
