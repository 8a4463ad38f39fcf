"""What a loss says of weights, against autograd on plain modules, an explicit Hessian, and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets_reference import examples, make, random_connections, small
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from evosparse.nets import Network, NetworkSpec, Seeds, build, inspect_module, multilayer_perceptron
from evosparse.nets.sensitivity import gradient_flow, gradients, synaptic_flow

X, Y = examples(21, (13,), 3)


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def network_of(kind: str) -> Network:
    return inspect_module(normalised, (13,), 3, "normalised") if kind == "normalised" else small(kind)


def state_of(network: Network) -> dict[str, np.ndarray]:
    population = make(network, [random_connections(network, 0.5, 0)], [Seeds(1, 2, 3)])
    population.train(X, Y, 1)
    return population.state(0)


def loaded(network: Network, state: dict[str, np.ndarray]) -> nn.Module:
    module = network.module().eval()
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return module


@pytest.mark.parametrize("kind", ["mlp", "module", "normalised"])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_autograds_at_all_positions(kind: str, training: bool) -> None:
    network = network_of(kind)
    state = state_of(network)
    module = loaded(network, state).train(training)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    cross_entropy(module(torch.tensor(X)), torch.tensor(Y)).backward()
    unchanged = {name: value.copy() for name, value in state.items()}
    told = gradients(network, state, X, Y, training=training)
    for layer, own in zip(network.layers, told, strict=True):
        expected = module.get_parameter(layer.parameter).grad.numpy().reshape(-1)
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-7)
        absent = state[layer.parameter].reshape(-1) == 0
        assert absent.any() and own[absent].any()  # dense: where no weight exists, too
    for name, value in state.items():
        np.testing.assert_array_equal(value, unchanged[name])


def test_gradients_of_a_squared_error() -> None:
    network = small("mlp")
    state, values = state_of(network), np.random.default_rng(0).random((21, 3)).astype(np.float32)
    module = loaded(network, state)
    (0.5 * (module(torch.tensor(X)) - torch.tensor(values)).square().sum(dim=1).mean()).backward()
    for layer, own in zip(network.layers, gradients(network, state, X, values, "squared_error"), strict=True):
        expected = module.get_parameter(layer.parameter).grad.numpy().reshape(-1)
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_gradient_flow_is_the_hessian_times_the_gradient(temperature: float) -> None:
    network = multilayer_perceptron((4,), 3, (5,), "tanh")
    state = make(network, [[None] * 2], [Seeds(1, 2, 3)]).state(0)
    x, y = torch.tensor(X[:, :4]).double(), torch.tensor(Y)
    module = network.module().double()
    names = [layer.parameter for layer in network.layers]
    sizes = [layer.size for layer in network.layers]
    rest = {name: torch.tensor(value).double() for name, value in state.items() if name not in names}

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = torch.split(flat, sizes)
        weights = {layer.parameter: part.view(layer.shape) for layer, part in zip(network.layers, parts, strict=True)}
        return cross_entropy(functional_call(module, {**rest, **weights}, (x,)) / temperature, y)

    flat = torch.cat([torch.tensor(state[name]).double().reshape(-1) for name in names])
    hessian, gradient = torch.func.hessian(loss)(flat), torch.func.grad(loss)(flat)
    expected = (hessian @ gradient).numpy()
    told = np.concatenate(gradient_flow(network, state, X[:, :4].copy(), Y, temperature=temperature))
    np.testing.assert_allclose(told, expected, rtol=2e-3, atol=2e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0


def test_synaptic_flow_is_the_sum_over_all_paths() -> None:
    """dR/dw_ij of a perceptron without biases: what flows in from ones, times what flows out, at magnitudes."""
    network = small("mlp")
    state = {name: value if value.ndim > 1 else np.zeros_like(value) for name, value in state_of(network).items()}
    first, second, third = (np.abs(state[layer.parameter]).astype(np.float64) for layer in network.layers)
    ones = np.ones(13)
    after = [ones, first @ ones, second @ (first @ ones)]
    back = [np.ones(3) @ third @ second, np.ones(3) @ third, np.ones(3)]
    told = synaptic_flow(network, state)
    for own, inputs, outputs in zip(told, after, back, strict=True):
        assert own.dtype == np.float64
        np.testing.assert_allclose(own, np.outer(outputs, inputs).reshape(-1), rtol=1e-12)
    # What a layer's weights carry in all is the same for every layer: R itself (Tanaka et al., theorem 2).
    carried = [(own * np.abs(state[layer.parameter]).reshape(-1)).sum() for own, layer in zip(told, network.layers, strict=True)]
    np.testing.assert_allclose(carried, carried[0], rtol=1e-12)


def test_synaptic_flow_of_convolutions_is_autograds() -> None:
    network = build(NetworkSpec(name="lenet5"), (1, 16, 16), 3)
    state = make(network, [random_connections(network, 0.5, 0)], [Seeds(1, 2, 3)]).state(0)
    module = network.module().double().eval()
    module.load_state_dict({name: torch.tensor(np.abs(value)).double() for name, value in state.items()})
    module(torch.ones(1, *network.input_shape, dtype=torch.float64)).sum().backward()
    for layer, own in zip(network.layers, synaptic_flow(network, state), strict=True):
        np.testing.assert_allclose(own, module.get_parameter(layer.parameter).grad.numpy().reshape(-1), rtol=1e-10)
