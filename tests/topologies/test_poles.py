"""The poles: physics by known laws and by slow references, what counts as survived, and fitness as the page has it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_are
from task_checks import expect_alone_as_in_batch, face_of, handmade, judge, random_networks

from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks import DoublePoleSpec, SinglePoleSpec
from evosparse.topologies.tasks.base import Task
from evosparse.topologies.tasks.poles import (
    DOUBLE,
    SINGLE,
    Balancing,
    Generalising,
    Poles,
    balance,
    first_start,
    inside,
    integrate,
    many_starts,
)

SOME = settings(max_examples=40, deadline=None)
SYSTEMS = {"single": SINGLE, "double": DOUBLE}
SCALES = np.array([4.8, 2, 0.52, 2, 0.52, 2])
numbers = st.floats(-3, 3)


def rates(state: Sequence[float], force: float, poles: Poles) -> list[float]:
    """The page's equations, term by term."""
    pull, mass = force, 1.0
    hinges = []
    for length, kilograms, angle, speed in zip(poles.lengths, poles.masses, state[2::2], state[3::2], strict=True):
        drag = poles.friction * speed / (kilograms * length)
        weight = -9.8 * math.sin(angle)
        pull += kilograms * length * speed**2 * math.sin(angle) + 0.75 * kilograms * math.cos(angle) * (drag + weight)
        mass += kilograms * (1 - 0.75 * math.cos(angle) ** 2)
        hinges.append((length, angle, speed, weight + drag))
    acceleration = pull / mass
    turning = [-0.75 * (acceleration * math.cos(angle) + rest) / length for length, angle, _, rest in hinges]
    own = [number for (_, _, speed, _), turn in zip(hinges, turning, strict=True) for number in (speed, turn)]
    return [state[1], acceleration, *own]


def slow_step(state: list[float], force: float, poles: Poles) -> list[float]:
    """One Runge-Kutta step by lists."""

    def beyond(slope: list[float], time: float) -> list[float]:
        return [value + time * rate for value, rate in zip(state, slope, strict=True)]

    first = rates(state, force, poles)
    second = rates(beyond(first, 0.005), force, poles)
    third = rates(beyond(second, 0.005), force, poles)
    fourth = rates(beyond(third, 0.01), force, poles)
    mean = [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(first, second, third, fourth, strict=True)]
    return beyond(mean, 0.01)


def act(state: NDArray[np.float64], force: float, poles: Poles = DOUBLE) -> None:
    work = np.empty((5, len(state)))
    integrate(poles, state, force, work)
    integrate(poles, state, force, work)


def feedback() -> NDArray[np.float64]:
    """Force for each number of the state that holds both poles near the middle, from the linearised equations."""
    reach = 1e-6
    changes = np.eye(6) * reach
    state = np.stack(
        [np.subtract(rates(row, 0, DOUBLE), rates(-row, 0, DOUBLE)) / (2 * reach) for row in changes], axis=1
    )
    force = np.subtract(rates([0] * 6, 1, DOUBLE), rates([0] * 6, -1, DOUBLE))[:, None] / 2
    return -(force.T @ solve_continuous_are(state, force, np.eye(6), np.eye(1)))[0]


def steady(velocities: bool) -> Topology:
    """A network that balances both poles: with velocities at once, without by the difference from what it saw before."""
    face = face_of(Balancing(DOUBLE, velocities, 1))
    gains = feedback() * SCALES / (20 * 4.9 / 4)  # the slope of the output's function, and of the force
    if velocities:
        return handmade(face, ("steep_sigmoid",), {(place, 7): gain for place, gain in enumerate(gains)})
    before = -gains[1::2] / SCALES[1::2] * SCALES[::2] / 0.02
    weights = {(place, 4): gains[2 * place] - before[place] for place in range(3)}
    weights |= {(place, 5 + place): 1.0 for place in range(3)} | {(5 + place, 4): before[place] for place in range(3)}
    return handmade(face, ("steep_sigmoid", "identity", "identity", "identity"), weights)


def episode(network: Topology, task: Balancing) -> list[list[float]]:
    """The states after each action of an episode, by slow steps."""
    running = Networks.of([network])
    state, states = first_start(task.poles)[0].tolist(), []
    for _ in range(task.steps):
        shown = np.array(state) / SCALES[: len(state)]
        (output,) = running.activate([*(shown if task.velocities else shown[::2]), 0.5])
        for _ in range(2):
            state = slow_step(state, 20 * (min(max(float(output[0]), 0), 1) - 0.5), task.poles)
        states.append(state)
        if abs(state[0]) > 2.4 or any(abs(angle) > task.poles.limit for angle in state[2::2]):
            break
    return states


