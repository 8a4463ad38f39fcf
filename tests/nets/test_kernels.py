"""Gradients and training steps of every kernel equal plain autograd in float64, whatever the network and its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets_reference import (
    EVERY_KERNEL,
    distinct_seeds,
    examples,
    expand,
    expect_equal_states,
    make,
    make_reference_optimizer,
    minibatches,
    random_connections,
    recorded_training,
    reference_gradients,
    reference_training,
    small,
)

from evosparse.nets import (
    Connections,
    Layer,
    MultilayerPerceptron,
    Seeds,
    TrainingSpec,
    multilayer_perceptron,
)
from evosparse.nets.modules import Activation

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05},
    "momentum and weight decay": {
        "optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.01,
    },
    "nesterov": {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam"},
    "adam with weight decay": {"optimizer": "adam", "weight_decay": 0.01},
}  # fmt: skip
STEPS = 10
_MARGIN = 2e-6  # of the float32 sums before a ReLU: nearer to its edge, they may fall on the other side
_MARGIN_OF_TEN_STEPS = 2e-5  # the same where the weights differ already in their last bits


@dataclass(frozen=True)
class Problem:
    """Networks, and data in minibatches.

    Args:
        examples: how many.
        epochs: for about ten steps.
    """

    network: MultilayerPerceptron
    connections: list[Connections]
    seeds: list[Seeds]
    batch: int
    examples: int
    epochs: int


def existing(layer: Layer, kind: str, density: float, seed: int) -> np.ndarray | None:
    """Return the connections of a layer, as masks hold them."""
    rng = np.random.default_rng(seed)
    kept = rng.random(layer.size) < density
    match kind:
        case "None":
            return None
        case "all":
            kept[:] = True
        case "none":
            kept[:] = False
        case "one":
            kept[:] = np.arange(layer.size) == rng.integers(layer.size)
        case "empty rows":
            kept &= rng.random(layer.shape[0])[np.arange(layer.size) // layer.fan_in] < 0.5
        case "empty columns":
            kept &= rng.random(layer.fan_in)[np.arange(layer.size) % layer.fan_in] < 0.5
    return np.flatnonzero(kept).astype(np.int32)


KINDS = ["None", "all", "none", "one", "empty rows", "empty columns", "some", "some", "some"]


@st.composite
def problems(draw: st.DrawFn, activation: Activation) -> Problem:
    layers = draw(st.sampled_from([1, 2, 2, 3, 3, 4]))
    widths = draw(st.lists(st.integers(1, 40), min_size=layers, max_size=layers))
    network = multilayer_perceptron(widths[:1], draw(st.integers(2, 6)), widths[1:], activation)
    population = draw(st.integers(1, 4))
    connections = [
        [
            existing(layer, draw(st.sampled_from(KINDS)), draw(st.floats(0.05, 0.9)), 10 * number + index)
            for index, layer in enumerate(network.layers)
        ]
        for number in range(population)
    ]
    shared = draw(st.booleans())
    seeds = [Seeds(weights=number, order=5 if shared else number, noise=number) for number in range(population)]
    batch = draw(st.integers(1, 40))
    full, rest = draw(st.integers(0, 3)), draw(st.integers(0, 39)) % batch
    n = max(1, full * batch + rest)
    return Problem(network, connections, seeds, batch, n, epochs=STEPS // -(-n // batch))


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
@pytest.mark.parametrize("activation", get_args(Activation))
@settings(max_examples=9, deadline=None)
@given(data=st.data(), optimizer=st.sampled_from(sorted(OPTIMIZERS)))
def test_ten_steps_are_those_of_plain_autograd(
    activation: Activation, kernel: str, data: st.DataObject, optimizer: str
) -> None:
    problem = data.draw(problems(activation))
    network, training = problem.network, TrainingSpec(batch=problem.batch, **OPTIMIZERS[optimizer])
    x, y = examples(problem.examples, network.input_shape, network.classes)
    population = make(network, problem.connections, problem.seeds, training, kernel=kernel)
    initial = [population.state(number) for number in range(len(population))]
    steps = recorded_training(population, x, y, problem.epochs)
    for number, (connections, seeds) in enumerate(zip(problem.connections, problem.seeds, strict=True)):
        own = [step[number] for step in steps]
        rows = minibatches(seeds, problem.examples, problem.batch, problem.epochs)
        margin = expect_gradients(network, connections, own, [(x[part], y[part]) for part in rows])
        expect_updates(training, own, population.state(number))
        # Where Adam's gradient is all but zero, and where a ReLU's input is, the last bits decide on a whole step.
        if training.optimizer == "sgd" and margin > _MARGIN_OF_TEN_STEPS:
            expected = reference_training(network, initial[number], connections, seeds, training, x, y, problem.epochs)
            for name, value in population.state(number).items():
                np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)


Values = dict[str, np.ndarray]


def expect_gradients(
    network: MultilayerPerceptron,
    connections: Connections,
    steps: Sequence[tuple[Values, Values]],
    minibatches: Sequence[tuple[np.ndarray, np.ndarray]],
) -> float:
    """Compare the gradients of every step with those of autograd, from the same values; return the absolute margin."""
    margins = []
    for (values, gradients), (x, y) in zip(steps, minibatches, strict=True):
        expected, margin = reference_gradients(network, values, connections, x, y)
        assume(margin.relative > _MARGIN)
        margins.append(margin.absolute)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=2e-6, err_msg=name)
    return min(margins)


def expect_updates(training: TrainingSpec, steps: Sequence[tuple[Values, Values]], last: Values) -> None:
    """Give the same gradients to torch's optimizer in float64, and compare the values that it comes to."""
    parameters = {name: torch.tensor(value).double().requires_grad_() for name, value in steps[0][0].items()}
    optimizer = make_reference_optimizer(training, list(parameters.values()))
    for (_, gradients), after in zip(steps, [*(values for values, _ in steps[1:]), last], strict=True):
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[name]).double()
        optimizer.step()
        for name, parameter in parameters.items():
            np.testing.assert_allclose(after[name], parameter.detach().numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(problem=st.sampled_from(get_args(Activation)).flatmap(problems), n=st.integers(1, 300))
def test_every_kernel_evaluates_alike(problem: Problem, n: int) -> None:
    network = problem.network
    x, y = examples(n, network.input_shape, network.classes)
    told = {}
    for kernel in ("dense", "packed", "csr"):
        population = make(network, problem.connections, problem.seeds, kernel=kernel)
        told[kernel] = (population.logits(x), population.evaluate(x, y))
        assert population.kernel == kernel
    for number, connections in enumerate(problem.connections):
        module = network.module().double().eval()
        module.load_state_dict({name: torch.tensor(value) for name, value in population.state(number).items()})
        with torch.no_grad():
            expected = module(torch.tensor(x).double()).numpy()
        best = np.sort(expected, axis=1)
        clear = best[:, -1] - best[:, -2] > 1e-4
        loss = -torch.log_softmax(torch.tensor(expected), dim=1)[np.arange(n), y].mean().item()
        for logits, evaluation in told.values():
            np.testing.assert_allclose(logits[number], expected, rtol=1e-4, atol=1e-5)
            answers = logits[number].argmax(axis=1)
            np.testing.assert_array_equal(answers[clear], expected.argmax(axis=1)[clear])
            assert evaluation.accuracy[number] == (answers == y).mean()
            assert evaluation.loss[number] == pytest.approx(loss, rel=1e-4, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    batch=st.integers(1, 40),
    dropout=st.floats(0.05, 0.9),
    shared=st.booleans(),
)
def test_every_kernel_drops_the_same_activations(hidden: list[int], batch: int, dropout: float, shared: bool) -> None:
    x, y = examples(60, (13,), 3)
    seeds = [Seeds(1, 1, 9 if shared else number) for number in range(3)]
    training = TrainingSpec(optimizer="sgd", learning_rate=0.02, batch=batch, dropout=dropout)
    for kind, kernels in (("mlp", ("dense", "packed", "csr")), ("module", ("dense", "packed"))):
        network = small(kind, "tanh", hidden)
        connections = [random_connections(network, 0.7, number) for number in range(3)]
        populations = [make(network, connections, seeds, training, kernel=kernel) for kernel in kernels]
        for population in populations:
            population.train(x, y, 1)
        expect_equal_states(populations)


@EVERY_KERNEL
def test_a_population_tells_its_connections_and_their_values_in_order(kind: str, kernel: str) -> None:
    network = small(kind)
    connections: list[Connections] = [random_connections(network, 0.3, 0), [None, np.array([4, 9]), np.array([], int)]]
    population = make(network, connections, distinct_seeds(2), kernel=kernel)
    population.train(*examples(30, (13,), 3), 1, gradients="signed")
    for number, own in enumerate(connections):
        for index, (layer, indices) in enumerate(zip(network.layers, own, strict=True)):
            assert (population.connections(number)[index] is None) == (indices is None)
            if indices is not None:
                np.testing.assert_array_equal(population.connections(number)[index], indices)
            values = population.weights(index, number)
            count = layer.size if indices is None else len(indices)
            assert values.shape == population.gradients(index, number).shape == (count,)
            assert population.initial_weights(index, number).shape == (count,)
            whole = expand(network, index, indices, values)
            np.testing.assert_array_equal(whole, population.state(number)[layer.parameter])
