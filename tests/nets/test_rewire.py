"""Connections that are exchanged in the middle of training, against a plain loop with masks; loading and skipped steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from nets_reference import EVERY_KERNEL, examples, make, make_reference_optimizer, minibatches, random_connections, small
from torch import nn
from torch.nn.functional import cross_entropy

from evosparse.nets import Connections, Network, Population, Seeds, TrainingSpec, inspect_module

TRAININGS = {
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.01},
}
SEEDS = [Seeds(3, 1, 5), Seeds(4, 2, 6)]
X, Y = examples(43, (13,), 3)  # three minibatches of 16, the last one smaller
Grown = list[tuple[np.ndarray, np.ndarray]]


def exchange(network: Network, before: Connections, seed: int) -> tuple[list[np.ndarray], Grown]:
    """Return connections after an exchange of a third, and what begins anew: elsewhere, and one where one was dropped."""
    rng = np.random.default_rng(seed)
    after, grown = [], []
    for layer, own in zip(network.layers, before, strict=True):
        kept = np.sort(rng.permutation(own)[len(own) // 3 :])
        dropped = np.setdiff1d(own, kept)
        free = np.setdiff1d(np.arange(layer.size), own)
        # Not in order: who calls need not sort.
        new = rng.permutation(np.concatenate([dropped[:1], rng.permutation(free)[: len(dropped) - 1]]))
        after.append(np.sort(np.concatenate([kept, new])))
        grown.append((new, rng.standard_normal(len(new)).astype(np.float32)))
    return after, grown


def slowly(
    network: Network, state: dict[str, np.ndarray], seeds: Seeds, training: TrainingSpec, epochs: int,
    masks: Connections, at: int, after: Connections, grown: Grown, skips: bool,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Train one network in float64 with masks by hand, and exchange its connections before one step."""
    module = network.module().double()
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    parameters = dict(module.named_parameters())
    optimizer = make_reference_optimizer(training, list(parameters.values()))
    existing = list(masks)

    def clear() -> None:
        for layer, own in zip(network.layers, existing, strict=True):
            parameter = parameters[layer.parameter]
            moments = [part for part in optimizer.state[parameter].values() if part.shape == parameter.shape]
            outside = np.setdiff1d(np.arange(layer.size), own)
            for tensor in (parameter.data, *moments):
                tensor.view(-1)[outside] = 0

    for step, rows in enumerate(minibatches(seeds, len(X), training.batch, epochs)):
        if step == at:
            existing = list(after)
            clear()
            for layer, (indices, values) in zip(network.layers, grown, strict=True):
                parameter = parameters[layer.parameter]
                for part in optimizer.state[parameter].values():
                    if part.shape == parameter.shape:
                        part.view(-1)[indices] = 0
                parameter.data.view(-1)[indices] = torch.tensor(values).double()
            if skips:
                continue
        optimizer.zero_grad()
        cross_entropy(module(torch.tensor(X[rows]).double()), torch.tensor(Y[rows])).backward()
        optimizer.step()
        clear()
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


@EVERY_KERNEL
@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("skips", [True, False])
def test_an_exchange_in_the_middle_is_that_of_a_plain_loop(kind: str, kernel: str, training: str, skips: bool) -> None:
    # Tanh: no derivative that may jump within an error of float32.
    network = small(kind, "tanh")
    spec = TrainingSpec(batch=16, **TRAININGS[training])
    before = [random_connections(network, density, seed) for seed, density in enumerate((0.3, 0.5))]
    pairs = [exchange(network, own, seed) for seed, own in enumerate(before)]
    population = make(network, before, SEEDS, spec, kernel=kernel, epochs=3)
    first = [population.state(number) for number in range(2)]

    def before_step(minibatch: Callable) -> bool:
        if population.steps == 4:
            for number, seeds in enumerate(SEEDS):
                rows = minibatches(seeds, len(X), 16, 3)[4]
                x, y = minibatch(number)
                np.testing.assert_array_equal(x, X[rows])
                np.testing.assert_array_equal(y, Y[rows])
            population.rewire([after for after, _ in pairs], [grown for _, grown in pairs])
            return skips
        return False

    population.train(X, Y, 3, before_step=before_step)
    assert (population.steps, population.epochs_done, population.kernel) == (9, 3, kernel)
    for number, (after, grown) in enumerate(pairs):
        expected = slowly(
            network, first[number], SEEDS[number], spec, 3, before[number], 4, after, grown, skips
        )
        for name, value in population.state(number).items():
            np.testing.assert_allclose(value, expected[name], rtol=2e-3, atol=2e-5, err_msg=name)
        for own, wanted in zip(population.connections(number), after, strict=True):
            np.testing.assert_array_equal(own, wanted)


