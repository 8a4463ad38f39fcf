"""Environments of Gymnasium: any spaces, one episode like another, the same with a compiled twin, and clear refusals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_checks import expect_alone_as_in_batch, face_of, handmade, judge, keys, random_networks

from evosparse.errors import BadInput, PluginError, SpecError
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import GymnasiumSpec
from evosparse.topologies.tasks.cartpole import CartPole
from evosparse.topologies.tasks.gymnasium import _LANES, Gymnasium
from evosparse.topologies.tasks.spaces import chooser, reader

gymnasium = pytest.importorskip("gymnasium")
spaces = gymnasium.spaces

# An environment that draws from its own generator at each step, ends when that says so, and is not stepped after that.
TOY = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Wheel(gymnasium.Env):
    observation_space = spaces.Dict({"place": spaces.Discrete(3, start=1), "pull": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Box(-2.0, 3.0, (1, 2))

    def __init__(self, chance=0.1):
        self.chance = chance

    def _seen(self):
        return {"place": int(self.np_random.integers(1, 4)), "pull": self.np_random.uniform(-1, 1, 2).astype(np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.over = False
        return self._seen(), {}

    def step(self, action):
        assert not self.over and self.action_space.contains(action)
        self.over = bool(self.np_random.random() < self.chance)
        return self._seen(), float(action.sum()) * self.np_random.random(), self.over, False, {}


class Unbounded(Wheel):
    action_space = spaces.Box(-np.inf, np.inf, (1,))


class Worded(Wheel):
    observation_space = spaces.Text(5)


class Failing(Wheel):
    def step(self, action):
        raise RuntimeError("no such luck")


for kind in (Wheel, Unbounded, Worded, Failing):
    gymnasium.register(f"toys/{kind.__name__}-v0", entry_point=kind, max_episode_steps=40)
gymnasium.register("toys/Endless-v0", entry_point=Wheel)
"""


@pytest.fixture
def toys(forgetful: Path) -> Iterator[Path]:
    """The folder of a module that registers environments, which are forgotten after the test."""
    (forgetful / "wheel_toys.py").write_text(TOY)
    before = set(gymnasium.registry)
    yield forgetful
    for id in set(gymnasium.registry) - before:
        del gymnasium.registry[id]


def python(id: str, **more: object) -> GymnasiumSpec:
    return GymnasiumSpec(id=id, engine="python", **more)


@pytest.mark.parametrize("more", [{}, {"episodes": 3, "recurrent": True}, {"max_steps": 12, "solved_at": 11.0}])
def test_the_compiled_twin_gives_the_same_bits(more: dict[str, object]) -> None:
    twin, slow = (GymnasiumSpec(engine=engine, **more).tasks() for engine in ("auto", "python"))
    assert isinstance(twin.search, CartPole) and isinstance(slow.search, Gymnasium)
    networks = random_networks(twin.search, 30)
    for one, other in ((twin.search, slow.search), (twin.examination, slow.examination)):
        assert face_of(one) == face_of(other)
        assert judge(one, networks) == judge(other, networks)
    assert judge(twin.search, networks) != judge(twin.examination, networks)
    assert twin.replicates == slow.replicates == 20


def test_an_environment_with_parameters_has_no_twin() -> None:
    assert isinstance(GymnasiumSpec(parameters={"sutton_barto_reward": True}).tasks().search, Gymnasium)


