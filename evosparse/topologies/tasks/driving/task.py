"""Driving as a task for networks that grow: on some tracks they are selected, on others the winner is examined."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks, activate
from evosparse.topologies.tasks.base import SOLVED, Task, Tasks, TaskSpec
from evosparse.topologies.tasks.driving.cars import CarSpec, draw_starts, make_world
from evosparse.topologies.tasks.driving.drivers import examine, network_driver
from evosparse.topologies.tasks.driving.physics import CAR, CRASHED, PROGRESS, STEPS, advance, observe, place
from evosparse.topologies.tasks.driving.track import HELD_OUT, TRAINING, Track, find_track
from evosparse.topologies.tasks.shared import highest, measures_of

RECONSTRUCTION = (
    "driving is a reconstruction: of the paper (arXiv 2209.09007) only the goal is known, so that tracks, sensors,"
    " actions and reward are evosparse's own"
)


@dataclass(frozen=True, eq=False)
class Driving(Task):
    """A car is driven on each of several tracks, by the action of the highest output; fitness is the mean of laps.

    The laps of a track are the place along its centre line that was reached, not the way to it: with a fraction,
    negative where the car went backwards, and no more than were asked for. A drive begins with an empty memory.

    Args:
        tracks: to be driven on.
        car: what it sees and can do.
        steps: after which a drive ends.
        laps: after which a drive ends; the task is solved when they are driven on every track.
        starts: ``line`` for the first point of a track; ``anywhere`` along the lap and turned by up to 10 degrees,
            other for each network.
        recurrent: whether networks have a memory.
        purpose: of the drives; those of another purpose start elsewhere.
    """

    tracks: tuple[Track, ...]
    car: CarSpec
    steps: int
    laps: float
    starts: Literal["line", "anywhere"] = "line"
    recurrent: bool = False
    purpose: str = "drive"

    @property
    def input_names(self) -> tuple[str, ...]:
        """Rays by their directions, and the speed."""
        return (*(f"ray {angle:g}" for angle in self.car.sensors), "speed")

    @property
    def output_names(self) -> tuple[str, ...]:
        """The actions."""
        return ("left", "straight", "right") if self.car.choices == 3 else ("left", "right", "slower", "faster")

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Drive each network once on each track.

        Besides its fitness, a network's measures are ``laps``, the mean number of whole laps; ``crashes``;
        ``steps``, the mean length of a drive; and ``environment_steps``, the sum.
        """
        starts = np.zeros((len(networks), len(self.tracks), 2))
        if self.starts == "anywhere":
            for number, key in enumerate(seeds):
                starts[number] = draw_starts(len(self.tracks), key.child(self.purpose).rng())
        laps, crashed, steps = drives(networks.plan, make_world(self.tracks, self.car), starts, self.steps, self.laps)
        return measures_of({
            # Running sums, because the order of numpy's own sum depends on the number of networks.
            "fitness": laps.cumsum(axis=1)[:, -1] / len(self.tracks),
            SOLVED: (laps >= self.laps).all(axis=1),
            "laps": np.floor(np.maximum(laps, 0)).sum(axis=1) / len(self.tracks),
            "crashes": crashed.sum(axis=1),
            "steps": steps.sum(axis=1) / len(self.tracks),
            "environment_steps": steps.sum(axis=1),
        })  # fmt: skip

    def trajectory(self, network: Topology, track: Track) -> NDArray[np.float64]:
        """Return the (steps + 1, 2) places in metres at which a network is on a track, from the start to the end."""
        return examine(network_driver(network, 1), [track], self.car, self.steps, self.laps)[0].trajectory


@njit(cache=True, nogil=True)
def drives(plan, world, starts, limit, most):
    """Drive every network once on every track, compiled.

    Args:
        plan: the networks.
        world: the tracks.
        starts: (networks, tracks, 2) of each drive, as `draw_starts` returns them.
        limit: steps at most.
        most: laps at most.

    Returns:
        (networks, tracks) laps, whether they ended in a crash, and steps.
    """
    shape = starts.shape[:2]
    laps, crashed, steps = np.empty(shape), np.empty(shape, dtype=np.bool_), np.empty(shape, dtype=np.int64)
    car, values = np.empty(CAR), np.empty((2, plan.widest))
    seen, outputs = np.empty(plan.inputs), np.empty(plan.outputs)
    for network in range(shape[0]):
        for track in range(shape[1]):
            place(world, car, track, starts[network, track, 0], starts[network, track, 1])
            values[:] = 0.0
            driven = 0.0
            while car[STEPS] < limit and driven < most and not car[CRASHED]:
                observe(world, car, seen)
                activate(plan, network, values, seen, outputs)
                advance(world, car, highest(outputs))
                driven = car[PROGRESS] / world.lengths[track]
            laps[network, track] = min(driven, most)
            crashed[network, track] = car[CRASHED] > 0 and driven < most
            steps[network, track] = int(car[STEPS])
    return laps, crashed, steps


class DrivingSpec(TaskSpec):
    """The task section for driving a car on closed tracks.

    Attributes:
        name: of the task.
        tracks: that networks are selected on: names of built-in tracks, ``generated:SEED`` or a seed alone, or paths to
            .csv or .json files.
        test_tracks: that the winner is examined on.
        car: what it sees and can do.
        steps: after which a drive ends.
        laps: after which a drive ends; the task is solved when they are driven on every track.
        starts: ``line`` for the first point of a track, or ``anywhere`` along the lap and turned by up to 10 degrees.
        recurrent: whether networks have a memory.
        replicates: how often the winner is examined where starts are drawn; without that all drives are alike.
    """

    name: Literal["driving"] = "driving"
    tracks: tuple[str | int, ...] = Field(TRAINING, min_length=1)
    test_tracks: tuple[str | int, ...] = Field(HELD_OUT, min_length=1)
    car: CarSpec = Field(default_factory=CarSpec)
    steps: int = Field(default=1_000, ge=1)
    laps: float = Field(default=2.0, gt=0)
    starts: Literal["line", "anywhere"] = "line"
    recurrent: bool = False
    replicates: int = Field(default=20, ge=1)

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task.

        Args:
            base: folder that relative paths of tracks start at.

        Raises:
            SpecError: a track cannot be found, or is none.
        """
        search, examination = (
            Driving(
                tuple(find_track(reference, base) for reference in references),
                self.car,
                self.steps,
                self.laps,
                self.starts,
                self.recurrent,
                purpose,
            )
            for references, purpose in ((self.tracks, "drive"), (self.test_tracks, "examination drive"))
        )
        return Tasks(
            search,
            examination,
            replicates=self.replicates if self.starts == "anywhere" else 1,
            data_hash=_digest((*search.tracks, *examination.tracks)),
            notes=(RECONSTRUCTION,),
        )


def _digest(tracks: Sequence[Track]) -> str:
    digest = hashlib.sha256()
    for track in tracks:
        digest.update(np.float64(track.half_width).tobytes() + track.centre.tobytes())
    return digest.hexdigest()
