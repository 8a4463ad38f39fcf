"""Q-learning with a table (Watkins and Dayan 1992) on the driving task, as one compiled loop.

A state is what the rays and the speed say, each in a few levels. Which levels is our choice, like all of the car's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, field_validator

from evosparse.engine.seeds import SeedKey
from evosparse.topologies.tasks.driving.cars import CarSpec, make_world
from evosparse.topologies.tasks.driving.drivers import Curve, Drive, Learner, Training, check_budget, examine
from evosparse.topologies.tasks.driving.physics import CAR, CRASHED, PROGRESS, STEPS, World, advance, observe, place
from evosparse.topologies.tasks.driving.track import Track

_HEADING = float(np.radians(10.0))  # by which episodes from anywhere start turned, at most
_USED, _EPISODES, _TRIALS, _FIRST_LAP = range(4)  # what a run counts


class QLearning(Learner):
    """Parameters of tabular Q-learning.

    Attributes:
        levels: shares of a ray's range at which the next level begins.
        speed_levels: levels between the lowest and the highest speed, where the actions change it.
        alpha: share of the error that one step corrects.
        initial: value of every action in every state at the beginning.
    """

    method: Literal["tabular"] = "tabular"
    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.25, 0.5, 0.75), max_length=15)
    speed_levels: int = Field(4, ge=1)
    alpha: float = Field(0.1, gt=0, le=1)
    initial: float = 0.0

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)):
            raise ValueError(f"expected levels in ascending order, got {levels}; sort them and leave out repetitions")
        return levels


@dataclass(frozen=True)
class Learned:
    """What Q-learning made of its budget.

    Args:
        parameters: of the learner.
        car: the kind of car.
        table: (states, actions) values.
        training: how it went.
    """

    parameters: QLearning
    car: CarSpec
    table: NDArray[np.float64]
    training: Training

    def driver(self, observations: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (n,) actions of the highest value, the first of equal ones, for (n, rays + 1) observations."""
        return self.table[states_of(observations, self.parameters, self.car)].argmax(axis=1)


