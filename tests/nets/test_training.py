"""Training a population equals a plain loop over ordinary modules with masks applied by hand."""

from __future__ import annotations

from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets_reference import (
    EVERY_KERNEL,
    dense,
    distinct_seeds,
    examples,
    make,
    random_connections,
    reference_training,
    small,
)
from torch import nn

from evosparse.nets import Network, NetworkSpec, TrainingSpec, build, inspect_module, multilayer_perceptron
from evosparse.nets.modules import Activation

OPTIMIZERS = {
    "sgd": TrainingSpec(optimizer="sgd", batch=16),
    "momentum": TrainingSpec(optimizer="sgd", momentum=0.9, learning_rate=0.05, weight_decay=0.01, batch=16),
    "nesterov": TrainingSpec(optimizer="sgd", momentum=0.9, nesterov=True, learning_rate=0.05, batch=16),
    "adam": TrainingSpec(optimizer="adam", batch=16),
    "adam with weight decay": TrainingSpec(optimizer="adam", weight_decay=0.01, batch=16),
    "cosine": TrainingSpec(optimizer="sgd", schedule="cosine", batch=16),
    "step": TrainingSpec(optimizer="sgd", schedule={"name": "step", "every": 1, "factor": 0.3}, batch=16),
}


class Residual(nn.Module):
    """A user's module: a convolution, normalisation with running means, a skip connection, a layer used twice."""

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.inner = nn.Linear(5, 5)
        self.last = nn.Linear(5, classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norm(self.convolution(x))).mean(dim=(2, 3))
        hidden = hidden + torch.tanh(self.inner(torch.tanh(self.inner(hidden))))
        return self.last(hidden)


def expect_equal_to_reference(
    network: Network, training: TrainingSpec, x: np.ndarray, y: np.ndarray, epochs: int, kernel: str
) -> None:
    """Train three networks of different sparsity together, and each alone by the plain loop."""
    connections = [random_connections(network, density, i) for i, density in enumerate((0.1, 0.5, 1.0))]
    seeds = distinct_seeds(3)
    population = make(network, connections, seeds, training, epochs=epochs, kernel=kernel)
    initial = [population.state(i) for i in range(3)]
    population.train(x, y, epochs)
    for i in range(3):
        expected = reference_training(network, initial[i], connections[i], seeds[i], training, x, y, epochs)
        trained = population.state(i)
        assert trained.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(trained[name], value, rtol=2e-3, atol=2e-4, err_msg=f"network {i}: {name}")
    for layer in range(len(network.layers)):
        moved = np.abs(population.weights(layer, 2) - population.initial_weights(layer, 2))
        assert moved.max() > 1e-3, "nothing was trained"


@EVERY_KERNEL
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_perceptrons_train_as_a_plain_loop_does(optimizer: str, kind: str, kernel: str) -> None:
    x, y = examples(75, (13,), 3)  # 75 = 4 * 16 + 11: the last minibatch is a partial one
    expect_equal_to_reference(small(kind), OPTIMIZERS[optimizer], x, y, epochs=2, kernel=kernel)


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_trains_as_a_plain_loop_does(activation: Activation, kernel: str) -> None:
    x, y = examples(75, (3, 4), 3)
    network = multilayer_perceptron((3, 4), 3, (11, 7), activation)
    expect_equal_to_reference(network, OPTIMIZERS["momentum"], x, y, epochs=2, kernel=kernel)


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
@settings(max_examples=15, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    classes=st.integers(2, 6),
    batch=st.integers(1, 40),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
)
def test_perceptrons_of_any_size_train_as_a_plain_loop_does(
    kernel: str, widths: list[int], classes: int, batch: int, optimizer: str
) -> None:
    x, y = examples(40, widths[:1], classes)
    network = multilayer_perceptron(widths[:1], classes, widths[1:], "tanh")
    training = OPTIMIZERS[optimizer].model_copy(update={"batch": batch, "learning_rate": 1e-3})
    connections = [random_connections(network, 0.5, 0)]
    population = make(network, connections, training=training, epochs=1, kernel=kernel)
    initial = population.state(0)
    population.train(x, y, 1)
    expected = reference_training(network, initial, connections[0], distinct_seeds(1)[0], training, x, y, 1)
    for name, value in expected.items():
        np.testing.assert_allclose(population.state(0)[name], value, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "cosine"])
def test_lenet5_trains_as_a_plain_loop_does(optimizer: str, kernel: str) -> None:
    x, y = examples(20, (1, 16, 16), 3)
    network = build(NetworkSpec(name="lenet5"), (1, 16, 16), 3)
    expect_equal_to_reference(network, OPTIMIZERS[optimizer], x, y, epochs=1, kernel=kernel)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_users_module_trains_as_a_plain_loop_does(optimizer: str) -> None:
    x, y = examples(40, (1, 6, 6), 3)
    network = inspect_module(partial(Residual, (1, 6, 6), 3), (1, 6, 6), 3, "Residual")
    assert network.plan is None
    expect_equal_to_reference(network, OPTIMIZERS[optimizer], x, y, epochs=2, kernel="dense")


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_the_fast_path_equals_the_general_path(kernel: str) -> None:
    x, y = examples(75, (13,), 3)
    fast, general = small("mlp"), small("module")
    assert general.layers == fast.layers and dict(general.unmasked) == dict(fast.unmasked)
    connections = [random_connections(fast, density, i) for i, density in enumerate((0.1, 0.5, 1.0))]
    populations = [
        make(network, connections, training=OPTIMIZERS["adam"], kernel=kernel) for network in (fast, general)
    ]
    for population in populations:
        population.train(x, y, 3, gradients="absolute")
    for layer in range(3):
        for read in ("weights", "initial_weights", "gradients"):
            first, second = (dense(population, read, layer) for population in populations)
            np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)
    first, second = (population.evaluate(x, y) for population in populations)
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-4)
    np.testing.assert_array_equal(first.accuracy, second.accuracy)
