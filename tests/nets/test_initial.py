"""Initial weights are one dense draw for all masks, scaled by the connections that a mask leaves."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from nets_reference import bool_masks, dense, examples, make, random_connections
from torch import nn

from evosparse.nets import (
    InitialisationSpec,
    Network,
    NetworkSpec,
    Seeds,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.initial import _BLOCK, initial_weights
from evosparse.nets.randomness import Purpose, generator

SCHEMES = ["he_normal", "he_uniform", "glorot_normal", "module"]
SAME = Seeds(weights=2**63 + 5, order=0, noise=0)


def both_networks() -> list[Network]:
    return [multilayer_perceptron((50,), 3, (40, 30)), build(NetworkSpec(name="lenet5"), (16, 16), 3)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
def test_the_same_seed_gives_the_same_weights_to_all_masks_and_kernels(kernel: str, scheme: str) -> None:
    for network in both_networks()[: 1 if kernel == "csr" else 2]:
        connections = [random_connections(network, density, i) for i, density in enumerate((0.1, 0.5, 1.0))]
        plain = InitialisationSpec(weights=scheme, mask_aware=False)
        population = make(network, connections, [SAME] * 3, initialisation=plain, kernel=kernel)
        alone = make(network, connections[:1], [SAME], initialisation=plain, kernel="dense")
        for index, name in enumerate(bool_masks(network, connections[0])):
            weights = dense(population, "weights", index)
            assert weights[2].all()
            for number, own in enumerate(connections):
                np.testing.assert_array_equal(weights[number], weights[2] * bool_masks(network, own)[name])
                np.testing.assert_array_equal(
                    population.initial_weights(index, number), population.weights(index, number)
                )
            np.testing.assert_array_equal(alone.weights(index, 0), population.weights(index, 0))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_other_seeds_and_other_layers_give_other_weights(scheme: str) -> None:
    network = multilayer_perceptron((30,), 30, (30, 30))
    population = make(network, [[None] * 3] * 2, initialisation=InitialisationSpec(weights=scheme))
    draws = [population.weights(layer, number) for layer in range(3) for number in range(2)]
    correlations = np.corrcoef(draws) - np.eye(6)
    assert np.abs(correlations).max() < 0.2  # 900 weights: chance gives .03


def expected_variance(network: Network, index: int, mask: np.ndarray, scheme: str, aware: bool) -> np.ndarray:
    """Return the variance of the weights of each output unit or channel."""
    shape = network.layers[index].shape
    fan_in = mask.reshape(shape[0], -1).sum(axis=1) if aware else np.full(shape[0], np.prod(shape[1:]))
    fan_out = mask.sum() / shape[1] if aware else shape[0] * np.prod(shape[2:])
    match scheme:
        case "glorot_normal":
            return 2 / (fan_in + fan_out)
        case "module":  # uniform within 1 / sqrt(dense fan_in), times sqrt(dense fan_in / fan_in)
            return 1 / (3 * fan_in)
        case _:
            return 2 / fan_in


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_variance_is_that_of_the_scheme_with_the_fans_of_the_mask(scheme: str, aware: bool) -> None:
    for network in both_networks():
        # Half of the units get fewer connections than the other half.
        connections = []
        for layer in network.layers:
            rows = np.arange(layer.size) // layer.fan_in
            kept = np.random.default_rng(3).random(layer.size) < np.where(rows % 2, 0.2, 0.7)
            connections.append(np.flatnonzero(kept))
        seeds = [Seeds(weights, 0, 0) for weights in range(60)]
        spec = InitialisationSpec(weights=scheme, mask_aware=aware)
        population = make(network, [connections] * 60, seeds, initialisation=spec)
        for index, mask in enumerate(bool_masks(network, connections).values()):
            expected = expected_variance(network, index, mask, scheme, aware)
            weights = dense(population, "weights", index).reshape(60, mask.shape[0], -1)
            counts = 60 * mask.reshape(mask.shape[0], -1).sum(axis=1)
            variance = (weights.astype(np.float64) ** 2).sum(axis=(0, 2)) / counts
            ratio = (variance / expected - 1) * np.sqrt(counts)  # of deviation sqrt(2) for normal weights
            assert np.abs(ratio).max() < 5 * np.sqrt(2)
            assert abs(np.average(variance / expected, weights=counts) - 1) < 5 * np.sqrt(2 / counts.sum())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
def test_units_without_a_connection_have_zeros_and_disturb_nothing(kernel: str, scheme: str) -> None:
    network = multilayer_perceptron((20,), 3, (10,))
    empty = np.array([], np.int64)
    connections = [[np.arange(20), empty], [empty, empty]]
    population = make(network, connections, initialisation=InitialisationSpec(weights=scheme), kernel=kernel)
    weights = dense(population, "weights", 0)
    assert np.isfinite(weights).all() and weights[0, 0].all() and not weights[0, 1:].any() and not weights[1].any()
    x, y = examples(40, (20,), 3)
    population.train(x, y, 2)
    assert np.isfinite(population.loss(x, y)).all()


@pytest.mark.parametrize("scheme", ["he_normal", "he_uniform"])
@pytest.mark.parametrize("aware", [True, False])
def test_layers_larger_than_a_block_are_one_draw_all_the_same(scheme: str, aware: bool) -> None:
    network = multilayer_perceptron((1000,), 1100, ())
    size = network.layers[0].size
    assert size > _BLOCK
    rng = generator(7, Purpose.WEIGHTS, 0)
    if scheme == "he_normal":
        draw = rng.standard_normal(size, np.float32)
    else:
        draw = (2 * rng.random(size, np.float32) - 1) * np.float32(np.sqrt(3))
    chance = np.random.default_rng(0)
    connections = [
        None,
        np.arange(size),
        np.flatnonzero(chance.random(size) < 0.01).astype(np.int32),  # as masks tell them
        np.array([_BLOCK - 1, _BLOCK, size - 1]),  # on both sides of where the blocks meet
        np.array([_BLOCK]),
        np.arange(_BLOCK - 1000, _BLOCK),
        np.array([], np.int32),
    ]
    spec = InitialisationSpec(weights=scheme, mask_aware=aware)
    seen = dict(initial_weights(network, 0, connections, [7] * len(connections), spec))
    for number, indices in enumerate(connections):
        own = np.arange(size) if indices is None else indices
        fan_in = np.bincount(own // 1000, minlength=1100)[own // 1000] if aware else np.array(1000)
        np.testing.assert_array_equal(seen[number], draw[own] * np.sqrt(2 / fan_in).astype(np.float32))


class Scaled(nn.Module):
    """Norms, a scale of its own, an embedding-like table: what is no maskable weight and no bias of one."""

    def __init__(self, seed_free: float) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.norm = nn.LayerNorm(5)
        self.table = nn.Parameter(torch.randn(5, 3))
        self.scale = nn.Parameter(torch.tensor(seed_free))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.norm(self.first(x)) @ self.table


def test_other_parameters_start_as_their_module_says_and_biases_at_zero() -> None:
    network = inspect_module(partial(Scaled, 2.5), (6,), 3, "Scaled")
    assert set(network.unmasked) == {"first.bias", "norm.weight", "norm.bias", "table", "scale"}
    seeds = [Seeds(1, 0, 0), Seeds(2, 0, 0), Seeds(1, 0, 0)]
    before = torch.get_rng_state()
    states = [make(network, [[None]] * 3, seeds).state(number) for number in range(3)]
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was moved"
    for state in states:
        assert not state["first.bias"].any() and (state["norm.weight"] == 1).all() and state["scale"] == 2.5
    np.testing.assert_array_equal(states[0]["table"], states[2]["table"])
    assert (states[0]["table"] != states[1]["table"]).all()
    own = make(network, [[None]] * 3, seeds, initialisation=InitialisationSpec(weights="module")).state(0)
    module = network.module(1)
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(own[name], value.numpy())
    assert own["first.bias"].all()


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_very_sparse_networks_learn_only_when_the_scale_knows_the_mask(kernel: str) -> None:
    network = build(NetworkSpec(name="lenet300"), (784,), 10)
    x, y = examples(600, (784,), 10)
    x -= x.mean()
    connections = [random_connections(network, 0.02, i) for i in range(3)]
    training = TrainingSpec(optimizer="sgd", learning_rate=0.05, momentum=0.9, batch=50)
    accuracies = {}
    for aware in (True, False):
        spec = InitialisationSpec(mask_aware=aware)
        population = make(network, connections, training=training, initialisation=spec, kernel=kernel)
        population.train(x, y, 8)
        accuracies[aware] = population.accuracy(x, y)
    assert accuracies[False].mean() < 0.2, "expected to stay at chance, one in ten"
    assert accuracies[True].min() > 0.4