@SOME
@given(st.sampled_from(list(SYSTEMS)), st.lists(numbers, min_size=6, max_size=6), st.floats(-10, 10))
def test_a_step_is_that_of_the_pages_equations(name: str, state: list[float], force: float) -> None:
    poles = SYSTEMS[name]
    state = state[: 2 + 2 * len(poles.lengths)]
    found = np.array(state)
    integrate(poles, found, force, np.empty((5, len(state))))
    assert found == pytest.approx(slow_step(state, force, poles), rel=1e-12, abs=1e-12)


def test_a_second_of_steps_is_near_the_exact_solution() -> None:
    state = first_start(DOUBLE)[0]
    exact = solve_ivp(lambda _, now: rates(now, 3.0, DOUBLE), (0, 1), state, rtol=1e-11, atol=1e-12).y[:, -1]
    for _ in range(50):
        act(state, 3.0)
    assert state == pytest.approx(exact, rel=1e-3)


def test_without_force_and_friction_no_energy_is_lost() -> None:
    poles = DOUBLE._replace(friction=0.0)

    def energy(state: NDArray[np.float64]) -> float:
        total = 0.5 * state[1] ** 2
        for length, mass, angle, speed in zip(poles.lengths, poles.masses, state[2::2], state[3::2], strict=True):
            total += 0.5 * mass * state[1] ** 2 + mass * length * state[1] * speed * math.cos(angle)
            total += 2 / 3 * mass * length**2 * speed**2 + 9.8 * mass * length * math.cos(angle)
        return total

    state = first_start(poles)[0]
    before = energy(state)
    drift = 0.0
    for _ in range(1_000):
        integrate(poles, state, 0.0, np.empty((5, 6)))
        drift = max(drift, abs(energy(state) - before))
    assert 0 < drift < 1e-6


def test_left_alone_the_short_pole_falls_at_the_23rd_action() -> None:
    state = first_start(DOUBLE)[0]
    for _ in range(22):
        act(state, 0.0)
        assert inside(DOUBLE, state)
    act(state, 0.0)
    assert abs(state[4]) > DOUBLE.limit and abs(state[2]) < DOUBLE.limit and abs(state[0]) < 2.4
    # Such a network pushes with one half, which is no force.
    for velocities, fitness in ((True, 22.0), (False, 0.1 * (22 / 1_000))):
        task = DoublePoleSpec(velocities=velocities).tasks().search
        (found,) = judge(task, [handmade(face_of(task), ("steep_sigmoid",), {})])
        assert (found["fitness"], found["environment_steps"]) == (fitness, 23.0)


