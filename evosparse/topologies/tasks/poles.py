"""Poles to be balanced on a cart by pushing it, as Stanley and Miikkulainen (2002) set it: a network's whole episode is
one compiled loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.phenotype import Networks, activate
from evosparse.topologies.tasks.base import SOLVED, Task, Tasks, TaskSpec
from evosparse.topologies.tasks.shared import measures_of

GRAVITY = -9.8  # m/s^2
CART = 1.0  # kg
STEP = 0.01  # s, of which an action lasts two
FORCE = 20.0  # N, from the strongest push to the left to the strongest to the right
TRACK = 2.4  # m to each side
START = 0.07  # rad, of the longest pole
LONG_RUN, SHORT_RUN = 100_000, 1_000
ENOUGH_STARTS = 200  # of the 625
_LAST = 100  # steps whose motion counts where velocities are not shown


class Poles(NamedTuple):
    """What stands on the cart.

    Args:
        lengths: half the length of each pole in m.
        masses: of each pole in kg.
        friction: of each hinge.
        limit: angle in rad beyond which a pole has fallen.
    """

    lengths: tuple[float, ...]
    masses: tuple[float, ...]
    friction: float
    limit: float


SINGLE = Poles((0.5,), (0.1,), 2e-6, math.radians(12))
DOUBLE = Poles((0.5, 0.05), (0.1, 0.01), 2e-6, 0.628329)


@njit(cache=True)
def _derive(poles, state, force, rate):
    """Write the rate of change of a state: position, velocity, then angle and angular velocity of each pole."""
    pull, mass = force, CART
    for pole in range(len(poles.lengths)):
        sine, cosine, speed = math.sin(state[2 + 2 * pole]), math.cos(state[2 + 2 * pole]), state[3 + 2 * pole]
        moment = poles.masses[pole] * poles.lengths[pole]
        drag = poles.friction * speed / moment
        pull += moment * speed * speed * sine + 0.75 * poles.masses[pole] * cosine * (drag + GRAVITY * sine)
        mass += poles.masses[pole] * (1.0 - 0.75 * cosine * cosine)
        # What does not need the cart's acceleration, which is known after the last pole.
        rate[2 + 2 * pole] = cosine
        rate[3 + 2 * pole] = GRAVITY * sine + drag
    rate[0], rate[1] = state[1], pull / mass
    for pole in range(len(poles.lengths)):
        cosine, rest = rate[2 + 2 * pole], rate[3 + 2 * pole]
        rate[2 + 2 * pole] = state[3 + 2 * pole]
        rate[3 + 2 * pole] = -0.75 * (rate[1] * cosine + rest) / poles.lengths[pole]


@njit(cache=True)
def integrate(poles: Poles, state: NDArray[np.float64], force: float, work: NDArray[np.float64]) -> None:
    """Move a state on by one step of the Runge-Kutta method of fourth order.

    Args:
        poles: what stands on the cart.
        state: (2 + 2 poles,) position and velocity of the cart, then angle and angular velocity of each pole; changed.
        force: on the cart in N.
        work: (5, 2 + 2 poles) space.
    """
    count = len(state)
    _derive(poles, state, force, work[0])
    for stage in range(1, 4):
        reach = STEP if stage == 3 else STEP / 2
        for place in range(count):
            work[4, place] = state[place] + reach * work[stage - 1, place]
        _derive(poles, work[4], force, work[stage])
    for place in range(count):
        slope = work[0, place] + 2.0 * work[1, place] + 2.0 * work[2, place] + work[3, place]
        state[place] += STEP / 6.0 * slope


@njit(cache=True)
def inside(poles: Poles, state: NDArray[np.float64]) -> bool:
    """Whether the cart is on its track and no pole has fallen; a state that is no number is outside."""
    if not abs(state[0]) <= TRACK:
        return False
    for pole in range(len(poles.lengths)):
        if not abs(state[2 + 2 * pole]) <= poles.limit:
            return False
    return True


@njit(cache=True, nogil=True)
def balance(plan, poles, velocities, starts, steps):
    """Let each network balance from each start until it fails or has survived all steps.

    Args:
        plan: the networks.
        poles: what stands on the cart.
        velocities: whether networks see them.
        starts: (starts, 2 + 2 poles) states; a network sees each as the first in its life.
        steps: actions at most.

    Returns:
        (networks, starts) actions after which nothing had failed, and (networks, starts) the sum of how far cart and
        long pole were from rest after each of the last hundred of them.
    """
    networks, count, size = len(plan.output), len(starts), starts.shape[1]
    survived, motion = np.zeros((networks, count), dtype=np.int64), np.zeros((networks, count))
    values, work, recent = np.zeros((2, plan.widest)), np.empty((5, size)), np.empty(_LAST)
    state, shown, output = np.empty(size), np.empty(plan.inputs), np.empty(plan.outputs)
    for network in range(networks):
        for start in range(count):
            values[:] = 0.0
            recent[:] = 0.0
            state[:] = starts[start]
            done = 0
            while done < steps:
                place = 0
                for part in range(size):
                    if velocities or part % 2 == 0:
                        scale = 2.0 if part % 2 == 1 else 4.8 if part == 0 else 0.52
                        shown[place] = state[part] / scale
                        place += 1
                shown[place] = 0.5
                activate(plan, network, values, shown, output)
                push = output[0]
                if push > 1.0:
                    push = 1.0
                elif push < 0.0:
                    push = 0.0
                force = FORCE * (push - 0.5)
                integrate(poles, state, force, work)
                integrate(poles, state, force, work)
                if not inside(poles, state):
                    break
                recent[done % _LAST] = abs(state[0]) + abs(state[1]) + abs(state[2]) + abs(state[3])
                done += 1
            survived[network, start] = done
            total = 0.0
            for place in range(_LAST):
                total += recent[(done + place) % _LAST]
            motion[network, start] = total
    return survived, motion


def first_start(poles: Poles) -> NDArray[np.float64]:
    """Return the (1, 2 + 2 poles) start of every search: all at rest, the first pole a little askew."""
    start = np.zeros((1, 2 + 2 * len(poles.lengths)))
    start[0, 2] = START
    return start


def many_starts(poles: Poles) -> NDArray[np.float64]:
    """Return the (625, 2 + 2 poles) starts of the test of generalisation; a second pole is upright and at rest."""
    grid = np.array(list(product((0.05, 0.25, 0.5, 0.75, 0.95), repeat=4)))
    starts = np.zeros((len(grid), 2 + 2 * len(poles.lengths)))
    starts[:, :4] = (2 * grid - 1) * (2.16, 1.35, 0.06283, 0.15010)
    return starts


def _steps_taken(survived: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    # The action that failed was one, too.
    return np.minimum(survived + 1, steps).sum(axis=1)


@dataclass(frozen=True)
class Balancing(Task):
    """Poles are balanced from one start.

    With velocities, fitness is the number of steps survived, and all of them solve the task. Without, of ``t`` steps
    it is ``.1 t / steps``, and after the first hundred also ``.9 * .75`` divided by how far cart and long pole were
    from rest in the last hundred; whether that solves the task is for `Generalising` to say.

    An output above 1 or below 0 pushes as 1 or 0 do. A step has been survived if nothing has failed after its action.

    Args:
        poles: what stands on the cart.
        velocities: whether networks see them; they need a memory if not.
        steps: actions at most.
    """

    poles: Poles
    velocities: bool
    steps: int

    bias = False  # one input is always .5
    output_names = ("push",)

    @property
    def recurrent(self) -> bool:
        """Whether networks need a memory."""
        return not self.velocities

    @property
    def input_names(self) -> tuple[str, ...]:
        """Position, angles, and with velocities those of each behind it."""
        numbers = range(1, 1 + len(self.poles.lengths)) if len(self.poles.lengths) > 1 else ("",)
        parts = ("x", *(f"angle{number}" for number in numbers))
        return (*(name for part in parts for name in ((part, f"d{part}") if self.velocities else (part,))), "half")

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Run one episode of each network."""
        survived, motion = balance(networks.plan, self.poles, self.velocities, first_start(self.poles), self.steps)
        taken, survived, motion = _steps_taken(survived, self.steps), survived[:, 0], motion[:, 0]
        if self.velocities:
            return measures_of({"fitness": survived, SOLVED: survived == self.steps, "environment_steps": taken})
        still = np.divide(0.75, motion, where=survived > _LAST, out=np.zeros(len(networks)))
        fitness = 0.1 * (survived / self.steps) + 0.9 * still
        return measures_of({"fitness": fitness, "survived": survived, "environment_steps": taken})