@pytest.mark.parametrize(
    ("id", "sizes", "solvable"),
    [("Pendulum-v1", (3, 1), False), ("MountainCar-v0", (2, 3), True), ("FrozenLake-v1", (16, 4), True)],
)
def test_networks_drive_as_in_a_plain_loop(id: str, sizes: tuple[int, int], solvable: bool) -> None:
    task = python(id, episodes=2, max_steps=30).tasks().search
    assert (len(task.input_names), len(task.output_names)) == sizes
    networks = random_networks(task, 6)
    environment = gymnasium.make(id, max_episode_steps=30)
    read, choose = reader(environment.observation_space, id)[1], chooser(environment.action_space, id)[1]
    for network, key, found in zip(networks, keys(6), judge(task, networks), strict=True):
        total, steps = 0.0, 0
        for episode in range(2):
            running, over = Networks.of([network]), False
            seen, _ = environment.reset(seed=key.child("episode", episode).integer() >> 32)
            while not over:
                seen, reward, ended, cut, _ = environment.step(choose(running.activate(read(seen))[0]))
                total, steps, over = total + float(reward), steps + 1, ended or cut
        assert found["fitness"] == pytest.approx(total / 2, rel=1e-12)
        assert found["environment_steps"] == steps and ("solved" in found) is solvable


@pytest.mark.parametrize("place", ["wheel_toys", "wheel_toys.py"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_networks_are_judged_alone_as_together_in_a_users_environment(toys: Path, place: str, recurrent: bool) -> None:
    tasks = python(f"{place}:toys/Wheel-v0", episodes=3, recurrent=recurrent).tasks(toys)
    networks = random_networks(tasks.search, 22)
    assert len(networks) * 3 > _LANES  # lanes go on to further episodes
    found = expect_alone_as_in_batch(tasks.search, networks)
    assert len({one["environment_steps"] for one in found}) > 5 and "solved" not in found[0]
    assert tasks.sources[0].__name__ == "Wheel"


def test_parameters_and_the_threshold_count(toys: Path) -> None:
    spec = python("wheel_toys:toys/Wheel-v0", parameters={"chance": 1.0}, solved_at=0.5)
    task = spec.tasks(toys).search
    found = judge(task, random_networks(task, 20))
    assert {one["environment_steps"] for one in found} == {1.0}
    assert {one["solved"] for one in found} == {0.0, 1.0}
    assert all(one["solved"] == (one["fitness"] >= 0.5) for one in found)


def test_after_an_error_environments_are_made_afresh(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = python("wheel_toys:toys/Wheel-v0").tasks(toys).search
    networks = random_networks(task, 3)
    before = judge(task, networks)
    used = task._environments[0]
    monkeypatch.setattr(used.unwrapped, "step", lambda action: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        judge(task, networks)
    assert judge(task, networks) == before and used not in task._environments
    failing = python("wheel_toys:toys/Failing-v0").tasks(toys).search
    with pytest.raises(RuntimeError, match="no such luck"):
        judge(failing, networks)


NESTED = spaces.Dict({
    "a": spaces.Box(-1, 1, (2, 3)), "b": spaces.Tuple((spaces.Discrete(4, start=-1), spaces.MultiBinary(2))),
    "c": spaces.MultiDiscrete([2, 3]),
})  # fmt: skip


def test_observations_become_numbers_of_a_fixed_count() -> None:
    count, read = reader(NESTED, "here")
    assert count == 6 + 4 + 2 + 5
    seen = {"a": np.arange(6, dtype=np.float32).reshape(2, 3) / 6, "b": (1, np.array([1, 0])), "c": np.array([1, 2])}
    assert read(seen).dtype == np.float64
    numbers = np.arange(6, dtype=np.float32) / 6
    assert read(seen).tolist() == [*numbers.tolist(), 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1]


ACTIONS = (
    spaces.Discrete(4, start=2), spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([[2, 3], [4, 2]]),
    spaces.MultiBinary(3), spaces.Box(-1.5, 4.0, (2, 2)), spaces.Box(-3, 9, (3,), dtype=np.int64),
    spaces.Box(np.float32([0.1, -0.3]), np.float32([0.7, -0.1])),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ACTIONS), st.data())
def test_whatever_networks_answer_is_an_action(space: object, data: st.DataObject) -> None:
    count, choose = chooser(space, "here")
    numbers = st.floats(-2, 2) | st.sampled_from([np.inf, -np.inf, np.nan, 0.0, 1.0])
    outputs = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)))
    assert space.contains(choose(outputs))


