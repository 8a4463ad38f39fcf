"""What all drivers have in common, whoever taught them: they answer what they see, and are examined alike.

A driver is any function of (n, rays + 1) observations that returns (n,) actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evosparse.errors import BadInput
from evosparse.section import Section
from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec
from evosparse.topologies.tasks.driving.track import Track

Driver = Callable[[NDArray[np.float64]], NDArray[np.int64]]
Share = Annotated[float, Field(ge=0, le=1)]


class Learner(Section):
    """What the ways of Q-learning have in common.

    Episodes go through the tracks in turn. A crash ends one, and nothing follows it; a limit ends it too, but what
    would have followed counts.

    Attributes:
        gamma: discount of the next step.
        epsilon: share of actions at random, at the beginning and at last.
        exploring: share of the budget over which it falls, on a straight line.
        episode: steps after which an episode ends.
        laps: laps after which an episode ends.
        starts: of episodes, ``line`` as in examinations; or ``anywhere`` along the lap, turned by up to 10 degrees.
        evaluate_every: steps after which the driver is tried without exploring, on all tracks; the steps of these
            trials are part of the budget.
        keep: which driver is the result: the ``best`` in those trials, as in an evolutionary search, and the latest of
            equal ones; or the ``last``.
    """

    gamma: float = Field(0.95, ge=0, lt=1)
    epsilon: tuple[Share, Share] = (1.0, 0.05)
    exploring: float = Field(0.6, gt=0, le=1)
    episode: int = Field(1_000, ge=1)
    laps: float = Field(2.0, gt=0)
    starts: Literal["line", "anywhere"] = "line"
    evaluate_every: int = Field(10_000, ge=1)
    keep: Literal["best", "last"] = "best"


@dataclass(frozen=True)
class Curve:
    """How far was driven, over the budget.

    Args:
        steps: (n,) environment steps that were used by then.
        laps: (n,) of the episode that ended then, or (n, tracks) of the trials that ended then.
    """

    steps: NDArray[np.int64]
    laps: NDArray[np.float64]

    @classmethod
    def of(cls, points: Sequence[tuple[int, object]], *shape: int) -> Curve:
        """Return the curve of (steps, laps) points, where the laps of each have a shape."""
        laps = np.array([own for _, own in points], dtype=np.float64)
        return cls(np.array([at for at, _ in points], dtype=np.int64), laps.reshape(len(points), *shape))


@dataclass(frozen=True)
class Training:
    """The course of learning.

    Args:
        episodes: one point for each episode that ended.
        trials: one for each trial without exploring.
        first_lap: environment steps until the first whole lap of any episode or trial; None if there was none.
        steps: environment steps that were used, trials included.
        seconds: wall time.
    """

    episodes: Curve
    trials: Curve
    first_lap: int | None
    steps: int
    seconds: float


@dataclass(frozen=True)
class Drive:
    """What a driver did on one track.

    Args:
        track: its name.
        laps: driven until the end, with fractions, and no more than were asked for.
        crashed: whether a crash was the end.
        first_lap: steps to the first whole lap; None if there was none.
        trajectory: (steps + 1, 2) places in metres, from the start to the end.
    """

    track: str
    laps: float
    crashed: bool
    first_lap: int | None
    trajectory: NDArray[np.float64]


def check_budget(steps: int) -> None:
    """Refuse a budget of no environment step (BadInput)."""
    if steps < 1:
        raise BadInput(f"expected a budget of at least one environment step, got {steps}; raise it")


def network_driver(topology: Topology, cars: int) -> Driver:
    """Return a network as a driver that has seen nothing yet: it takes the action of its largest output.

    Args:
        topology: the network; of equal outputs it takes the first.
        cars: how many it shall drive; each has its own memory, if it is recurrent.
    """
    networks = Networks.of([topology] * cars)
    return lambda observations: networks.activate(observations).argmax(axis=1)


def examine(
    driver: Driver, tracks: Sequence[Track], car: CarSpec, steps: int, laps: float = np.inf
) -> tuple[Drive, ...]:
    """Let a driver drive each track once from its start.

    Args:
        driver: sees a car on each track; what it answers for a car that has come to its end is ignored.
        tracks: at least one.
        car: the kind of car.
        steps: after which a drive ends.
        laps: after which a drive ends.
    """
    cars = Cars(tracks, car, len(tracks))
    cars.reset(np.arange(len(tracks)))
    places, driven = [cars.places], [cars.laps]
    ends = np.full(len(tracks), steps)
    for step in range(1, steps + 1):
        cars.step(driver(cars.observations()))
        places.append(cars.places)
        driven.append(cars.laps)
        over = cars.crashed | (driven[-1] >= laps)
        ends[over] = np.minimum(ends[over], step)
        if over.all():
            break
    path, progress = np.array(places), np.array(driven)
    return tuple(
        Drive(
            track.name,
            float(min(progress[end, index], laps)),
            bool(cars.crashed[index] and progress[end, index] < laps),
            int(whole[0]) if len(whole := np.flatnonzero(progress[: end + 1, index] >= 1)) else None,
            path[: end + 1, index],
        )
        for index, (track, end) in enumerate(zip(tracks, ends, strict=True))
    )
