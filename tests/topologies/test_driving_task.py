"""Driving as a task: the compiled drives are those of the cars in Python, and fitness is the laps driven."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from task_checks import expect_alone_as_in_batch, face_of, handmade, judge, keys, random_networks

from evosparse.errors import SpecError
from evosparse.topologies.genome import Topology
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec, draw_starts
from evosparse.topologies.tasks.driving.task import Driving, DrivingSpec
from evosparse.topologies.tasks.driving.track import HELD_OUT, TRAINING, Track

TASK = DrivingSpec().tasks().search
SIDES = {0: -0.5, 1: -1.0, 3: 1.0, 4: 0.5}  # ray by ray, what says that there is more room to the left


def driver(task: Driving, sign: float = 1) -> Topology:
    """A network that turns to where there is more room, or with another sign to where there is less."""
    face = face_of(task)
    left, right = face.outputs.index("left"), face.outputs.index("right")
    weights = {(ray, face.sources + left): sign * side for ray, side in SIDES.items()}
    weights |= {(ray, face.sources + right): -sign * side for ray, side in SIDES.items()}
    ahead = face.outputs.index("straight" if "straight" in face.outputs else "slower")
    weights[face.sources - 1, face.sources + ahead] = 0.12  # from the bias
    return handmade(face, ("identity",) * len(face.outputs), weights)


def reference(task: Driving, network: Topology, track: Track, start: np.ndarray) -> tuple[float, bool, int]:
    """Laps, whether there was a crash, and steps of one drive."""
    cars, networks = Cars([track], task.car, 1), Networks.of([network])
    cars.reset([0], start[None])
    for step in range(1, task.steps + 1):
        cars.step(networks.activate(cars.observations()).argmax(axis=1))
        if cars.laps[0] >= task.laps:
            return task.laps, False, step
        if cars.crashed[0]:
            break
    return float(cars.laps[0]), bool(cars.crashed[0]), step


def test_turning_to_where_there_is_more_room_solves_it_on_all_tracks() -> None:
    tasks = DrivingSpec().tasks()
    for task in (tasks.search, tasks.examination):
        right, wrong = judge(task, [driver(task), driver(task, -1)])
        assert (right["fitness"], right["solved"], right["laps"], right["crashes"]) == (2, 1, 2, 0)
        assert right["environment_steps"] == pytest.approx(right["steps"] * len(task.tracks))
        assert wrong["fitness"] < 1 and (wrong["solved"], wrong["crashes"]) == (0, len(task.tracks))


@pytest.mark.parametrize(
    "spec",
    [
        DrivingSpec(steps=80, laps=0.1),
        DrivingSpec(steps=60, starts="anywhere", recurrent=True),
        DrivingSpec(steps=90, car=CarSpec(actions="turn_and_speed", sensors=(-60, -30, 0, 30, 60)), tracks=("comb", 3)),
    ],
    ids=["line", "anywhere", "speed"],
)
def test_drives_are_those_of_cars_in_python(spec: DrivingSpec) -> None:
    task = spec.tasks().search
    networks = [driver(task), *random_networks(task, 12, functions=("steep_sigmoid", "tanh"))]
    found = expect_alone_as_in_batch(task, networks)
    count = len(task.tracks)
    for network, key, measures in zip(networks, keys(len(networks)), found, strict=True):
        starts = np.zeros((count, 2))
        if spec.starts == "anywhere":
            starts = draw_starts(count, key.child("drive").rng())
        drives = [reference(task, network, track, start) for track, start in zip(task.tracks, starts, strict=True)]
        assert measures == {
            "fitness": pytest.approx(sum(laps for laps, _, _ in drives) / count, rel=1e-12),
            "solved": all(laps >= task.laps for laps, _, _ in drives),
            "laps": sum(max(0, int(laps)) for laps, _, _ in drives) / count,
            "crashes": sum(crashed for _, crashed, _ in drives),
            "steps": sum(steps for _, _, steps in drives) / count,
            "environment_steps": sum(steps for _, _, steps in drives),
        }


def test_the_trajectory_is_the_drive() -> None:
    network = driver(TASK)
    track = TASK.tracks[1]
    _, _, steps = reference(TASK, network, track, np.zeros(2))
    path = TASK.trajectory(network, track)
    assert path.shape == (steps + 1, 2)
    assert path[0] == pytest.approx(track.centre[0])
    assert np.hypot(*np.diff(path, axis=0).T) == pytest.approx(1.5)


def test_what_is_selected_on_is_not_what_is_examined() -> None:
    tasks = DrivingSpec().tasks()
    assert tuple(track.name for track in tasks.search.tracks) == TRAINING
    assert tuple(track.name for track in tasks.examination.tracks) == HELD_OUT
    assert (tasks.replicates, tasks.confirmation) == (1, None)
    assert "reconstruction" in tasks.notes[0]
    drawn = DrivingSpec(starts="anywhere", replicates=7, tracks=TRAINING, test_tracks=TRAINING).tasks()
    assert drawn.replicates == 7
    assert judge(drawn.search, [driver(TASK, -1)]) != judge(drawn.examination, [driver(TASK, -1)])


def test_inputs_and_outputs_are_called_what_they_are() -> None:
    assert TASK.input_names == ("ray -90", "ray -45", "ray 0", "ray 45", "ray 90", "speed")
    assert TASK.output_names == ("left", "straight", "right")
    faster = DrivingSpec(car=CarSpec(actions="turn_and_speed"), recurrent=True).tasks().search
    assert faster.output_names == ("left", "right", "slower", "faster") and faster.recurrent


def test_the_data_are_the_tracks_themselves(tmp_path: Path) -> None:
    points = [[0, 0], [60, 0], [60, 60], [0, 60]]
    hashes = []
    for half_width in (3, 4, 3):
        (tmp_path / "own.json").write_text(json.dumps({"control_points": points, "half_width": half_width}))
        hashes.append(DrivingSpec(tracks=["own.json"]).tasks(tmp_path).data_hash)
    assert hashes[0] == hashes[2] != hashes[1]
    assert DrivingSpec().tasks().data_hash == DrivingSpec(laps=1).tasks().data_hash


def test_an_unknown_track_is_refused() -> None:
    with pytest.raises(SpecError, match=re.escape("track 'ovl': expected a built-in track")):
        DrivingSpec(test_tracks=["ovl"]).tasks()
