"""A network's result is bit for bit the same whatever trains beside it, wherever it stands, however many there are."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets_reference import examples, make, random_connections
from torch import nn

from evosparse.nets import (
    Connections,
    Network,
    NetworkSpec,
    Population,
    Seeds,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)

TRAININGS = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine"},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 1e-3, "schedule": {"name": "step", "every": 1, "factor": 0.37}},
]


class Odd(nn.Module):
    """Odd sizes, and operations that treat the last few numbers of a tensor in another way."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.dropout = nn.Dropout(0.2)
        self.hidden = nn.Linear(45, 11)
        self.last = nn.Linear(11, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(1.1)  # in place: the next network must not see it
        hidden = nn.functional.max_pool2d(nn.functional.silu(self.norm(self.convolution(x))), 2)
        return self.last(torch.sigmoid(self.hidden(self.dropout(hidden.flatten(1)))))


def results(population: Population, x: np.ndarray, y: np.ndarray, number: int) -> list[np.ndarray]:
    """Return all that one network came to, in bits."""
    evaluation = population.evaluate(x, y)
    measures = [evaluation.accuracy[number], evaluation.loss[number]]
    arrays = [*population.state(number).values(), population.logits(x)[number], np.array(measures)]
    arrays += [population.gradients(layer)[number] for layer in range(len(population.network.layers))]
    return [array.copy() for array in arrays]


def expect_pure(
    network: Network, seeds: list[Seeds], training: TrainingSpec, n: int, epochs: int = 2, cut: bool = False
) -> None:
    """Train all together, and each alone, reversed, and beside a stranger; compare every bit."""
    x, y = examples(n, network.input_shape, network.classes)
    connections: list[Connections] = [random_connections(network, 0.3 + 0.1 * (i % 7), i) for i in range(len(seeds))]

    def run(numbers: list[int], who: int) -> list[np.ndarray]:
        population = make(network, [connections[i] for i in numbers], [seeds[i] for i in numbers], training)
        population.train(x, y, epochs - 1)
        if cut:
            population.cut([[indices[::2] for indices in connections[i]] for i in numbers])
        population.train(x, y, 1, gradients="signed")
        return results(population, x, y, who)

    everyone = list(range(len(seeds)))
    for i in {0, len(seeds) // 2, len(seeds) - 1}:
        together = run(everyone, i)
        for numbers, who in (([i], 0), (everyone[::-1], len(seeds) - 1 - i), ([0, i, *everyone], 1)):
            for first, second in zip(together, run(numbers, who), strict=True):
                assert first.tobytes() == second.tobytes()


def seeds_of(population: int, shared: bool) -> list[Seeds]:
    return [Seeds(weights=i % 3, order=7 if shared else i, noise=5 if shared else i) for i in range(population)]


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    classes=st.integers(2, 20),
    population=st.integers(1, 9),
    batch=st.integers(1, 70),
    n=st.integers(1, 90),
    training=st.sampled_from(TRAININGS),
    activation=st.sampled_from(["relu", "sigmoid", "silu", "mish", "tanh"]),
    shared=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
)
def test_perceptrons_are_pure(
    widths: list[int],
    classes: int,
    population: int,
    batch: int,
    n: int,
    training: dict[str, object],
    activation: str,
    shared: bool,
    dropout: float,
) -> None:
    network = multilayer_perceptron(widths[:1], classes, widths[1:], activation)
    spec = TrainingSpec(batch=max(batch, n // 6), dropout=dropout, **training)
    expect_pure(network, seeds_of(population, shared), spec, n)


@pytest.mark.parametrize(
    ("widths", "population"),
    [((37, 23, 11, 3), 17), ((784, 300, 100, 10), 5), ((64, 64, 32, 10), 33), ((17, 33, 65, 2), 2)],
)
def test_known_sizes_are_pure(widths: tuple[int, ...], population: int) -> None:
    network = multilayer_perceptron(widths[:1], widths[-1], widths[1:-1], "sigmoid")
    expect_pure(network, seeds_of(population, True), TrainingSpec(batch=25), n=60, cut=True)


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("shared", [True, False])
def test_modules_are_pure(training: dict[str, object], shared: bool) -> None:
    network = inspect_module(partial(Odd, 3), (1, 8, 8), 3, "Odd")
    expect_pure(network, seeds_of(5, shared), TrainingSpec(batch=7, **training), n=17, cut=True)


def test_lenet5_is_pure() -> None:
    network = build(NetworkSpec(name="lenet5"), (16, 16), 5)
    expect_pure(network, seeds_of(3, False), TrainingSpec(batch=6, dropout=0.4), n=10)


@pytest.mark.parametrize("name", ["mlp", "module"])
def test_one_common_minibatch_gives_the_bits_of_one_for_each(name: str) -> None:
    # The stranger has an order of its own, so that minibatches are no longer shared.
    if name == "mlp":
        network: Network = multilayer_perceptron((13,), 3, (11, 7))
    else:
        network = inspect_module(partial(Odd, 3), (1, 8, 8), 3, "Odd")
    x, y = examples(23, network.input_shape, 3)
    connections = [random_connections(network, 0.5, i) for i in range(3)]
    trained = []
    for stranger in (1, 2):
        seeds = [Seeds(1, 1, 1), Seeds(2, 1, 2), Seeds(3, stranger, 3)]
        population = make(network, connections, seeds, TrainingSpec(batch=7))
        population.train(x, y, 2, gradients="signed")
        trained.append(results(population, x, y, 1))
    for first, second in zip(*trained, strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_place_of_the_data_in_memory_does_not_count() -> None:
    network = multilayer_perceptron((64,), 3, (11,), "silu")
    x, y = examples(37, (64,), 3)
    shifted = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)
    shifted[:] = x
    trained = []
    for data in (x, shifted):
        population = make(network, [random_connections(network, 0.5, 0)])
        population.train(data, y, 2, gradients="signed")
        trained.append(results(population, data, y, 0))
    for first, second in zip(*trained, strict=True):
        np.testing.assert_array_equal(first, second)
