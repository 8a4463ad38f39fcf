"""Driving as a Gymnasium environment, ``evosparse/Driving-v0``, for learners from elsewhere; its import registers it.

What it shows and pays are the numbers of `Cars`, of which it holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from evosparse.engine.explain import explain
from evosparse.errors import BadInput
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec, draw_starts
from evosparse.topologies.tasks.driving.track import Track, find_track

try:
    import gymnasium
except ImportError:
    raise BadInput("the driving environment needs Gymnasium: pip install 'evosparse[gym]'") from None

ID = "evosparse/Driving-v0"
FRAMES_PER_SECOND = 20


class DrivingEnv(gymnasium.Env):
    """One car on one track; an episode ends with a crash, and is cut off after some steps.

    Args:
        track: a `Track`, or what `find_track` understands: a name, ``generated:SEED``, a seed, or a path.
        car: what the car sees and can do, as a `CarSpec` or its fields.
        steps: after which an episode is cut off.
        starts: ``line`` for the first point of the track; ``anywhere`` along the lap and turned by up to 10 degrees.
        render_mode: ``rgb_array`` for pictures, or None.

    Raises:
        BadInput: there is no such track, or another argument is wrong.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}

    def __init__(
        self,
        track: Track | str | int = "oval",
        car: CarSpec | Mapping[str, Any] | None = None,
        steps: int = 1_000,
        starts: Literal["line", "anywhere"] = "line",
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        if steps < 1 or starts not in ("line", "anywhere") or render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInput(
                "expected steps from 1 on, starts 'line' or 'anywhere', and render_mode 'rgb_array' or None, got"
                f" {steps!r}, {starts!r} and {render_mode!r}"
            )
        self.track = track if isinstance(track, Track) else find_track(track, Path())
        self.car = car if isinstance(car, CarSpec) else _car(car or {})
        self.steps = steps
        self.starts = starts
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(self.car.choices)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (self.car.inputs,), np.float64)
        self._cars = Cars([self.track], self.car, 1)
        self._done = 0
        self._path = [self._cars.places[0]]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Put the car at a start.

        Args:
            seed: of all starts from here on; without one they go on.
            options: there are none.

        Returns:
            (rays + 1,) what the car sees, and its ``laps``.
        """
        super().reset(seed=seed)
        starts = draw_starts(1, self.np_random) if self.starts == "anywhere" else None
        self._cars.reset([0], starts)
        self._done = 0
        self._path = [self._cars.places[0]]
        return self._cars.observations()[0], self._info()

    def step(self, action: int) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Drive one step.

        Args:
            action: left, straight or right; with the actions ``turn_and_speed`` left, right, slower or faster.

        Returns:
            (rays + 1,) what the car sees, its reward, whether it has crashed, whether the episode is cut off, and its
            ``laps``.
        """
        reward = float(self._cars.step(np.array([action]))[0])
        self._done += 1
        self._path.append(self._cars.places[0])
        crashed = bool(self._cars.crashed[0])
        return self._cars.observations()[0], reward, crashed, self._done >= self.steps and not crashed, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, (height, width, 3) from 0 to 255, or None without a mode to render in."""
        if self.render_mode is None:
            return None
        from evosparse.topologies.tasks.driving.render import picture

        return picture(self.track, {"car": np.array(self._path)}, self.car)

    def _info(self) -> dict[str, Any]:
        return {"laps": float(self._cars.laps[0])}


def _car(fields: Mapping[str, Any]) -> CarSpec:
    try:
        return CarSpec.model_validate(dict(fields))
    except ValidationError as error:
        complaint = explain(error, CarSpec)[0]
        raise BadInput(f"{'.'.join(map(str, ('car', *complaint.key)))}: {complaint.text}") from None


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point=f"{__name__}:DrivingEnv")
