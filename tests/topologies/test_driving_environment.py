"""Driving in Gymnasium: its checker has nothing to say, and every number is that of the cars."""

from __future__ import annotations

import importlib
import sys
import warnings

import numpy as np
import pytest

from evosparse.errors import BadInput
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec, draw_starts
from evosparse.topologies.tasks.driving.track import find_track

gymnasium = pytest.importorskip("gymnasium")
environment = pytest.importorskip("evosparse.topologies.tasks.driving.environment")
FASTER = {"actions": "turn_and_speed", "sensors": (-60, -30, 0, 30, 60)}


@pytest.mark.parametrize("options", [{}, {"track": 3, "car": FASTER, "starts": "anywhere"}], ids=["plain", "options"])
def test_the_checker_of_gymnasium_has_nothing_to_say(options: dict) -> None:
    from gymnasium.utils.env_checker import check_env

    pytest.importorskip("PIL")
    made = gymnasium.make(environment.ID, render_mode="rgb_array", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped)


@pytest.mark.parametrize(
    ("track", "car", "starts"),
    [("oval", {}, "line"), ("comb", {}, "anywhere"), ("generated:3", FASTER, "anywhere")],
)
def test_every_number_is_that_of_the_cars(track: str, car: dict, starts: str) -> None:
    made = gymnasium.make(environment.ID, track=track, car=car, steps=50, starts=starts)
    cars = Cars([find_track(track)], CarSpec(**car), 1)
    rng, drawn = np.random.default_rng(0), np.random.default_rng(7)
    ends = set()
    for episode in range(8):
        seen, info = made.reset(seed=7 if episode == 0 else None)
        cars.reset([0], draw_starts(1, drawn) if starts == "anywhere" else None)
        for step in range(1, 51):
            assert (seen == cars.observations()[0]).all()
            assert info == {"laps": cars.laps[0]}
            # Mostly straight on, so that some episodes last.
            action = int(rng.integers(cars.choices)) if rng.random() < 0.25 * (episode % 3) else 1
            seen, reward, crashed, cut, info = made.step(action)
            assert reward == cars.step([action])[0]
            assert (crashed, cut) == (cars.crashed[0], step == 50 and not cars.crashed[0])
            if crashed or cut:
                ends.add("crash" if crashed else "cut")
                break
    assert "crash" in ends
    made.close()


def test_a_long_drive_is_cut_off() -> None:
    made = gymnasium.make(environment.ID, steps=5)
    made.reset(seed=0)
    assert [made.step(1)[2:4] for _ in range(5)] == [(False, False)] * 4 + [(False, True)]


def test_a_picture_shows_the_car_moving() -> None:
    pytest.importorskip("PIL")
    made = environment.DrivingEnv(render_mode="rgb_array")
    made.reset(seed=0)
    before = made.render()
    for _ in range(10):
        made.step(1)
    assert before.dtype == np.uint8 and before.shape == made.render().shape and (before != made.render()).any()
    assert environment.DrivingEnv().render() is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"track": "ovl"}, "expected a built-in track"),
        ({"steps": 0}, "expected steps from 1 on"),
        ({"starts": "there"}, "starts 'line' or 'anywhere'"),
        ({"render_mode": "human"}, "render_mode 'rgb_array' or None"),
        ({"car": {"sped": 1}}, "car.sped: unknown key; did you mean 'speed'"),
    ],
)
def test_a_wrong_argument_is_refused(options: dict, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        environment.DrivingEnv(**options)


def test_without_gymnasium_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, environment.__name__)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(BadInput, match=r"pip install 'evosparse\[gym\]'"):
        importlib.import_module(environment.__name__)
