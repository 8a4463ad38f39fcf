"""Between networks and the spaces of Gymnasium: observations become rows of numbers, outputs become actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import SpecError
from evosparse.topologies.tasks.shared import highest

if TYPE_CHECKING:
    from gymnasium import Space

Reader = Callable[[object], NDArray[np.float64]]
Chooser = Callable[[NDArray[np.float64]], object]
_WHOLE = "expected one of Box, Discrete, MultiDiscrete and MultiBinary"


def reader(space: Space, where: str) -> tuple[int, Reader]:
    """Return the number of inputs for an observation, and the function that makes them.

    A Box is flattened; a Discrete, and each part of a MultiDiscrete, becomes a one among zeros; a MultiBinary stays; the
    parts of a Tuple or a Dict stand one behind the other.

    Raises:
        SpecError: there is no fixed number of inputs for such observations.
    """
    from gymnasium import spaces

    _expect_plain(space, where)
    count = spaces.flatdim(space)
    if count == 0:
        raise SpecError(f"{where}: expected observations of at least one number, got {space}: nothing is to be seen")
    if isinstance(space, spaces.Box):  # quicker, and observations mostly are that
        return count, lambda observation: np.asarray(observation, dtype=np.float64).reshape(-1)
    return count, lambda observation: np.asarray(spaces.flatten(space, observation), dtype=np.float64)


def chooser(space: Space, where: str) -> tuple[int, Chooser]:
    """Return the number of outputs for an action, and the function that makes it.

    The highest output chooses among the actions of a Discrete, the first of equal ones; each part of a MultiDiscrete has
    outputs of its own. Outputs above one half are the ones of a MultiBinary. For a Box, 0 means its lower bound and 1 its
    upper one; outputs below or above mean the same, and what is no number means 0.

    Raises:
        SpecError: networks cannot make such actions.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return int(space.n), lambda outputs: first + highest(outputs)
    if isinstance(space, spaces.MultiDiscrete):
        starts = np.asarray(space.start).reshape(-1)
        cuts = np.cumsum(space.nvec.reshape(-1))

        def choose(outputs: NDArray[np.float64]) -> NDArray:
            chosen = starts + [highest(part) for part in np.split(outputs, cuts[:-1])]
            return chosen.reshape(space.shape).astype(space.dtype)

        return int(cuts[-1]), choose
    if isinstance(space, spaces.MultiBinary):
        return int(np.prod(space.shape)), lambda outputs: (outputs > 0.5).reshape(space.shape).astype(space.dtype)
    if isinstance(space, spaces.Box):
        return _scaler(space, where)
    raise SpecError(f"{where}: {_WHOLE} for actions, got {space}: wrap it, for instance in a TransformAction")


def _scaler(space: object, where: str) -> tuple[int, Chooser]:
    low, high = (bound.astype(np.float64).reshape(-1) for bound in (space.low, space.high))
    if not (np.isfinite(low) & np.isfinite(high)).all():
        mend = "wrap it in gymnasium.wrappers.RescaleAction or a class with bounds"
        raise SpecError(f"{where}: expected actions between finite bounds, got {space}: {mend}")
    whole = np.issubdtype(space.dtype, np.integer)

    def scale(outputs: NDArray[np.float64]) -> NDArray:
        shares = np.clip(np.nan_to_num(outputs), 0, 1)
        values = np.clip(low + shares * (high - low), low, high)
        return (np.rint(values) if whole else values).reshape(space.shape).astype(space.dtype)

    return len(low), scale


def _expect_plain(space: Space, where: str) -> None:
    """Refuse observations of no fixed length, and those that are no numbers."""
    from gymnasium import spaces

    if isinstance(space, (spaces.Tuple, spaces.Dict)):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            _expect_plain(part, where)
    elif not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        mend = "wrap the environment, for instance in a TransformObservation"
        raise SpecError(f"{where}: {_WHOLE}, or a Tuple or Dict of them, for observations, got {space}: {mend}")