def test_outputs_mean_what_is_said_of_them() -> None:
    assert chooser(ACTIONS[0], "here")[1](np.array([0.1, 0.7, 0.7, 0.2])) == 3
    assert chooser(ACTIONS[0], "here")[1](np.array([-1.0, np.nan, 0.7, np.inf])) == 5
    assert chooser(ACTIONS[1], "here")[1](np.array([0.1, 0.7, 0.7, 0.2, 0.9])).tolist() == [1, 2]
    assert chooser(ACTIONS[3], "here")[1](np.array([0.5, 0.51, -3])).tolist() == [0, 1, 0]
    assert chooser(ACTIONS[4], "here")[1](np.array([0, 1, 0.5, 7.0])).tolist() == [[-1.5, 4.0], [1.25, 4.0]]
    assert chooser(ACTIONS[5], "here")[1](np.array([0.5, np.nan, 0.3])).tolist() == [3, -3, 1]


@pytest.mark.parametrize(
    "space", [spaces.Text(3), spaces.Sequence(spaces.Discrete(2)), spaces.Tuple((spaces.Text(2),))]
)
def test_observations_without_a_fixed_count_are_refused(space: object) -> None:
    with pytest.raises(SpecError, match="here: expected one of Box, Discrete.*for observations.*wrap"):
        reader(space, "here")


def test_actions_that_networks_cannot_make_are_refused() -> None:
    with pytest.raises(SpecError, match="here: expected actions between finite bounds.*RescaleAction"):
        chooser(spaces.Box(-np.inf, 1, (2,)), "here")
    with pytest.raises(SpecError, match="here: expected one of Box, Discrete.*for actions"):
        chooser(NESTED, "here")
    with pytest.raises(SpecError, match="here: expected observations of at least one number"):
        reader(spaces.Box(0, 1, (0,)), "here")


@pytest.mark.parametrize(
    ("id", "more", "error", "message"),
    [
        ("CartPol-v1", {}, SpecError, "no environment 'CartPol-v1': did you mean 'CartPole-v1'"),
        ("MountainCar-v77", {}, SpecError, "no environment 'MountainCar-v77': did you mean 'MountainCar-v0'"),
        ("wheel_toys:toys/Weel-v0", {}, SpecError, "did you mean 'toys/Wheel-v0'"),
        ("wheel_toys:toys/Wheel-v0", {"parameters": {"chanse": 1}}, SpecError, "parameters {'chanse': 1}: TypeError"),
        ("wheel_toys:toys/Unbounded-v0", {}, SpecError, "Unbounded-v0: expected actions between finite bounds"),
        ("wheel_toys:toys/Worded-v0", {}, SpecError, "Worded-v0: expected one of Box"),
        ("wheel_toys:toys/Endless-v0", {}, SpecError, "no limit of steps.*set max_steps"),
        ("no_such_module:toys/Wheel-v0", {}, PluginError, "no module named 'no_such_module'"),
        ("absent.py:toys/Wheel-v0", {}, PluginError, "'absent.py' not found"),
        ("a b", {}, SpecError, "cannot make 'a b'"),
    ],
)
def test_what_cannot_be_driven_is_refused_in_one_sentence(
    toys: Path, id: str, more: dict[str, object], error: type[BadInput], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        python(id, **more).tasks(toys)
    assert "\n" not in str(caught.value)


def test_a_limit_makes_an_endless_environment_a_task(toys: Path) -> None:
    task = python("wheel_toys:toys/Endless-v0", parameters={"chance": 0.0}, max_steps=7).tasks(toys).search
    assert {one["environment_steps"] for one in judge(task, random_networks(task, 3))} == {7.0}


def test_without_gymnasium_the_extra_is_named_and_the_twin_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(SpecError, match=r"pip install 'evosparse\[gym\]'"):
        python("CartPole-v1").tasks()
    task = GymnasiumSpec(id="CartPole-v1").tasks().search
    follower = handmade(face_of(task), ("identity", "identity"), {(2, 6): 1.0, (3, 6): 1.0})
    assert judge(task, [follower])[0]["solved"] == 1.0
