"""WASAP and WASSP: one worker is SET bit for bit; several keep exact counts; a worker may die."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parallel_toys import SGD, Mortal, cohort, expect_equal_cohorts, trained
from pydantic import ValidationError

from evosparse.engine.cluster import Cluster
from evosparse.engine.crew import LocalCrew, Member, RayCrew
from evosparse.errors import SpecError
from evosparse.nets import InitialisationSpec, NetworkSpec, TrainingSpec, build, inspect_module
from evosparse.nets.shared import TrainingState
from evosparse.sparsify import SET, WASAP, WASSP, Cohort, Replicate
from evosparse.sparsify.importance import Importance
from evosparse.sparsify.methods.wasap import Server
from evosparse.sparsify.together import averaged, parts

BOTH = pytest.mark.parametrize("method", [WASAP, WASSP])
TRAININGS = {
    "sgd": SGD,
    "dropout": SGD.model_copy(update={"dropout": 0.2, "unscaled_decay": 1e-3, "nesterov": True}),
    "adam": TrainingSpec(batch=16, schedule="cosine"),
    "dense": SGD.model_copy(update={"kernel": "dense"}),
}


@BOTH
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_one_worker_is_set_bit_for_bit(method: type[WASAP], training: TrainingSpec) -> None:
    """SE4, in both phases."""
    plain = trained(SET(), cohort(training=training))
    expect_equal_cohorts(plain, trained(method(workers=1), cohort(training=training)))


@pytest.mark.parametrize("together", [0.01, 0.5, 1])
@pytest.mark.parametrize(
    "options",
    [
        {"annealing": "cosine", "until": 0.7, "drop_rule": "magnitude"},
        {"regrow": "keep", "exchange_last": True},
        {"importance": Importance(after=1, every=1, percentile=10)},
        {"importance": Importance(after=1, every=2, percentile=10, prune_regrow="code")},
    ],
    ids=["annealed", "kept", "importance", "importance as published"],
)
def test_one_worker_is_set_whatever_the_options(together: float, options: dict[str, object]) -> None:
    plain = trained(SET(**options), cohort())
    expect_equal_cohorts(plain, trained(WASAP(workers=1, together=together, **options), cohort()))


@BOTH
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_keep_the_counts_and_repeat(method: type[WASAP], workers: int) -> None:
    own = [trained(method(workers=workers), cohort(epochs=8)) for _ in range(2)]
    expect_equal_cohorts(*own)
    for number, every in enumerate(own[0].connections):
        assert tuple(map(len, every)) == SET().counts(own[0], number)
        assert all((np.diff(layer) > 0).all() for layer in every)
    accuracies = [result.measures["selected_validation"] for result in own[0].results()]
    assert min(accuracies) > 0.45, "nothing was learnt"


@BOTH
def test_a_network_is_the_same_alone_and_among_others(method: type[WASAP]) -> None:
    both = trained(method(workers=2), cohort(numbers=(0, 1))).results()[1]
    alone = trained(method(workers=2), cohort(numbers=(1,))).results()[0]
    assert all(np.array_equal(both.state[name], alone.state[name]) for name in alone.state)


def test_synchronous_steps_are_those_of_the_mean_gradient() -> None:
    """Two workers with equal parts and half the batch are one with the whole batch, but for the warmed-up rate."""
    training = TrainingSpec(optimizer="sgd", learning_rate=0.05, batch=40, kernel="packed")
    halves = training.model_copy(update={"batch": 20, "learning_rate": 0.025})
    plain = trained(SET(), cohort(epochs=1, training=training, examples=40, numbers=(0,)))
    shared = trained(WASSP(workers=2, warmup=1e-9), cohort(epochs=1, training=halves, examples=40, numbers=(0,)))
    # At the very first step the warm-up has not begun: the rate is the base's, half of the other's.
    start = cohort(epochs=1, examples=40, numbers=(0,))
    start.begin(SET().start(start), 1)
    for name, value in start.population.state(0).items():
        steps = [own.population.state(0)[name] - value for own in (plain, shared)]
        np.testing.assert_allclose(steps[0], 2 * steps[1], atol=1e-6)


def test_the_rate_rises_to_that_of_all_workers() -> None:
    factors = []

    class Told(WASSP):
        def server(self) -> object:
            def make(method: WASAP, own: Cohort, crew: LocalCrew) -> Server:
                pull = own.population.pull
                own.population.pull = lambda values, progress, factor: (  # type: ignore[method-assign]
                    factors.append((progress, factor)), pull(values, progress, factor)
                )  # fmt: skip
                return WASSP.server(self)(method, own, crew)

            return make

    trained(Told(workers=3, warmup=2, together=1), cohort(epochs=4, examples=48))
    assert [progress for progress, _ in factors] == list(range(4))
    assert [factor for _, factor in factors] == [1, 2, 3, 3]


@pytest.mark.parametrize("rates", [(0.1, 0.2, 0.3), (0.3, 0.1)])
def test_torchs_momentum_needs_no_correction(rates: tuple[float, ...]) -> None:
    """v <- m (lr_new / lr_old) v + lr g, the corrected form, moves weights as torch's v <- m v + g does."""
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1, momentum=0.9)
    plain, velocity, before = np.zeros(3), np.zeros(3), rates[0]
    for number, rate in enumerate(rates):
        gradient = np.array([1.0, -2.0, 0.5]) * (number + 1)
        weight.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        velocity = 0.9 * rate / before * velocity + rate * gradient
        plain, before = plain - velocity, rate
    np.testing.assert_allclose(weight.detach(), plain, atol=1e-6)