@EVERY_KERNEL
def test_an_exchange_of_nothing_changes_no_bit(kind: str, kernel: str) -> None:
    network = small(kind)
    before = [random_connections(network, 0.4, seed) for seed in range(2)]
    populations = [make(network, before, SEEDS, kernel=kernel) for _ in range(2)]
    for population in populations:
        population.train(X, Y, 1)
    nothing = [(np.array([], np.int64), np.array([], np.float32))] * 3
    populations[0].rewire(before, [nothing] * 2)
    for population in populations:
        population.train(X, Y, 1)
    for number in range(2):
        for name, value in populations[0].state(number).items():
            np.testing.assert_array_equal(value, populations[1].state(number)[name])


@EVERY_KERNEL
def test_what_neither_exists_nor_begins_anew_is_refused(kind: str, kernel: str) -> None:
    network = small(kind)
    before = random_connections(network, 0.4, 0)
    population = make(network, [before], SEEDS[:1], kernel=kernel)
    free = np.setdiff1d(np.arange(network.layers[0].size), before[0])
    nothing = (np.array([], np.int64), np.array([], np.float32))
    after = [np.sort(np.append(before[0], free[0])), *before[1:]]
    state = population.state(0)
    with pytest.raises(ValueError, match="anew as grown"):
        population.rewire([after], [[nothing] * 3])
    for name, value in population.state(0).items():
        np.testing.assert_array_equal(value, state[name])
    population.rewire([after], [[(free[:1], np.array([0.5], np.float32)), nothing, nothing]])
    assert population.state(0)[network.layers[0].parameter].reshape(-1)[free[0]] == 0.5


@EVERY_KERNEL
def test_a_state_that_is_loaded_is_the_one_that_is_told(kind: str, kernel: str) -> None:
    network = small(kind)
    connections = [random_connections(network, density, seed) for seed, density in enumerate((0.3, 0.5))]
    trained = make(network, connections, SEEDS, kernel=kernel)
    trained.train(X, Y, 2)
    states = [trained.state(number) for number in range(2)]
    fresh = make(network, connections, SEEDS, kernel=kernel)
    neighbour = fresh.state(0)
    fresh.load(1, states[1])
    for name, value in fresh.state(1).items():
        np.testing.assert_array_equal(value, states[1][name])
        np.testing.assert_array_equal(fresh.state(0)[name], neighbour[name])
    # Of a dense state only what exists is taken.
    dense = {name: np.ones_like(value) for name, value in states[0].items()}
    fresh.load(0, dense)
    for layer, own in zip(network.layers, connections[0], strict=True):
        told = fresh.state(0)[layer.parameter].reshape(-1)
        assert (told[own] == 1).all() and not np.delete(told, own).any()
    np.testing.assert_array_equal(fresh.loss(X, Y)[1], trained.loss(X, Y)[1])


def test_a_loaded_norm_brings_its_buffers() -> None:
    def normalised() -> nn.Module:
        return nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    network = inspect_module(normalised, (13,), 3, "normalised")
    trained = make(network, [[None] * len(network.layers)], SEEDS[:1])
    trained.train(X, Y, 2)
    fresh = make(network, [[None] * len(network.layers)], SEEDS[:1])
    fresh.load(0, trained.state(0))
    assert any("running" in name for name in trained.state(0))
    for name, value in fresh.state(0).items():
        np.testing.assert_array_equal(value, trained.state(0)[name])


@EVERY_KERNEL
def test_skipped_steps_train_nothing_and_are_counted(kind: str, kernel: str) -> None:
    network = small(kind)
    connections = [random_connections(network, 0.4, 0)]
    population = make(network, connections, SEEDS[:1], kernel=kernel)
    before = population.state(0)
    seen: list[int] = []

    def skip(_: object) -> bool:
        seen.append(population.steps)
        return True

    population.train(X, Y, 2, before_step=skip)
    assert seen == list(range(6)) and population.steps == 6 and population.epochs_done == 2
    for name, value in population.state(0).items():
        np.testing.assert_array_equal(value, before[name])


def test_looking_before_a_step_changes_nothing() -> None:
    network = small("mlp")
    populations: list[Population] = []
    for before_step in (None, lambda minibatch: bool(minibatch(0)[0].sum() > 1e9)):
        population = make(network, [random_connections(network, 0.4, 0)], SEEDS[:1])
        population.train(X, Y, 2, before_step=before_step)
        populations.append(population)
    for name, value in populations[0].state(0).items():
        np.testing.assert_array_equal(value, populations[1].state(0)[name])
