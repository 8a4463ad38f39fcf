"""Any environment of Gymnasium as a task: networks drive it, episode by episode, each from a seed of its own.

Some environments have a compiled twin, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from evosparse.engine.fitness import Result
from evosparse.engine.seeds import SeedKey
from evosparse.errors import EvosparseError, SpecError
from evosparse.plugins import resolve
from evosparse.topologies.phenotype import Networks, activate
from evosparse.topologies.tasks import cartpole
from evosparse.topologies.tasks.base import SOLVED, Task, Tasks, TaskSpec
from evosparse.topologies.tasks.shared import episode_seeds, measures_of
from evosparse.topologies.tasks.spaces import chooser, reader

if TYPE_CHECKING:
    from gymnasium import Env

_LANES = 64  # environments that run side by side; more would only need memory
_SEARCH, _EXAMINATION = "episode", "examination episode"


@njit(cache=True, nogil=True)
def _activate_some(plan, chosen, work, inputs, outputs):
    """Show an input to the network that drives in each lane, -1 for none."""
    for lane in range(len(chosen)):
        if chosen[lane] >= 0:
            activate(plan, chosen[lane], work[lane], inputs[lane], outputs[lane])


@dataclass(frozen=True)
class Gymnasium(Task):
    """Networks drive an environment of Gymnasium; fitness is the mean return of an episode.

    An environment must give the same after ``reset`` with the same seed, whatever it was used for before.

    Args:
        id: of the environment, after the module that registers it and a colon if it is not Gymnasium's own.
        parameters: keyword arguments for `gymnasium.make`.
        steps: of an episode at most; None for the environment's own limit.
        episodes: of each network, each with a seed of its own.
        solved_at: mean return from which the task is solved; None if it cannot be.
        purpose: of the episodes; those of another purpose have other seeds.
        input_names, output_names: of networks.
        recurrent: whether networks have a memory, which is empty at the start of each episode.
    """

    id: str
    parameters: dict[str, Any]
    steps: int | None
    episodes: int
    solved_at: float | None
    purpose: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    recurrent: bool = False

    def __getstate__(self) -> dict[str, Any]:
        # Without the environments, which each worker makes for itself.
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def _environments(self) -> list[Env]:
        return []

    def evaluate(self, networks: Networks, seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Run the episodes of each network, as many side by side as there are lanes."""
        try:
            returns, steps = self._drive(networks, seeds)
        except BaseException:
            # Interrupted in the middle of a step, an environment may be in a state that no reset mends.
            self._environments.clear()
            raise
        # Running sums, because the order of numpy's own sum depends on the number of networks.
        fitness, taken = returns.cumsum(axis=1)[:, -1] / self.episodes, steps.sum(axis=1)
        solved = {} if self.solved_at is None else {SOLVED: fitness >= self.solved_at}
        return measures_of({"fitness": fitness, **solved, "environment_steps": taken})

    def _drive(self, networks: Networks, seeds: Sequence[SeedKey]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the (networks, episodes) returns and steps."""
        shape = (len(networks), self.episodes)
        returns, steps = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        seed_of = episode_seeds(seeds, self.purpose, self.episodes)
        waiting = product(range(len(networks)), range(self.episodes))
        lanes = self._lanes(returns.size)
        read = reader(lanes[0].observation_space, self.id)[1]
        choose = chooser(lanes[0].action_space, self.id)[1]
        chosen, episode_of = np.full(len(lanes), -1), np.zeros(len(lanes), dtype=np.int64)
        work = np.zeros((len(lanes), 2, networks.plan.widest))
        inputs, outputs = (np.zeros((len(lanes), count)) for count in (networks.plan.inputs, networks.plan.outputs))
        idle = list(range(len(lanes)))
        while True:
            for lane in idle:
                chosen[lane], episode_of[lane] = job = next(waiting, (-1, -1))
                if job[0] >= 0:
                    observation, _ = lanes[lane].reset(seed=seed_of[job[0]][job[1]])
                    inputs[lane] = read(observation)
                    work[lane] = 0.0
            idle = []
            driven = np.flatnonzero(chosen >= 0).tolist()
            if not driven:
                break
            _activate_some(networks.plan, chosen, work, inputs, outputs)
            for lane in driven:
                job = (int(chosen[lane]), int(episode_of[lane]))
                observation, reward, terminated, truncated, _ = lanes[lane].step(choose(outputs[lane]))
                returns[job] += float(reward)
                steps[job] += 1
                inputs[lane] = read(observation)
                if terminated or truncated:
                    idle.append(lane)
        return returns, steps

    def _lanes(self, jobs: int) -> list[Env]:
        while len(self._environments) < min(_LANES, jobs):
            self._environments.append(make(self.id, self.parameters, self.steps))
        return self._environments[:jobs]


class GymnasiumSpec(TaskSpec):
    """The task section for an environment of Gymnasium.

    Attributes:
        name: of the task.
        id: of the environment, such as ``MountainCar-v0``; ``module:Name-v0`` or ``path/to/file.py:Name-v0`` for one that
            a module of the user's registers when it is imported.
        parameters: keyword arguments for `gymnasium.make`.
        episodes: of each network, each with a seed of its own.
        max_steps: of an episode; by default the environment's own limit.
        solved_at: mean return from which the task is solved; by default what Gymnasium's registry says, if it says so.
        engine: ``auto`` takes the compiled twin of an environment that has one (``CartPole-v1``), ``python`` never does.
        recurrent: whether networks have a memory.
        replicates: how often the winner is examined, with new episodes each time.
    """

    name: Literal["gymnasium"] = "gymnasium"
    id: str = Field(default=cartpole.ID, min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    episodes: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    solved_at: float | None = None
    engine: Literal["auto", "python"] = "auto"
    recurrent: bool = False
    replicates: int = Field(default=20, ge=1)

    def tasks(self, base: Path | None = None) -> Tasks:
        """Make the task.

        Raises:
            BadInput: Gymnasium is missing, or there is no such environment, or networks cannot drive it.
        """
        if self.engine == "auto" and self.id == cartpole.ID and not self.parameters:
            steps = self.max_steps or cartpole.LIMIT
            solved_at = cartpole.SOLVED_AT if self.solved_at is None else self.solved_at
            twins = (
                cartpole.CartPole(self.episodes, steps, solved_at, self.recurrent, purpose)
                for purpose in (_SEARCH, _EXAMINATION)
            )
            return Tasks(*twins, replicates=self.replicates)
        full = _imported(self.id, base)
        environment = make(full, self.parameters, self.max_steps)
        known, sources = environment.spec, (type(environment.unwrapped),)
        if known.max_episode_steps is None:
            raise SpecError(f"{self.id}: the environment has no limit of steps, and might never end: set max_steps")
        inputs, _ = reader(environment.observation_space, self.id)
        outputs, _ = chooser(environment.action_space, self.id)
        environment.close()
        names = _numbered("observation", inputs), _numbered("action", outputs)
        if self.id == cartpole.ID:
            # The same networks as with the twin, and so the same seeds.
            names = cartpole.CartPole.input_names, cartpole.CartPole.output_names
        solved_at = known.reward_threshold if self.solved_at is None else self.solved_at
        solved_at = None if solved_at is None else float(solved_at)
        search, examination = (
            Gymnasium(full, self.parameters, self.max_steps, self.episodes, solved_at, purpose, *names, self.recurrent)
            for purpose in (_SEARCH, _EXAMINATION)
        )
        return Tasks(search, examination, replicates=self.replicates, sources=sources)


def make(id: str, parameters: dict[str, Any], steps: int | None) -> Env:
    """Make an environment.

    Args:
        id: of it.
        parameters: keyword arguments for it.
        steps: of an episode at most; None for the environment's own limit.

    Raises:
        SpecError: Gymnasium is missing, or it knows no such environment or cannot make it.
    """
    try:
        import gymnasium
    except ImportError:
        raise SpecError(f"the environment {id!r} needs Gymnasium: pip install 'evosparse[gym]'") from None
    try:
        return gymnasium.make(id, max_episode_steps=steps, disable_env_checker=True, **parameters)
    except EvosparseError:
        raise
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv):
        raise SpecError(f"Gymnasium has no environment {id!r}{_meant(id, gymnasium.registry)}") from None
    except Exception as error:  # whatever it raises: something is not installed, or does not fit
        what = " ".join(f"{type(error).__name__}: {error}".split())
        given = f" with the parameters {parameters}" if parameters else ""
        raise SpecError(f"Gymnasium cannot make {id!r}{given}: {what}; install what is missing, or mend it") from error


def _meant(id: str, registry: dict[str, object]) -> str:
    # Not `nearest`, which would name all of a hundred.
    close = get_close_matches(id.rpartition(":")[2], registry, n=3, cutoff=0.5)
    question = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f": {question}write module:Name-v0 for one of a module of yours; gymnasium.registry has the others"


def _imported(id: str, base: Path | None) -> str:
    """Import the module that registers an environment, if the id names one, and return the id by which it is made."""
    module, colon, name = id.rpartition(":")
    return f"{resolve(f'{module}:__name__', base)}:{name}" if colon else id


def _numbered(what: str, count: int) -> tuple[str, ...]:
    return tuple(f"{what}_{place}" for place in range(count))
