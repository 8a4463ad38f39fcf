"""Tabular Q-learning is Watkins' update on the budget that was given, and what all drivers share is fair to each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evosparse.engine.seeds import SeedKey
from evosparse.errors import BadInput
from evosparse.topologies.functions import code_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.tasks.driving.cars import CarSpec, make_world
from evosparse.topologies.tasks.driving.drivers import examine, network_driver
from evosparse.topologies.tasks.driving.physics import (
    CAR,
    CRASHED,
    LEFT,
    PROGRESS,
    RIGHT,
    STRAIGHT,
    advance,
    observe,
    place,
)
from evosparse.topologies.tasks.driving.qlearning import Learned, QLearning, drive, learn
from evosparse.topologies.tasks.driving.track import Track, find_track

OVAL, BEAN = find_track("oval"), find_track("bean")
CARS = {"turn": CarSpec(), "turn_and_speed": CarSpec(actions="turn_and_speed", sensors=(-45.0, 0.0, 45.0))}


class Reference:
    """The learner in plain Python, with a dictionary for the table."""

    def __init__(self, rules: QLearning, tracks: Sequence[Track], car: CarSpec, steps: int, seed: int) -> None:
        self.rules, self.car, self.steps = rules, car, steps
        self.world, self.tracks = make_world(tracks, car), tracks
        self.rng = SeedKey(seed).child("q-learning").rng()
        self.values: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [rules.initial] * car.choices)
        self.seen = np.zeros(car.inputs)
        self.used = 0
        self.episodes: list[tuple[int, float]] = []
        self.trials: list[list[float]] = []
        self.kept, self.best = self.values, -np.inf

    def state(self, row: np.ndarray) -> tuple[int, ...]:
        observe(self.world, row, self.seen)
        rays = tuple(sum(ray >= level for level in self.rules.levels) for ray in self.seen[:-1])
        if self.car.actions == "turn":
            return (*rays, 0)
        low, count = self.car.slowest / self.car.fastest, self.rules.speed_levels
        return (*rays, sum(self.seen[-1] >= low + (1 - low) * level / count for level in range(1, count)))

    def greedy(self, state: tuple[int, ...]) -> int:
        return self.values[state].index(max(self.values[state]))

    def step(self, row: np.ndarray, action: int) -> float:
        self.used += 1
        return advance(self.world, row, action)

    def laps(self, row: np.ndarray, track: int) -> float:
        return row[PROGRESS] / self.tracks[track].length

    def run(self) -> None:
        rules, row, track, due, fresh, taken = self.rules, np.zeros(CAR), 0, self.rules.evaluate_every, True, 0
        while self.used < self.steps:
            if fresh:
                anywhere = rules.starts == "anywhere"
                lap = self.rng.random() if anywhere else 0.0
                place(self.world, row, track, lap, np.radians(10) * (2 * self.rng.random() - 1) if anywhere else 0.0)
                state, taken = self.state(row), 0
            first, last = rules.epsilon
            epsilon = first + min(1.0, self.used / (rules.exploring * self.steps)) * (last - first)
            explores = self.rng.random() < epsilon
            action = int(self.rng.random() * self.car.choices) if explores else self.greedy(state)
            reward = self.step(row, action)
            taken += 1
            following, crashed = self.state(row), bool(row[CRASHED])
            aim = reward if crashed else reward + rules.gamma * max(self.values[following])
            self.values[state][action] += rules.alpha * (aim - self.values[state][action])
            state = following
            fresh = crashed or taken == rules.episode or self.laps(row, track) >= rules.laps
            if fresh:
                self.episodes.append((self.used, self.laps(row, track)))
                track = (track + 1) % len(self.tracks)
            if due <= self.used < self.steps:
                due += rules.evaluate_every
                self.attempt()

    def attempt(self) -> None:
        laps, row = [], np.zeros(CAR)
        for track in range(len(self.tracks)):
            place(self.world, row, track, 0.0, 0.0)
            taken = 0
            while not row[CRASHED] and taken < self.rules.episode and self.laps(row, track) < self.rules.laps:
                if self.used == self.steps:
                    return
                self.step(row, self.greedy(self.state(row)))
                taken += 1
            laps.append(min(self.laps(row, track), self.rules.laps))
        self.trials.append(laps)
        if np.mean(laps) >= self.best:
            self.best = np.mean(laps)
            if self.rules.keep == "best":
                self.kept = {state: list(values) for state, values in self.values.items()}

    def table(self) -> np.ndarray:
        speeds = self.rules.speed_levels if self.car.actions == "turn_and_speed" else 1
        shape = (len(self.rules.levels) + 1,) * len(self.car.sensors) + (speeds,)
        table = np.full((*shape, self.car.choices), self.rules.initial)
        for state, values in self.kept.items():
            table[state] = values
        return table.reshape(-1, self.car.choices)


@settings(deadline=None)  # the first call compiles
@given(
    st.builds(
        QLearning,
        alpha=st.sampled_from((0.1, 0.5, 1.0)),
        epsilon=st.sampled_from(((1.0, 0.05), (0.3, 0.0))),
        episode=st.integers(1, 60),
        laps=st.sampled_from((0.05, 3.0)),
        starts=st.sampled_from(("line", "anywhere")),
        evaluate_every=st.integers(20, 400),
        keep=st.sampled_from(("best", "last")),
        initial=st.sampled_from((0.0, 2.5)),
    ),
    st.sampled_from(sorted(CARS)),
    st.integers(1, 400),
    st.integers(0, 2**63),
)
def test_the_compiled_loop_is_the_plain_one(rules: QLearning, actions: str, steps: int, seed: int) -> None:
    expected = Reference(rules, [OVAL, BEAN], CARS[actions], steps, seed)
    expected.run()
    learned = learn(rules, [OVAL, BEAN], CARS[actions], steps, seed)
    np.testing.assert_array_equal(learned.table, expected.table())
    course = learned.training
    assert course.steps == expected.used == steps
    assert list(zip(course.episodes.steps, course.episodes.laps, strict=True)) == expected.episodes
    assert course.trials.laps.tolist() == expected.trials


@pytest.fixture(scope="module")
def learned() -> Learned:
    return learn(QLearning(evaluate_every=2_000), [OVAL, BEAN], CarSpec(), 60_000, seed=0)


@pytest.mark.parametrize("actions", sorted(CARS))
@pytest.mark.parametrize("seed", range(3))
def test_a_lap_of_the_oval_is_learnt_within_the_budget(seed: int, actions: str) -> None:
    found = learn(QLearning(), [OVAL], CARS[actions], 100_000, seed)
    driven = drive(found, OVAL)
    assert driven.laps >= 1 and not driven.crashed and driven.first_lap is not None
    assert found.training.first_lap is not None and found.training.first_lap <= found.training.steps == 100_000


def test_a_driver_does_in_python_what_it_did_in_its_trials(learned: Learned) -> None:
    rules, trials = learned.parameters, learned.training.trials
    drives = examine(learned.driver, [OVAL, BEAN], learned.car, rules.episode, rules.laps)
    means = trials.laps.mean(axis=1)
    latest = len(means) - 1 - means[::-1].argmax()
    assert [one.laps for one in drives] == trials.laps[latest].tolist()
    assert means[latest] > means[0]


def test_the_first_lap_is_no_later_than_any_that_the_curves_show(learned: Learned) -> None:
    course = learned.training
    episodes = course.episodes.steps[course.episodes.laps >= 1]
    trials = course.trials.steps[(course.trials.laps >= 1).any(axis=1)]
    assert 0 < course.first_lap <= min(*episodes, *trials)


def test_the_same_seed_gives_the_same_table_and_another_seed_another() -> None:
    tables = [learn(QLearning(), [OVAL], CarSpec(), 3_000, seed).table for seed in (4, 4, 5)]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0] != tables[2]).any()


def test_what_is_kept_changes_nothing_of_the_training() -> None:
    rules = (QLearning(keep=keep, evaluate_every=700) for keep in ("best", "last"))
    best, last = (learn(own, [OVAL], CarSpec(), 5_000, 1) for own in rules)
    np.testing.assert_array_equal(best.training.trials.laps, last.training.trials.laps)
    assert len(best.training.trials.steps) > 2 and (best.table != last.table).any()


@pytest.mark.parametrize("steps", (0, -5))
def test_a_budget_of_nothing_is_refused(steps: int) -> None:
    with pytest.raises(BadInput, match=f"at least one environment step, got {steps}"):
        learn(QLearning(), [OVAL], CarSpec(), steps, 0)


@pytest.mark.parametrize("levels", ((0.5, 0.25), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)))
def test_levels_that_are_not_in_order_or_not_of_the_range_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="levels"):
        QLearning(levels=levels)


def freer_side(seen: np.ndarray) -> np.ndarray:
    """Steer to where the road is longer."""
    return np.where(seen[:, 3] > seen[:, 1], LEFT, RIGHT)


def straight_on(seen: np.ndarray) -> np.ndarray:
    return np.full(len(seen), STRAIGHT)


def test_a_drive_ends_with_the_crash_the_laps_or_the_steps() -> None:
    for driver, steps, laps in ((straight_on, 900, 3.0), (freer_side, 900, 1.5), (freer_side, 50, 3.0)):
        for one in examine(driver, [OVAL, BEAN], CarSpec(), steps, laps):
            lengths = np.hypot(*np.diff(one.trajectory, axis=0).T)
            assert np.allclose(lengths[:-1], CarSpec().speed) and len(lengths) <= steps
            assert one.crashed == (lengths[-1] < CarSpec().speed - 1e-9) == (driver is not freer_side)
            assert one.laps <= laps and (one.first_lap is not None) == (one.laps >= 1)
            assert one.crashed or (one.laps == laps) == (steps == 900)
            assert one.first_lap is None or 200 < one.first_lap <= len(lengths)


def test_what_a_driver_does_on_one_track_does_not_depend_on_the_others() -> None:
    together = examine(freer_side, [OVAL, BEAN], CarSpec(), 400)
    alone = examine(freer_side, [BEAN], CarSpec(), 400)[0]
    assert together[1].laps == alone.laps
    np.testing.assert_array_equal(together[1].trajectory, alone.trajectory)


def test_a_network_drives_by_its_largest_output() -> None:
    face = Interface(("a", "b", "c", "d", "e", "speed"), ("left", "straight", "right"), bias=False)
    # Left sees the ray to the left, right the ray to the right.
    network = Topology(
        face, np.empty(0, np.int64), np.full(3, code_of("identity")), np.arange(2), np.array([3, 1]), np.array([6, 8]),
        np.ones(2), np.ones(2, dtype=bool),
    )  # fmt: skip
    seen = np.zeros((3, 6))
    seen[0, 3], seen[1, 1] = 1, 1
    assert network_driver(network, 3)(seen).tolist() == [LEFT, RIGHT, LEFT]
