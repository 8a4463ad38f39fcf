"""Weights that do not exist have no value, no gradient and no optimizer state, whatever the optimizer does."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from nets_reference import bool_masks, examples, make, random_connections

from evosparse.nets import Network, Population, TrainingSpec, inspect_module, multilayer_perceptron
from evosparse.nets.modules import perceptron

OPTIMIZERS = {
    "momentum and weight decay": TrainingSpec(optimizer="sgd", momentum=0.9, weight_decay=0.01, batch=16),
    "nesterov": TrainingSpec(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.01, batch=16),
    "adam": TrainingSpec(optimizer="adam", weight_decay=0.01, batch=16),
}


@pytest.fixture(params=["mlp", "module"])
def network(request: pytest.FixtureRequest) -> Network:
    # Sigmoid: its units that are only padding answer 0.5, and must not be heard all the same.
    if request.param == "mlp":
        return multilayer_perceptron((13,), 3, (11, 7), "sigmoid")
    return inspect_module(partial(perceptron, (13, 11, 7, 3), "sigmoid"), (13,), 3, "perceptron")


def expect_nothing_off_mask(population: Population, connections: list[list[np.ndarray]], trained: bool = True) -> None:
    """Look at the values, gradients and moments behind the public surface, padding included."""
    for index, stack in enumerate(population._layers):
        masks = np.stack([list(bool_masks(population.network, own).values())[index] for own in connections])
        np.testing.assert_array_equal(population.weights(index)[~masks], 0)
        outside = torch.ones(stack.values.shape, dtype=torch.bool)
        stack.window(outside)[torch.from_numpy(masks)] = False
        state = population._optimizer.state[stack.values].values()
        moments = [value for value in state if value.shape == stack.values.shape]
        assert len(moments) == trained * (2 if population._training.optimizer == "adam" else 1)
        for tensor in (stack.values.detach(), stack.values.grad, *moments):
            # As integers, so that NaN and negative zero count as something.
            assert not tensor.view(torch.int32)[outside].any()
            assert not trained or tensor[~outside].any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_off_mask_all_is_exactly_zero(network: Network, optimizer: str) -> None:
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, density, i) for i, density in enumerate((0.2, 0.6))]
    population = make(network, connections, training=OPTIMIZERS[optimizer])
    expect_nothing_off_mask(population, connections, trained=False)
    population.train(x, y, 2)
    expect_nothing_off_mask(population, connections)
    fewer = [[indices[::2] for indices in own] for own in connections]
    population.cut(fewer)
    expect_nothing_off_mask(population, fewer)
    population.train(x, y, 2)
    expect_nothing_off_mask(population, fewer)


def test_off_mask_all_is_zero_even_when_training_diverges(network: Network) -> None:
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, 0.4, i) for i in range(2)]
    population = make(network, connections, training=OPTIMIZERS["adam"])
    population.train(np.where(np.arange(50)[:, None] == 7, np.nan, x), y, 3)
    assert np.isnan(population.accuracy(x, y)).all()
    expect_nothing_off_mask(population, connections)


def test_a_cut_keeps_the_other_values_and_moments(network: Network) -> None:
    x, y = examples(50, (13,), 3)
    connections = [random_connections(network, 0.5, i) for i in range(2)]
    population = make(network, connections)
    population.train(x, y, 1)
    moments = [population._optimizer.state[stack.values]["exp_avg"].clone() for stack in population._layers]
    before = [population.weights(layer) for layer in range(3)]
    fewer = [[indices[1::3] for indices in own] for own in connections]
    population.cut(fewer)
    for index, stack in enumerate(population._layers):
        masks = np.stack([list(bool_masks(network, own).values())[index] for own in fewer])
        np.testing.assert_array_equal(population.weights(index), before[index] * masks)
        kept = stack.window(population._optimizer.state[stack.values]["exp_avg"]).numpy()
        np.testing.assert_array_equal(kept, stack.window(moments[index]).numpy() * masks)


def test_a_cut_that_adds_connections_is_refused_and_changes_nothing(network: Network) -> None:
    connections = [random_connections(network, 0.3, 0)]
    population = make(network, connections)
    before = [population.weights(layer) for layer in range(3)]
    with pytest.raises(ValueError, match="can only remove"):
        population.cut([[connections[0][0][:5], None, connections[0][2]]])
    for layer in range(3):
        np.testing.assert_array_equal(population.weights(layer), before[layer])


def test_frozen_weights_keep_their_initial_value_and_are_not_trained(network: Network) -> None:
    x, y = examples(50, (13,), 3)
    connections = [[None, None, None], random_connections(network, 0.8, 1)]
    population = make(network, connections, training=OPTIMIZERS["momentum and weight decay"])
    population.train(x, y, 1)
    fewer = [random_connections(network, 0.5, 2), [indices[::2] for indices in connections[1]]]
    population.cut(fewer, freeze=True)
    population.train(x, y, 1)
    fewest = [[indices[::2] for indices in own] for own in fewer]
    population.cut(fewest, freeze=True)
    population.train(x, y, 2)
    for index in range(3):
        existed = np.stack([list(bool_masks(network, own).values())[index] for own in connections])
        kept = np.stack([list(bool_masks(network, own).values())[index] for own in fewest])
        weights, initial = population.weights(index), population.initial_weights(index)
        np.testing.assert_array_equal(weights[existed & ~kept], initial[existed & ~kept])
        assert (weights[existed & ~kept] != 0).all()
        np.testing.assert_array_equal(weights[~existed], 0)
        assert (weights[kept] != initial[kept]).mean() > 0.9
    module = network.module()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in population.state(0).items()})
    with torch.no_grad():
        np.testing.assert_allclose(population.logits(x)[0], module(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)
