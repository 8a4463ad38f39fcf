"""Deep Q-learning (Mnih et al., Nature 2015) on the driving task: a small perceptron, replay and a target network.

It sees the rays themselves where the table sees levels. Many cars learn at once, and are one source of experience.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional

from evosparse.engine.seeds import SeedKey
from evosparse.nets.device import configured
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec, draw_starts
from evosparse.topologies.tasks.driving.drivers import Curve, Learner, Training, check_budget, examine
from evosparse.topologies.tasks.driving.physics import CRASHED, STEPS
from evosparse.topologies.tasks.driving.track import Track


class DQN(Learner):
    """Parameters of deep Q-learning.

    Attributes:
        hidden: units of the layers between observations and values of actions, rectified.
        cars: that are driven at once; at each of their steps the network is corrected once.
        replay: steps that are remembered.
        batch: remembered steps in a correction; there is none before as many are remembered.
        learning_rate: of Adam.
        target_every: corrections between two copies to the target network.
    """

    method: Literal["dqn"] = "dqn"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64)
    cars: int = Field(16, ge=1)
    replay: int = Field(50_000, ge=1)
    batch: int = Field(64, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    target_every: int = Field(500, ge=1)


@dataclass(frozen=True)
class LearnedNetwork:
    """What deep Q-learning made of its budget.

    Args:
        parameters: of the learner.
        car: the kind of car.
        network: from observations to values of actions.
        training: how it went.
    """

    parameters: DQN
    car: CarSpec
    network: nn.Sequential
    training: Training

    def driver(self, observations: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (n,) actions of the highest value, the first of equal ones, for (n, rays + 1) observations."""
        return _choose(self.network, observations)


def learn(parameters: DQN, tracks: Sequence[Track], car: CarSpec, steps: int, seed: int) -> LearnedNetwork:
    """Learn to drive.

    Args:
        parameters: of the learner.
        tracks: to learn on.
        car: the kind of car.
        steps: of the environment, all of which are used.
        seed: of all randomness; on one kind of processor equal seeds give equal networks.

    Raises:
        BadInput: there is no track or no step.
    """
    check_budget(steps)
    start, run = time.perf_counter(), _Run(parameters, tracks, car, steps, SeedKey(seed).child("dqn"))
    with configured():
        run.complete()
    seconds = time.perf_counter() - start
    training = Training(Curve.of(run.episodes), Curve.of(run.trials, len(tracks)), run.first_lap, run.used, seconds)
    best = parameters.keep == "best" and run.trials
    return LearnedNetwork(parameters, car, run.best if best else run.network, training)


class _Run:
    """One training, from its beginning to its end."""

    def __init__(self, parameters: DQN, tracks: Sequence[Track], car: CarSpec, steps: int, key: SeedKey) -> None:
        self._parameters, self._tracks, self._car, self._steps = parameters, tracks, car, steps
        self._rng, self._cars = key.child("experience").rng(), Cars(tracks, car, parameters.cars)
        self.network = _make((car.inputs, *parameters.hidden, car.choices), key.child("weights").integer())
        self._optimizer = torch.optim.Adam(self.network.parameters(), parameters.learning_rate)
        self._target = self.best = deepcopy(self.network)
        self._best_laps = -np.inf
        self.used = self._stored = self._corrections = self._begun = 0
        self.first_lap: int | None = None
        self.episodes: list[tuple[int, float]] = []
        self.trials: list[tuple[int, list[float]]] = []
        size = min(parameters.replay, steps)
        self._seen = np.empty((2, size, car.inputs), dtype=np.float32)  # before and after a step
        self._action, self._reward, self._crash = (np.empty(size, dtype) for dtype in (np.int64, np.float32, bool))
        self._begin(np.arange(parameters.cars))

    def complete(self) -> None:
        """Use the budget."""
        due = self._parameters.evaluate_every
        while self.used < self._steps:
            self._drive()
            if self._stored >= self._parameters.batch:
                self._correct()
            if due <= self.used < self._steps:
                due += self._parameters.evaluate_every
                self._try()

    def _begin(self, cars: NDArray[np.int64]) -> None:
        """Start new episodes."""
        places = (self._begun + np.arange(len(cars))) % len(self._tracks)
        self._begun += len(cars)
        starts = draw_starts(len(cars), self._rng) if self._parameters.starts == "anywhere" else None
        self._cars.reset(places, starts, cars)

    def _drive(self) -> None:
        """Drive and remember one step of each car, or of as many as the budget has steps for."""
        rules, cars = self._parameters, self._cars
        count = min(rules.cars, self._steps - self.used)
        cars.rows[count:, CRASHED] = 1  # they stand still, and it is the last step
        seen = cars.observations()
        share = min(1.0, self.used / (rules.exploring * self._steps))
        random = self._rng.random(rules.cars) < rules.epsilon[0] + share * (rules.epsilon[1] - rules.epsilon[0])
        actions = np.where(random, self._rng.integers(self._car.choices, size=rules.cars), _choose(self.network, seen))
        rewards = cars.step(actions)
        self.used += count
        places = (self._stored + np.arange(count)) % len(self._action)
        self._seen[0, places], self._seen[1, places] = seen[:count], cars.observations()[:count]
        self._action[places], self._reward[places] = actions[:count], rewards[:count]
        self._crash[places] = cars.crashed[:count]
        self._stored += count
        laps, limit = cars.laps, cars.rows[:, STEPS] >= rules.episode
        if self.first_lap is None and (laps[:count] >= 1).any():
            self.first_lap = self.used
        over = np.flatnonzero(cars.crashed | limit | (laps >= rules.laps))
        self.episodes += [(self.used, float(laps[car])) for car in over if car < count]
        self._begin(over)

    def _correct(self) -> None:
        """Correct the network once, by remembered steps."""
        rules = self._parameters
        chosen = self._rng.integers(min(self._stored, len(self._action)), size=rules.batch)
        seen, following = torch.from_numpy(self._seen[:, chosen])
        with torch.no_grad():
            later = torch.where(torch.from_numpy(self._crash[chosen]), 0.0, self._target(following).amax(dim=1))
            aim = torch.from_numpy(self._reward[chosen]) + rules.gamma * later
        value = self.network(seen).gather(1, torch.from_numpy(self._action[chosen])[:, None])[:, 0]
        self._optimizer.zero_grad()
        functional.huber_loss(value, aim).backward()
        self._optimizer.step()
        self._corrections += 1
        if self._corrections % rules.target_every == 0:
            self._target = deepcopy(self.network)

    def _try(self) -> None:
        """Drive all tracks without exploring; a trial that the budget cuts short does not count."""
        rules = self._parameters
        drives = examine(partial(_choose, self.network), self._tracks, self._car, rules.episode, rules.laps)
        for drive in drives:
            if self.first_lap is None and drive.first_lap is not None and self.used + drive.first_lap <= self._steps:
                self.first_lap = self.used + drive.first_lap
            self.used += len(drive.trajectory) - 1
        laps = [drive.laps for drive in drives]
        if self.used <= self._steps:
            self.trials.append((self.used, laps))
            if np.mean(laps) >= self._best_laps:
                self._best_laps, self.best = float(np.mean(laps)), deepcopy(self.network)
        self.used = min(self.used, self._steps)


def _make(sizes: Sequence[int], seed: int) -> nn.Sequential:
    """Make a perceptron with the weights that torch gives it."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _choose(network: nn.Sequential, observations: NDArray[np.float64]) -> NDArray[np.int64]:
    with torch.no_grad():
        return network(torch.from_numpy(observations).float()).argmax(dim=1).numpy()
