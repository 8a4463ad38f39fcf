"""The compiled pole on a cart is Gymnasium's, bit for bit; and its networks are judged each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from task_checks import expect_alone_as_in_batch, face_of, handmade, judge, keys, random_networks

from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import GymnasiumSpec
from evosparse.topologies.tasks.cartpole import ID, CartPole, push, starts


@pytest.mark.parametrize("steady", [True, False])
def test_every_step_is_gymnasiums(steady: bool) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    environment = gymnasium.make(ID)
    rng = np.random.default_rng(0)
    ends = set()
    for seed in (*range(40), 2**31 - 1):
        seen, _ = environment.reset(seed=seed)
        [state] = starts([seed])
        terminated = truncated = False
        while not (terminated or truncated):
            assert state.tobytes() == np.asarray(environment.unwrapped.state).tobytes()
            assert state.astype(np.float32).tobytes() == seen.tobytes()
            action = int(state[2] + state[3] > 0) if steady else int(rng.integers(2))
            seen, reward, terminated, truncated, _ = environment.step(action)
            assert (push(state, action), reward) == (terminated, 1.0)
        ends.add((terminated, truncated))
    assert ends == ({(False, True), (True, False)} if steady else {(True, False)})


def test_episodes_are_gymnasiums_with_networks_as_drivers() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    environment = gymnasium.make(ID)
    task = CartPole(episodes=3, recurrent=True)
    networks = random_networks(task, 12, functions=("steep_sigmoid", "tanh"))
    for network, key, found in zip(networks, keys(12), judge(task, networks, keys(12)), strict=True):
        total = 0.0
        for episode in range(3):
            running = Networks.of([network])
            seen, _ = environment.reset(seed=key.child("episode", episode).integer() >> 32)
            over = False
            while not over:
                action = int(running.activate(seen).argmax())
                seen, reward, terminated, truncated, _ = environment.step(action)
                total += reward
                over = terminated or truncated
        assert (found["fitness"], found["environment_steps"]) == (total / 3, total)


def test_networks_are_judged_alone_as_together() -> None:
    task = CartPole(episodes=2)
    found = expect_alone_as_in_batch(task, random_networks(task, 40))
    assert len({measures["fitness"] for measures in found}) > 5


def test_a_network_that_follows_the_pole_solves_it_and_a_stubborn_one_does_not() -> None:
    tasks = GymnasiumSpec().tasks()
    follower = handmade(face_of(tasks.search), ("identity", "identity"), {(2, 6): 1.0, (3, 6): 1.0})
    # Equal outputs choose the first action.
    stubborn = handmade(face_of(tasks.search), ("identity", "identity"), {})
    assert judge(tasks.search, [follower]) == [{"fitness": 500.0, "solved": 1.0, "environment_steps": 500.0}]
    (found,) = judge(tasks.search, [stubborn])
    assert 8 <= found["fitness"] <= 10 and found["solved"] == 0.0


def test_the_examination_has_episodes_of_its_own() -> None:
    tasks = GymnasiumSpec(episodes=5, replicates=3, max_steps=300, solved_at=20.0).tasks()
    networks = random_networks(tasks.search, 10)
    searched, examined = (judge(task, networks, keys(10)) for task in (tasks.search, tasks.examination))
    assert [one["fitness"] for one in searched] != [one["fitness"] for one in examined]
    assert all(one["solved"] == (one["fitness"] >= 20.0) for one in searched)
    assert tasks.replicates == 3 and tasks.search.steps == 300