@given(st.integers(1, 4), st.integers(0, 12), st.integers(0, 2**32))
def test_averages_are_over_the_union_and_keep_the_largest(workers: int, budget: int, seed: int) -> None:
    rng, size = np.random.default_rng(seed), 20
    states, dense = [], np.zeros((workers, size))
    for worker in range(workers):
        own = np.sort(rng.choice(size, rng.integers(0, size), replace=False))
        values = rng.standard_normal(len(own)).astype(np.float32)
        dense[worker, own] = values
        biases = rng.standard_normal(3).astype(np.float32)
        states.append(TrainingState([[own]], {"w": [values], "b": [biases]}, {}, 0, 0))
    [[kept]], values = averaged(states, [[budget]], ["w"])
    mean, union = dense.mean(axis=0), set(np.flatnonzero(dense.any(axis=0)).tolist())
    assert len(kept) == min(budget, len(union)) and set(kept.tolist()) <= union and (np.diff(kept) > 0).all()
    np.testing.assert_allclose(values["w"][0], mean[kept], atol=1e-6)
    np.testing.assert_allclose(values["b"][0], np.mean([state.values["b"][0] for state in states], axis=0), atol=1e-6)
    dropped = [abs(mean[place]) for place in union - set(kept.tolist())]
    assert not dropped or not len(kept) or max(dropped) <= np.abs(mean[kept]).min() + 1e-6


def test_examples_are_dealt_out_and_a_single_worker_has_all_in_order() -> None:
    train = cohort().train
    [(_, alone)] = parts(train, 1)
    assert np.array_equal(alone.x, train.x) and np.array_equal(alone.y, train.y)
    dealt = parts(train, 3)
    assert [len(own.y) for _, own in dealt] == [28, 28, 27]
    assert np.array_equal(np.sort(np.concatenate([own.x for _, own in dealt]), axis=0), np.sort(train.x, axis=0))
    with pytest.raises(SpecError, match="at most one for each of the 83"):
        parts(train, 84)


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValidationError, match="leave 'every' out"):
        WASAP(every=10)

    def normed() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(13, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))

    own = cohort()
    network = inspect_module(normed, (13,), 3, "normed")
    normal = Cohort(network, own.train, own.validation, [Replicate(0, 0.5)], TrainingSpec(), InitialisationSpec(), 2)
    with pytest.raises(SpecError, match="wasap: expected a network without buffers"):
        WASAP().sparsify(normal)


def test_convolutions_can_be_trained_together() -> None:
    images = np.random.default_rng(0).random((40, 1, 16, 16)).astype(np.float32)
    own = cohort()
    train = type(own.train)(images, own.train.y[:40])
    network = build(NetworkSpec(name="lenet5"), (1, 16, 16), 3)
    lenet = [
        Cohort(network, train, own.validation.__class__(images, train.y), [Replicate(0, 0.95)], SGD, InitialisationSpec(), 3)
        for _ in range(2)
    ]
    expect_equal_cohorts(trained(SET(), lenet[0]), trained(WASAP(workers=1), lenet[1]))


def test_only_an_order_that_cannot_be_repeated_is_noted() -> None:
    assert "order of their own" in WASAP(workers=2, crew="ray").notes[0]
    assert not (WASAP(workers=1, crew="ray").notes or WASAP(workers=2).notes or WASSP(workers=2, crew="ray").notes)


def test_one_worker_on_ray_is_set_bit_for_bit(connected: None) -> None:
    """SE4, by the method's own crew; before other tests take the CPUs."""
    expect_equal_cohorts(trained(SET(), cohort()), trained(WASAP(workers=1, crew="ray"), cohort()))


@pytest.fixture(scope="module")
def cluster(connected: None) -> Iterator[Cluster]:
    with Cluster(2, sources=[Path(__file__).parent], process=Member) as own:
        yield own


def on_ray(method: WASAP, own: Cohort, cluster: Cluster, dies_at: int | None = None, mark: str = "") -> Cohort:
    """Let a method train a cohort with workers of a cluster, the first of which may die at its task of that number."""

    class Hired(type(method)):
        def _hire(self, cohort: Cohort, stack: ExitStack) -> RayCrew:
            training = cohort.training.model_copy(update={"kernel": cohort.population.kernel})
            work = Mortal(
                method, cohort.network, cohort.replicates, training, cohort.initialisation, cohort.epochs, cohort.device,
                cohort.connections,
            )  # fmt: skip
            shares = [(*part, dies_at, mark) for part in parts(cohort.train, self.workers)]
            return stack.enter_context(RayCrew(cluster, work, shares))

    return trained(Hired.model_validate(method.model_dump(exclude={"method"})), own)


def test_synchronous_workers_on_ray_do_what_they_do_in_this_process(cluster: Cluster) -> None:
    method = WASSP(workers=2)
    expect_equal_cohorts(trained(method, cohort()), on_ray(method, cohort(), cluster))


@pytest.mark.parametrize("task", [2, 26], ids=["phase 1", "phase 2"])  # of 24 minibatches and 2 epochs
def test_the_death_of_a_worker_changes_nothing(task: int, cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    own = on_ray(WASAP(workers=1), cohort(), cluster, task, str(mark))
    assert mark.exists(), "nobody died"
    expect_equal_cohorts(trained(SET(), cohort()), own)


def test_asynchronous_training_survives_a_death(cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    own = on_ray(WASAP(workers=2), cohort(), cluster, 5, str(mark))
    assert mark.exists(), "nobody died"
    assert [tuple(map(len, every)) for every in own.connections] == [SET().counts(own, number) for number in range(2)]