def learn(parameters: QLearning, tracks: Sequence[Track], car: CarSpec, steps: int, seed: int) -> Learned:
    """Learn to drive.

    Args:
        parameters: of the learner.
        tracks: to learn on.
        car: the kind of car.
        steps: of the environment, all of which are used.
        seed: of all randomness.

    Raises:
        BadInput: there is no track or no step.
    """
    check_budget(steps)
    start, world = time.perf_counter(), make_world(tracks, car)
    rules = _Rules(
        parameters.gamma, parameters.alpha, *parameters.epsilon, parameters.exploring * steps, parameters.episode,
        parameters.laps, parameters.starts == "anywhere", parameters.evaluate_every, parameters.keep == "best", steps,
    )  # fmt: skip
    edges = np.array(parameters.levels, dtype=np.float64)
    speeds = _speed_edges(parameters, car)
    states = (len(edges) + 1) ** len(car.sensors) * (len(speeds) + 1)
    table = np.full((states, car.choices), parameters.initial)
    ends, laps = np.empty(steps, dtype=np.int64), np.empty(steps)
    trial_ends = np.empty(steps // parameters.evaluate_every, dtype=np.int64)
    trial_laps = np.empty((len(trial_ends), len(tracks)))
    counts = np.array([0, 0, 0, -1])
    rng = SeedKey(seed).child("q-learning").rng()
    table = _learn(world, rules, table, edges, speeds, rng, ends, laps, trial_ends, trial_laps, counts)
    used, episodes, trials, first_lap = counts.tolist()
    training = Training(
        Curve(ends[:episodes].copy(), laps[:episodes].copy()), Curve(trial_ends[:trials], trial_laps[:trials]),
        None if first_lap < 0 else first_lap, used, time.perf_counter() - start,
    )  # fmt: skip
    return Learned(parameters, car, table, training)


def drive(learned: Learned, track: Track) -> Drive:
    """Drive a track once, without exploring, for as long as an episode of the training lasts at most."""
    return examine(learned.driver, [track], learned.car, learned.parameters.episode, learned.parameters.laps)[0]


def states_of(observations: NDArray[np.float64], parameters: QLearning, car: CarSpec) -> NDArray[np.int64]:
    """Return (n,) rows of the table for (n, rays + 1) observations; the first ray is the highest digit."""
    edges, speeds = np.array(parameters.levels), _speed_edges(parameters, car)
    levels = np.searchsorted(edges, observations[:, :-1], side="right")
    rows = np.zeros(len(observations), dtype=np.int64)
    for ray in range(levels.shape[1]):
        rows = rows * (len(edges) + 1) + levels[:, ray]
    return rows * (len(speeds) + 1) + np.searchsorted(speeds, observations[:, -1], side="right")


def _speed_edges(parameters: QLearning, car: CarSpec) -> NDArray[np.float64]:
    """Return the shares of the highest speed at which the next level begins; none where the speed does not change."""
    levels = parameters.speed_levels if car.actions == "turn_and_speed" else 1
    return np.linspace(car.slowest / car.fastest, 1.0, levels + 1)[1:-1]


class _Rules(NamedTuple):
    """The parameters as the compiled loop reads them; exploring is in steps."""

    gamma: float
    alpha: float
    epsilon_first: float
    epsilon_last: float
    exploring: float
    episode: int
    laps: float
    anywhere: bool
    evaluate_every: int
    keep_best: bool
    steps: int


@njit(cache=True, nogil=True)
def _learn(
    world: World,
    rules: _Rules,
    table: NDArray[np.float64],
    edges: NDArray[np.float64],
    speeds: NDArray[np.float64],
    rng: np.random.Generator,
    ends: NDArray[np.int64],
    laps: NDArray[np.float64],
    trial_ends: NDArray[np.int64],
    trial_laps: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Use the budget; write the curves and the counts, and return the table to keep."""
    kept, best, due = table, -np.inf, rules.evaluate_every
    car, seen = np.zeros(CAR), np.zeros(len(world.sensors) + 1)
    track, state, over = 0, 0, True
    while counts[_USED] < rules.steps:
        if over:
            lap = rng.random() if rules.anywhere else 0.0
            place(world, car, track, lap, _HEADING * (2 * rng.random() - 1) if rules.anywhere else 0.0)
            observe(world, car, seen)
            state = _state(seen, edges, speeds)
        share = min(1.0, counts[_USED] / rules.exploring)
        if rng.random() < rules.epsilon_first + share * (rules.epsilon_last - rules.epsilon_first):
            action = int(rng.random() * table.shape[1])
        else:
            action = np.argmax(table[state])
        target = advance(world, car, action)
        crashed = car[CRASHED] > 0
        observe(world, car, seen)
        following = _state(seen, edges, speeds)
        if not crashed:
            target += rules.gamma * np.max(table[following])
        table[state, action] += rules.alpha * (target - table[state, action])
        state = following
        driven = car[PROGRESS] / world.lengths[track]
        _count(counts, driven)
        over = crashed or car[STEPS] >= rules.episode or driven >= rules.laps
        if over:
            ends[counts[_EPISODES]], laps[counts[_EPISODES]] = counts[_USED], driven
            counts[_EPISODES] += 1
            track = (track + 1) % len(world.lengths)
        if counts[_USED] >= due and counts[_USED] < rules.steps:
            due += rules.evaluate_every
            mean = _try(world, rules, table, edges, speeds, trial_ends, trial_laps, counts)
            if rules.keep_best and mean >= best:
                kept, best = table.copy(), mean
    return kept


@njit(cache=True, nogil=True)
def _try(world, rules, table, edges, speeds, trial_ends, trial_laps, counts):
    """Drive all tracks without exploring; return the mean of the laps, -inf where the budget cuts the trial short."""
    car, seen, trial = np.zeros(CAR), np.zeros(len(world.sensors) + 1), counts[_TRIALS]
    for track in range(len(world.lengths)):
        place(world, car, track, 0.0, 0.0)
        driven = 0.0
        while car[CRASHED] == 0 and car[STEPS] < rules.episode and driven < rules.laps:
            if counts[_USED] == rules.steps:
                return -np.inf
            observe(world, car, seen)
            advance(world, car, np.argmax(table[_state(seen, edges, speeds)]))
            driven = car[PROGRESS] / world.lengths[track]
            _count(counts, driven)
        # A last step beyond the end is no better driving.
        trial_laps[trial, track] = min(driven, rules.laps)
    trial_ends[trial] = counts[_USED]
    counts[_TRIALS] += 1
    return trial_laps[trial].mean()


@njit(cache=True, nogil=True)
def _count(counts, driven):
    counts[_USED] += 1
    if counts[_FIRST_LAP] < 0 and driven >= 1:
        counts[_FIRST_LAP] = counts[_USED]


@njit(cache=True, nogil=True)
def _state(seen, edges, speeds):
    """Return the row of the table, as `states_of` does."""
    state = 0
    for ray in range(len(seen) - 1):
        level = 0
        for edge in edges:
            level += seen[ray] >= edge
        state = state * (len(edges) + 1) + level
    level = 0
    for edge in speeds:
        level += seen[-1] >= edge
    return state * (len(speeds) + 1) + level
