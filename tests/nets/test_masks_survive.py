"""Weights that do not exist have no value, no gradient and no optimizer state, whatever the optimizer does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets_reference import EVERY_KERNEL, bool_masks, dense, examples, expand, make, random_connections, small

from evosparse.nets import Layer, Population, TrainingSpec
from evosparse.nets.kernel import padded
from evosparse.nets.stack import PackedStack

OPTIMIZERS = {
    "momentum and weight decay": TrainingSpec(optimizer="sgd", momentum=0.9, weight_decay=0.01, batch=16),
    "nesterov": TrainingSpec(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.01, batch=16),
    "adam": TrainingSpec(optimizer="adam", weight_decay=0.01, batch=16),
}


# Sigmoid: its units that are only padding answer 0.5, and must not be heard all the same.
ACTIVATION = "sigmoid"


def expect_nothing_off_mask(
    population: Population, connections: list[list[np.ndarray]], trained: bool = True, stepped: bool = True
) -> None:
    """Look at the values, gradients and moments behind the public surface, padding included.

    Args:
        trained: whether there are moments.
        stepped: whether there are gradients: none, until the next step, after a cut that makes a new kernel.
    """
    for index, stack in enumerate(population._layers):
        outside = torch.ones(stack.values.shape, dtype=torch.bool)
        if isinstance(stack, PackedStack):
            # There is no more room than for the connections of each network, rounded up.
            assert stack.values.shape == (sum(padded(len(own[index])) for own in connections),)
            start = 0
            for own in connections:
                outside[start : start + len(own[index])] = False
                start += padded(len(own[index]))
        else:
            masks = np.stack([list(bool_masks(population.network, own).values())[index] for own in connections])
            stack.window(outside)[torch.from_numpy(masks)] = False
        assert (~outside).sum() == sum(len(own[index]) for own in connections)
        for number, own in enumerate(connections):
            assert population.weights(index, number).shape == own[index].shape
            values = expand(population.network, index, own[index], population.weights(index, number))
            whole = population.state(number)[population.network.layers[index].parameter]
            np.testing.assert_array_equal(whole, values)
        state = population._optimizer.state[stack.values].values()
        moments = [value for value in state if value.shape == stack.values.shape]
        assert len(moments) == trained * (2 if population._training.optimizer == "adam" else 1)
        assert stack.values.grad.shape == stack.values.shape
        for tensor in (stack.values.detach(), stack.values.grad, *moments):
            # As integers, so that NaN and negative zero count as something.
            assert not tensor.view(torch.int32)[outside].any()
            assert not trained or (tensor is stack.values.grad and not stepped) or tensor[~outside].any()


@EVERY_KERNEL
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_off_mask_all_is_exactly_zero(optimizer: str, kind: str, kernel: str) -> None:
    network = small(kind, ACTIVATION)
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, density, i) for i, density in enumerate((0.2, 0.6))]
    population = make(network, connections, training=OPTIMIZERS[optimizer], kernel=kernel)
    expect_nothing_off_mask(population, connections, trained=False)
    population.train(x, y, 2)
    expect_nothing_off_mask(population, connections)
    fewer = [[indices[::2] for indices in own] for own in connections]
    population.cut(fewer, kernel=kernel)
    expect_nothing_off_mask(population, fewer, stepped=kernel == "dense")
    population.train(x, y, 2)
    expect_nothing_off_mask(population, fewer)


@EVERY_KERNEL
def test_off_mask_all_is_zero_even_when_training_diverges(kind: str, kernel: str) -> None:
    network = small(kind, ACTIVATION)
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, 0.4, i) for i in range(2)]
    population = make(network, connections, training=OPTIMIZERS["adam"], kernel=kernel)
    population.train(np.where(np.arange(50)[:, None] == 7, np.nan, x), y, 3)
    assert np.isnan(population.accuracy(x, y)).all()
    expect_nothing_off_mask(population, connections)


@EVERY_KERNEL
def test_a_cut_keeps_the_other_values_and_moments(kind: str, kernel: str) -> None:
    network = small(kind, ACTIVATION)
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, 0.5, i) for i in range(2)]
    population = make(network, connections, kernel=kernel)
    population.train(x, y, 1)

    def moments() -> list[np.ndarray]:
        states = [(stack, population._optimizer.state[stack.values]["exp_avg"]) for stack in population._layers]
        return [np.stack([stack.expand(moment, i).numpy() for i in range(2)]) for stack, moment in states]

    before, moments_before = [dense(population, "weights", layer) for layer in range(3)], moments()
    fewer = [[indices[1::3] for indices in own] for own in connections]
    population.cut(fewer, kernel=kernel)
    for index, kept in enumerate(moments()):
        masks = np.stack([list(bool_masks(network, own).values())[index] for own in fewer])
        np.testing.assert_array_equal(dense(population, "weights", index), before[index] * masks)
        np.testing.assert_array_equal(kept, moments_before[index] * masks)
        assert kept.any()


@EVERY_KERNEL
def test_a_cut_that_adds_connections_is_refused_and_changes_nothing(kind: str, kernel: str) -> None:
    network = small(kind, ACTIVATION)
    connections = [random_connections(network, 0.3, 0)]
    population = make(network, connections, kernel=kernel)
    before = [population.weights(layer, 0) for layer in range(3)]
    with pytest.raises(ValueError, match="can only remove"):
        population.cut([[connections[0][0][:5], None, connections[0][2]]], kernel=kernel)
    for layer in range(3):
        np.testing.assert_array_equal(population.connections(0)[layer], connections[0][layer])
        np.testing.assert_array_equal(population.weights(layer, 0), before[layer])


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_frozen_weights_keep_their_initial_value_and_are_not_trained(kind: str) -> None:
    network = small(kind, ACTIVATION)
    x, y = examples(50, (13,), 3)
    connections = [[None, None, None], random_connections(network, 0.8, 1)]
    training = OPTIMIZERS["momentum and weight decay"]
    population = make(network, connections, training=training, kernel="dense")
    everything = [dense(population, "initial_weights", index) for index in range(3)]
    population.train(x, y, 1)
    fewer = [random_connections(network, 0.5, 2), [indices[::2] for indices in connections[1]]]
    population.cut(fewer, freeze=True)
    population.train(x, y, 1)
    fewest = [[indices[::2] for indices in own] for own in fewer]
    population.cut(fewest, freeze=True)
    population.train(x, y, 2)
    assert population.kernel == "dense"
    for index, initial in enumerate(everything):
        existed = np.stack([list(bool_masks(network, own).values())[index] for own in connections])
        kept = np.stack([list(bool_masks(network, own).values())[index] for own in fewest])
        weights = np.stack([population.state(number)[network.layers[index].parameter] for number in range(2)])
        np.testing.assert_array_equal(weights[existed & ~kept], initial[existed & ~kept])
        assert (weights[existed & ~kept] != 0).all()
        np.testing.assert_array_equal(weights[~existed], 0)
        assert (weights[kept] != initial[kept]).mean() > 0.9
        np.testing.assert_array_equal(dense(population, "weights", index), weights * kept)
        np.testing.assert_array_equal(dense(population, "initial_weights", index), initial * kept)
    module = network.module()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in population.state(0).items()})
    with torch.no_grad():
        np.testing.assert_allclose(population.logits(x)[0], module(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_frozen_weights_stay_when_more_is_cut_without_freezing(kind: str) -> None:
    # So few stay that `auto` would train them packed, which has no place for what is frozen.
    network = small(kind, ACTIVATION)
    population = make(network, [[None] * 3], kernel="dense")
    first = random_connections(network, 0.2, 0)
    population.cut([first], freeze=True)
    frozen = [population.state(0)[layer.parameter] * ~mask for layer, mask in masked(population, first)]
    second = [indices[::2] for indices in first]
    population.cut([second])
    for (layer, mask), constant in zip(masked(population, first), frozen, strict=True):
        assert constant.any()
        np.testing.assert_array_equal(population.state(0)[layer.parameter] * ~mask, constant)


def masked(population: Population, connections: list[np.ndarray]) -> list[tuple[Layer, np.ndarray]]:
    """Return each layer with its mask."""
    return list(zip(population.network.layers, bool_masks(population.network, connections).values(), strict=True))
