"""Cars on closed tracks for Python callers: the kind of car, the world it drives in, and many cars driven at once.

Known of the published car (arXiv 2209.09007) are its goal and little else, so everything here is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from evosparse.errors import BadInput
from evosparse.section import Section
from evosparse.topologies.tasks.driving.physics import (
    CAR,
    CRASHED,
    PROGRESS,
    TRACK,
    World,
    X,
    Y,
    advance,
    observe,
    place,
)
from evosparse.topologies.tasks.driving.track import Track


class CarSpec(Section):
    """What the car sees and can do.

    Attributes:
        sensors: directions of the rays, in degrees counter-clockwise from the heading: -90 looks right, 90 left.
        sensor_range: metres that a ray sees at most.
        actions: ``turn`` for left, straight and right at constant speed; ``turn_and_speed`` for left, right, slower and
            faster.
        turn: degrees that one turn changes the heading by.
        speed: metres a step, at the start.
        slowest, fastest: metres a step between which ``turn_and_speed`` keeps the speed.
        speed_change: metres a step that slower and faster change the speed by.
    """

    sensors: tuple[Annotated[float, Field(ge=-180, le=180)], ...] = Field((-90, -45, 0, 45, 90), min_length=1)
    sensor_range: float = Field(30.0, gt=0)
    actions: Literal["turn", "turn_and_speed"] = "turn"
    turn: float = Field(10.0, gt=0, lt=180)
    speed: float = Field(1.5, gt=0)
    slowest: float = Field(0.9, gt=0)
    fastest: float = Field(2.4, gt=0)
    speed_change: float = Field(0.15, gt=0)

    @model_validator(mode="after")
    def _speeds_in_order(self) -> CarSpec:
        if self.actions == "turn_and_speed" and not self.slowest <= self.speed <= self.fastest:
            raise ValueError(
                f"expected slowest <= speed <= fastest, got {self.slowest}, {self.speed} and {self.fastest};"
                " change one of them"
            )
        return self

    @property
    def inputs(self) -> int:
        """Numbers in an observation: the rays, and the speed."""
        return len(self.sensors) + 1

    @property
    def choices(self) -> int:
        """Number of actions."""
        return 3 if self.actions == "turn" else 4


def make_world(tracks: Sequence[Track], car: CarSpec) -> World:
    """Lay out tracks and a kind of car for the compiled functions.

    Raises:
        BadInput: there is no track.
    """
    if not tracks:
        raise BadInput("a driving world needs at least one track, got none; name one in `tracks`")
    rows = []
    for track in tracks:
        steps = np.roll(track.centre, -1, axis=0) - track.centre
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        rows.append(np.column_stack([track.centre, steps / lengths[:, None], lengths, track.arc]))
    angles = np.radians(np.array(car.sensors, dtype=np.float64))
    changes_speed = car.actions == "turn_and_speed"
    return World(
        segments=np.ascontiguousarray(np.concatenate(rows)),
        first=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        lengths=np.array([track.length for track in tracks], dtype=np.float64),
        half_widths=np.array([track.half_width for track in tracks], dtype=np.float64),
        sensors=np.column_stack([np.cos(angles), np.sin(angles)]),
        sensor_range=float(car.sensor_range),
        turn=float(np.radians(car.turn)),
        speed=float(car.speed),
        slowest=float(car.slowest if changes_speed else car.speed),
        fastest=float(car.fastest if changes_speed else car.speed),
        speed_change=float(car.speed_change),
        changes_speed=changes_speed,
    )


def draw_starts(count: int, rng: np.random.Generator, heading: float = 10.0) -> NDArray[np.float64]:
    """Draw where along the lap, and in which direction, cars start.

    Args:
        count: number of cars.
        rng: source of randomness.
        heading: degrees by which a car may start turned from the centre line, to either side.

    Returns:
        (count, 2) start as a share of a lap in [0, 1), and heading in radians counter-clockwise from the centre line.
    """
    limit = np.radians(heading)
    return np.column_stack([rng.random(count), rng.uniform(-limit, limit, count)])


class Cars:
    """Many cars that are driven at once, each on one of several tracks; they do not see one another.

    Args:
        tracks: that the cars may drive on.
        car: what they see and can do.
        count: number of cars; at first they stand at the start of the first track.

    Raises:
        BadInput: there is no track or no car.
    """

    def __init__(self, tracks: Sequence[Track], car: CarSpec, count: int) -> None:
        if count < 1:
            raise BadInput(f"expected at least one car, got {count}")
        self.world = make_world(tracks, car)
        self.choices = car.choices
        self.rows = np.zeros((count, CAR))
        self._observations = np.zeros((count, car.inputs))
        self.reset(np.zeros(count, dtype=np.int64))

    def reset(self, tracks: ArrayLike, starts: ArrayLike | None = None, cars: ArrayLike | None = None) -> None:
        """Put cars at the start of tracks.

        Args:
            tracks: (n,) index of each car's track.
            starts: (n, 2) of each car as `draw_starts` returns them; by default on the first point, along the line.
            cars: (n,) indices of the cars to put back; by default all.

        Raises:
            BadInput: the shapes do not fit, or there is no such track or start.
        """
        chosen = np.arange(len(self.rows)) if cars is None else np.asarray(cars, dtype=np.int64)
        where = np.asarray(tracks, dtype=np.int64)
        begins = np.zeros((len(chosen), 2)) if starts is None else np.asarray(starts, dtype=np.float64)
        if where.shape != chosen.shape or begins.shape != (len(chosen), 2):
            raise BadInput(
                f"expected a track for each of {len(chosen)} cars and starts of shape ({len(chosen)}, 2), got shapes"
                f" {where.shape} and {begins.shape}"
            )
        if len(where) and not (0 <= where.min() and where.max() < len(self.world.lengths)):
            raise BadInput(
                f"expected tracks from 0 to {len(self.world.lengths) - 1}, got {sorted(set(where.tolist()))}"
            )
        if not (np.isfinite(begins).all() and (begins[:, 0] >= 0).all() and (begins[:, 0] < 1).all()):
            raise BadInput(f"expected starts (share of a lap from 0 to below 1, radians), got {begins.tolist()!r:.80}")
        _reset(self.world, self.rows, self._observations, chosen, where, begins)

    def observations(self) -> NDArray[np.float64]:
        """Return (cars, rays + 1) what each car sees: rays as shares of their range, speed as share of the highest."""
        return self._observations.copy()

    def step(self, actions: ArrayLike) -> NDArray[np.float64]:
        """Drive every car that has not crashed one step.

        Args:
            actions: (cars,) whole numbers from 0.

        Returns:
            (cars,) rewards, as `advance` gives them; 0 for cars that had crashed before.

        Raises:
            BadInput: the shape is another, or there is no such action.
        """
        chosen = np.asarray(actions)
        if chosen.shape != (len(self.rows),) or chosen.dtype.kind not in "iu":
            raise BadInput(f"expected ({len(self.rows)},) whole numbers, got {chosen.dtype} of shape {chosen.shape}")
        if not (0 <= chosen.min() and chosen.max() < self.choices):
            raise BadInput(f"expected actions from 0 to {self.choices - 1}, got {sorted(set(chosen.tolist()))}")
        rewards = np.empty(len(self.rows))
        _step(self.world, self.rows, self._observations, chosen.astype(np.int64), rewards)
        return rewards

    @property
    def crashed(self) -> NDArray[np.bool_]:
        """(cars,) whether a car has crashed since its start."""
        return self.rows[:, CRASHED] > 0

    @property
    def laps(self) -> NDArray[np.float64]:
        """(cars,) laps driven since the start, with fractions; backwards is negative."""
        return self.rows[:, PROGRESS] / self.world.lengths[self.rows[:, TRACK].astype(np.int64)]

    @property
    def places(self) -> NDArray[np.float64]:
        """(cars, 2) x and y in metres."""
        return self.rows[:, [X, Y]]


@njit(cache=True, nogil=True)
def _reset(world, cars, out, chosen, tracks, starts):
    for number, car in enumerate(chosen):
        place(world, cars[car], tracks[number], starts[number, 0], starts[number, 1])
        observe(world, cars[car], out[car])


@njit(cache=True, nogil=True)
def _step(world, cars, out, actions, rewards):
    for car in range(len(cars)):
        rewards[car] = advance(world, cars[car], actions[car])
        observe(world, cars[car], out[car])
