"""A user's own task, fitness and environment plug in from a campaign file, and run on a worker as they do here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from console import Evosparse

from evosparse.engine.candidate import Candidate
from evosparse.engine.store import Store
from evosparse.topologies import Topology

EXAMPLES = Path(__file__).resolve().parents[2] / "experiments" / "plugins"
TINY = ("search={population: 12, generations: 3}", "task.replicates=3", "examination.seeds=1")
BELT = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Belt(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.place, {}

    def step(self, action):
        self.place = np.clip(self.place + self.np_random.uniform(-0.1, 0.1, 2) + (action - 1) / 4, -1, 1)
        return self.place.astype(np.float32), float(1 - abs(self.place).max()), False, False, {}


gymnasium.register("own/Belt-v0", entry_point=Belt, max_episode_steps=25)
"""
DRIVEN = """
name: belt
kind: topologies
seed: 3
task: {name: gymnasium, id: "own_belt:own/Belt-v0", episodes: 2, solved_at: 1000, replicates: 2}
search: {method: neat, population: 10, generations: 3}
examination: {seeds: 1}
"""


@pytest.fixture
def elsewhere(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside the project with a copy of the examples, which is not the current one."""
    (forgetful / "here").mkdir()
    monkeypatch.chdir(forgetful / "here")
    return Path(shutil.copytree(EXAMPLES, forgetful / "elsewhere", ignore=shutil.ignore_patterns("__pycache__")))


def words(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def candidates(folder: Path) -> list[Candidate]:
    with Store.open(folder) as store:
        return list(store.candidates(decode=Topology.from_bytes))


@pytest.mark.usefixtures("connected")
def test_a_task_and_a_fitness_of_ones_own_run_on_a_worker_as_here(
    elsewhere: Path, tmp_path: Path, evosparse: Evosparse
) -> None:
    for workers in (0, 1):
        out = ("--workers", workers, "--out", tmp_path / f"run{workers}", "--json", "--quiet")
        said = evosparse("run", elsewhere / "topologies.yaml", *words(*TINY), *out)
        assert said.code == 0, said.err
        arms = {arm["arm"]: arm for arm in json.loads(said.out)["arms"]}
        assert arms.keys() == {"winner", "first generation"} and not any(arm["failed"] for arm in arms.values())
        # The examination is by the task, with other bits in each replicate.
        assert len(arms["winner"]["measures"]["fitness"]["values"]) == 3 and "thrift" not in arms["winner"]["measures"]
    assert evosparse("digest", tmp_path / "run0").out == evosparse("digest", tmp_path / "run1").out
    assert all(row["same"] for row in json.loads(evosparse("verify", tmp_path / "run1", "--json").out))
    for one in candidates(tmp_path / "run1"):
        measures = one.outcome.measures
        assert one.genome.interface.recurrent and one.genome.interface.inputs == ("bit",)
        assert measures["thrift"] == measures["fitness"] - 0.005 * one.genome.size


def test_the_example_passes_check_fitness(elsewhere: Path, evosparse: Evosparse) -> None:
    said = evosparse("check-fitness", elsewhere / "topologies.yaml", "--workers", 0)
    assert said.code == 0, said.err
    assert "thrift (max)" in said.out and said.out.endswith("ok\n")


def test_the_example_finds_a_network_that_recalls(elsewhere: Path, evosparse: Evosparse) -> None:
    said = evosparse("run", elsewhere / "topologies.yaml", "--workers", 0, "--json", "--quiet")
    assert said.code == 0, said.err
    arms = {arm["arm"]: arm["measures"]["fitness"]["mean"] for arm in json.loads(said.out)["arms"]}
    assert arms["winner"] == 1 and arms["first generation"] < 0.9


@pytest.mark.usefixtures("connected")
def test_an_environment_of_ones_own_is_driven_on_a_worker_as_here(elsewhere: Path, evosparse: Evosparse) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    (elsewhere / "own_belt.py").write_text(BELT)
    (elsewhere / "belt.yaml").write_text(DRIVEN)
    before = set(gymnasium.registry)
    for workers in (0, 1):
        out = ("--workers", workers, "--out", elsewhere / f"run{workers}", "--quiet")
        assert evosparse("run", elsewhere / "belt.yaml", *out).code == 0
    assert evosparse("digest", elsewhere / "run0").out == evosparse("digest", elsewhere / "run1").out
    found = candidates(elsewhere / "run1")
    assert {one.outcome.measures["environment_steps"] for one in found if one.ok} == {50.0} and len(found) == 30
    assert found[0].genome.interface.outputs == ("action_0", "action_1", "action_2")
    for id in set(gymnasium.registry) - before:
        del gymnasium.registry[id]


def test_a_task_that_returns_the_wrong_shape_is_told_by_check_fitness_and_ends_a_campaign_with_1(
    elsewhere: Path, evosparse: Evosparse
) -> None:
    source = "from evosparse.topologies import task\n\n\n@task(inputs=2, outputs=1)\ndef flat(networks):\n"
    (elsewhere / "own_shape.py").write_text(source + "    return networks.activate([0.0, 1.0])\n")
    file = elsewhere / "shape.yaml"
    file.write_text("name: shape\nkind: topologies\ntask: own_shape.py:flat\nsearch: {population: 6, generations: 1}\n")
    told = "own_shape:flat must return an array of shape (1,), a number for each network, got shape (1, 1)"
    said = evosparse("check-fitness", file, "--workers", 0)
    assert said.code == 2 and told in said.err and said.err.count("\n") == 1
    said = evosparse("run", file, "--workers", 0, "--out", elsewhere / "run", "--quiet")
    assert said.code == 1 and "no candidate was evaluated with success" in said.err
    assert told in evosparse("show", elsewhere / "run", "0.0").out
