"""Deep Q-learning learns to drive, keeps to its budget, and repeats itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evosparse.engine.seeds import SeedKey
from evosparse.errors import BadInput
from evosparse.topologies.tasks.driving import dqn
from evosparse.topologies.tasks.driving.cars import Cars, CarSpec
from evosparse.topologies.tasks.driving.dqn import DQN, LearnedNetwork, learn
from evosparse.topologies.tasks.driving.drivers import Learner, examine
from evosparse.topologies.tasks.driving.qlearning import QLearning
from evosparse.topologies.tasks.driving.track import find_track

OVAL, BEAN = find_track("oval"), find_track("bean")
SMALL = DQN(hidden=(16,), cars=4, evaluate_every=400, episode=80)


def flat(learned: LearnedNetwork) -> NDArray[np.float32]:
    return torch.cat([values.flatten() for values in learned.network.parameters()]).detach().numpy()


@pytest.mark.parametrize("seed", range(3))
def test_a_lap_of_the_oval_is_learnt_within_the_budget(seed: int) -> None:
    rules = DQN(evaluate_every=2_000, laps=1.5)
    learned = learn(rules, [OVAL], CarSpec(), 12_000, seed)
    (driven,) = examine(learned.driver, [OVAL], CarSpec(), 1_000, 1.5)
    assert driven.laps >= 1 and not driven.crashed
    course = learned.training
    assert driven.laps == course.trials.laps.max() and 0 < course.first_lap <= course.steps == 12_000


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_equal_seeds_give_equal_networks_whatever_torch_is_set_to() -> None:
    networks = []
    for seed, count in ((3, 1), (3, 2), (4, 1)):
        torch.manual_seed(count)
        torch.set_num_threads(count)
        networks.append(flat(learn(SMALL, [OVAL, BEAN], CarSpec(), 1_500, seed)))
        assert torch.get_num_threads() == count
    np.testing.assert_array_equal(networks[0], networks[1])
    assert (networks[0] != networks[2]).any()


@pytest.mark.parametrize("steps", (1, 3, 401, 1_502))
def test_as_many_steps_are_driven_as_the_budget_has(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    driven, plain = 0, Cars.step

    def counted(cars: Cars, actions: NDArray[np.int64]) -> NDArray[np.float64]:
        nonlocal driven
        driven += int((~cars.crashed).sum())
        return plain(cars, actions)

    monkeypatch.setattr(Cars, "step", counted)
    rules = SMALL.model_copy(update={"evaluate_every": 10**6})
    assert learn(rules, [OVAL, BEAN], CarSpec(), steps, 0).training.steps == steps == driven


def test_steps_of_trials_are_part_of_the_budget() -> None:
    course = learn(SMALL, [OVAL, BEAN], CarSpec(), 1_500, 0).training
    assert course.steps == 1_500 and len(course.trials.steps) >= 2
    assert (np.diff(course.trials.steps) > 0).all() and course.trials.steps[-1] <= 1_500
    assert course.trials.laps.shape == (len(course.trials.steps), 2)


def test_a_trial_that_the_budget_cuts_short_does_not_count() -> None:
    course = learn(SMALL, [OVAL, BEAN], CarSpec(), 405, 0).training
    assert course.steps == 405 and course.trials.laps.shape == (0, 2)


def test_nothing_follows_a_crash_and_the_target_is_what_was_copied() -> None:
    """With one remembered step and no learning rate to speak of, the aim of a correction is known."""
    rules = DQN(hidden=(8,), cars=1, replay=1, batch=1, target_every=10**6, episode=3)
    run = dqn._Run(rules, [OVAL], CarSpec(), 10, SeedKey(0))
    aims: list[float] = []

    def aim(value: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        aims.append(float(expected[0]))
        return value.sum() * 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dqn.functional, "huber_loss", aim)
        run._drive()
        later = run.network(torch.from_numpy(run._seen[1])).max().item()
        for crash in (False, True):
            run._crash[0] = crash
            run._correct()
    assert aims[0] == pytest.approx(run._reward[0] + 0.95 * later) and aims[1] == pytest.approx(run._reward[0])
    assert abs(later) > 1e-3


def test_both_ways_of_q_learning_share_their_defaults() -> None:
    for rules in (DQN(), QLearning()):
        assert {name: getattr(rules, name) for name in Learner.model_fields} == Learner().model_dump()
    assert Learner().gamma == 0.95 and Learner().epsilon == (1.0, 0.05) and Learner().exploring == 0.6


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="at least one environment step, got 0"):
        learn(SMALL, [OVAL], CarSpec(), 0, 0)