@SOME
@given(st.lists(numbers, min_size=6, max_size=6), st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_the_mirrored_forces_give_the_mirrored_motion(start: list[float], forces: list[float]) -> None:
    state, mirrored = np.array(start), -np.array(start)
    for force in forces:
        act(state, force)
        act(mirrored, -force)
        assert np.abs(state + mirrored).max() <= 1e-12


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_at_its_limit_has_not_failed(name: str) -> None:
    poles = SYSTEMS[name]
    for place, limit in ((0, 2.4), *((2 + 2 * pole, poles.limit) for pole in range(len(poles.lengths)))):
        for sign in (-1, 1):
            state = np.zeros(2 + 2 * len(poles.lengths))
            state[place] = sign * limit
            assert inside(poles, state)
            state[place] = np.nextafter(state[place], sign * np.inf)
            assert not inside(poles, state)
            state[place] = np.nan
            assert not inside(poles, state)
    assert (DOUBLE.limit, SINGLE.limit) == (0.628329, math.radians(12))


@pytest.mark.parametrize("velocities", [True, False])
@pytest.mark.parametrize("name", SYSTEMS)
def test_episodes_are_those_of_slow_steps_alone_and_together(name: str, velocities: bool) -> None:
    task = Balancing(SYSTEMS[name], velocities, 60)
    networks = random_networks(task, 30, functions=("steep_sigmoid", "tanh", "sin"))
    found = expect_alone_as_in_batch(task, networks)
    for network, measures in zip(networks, found, strict=True):
        states = episode(network, task)
        assert measures["environment_steps"] == len(states)
        assert measures["fitness" if velocities else "survived"] == len(states) - (
            not inside(task.poles, np.array(states[-1]))
        )
    assert len({measures["environment_steps"] for measures in found}) > 3


def test_a_steady_network_solves_it_with_velocities() -> None:
    tasks = DoublePoleSpec().tasks()
    assert judge(tasks.search, [steady(True)]) == [
        {"fitness": 100_000.0, "solved": 1.0, "environment_steps": 100_000.0}
    ]
    assert tasks.confirmation is None


def test_a_network_that_remembers_solves_it_without_velocities() -> None:
    tasks = DoublePoleSpec(velocities=False).tasks()
    task, network = tasks.search, steady(False)
    (found,) = judge(task, [network])
    states = np.array(episode(network, task))
    assert len(states) == 1_000 and "solved" not in found
    assert found["fitness"] == pytest.approx(0.1 + 0.9 * 0.75 / np.abs(states[-100:, :4]).sum(), rel=1e-6)
    assert tasks.confirmation == tasks.examination
    (test,) = judge(tasks.confirmation, [network])
    assert (test["long_steps"], test["solved"]) == (100_000.0, 1.0) and 200 <= test["generalisation"] < 625


@pytest.mark.parametrize(("steps", "counts"), [(100, False), (101, True)])
def test_rest_counts_after_the_first_hundred_steps(steps: int, counts: bool) -> None:
    task = Balancing(DOUBLE, False, steps)
    (found,) = judge(task, [steady(False)])
    motion = np.abs(np.array(episode(steady(False), task))[-100:, :4]).sum()
    assert found["survived"] == steps
    assert found["fitness"] == pytest.approx(0.1 + (0.9 * 0.75 / motion if counts else 0), rel=1e-9)


def test_an_episode_begins_with_an_empty_memory() -> None:
    plan = Networks.of([steady(False)]).plan
    starts = many_starts(DOUBLE)[::97]
    each = [balance(plan, DOUBLE, False, start[None], 1_000)[0][0, 0] for start in starts]
    assert balance(plan, DOUBLE, False, starts, 1_000)[0][0].tolist() == each
    assert len(set(each)) > 1


@pytest.mark.parametrize(("starts", "solved"), [(200, 1.0), (199, 0.0)])
def test_two_hundred_starts_are_needed_without_velocities(
    starts: int, solved: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def balanced(plan: object, poles: Poles, velocities: bool, given_: NDArray, steps: int) -> tuple[NDArray, NDArray]:
        survived = np.full((1, len(given_)), steps - 1)
        survived[0, :starts] = steps
        return survived, np.ones(survived.shape)

    monkeypatch.setattr("evosparse.topologies.tasks.poles.balance", balanced)
    blind, seeing = Generalising(DOUBLE, False, 100_000), Generalising(DOUBLE, True, 100_000)
    assert judge(blind, [steady(False)])[0]["solved"] == solved
    assert judge(seeing, [steady(True)])[0]["solved"] == 1.0


def test_a_short_long_run_does_not_solve_it() -> None:
    # Five of the starts are upright and at rest, where no push is the right one.
    still = [{"generalisation": 5.0, "long_steps": 22.0, "solved": 0.0}]
    for velocities in (True, False):
        task = DoublePoleSpec(velocities=velocities).tasks().examination
        found = judge(task, [handmade(face_of(task), ("steep_sigmoid",), {})])
        assert [{name: one[name] for name in still[0]} for one in found] == still


def test_the_starts_are_the_grid_of_the_page() -> None:
    starts = many_starts(DOUBLE)
    assert starts.shape == (625, 6) and len(np.unique(starts, axis=0)) == 625
    assert not starts[:, 4:].any()
    for column, reach in enumerate((2.16, 1.35, 0.06283, 0.15010)):
        assert np.unique(starts[:, column]) == pytest.approx(reach * np.array([-0.9, -0.5, 0, 0.5, 0.9]))


def test_no_number_as_an_output_is_a_failure_and_large_outputs_push_as_one() -> None:
    face = face_of(Balancing(DOUBLE, True, 50))
    half = face.inputs.index("half")
    # Hidden nodes of 1e308 squared and its opposite, whose sum is no number.
    lost = handmade(
        face, ("identity", "identity", "identity"), {(half, 8): 1e308, (half, 9): 1e308, (8, 7): 1e308, (9, 7): -1e308}
    )
    one, many = (handmade(face, ("identity",), {(half, 7): weight}) for weight in (2.0, 200.0))
    found = judge(Balancing(DOUBLE, True, 50), [lost, one, many])
    assert found[0] == {"fitness": 0.0, "solved": 0.0, "environment_steps": 1.0}
    assert found[1] == found[2] and found[1]["fitness"] > 0


@pytest.mark.parametrize(
    ("task", "inputs"),
    [
        (DoublePoleSpec(), ("x", "dx", "angle1", "dangle1", "angle2", "dangle2", "half")),
        (DoublePoleSpec(velocities=False), ("x", "angle1", "angle2", "half")),
        (SinglePoleSpec(), ("x", "dx", "angle", "dangle", "half")),
        (SinglePoleSpec(velocities=False), ("x", "angle", "half")),
    ],
)
def test_networks_see_velocities_or_remember(task: DoublePoleSpec | SinglePoleSpec, inputs: tuple[str, ...]) -> None:
    for one in (task.tasks().search, task.tasks().examination):
        assert isinstance(one, Task) and one.input_names == inputs
        assert one.recurrent is (not task.velocities) and one.bias is False
    assert task.tasks().search.steps == (100_000 if task.velocities else 1_000)
    assert task.model_copy(update={"steps": 7}).tasks().search.steps == 7
    assert task.tasks().examination.steps == 100_000