@dataclass(frozen=True)
class Generalising(Balancing):
    """Poles are balanced for long from the usual start, and for a thousand steps from 625 others.

    Without velocities a network that lasts a hundred thousand steps and succeeds from 200 starts has solved the task;
    with them the hundred thousand steps will do. ``steps`` is the length of the long run.
    """

    @property
    def objectives(self) -> Objectives:
        """The number of starts from which a network succeeds."""
        return {"generalisation": "max"}

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Run 626 episodes of each network."""
        long, _ = balance(networks.plan, self.poles, self.velocities, first_start(self.poles), self.steps)
        many, _ = balance(networks.plan, self.poles, self.velocities, many_starts(self.poles), SHORT_RUN)
        succeeded = (many == SHORT_RUN).sum(axis=1)
        solved = long[:, 0] == self.steps
        if not self.velocities:
            solved &= succeeded >= ENOUGH_STARTS
        taken = _steps_taken(long, self.steps) + _steps_taken(many, SHORT_RUN)
        return measures_of({
            "generalisation": succeeded, "long_steps": long[:, 0], SOLVED: solved, "environment_steps": taken,
        })  # fmt: skip


class _PolesSpec(TaskSpec):
    """What both tasks with poles have in common."""

    name: str
    velocities: bool = True
    steps: int | None = Field(default=None, ge=1)

    def _tasks(self, poles: Poles) -> Tasks:
        steps = self.steps or (LONG_RUN if self.velocities else SHORT_RUN)
        test = Generalising(poles, self.velocities, LONG_RUN)
        return Tasks(Balancing(poles, self.velocities, steps), test, None if self.velocities else test)


class SinglePoleSpec(_PolesSpec):
    """The task section for one pole on a cart, which has fallen at 12 degrees (Barto, Sutton and Anderson, 1983).

    All else is as for two poles, of which this is the long one.

    Attributes:
        name: of the task.
        velocities: whether networks see them; they need a memory if not.
        steps: actions at most in the search; by default 100,000 with velocities and 1,000 without.
    """

    name: Literal["single_pole"] = "single_pole"

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task."""
        return self._tasks(SINGLE)


class DoublePoleSpec(_PolesSpec):
    """The task section for two poles on a cart (Wieland, 1991).

    Attributes:
        name: of the task.
        velocities: whether networks see them; they need a memory if not.
        steps: actions at most in the search; by default 100,000 with velocities and 1,000 without.
    """

    name: Literal["double_pole"] = "double_pole"

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task."""
        return self._tasks(DOUBLE)
