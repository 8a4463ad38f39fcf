"""Cars: what they see, how they move and what they are paid, against slow geometry that looks at every segment."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from evosparse.errors import BadInput
from evosparse.topologies.tasks.driving import physics
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec, draw_starts, make_world
from evosparse.topologies.tasks.driving.physics import (
    ARC,
    CAR,
    CRASHED,
    HEADING,
    LEFT,
    PROGRESS,
    RIGHT,
    SEGMENT,
    SPEED,
    STEPS,
    STRAIGHT,
    TRACK,
    X,
    Y,
    advance,
    observe,
    place,
)
from evosparse.topologies.tasks.driving.track import HELD_OUT, TRAINING, Track, find_track

NAMED = (*TRAINING, *HELD_OUT)
TRACKS = [find_track(reference) for reference in (*NAMED, *range(4))]
WIDE = CarSpec(sensor_range=200, sensors=tuple(range(-180, 181, 30)))
compiled = settings(deadline=None)  # the first call compiles


def distances(track: Track, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of points (..., 2) to each segment of the centre line: (..., segments)."""
    ways = np.roll(track.centre, -1, axis=0) - track.centre
    offset = point[..., None, :] - track.centre
    share = np.clip((offset * ways).sum(axis=-1) / (ways**2).sum(axis=-1), 0, 1)
    return np.hypot(*np.moveaxis(offset - share[..., None] * ways, -1, 0))


def car_at(world: physics.World, track: int, lap: float, heading: float = 0.0) -> NDArray[np.float64]:
    """A car on the centre line."""
    car = np.zeros(CAR)
    place(world, car, track, lap, heading)
    return car


def wander(
    track: int, lap: float, turns: list[float], spec: CarSpec = WIDE
) -> tuple[physics.World, NDArray[np.float64]]:
    """Drive a car some steps in any directions, so that it is anywhere on the road."""
    world = make_world(TRACKS, spec)
    car = car_at(world, track, lap)
    for turn in turns:
        car[HEADING] += turn
        advance(world, car, STRAIGHT)
    return world, car


