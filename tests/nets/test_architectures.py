"""Networks tell their layers, fans and costs truly, and build modules that fit."""

from __future__ import annotations

import pickle
from typing import get_args

import numpy as np
import pytest
import torch
from nets_reference import random_connections
from torch import nn

from evosparse.nets import Layer, Network, NetworkSpec, build, inspect_module, multilayer_perceptron
from evosparse.nets.geometry import Geometry
from evosparse.nets.modules import Activation, activation_module


def networks() -> list[Network]:
    return [
        multilayer_perceptron((3, 4), 5, (7, 6), "gelu"),
        build(NetworkSpec(name="lenet5"), (28, 28), 10),
        build(NetworkSpec(name="lenet5"), (3, 16, 20), 4),
    ]


def test_layers_know_their_fans() -> None:
    convolution = Layer("c", (20, 3, 5, 4))
    assert (convolution.size, convolution.fan_in, convolution.fan_out) == (1200, 60, 400)
    linear = Layer("l", (7, 3))
    assert (linear.size, linear.fan_in, linear.fan_out, linear.parameter) == (21, 3, 7, "l.weight")


def test_lenets_have_the_weights_of_the_literature() -> None:
    assert sum(layer.size for layer in build(NetworkSpec(name="lenet300"), (784,), 10).layers) == 266_200
    assert sum(layer.size for layer in build(NetworkSpec(name="lenet5"), (1, 28, 28), 10).layers) == 430_500


def test_networks_name_every_parameter_of_their_module() -> None:
    for network in networks():
        shapes = {layer.parameter: layer.shape for layer in network.layers} | dict(network.unmasked)
        module = network.module()
        assert shapes == {name: tuple(value.shape) for name, value in module.named_parameters()}
        assert module(torch.zeros(2, *network.input_shape)).shape == (2, network.classes)


def test_a_module_is_that_of_its_seed() -> None:
    for network in networks():
        first, same, other = (network.module(seed).state_dict() for seed in (1, 1, 2))
        name = network.layers[0].parameter
        assert torch.equal(first[name], same[name]) and not torch.equal(first[name], other[name])


def test_multiply_adds_are_those_at_the_existing_weights() -> None:
    perceptron, lenet, _ = networks()
    assert perceptron.multiply_adds([None] * 3) == 12 * 7 + 7 * 6 + 6 * 5
    assert perceptron.multiply_adds([np.arange(3), np.arange(0), None]) == 3 + 30
    # 28x28 gives 24x24 and, halved, 8x8 positions of the two convolutions.
    assert lenet.multiply_adds([None] * 4) == 576 * 500 + 64 * 25_000 + 400_000 + 5_000
    connections = random_connections(lenet, 0.01, 0)
    assert lenet.multiply_adds(connections) == sum(
        count * len(own) for count, own in zip((576, 64, 1, 1), connections, strict=True)
    )


def test_a_layer_that_is_used_twice_costs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.inner(self.inner(x)))

    assert inspect_module(Twice, (4,), 2, "Twice").multiply_adds([None, None]) == 2 * 16 + 8


def test_networks_travel_between_processes() -> None:
    for network in networks():
        copy = pickle.loads(pickle.dumps(network))
        assert copy.layers == network.layers and type(copy) is type(network)
        copy.module()
        expect_same_steps(copy, network)


def test_a_perceptron_has_the_steps_of_the_module_that_it_builds() -> None:
    for hidden in ((), (7,), (7, 6)):
        for activation in ("relu", "gelu"):
            network = multilayer_perceptron((3, 4), 5, hidden, activation)
            expect_same_steps(inspect_module(network.build, (3, 4), 5, "perceptron"), network)
            assert network.activations == 2 * (sum(hidden) + 5)


def expect_same_steps(first: Network, second: Network) -> None:
    """Compare two plans, number by number."""
    assert first.plan and second.plan
    for one, other in zip(first.plan, second.plan, strict=True):
        assert type(one) is type(other)
        for name, value in vars(one).items():
            expected = getattr(other, name)
            match value:
                case nn.Module():
                    assert type(value) is type(expected)
                case Geometry():
                    for field, held in vars(value).items():
                        np.testing.assert_array_equal(held, getattr(expected, field))
                case _:
                    assert value == expected


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_activation_has_a_module(name: Activation) -> None:
    assert activation_module(name)(torch.linspace(-1, 1, 5)).shape == (5,)