def steer(seen: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn to the side where there is more room: observations (n, 6) to actions (n,)."""
    more = 0.5 * seen[:, 4] + seen[:, 3] - 0.5 * seen[:, 0] - seen[:, 1]
    return np.where(more > 0.12, LEFT, np.where(more < -0.12, RIGHT, STRAIGHT))


anywhere = st.integers(0, len(TRACKS) - 1), st.floats(0, 1, exclude_max=True), st.lists(st.floats(-2, 2), max_size=12)


@compiled
@given(*anywhere)
def test_a_car_knows_the_nearest_segment_of_all(track: int, lap: float, turns: list[float]) -> None:
    world, car = wander(track, lap, turns)
    away = distances(TRACKS[track], car[[X, Y]])
    segment = int(car[SEGMENT]) - world.first[track]
    assert away[segment] == pytest.approx(away.min(), abs=1e-9)
    start, length = TRACKS[track].arc[segment], TRACKS[track].segment_lengths[segment]
    assert start - 1e-9 <= car[ARC] <= start + length + 1e-9


@settings(deadline=None, max_examples=50)
@given(*anywhere)
def test_rays_end_where_the_road_first_does(track: int, lap: float, turns: list[float]) -> None:
    world, car = wander(track, lap, turns)
    seen = np.empty(WIDE.inputs)
    observe(world, car, seen)
    half_width = TRACKS[track].half_width
    for ray, sensor in zip(seen * WIDE.sensor_range, WIDE.sensors):
        angle = car[HEADING] + math.radians(sensor)
        direction = np.array([math.cos(angle), math.sin(angle)])
        steps = np.linspace(0, ray, 30)
        away = distances(TRACKS[track], car[[X, Y]] + steps[:, None] * direction).min(axis=1)
        assert away.max() <= half_width + 1e-6
        assert away[-1] == pytest.approx(half_width, abs=1e-6) or ray == WIDE.sensor_range


@compiled
@given(*anywhere)
def test_a_mirrored_track_is_seen_mirrored(track: int, lap: float, turns: list[float]) -> None:
    own = TRACKS[track]
    mirrored = Track("mirrored", own.centre * [1, -1], own.half_width)
    cars = Cars([own, mirrored], WIDE, 2)
    cars.reset([0, 1], [[lap, 0.1], [lap, -0.1]])
    for turn in turns:
        cars.step([LEFT, RIGHT] if turn > 0 else [RIGHT, LEFT])
        first, second = cars.observations()
        assert first[:-1] == pytest.approx(second[-2::-1], abs=1e-6)
        assert cars.laps[0] == pytest.approx(cars.laps[1], abs=1e-9)


@pytest.mark.parametrize("name", NAMED)
def test_the_centre_line_is_a_lap_of_progress_and_backwards_is_one_less(name: str) -> None:
    track = find_track(name)
    world = make_world([track], CarSpec())
    points = np.concatenate([track.centre, track.centre[:1]])
    for way, laps in ((points, 1), (points[::-1], -1), (np.concatenate([points, points[1:]]), 2)):
        car = car_at(world, 0, 0.0)
        for from_, to in zip(way, way[1:]):
            car[HEADING] = np.arctan2(*(to - from_)[::-1])
            car[SPEED] = np.hypot(*(to - from_))
            advance(world, car, STRAIGHT)
        assert not car[CRASHED]
        assert car[PROGRESS] / track.length == pytest.approx(laps, abs=1e-9)


@compiled
@given(*anywhere)
def test_progress_is_the_place_and_not_the_way_to_it(track: int, lap: float, turns: list[float]) -> None:
    _, car = wander(track, lap, turns)
    around = (car[PROGRESS] - (car[ARC] - lap * TRACKS[track].length)) / TRACKS[track].length
    assert around == pytest.approx(round(around), abs=1e-9)


def test_driving_forth_and_back_over_the_start_gains_nothing() -> None:
    world = make_world(TRACKS, CarSpec())
    car = car_at(world, 0, 0.0)
    rewards = 0.0
    for _ in range(1000):
        rewards += advance(world, car, STRAIGHT)
        car[HEADING] += np.pi
    assert car[PROGRESS] == pytest.approx(0, abs=1e-9) and rewards == pytest.approx(0, abs=1e-9)


@compiled
@given(way=st.floats(0, 6))
def test_a_car_crashes_just_where_it_would_leave_the_road(way: float) -> None:
    world = make_world(TRACKS, CarSpec())
    car = car_at(world, 0, 0.0, np.pi / 2)  # on a straight, across it
    car[SPEED] = way
    before = car.copy()
    reward = advance(world, car, STRAIGHT)
    assume(abs(way - 5) > 1e-6)
    assert bool(car[CRASHED]) == (way > 5)
    assert np.hypot(*(car - before)[[X, Y]]) == pytest.approx(min(way, 5), abs=1e-6)
    assert reward == pytest.approx(-car[CRASHED] + (car - before)[PROGRESS] / world.fastest)
    assert car[STEPS] == 1


def test_nothing_is_behind_a_crash() -> None:
    world = make_world(TRACKS, CarSpec(speed=1000))
    car = car_at(world, 0, 0.0)
    assert advance(world, car, STRAIGHT) < 0  # no car is so fast that it comes through the edge
    assert car[CRASHED] and distances(TRACKS[0], car[[X, Y]]).min() == pytest.approx(5, abs=1e-6)
    crashed = car.copy()
    assert [advance(world, car, action) for action in (LEFT, STRAIGHT, RIGHT)] == [0, 0, 0]
    assert (car == crashed).all()


def test_reward_is_progress_in_ways_at_the_highest_speed() -> None:
    cars = Cars(TRACKS, CarSpec(actions="turn_and_speed", speed=1, slowest=0.5, fastest=4, speed_change=0.25), 2)
    assert cars.observations()[:, -1].tolist() == [0.25, 0.25]
    paid = cars.step([physics.FASTER, physics.SLOWER])
    assert paid == pytest.approx(np.array([1.25, 0.75]) / 4, abs=1e-3)
    assert paid == pytest.approx(cars.rows[:, PROGRESS] / 4)
    assert cars.observations()[:, -1].tolist() == [1.25 / 4, 0.75 / 4]
    for _ in range(4):
        cars.step([physics.SLOWER, physics.SLOWER])
    assert cars.observations()[:, -1].tolist() == [0.125, 0.125]
    assert (Cars(TRACKS, CarSpec(), 1).observations()[:, -1] == 1).all()


def test_actions_turn_as_they_are_called() -> None:
    for spec, actions in (
        (CarSpec(turn=30), (LEFT, STRAIGHT, RIGHT)),
        (CarSpec(turn=30, actions="turn_and_speed"), (0, 2, 1)),
    ):
        cars = Cars(TRACKS, spec, 3)
        before = cars.rows[:, HEADING].copy()
        cars.step(actions)
        assert np.degrees(cars.rows[:, HEADING] - before) == pytest.approx([30, 0, -30])


def test_a_ray_looks_to_its_side() -> None:
    cars = Cars(TRACKS, CarSpec(), 1)
    cars.reset([0], [[0, 0.6]])  # turned to the left on a straight
    right, half_right, ahead, half_left, left = cars.observations()[0, :5]
    assert half_right > half_left and ahead < 1 and right == pytest.approx(left, rel=0.05)


@pytest.mark.parametrize("name", [*NAMED, *(f"generated:{seed}" for seed in range(5))])
def test_turning_to_where_there_is_more_room_drives_every_track(name: str) -> None:
    cars = Cars([find_track(name)], CarSpec(), 20)
    cars.reset([0] * 20, draw_starts(20, np.random.default_rng(0)))
    steps = 0
    while cars.laps.min() < 1 and steps < 500:
        cars.step(steer(cars.observations()))
        steps += 1
    assert cars.laps.min() >= 1 and not cars.crashed.any()
    assert 150 <= steps <= 450


@pytest.mark.parametrize("name", NAMED)
def test_every_track_can_be_driven_with_changing_speed(name: str) -> None:
    cars = Cars([find_track(name)], CarSpec(actions="turn_and_speed"), 1)
    for _ in range(600):
        seen = cars.observations()
        too_fast = seen[0, -1] > max(0.4, seen[0, 2])  # for the room ahead
        straight = physics.SLOWER if too_fast else physics.FASTER
        cars.step(
            [straight] if too_fast else np.array([physics.SPEED_LEFT, straight, physics.SPEED_RIGHT])[steer(seen)]
        )
    assert cars.laps[0] >= 1


def test_a_car_does_not_depend_on_the_cars_beside_it() -> None:
    starts = draw_starts(len(TRACKS), np.random.default_rng(1))
    together = Cars(TRACKS, CarSpec(), len(TRACKS))
    together.reset(range(len(TRACKS)), starts)
    alone = [Cars([track], CarSpec(), 1) for track in TRACKS]
    for cars, start in zip(alone, starts):
        cars.reset([0], start[None])
    rng = np.random.default_rng(2)
    for _ in range(60):
        actions = rng.integers(3, size=len(TRACKS))
        rewards = together.step(actions)
        assert [float(cars.step(actions[i : i + 1])[0]) for i, cars in enumerate(alone)] == rewards.tolist()
    assert together.crashed.any()
    # A track's first segment has another number in another world.
    alike = [column for column in range(CAR) if column not in (SEGMENT, TRACK)]
    assert (np.concatenate([cars.rows for cars in alone])[:, alike] == together.rows[:, alike]).all()
    assert (np.concatenate([cars.observations() for cars in alone]) == together.observations()).all()
    assert (np.concatenate([cars.places for cars in alone]) == together.places).all()


def test_cars_are_put_back_alone() -> None:
    cars = Cars(TRACKS, CarSpec(), 3)
    cars.step([STRAIGHT] * 3)
    before = cars.rows.copy()
    cars.reset([4], cars=[1])
    assert (cars.rows[[0, 2]] == before[[0, 2]]).all()
    assert (cars.rows[1, TRACK], cars.rows[1, STEPS], cars.laps[1]) == (4, 0, 0)
    assert cars.places[1] == pytest.approx(TRACKS[4].centre[0])


def test_starts_are_drawn_from_the_whole_lap_and_near_the_line() -> None:
    starts = draw_starts(1000, np.random.default_rng(0), heading=20)
    assert starts.shape == (1000, 2)
    assert 0 <= starts[:, 0].min() < 0.01 and 0.99 < starts[:, 0].max() < 1
    assert 19 < np.degrees(np.abs(starts[:, 1]).max()) <= 20 and np.degrees(starts[:, 1].min()) < -19
    assert (draw_starts(3, np.random.default_rng(0)) == draw_starts(3, np.random.default_rng(0))).all()


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda cars: cars.step([0, 1, 0]), "expected (2,) whole numbers, got int64 of shape (3,)"),
        (lambda cars: cars.step([0.0, 1.0]), "expected (2,) whole numbers, got float64 of shape (2,)"),
        (lambda cars: cars.step([0, 3]), "expected actions from 0 to 2, got [0, 3]"),
        (lambda cars: cars.step([-1, 0]), "expected actions from 0 to 2, got [-1, 0]"),
        (lambda cars: cars.reset([0]), "expected a track for each of 2 cars and starts of shape (2, 2)"),
        (lambda cars: cars.reset([0, 0], [[0, 0]]), "starts of shape (2, 2), got shapes (2,) and (1, 2)"),
        (lambda cars: cars.reset([0, 1]), "expected tracks from 0 to 0, got [0, 1]"),
        (lambda cars: cars.reset([0, 0], [[0, 0], [1, 0]]), "expected starts (share of a lap from 0 to below 1"),
        (lambda cars: cars.reset([0, 0], [[0, 0], [0, np.nan]]), "expected starts (share of a lap from 0 to below 1"),
        (lambda cars: Cars([], CarSpec(), 1), "a driving world needs at least one track"),
        (lambda cars: Cars(TRACKS, CarSpec(), 0), "expected at least one car, got 0"),
    ],
)
def test_what_cars_cannot_do_is_refused(call, complaint: str) -> None:
    with pytest.raises(BadInput, match=re.escape(complaint)):
        call(Cars(TRACKS[:1], CarSpec(), 2))


@pytest.mark.parametrize(
    "given",
    [{"speed": 0}, {"sensors": ()}, {"sensors": (190,)}, {"turn": 180}, {"actions": "fly"}, {"sensor_range": 0}]
    + [{"actions": "turn_and_speed", "slowest": 2}, {"actions": "turn_and_speed", "fastest": 1}],
)
def test_a_car_that_cannot_be_is_refused(given: dict) -> None:
    with pytest.raises(ValidationError):
        CarSpec(**given)


def test_a_car_says_how_wide_its_observations_are() -> None:
    assert (CarSpec().inputs, CarSpec().choices) == (6, 3)
    assert (CarSpec(sensors=(0, 10), actions="turn_and_speed").inputs, CarSpec(actions="turn_and_speed").choices) == (
        3,
        4,
    )
