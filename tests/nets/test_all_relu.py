"""All-ReLU: the sign below zero changes from layer to layer, under every kernel and from a campaign file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets_reference import examples, expect_equal_states, make, random_connections
from pydantic import ValidationError

from evosparse.nets import NetworkSpec, build, multilayer_perceptron
from evosparse.nets.modules import hidden_activations


def test_values_and_derivatives_at_one_below_and_above_zero_per_parity() -> None:
    """SE5: the input is layer 1, so the first hidden layer is even, and f(-1) = +a there."""
    for layer, function in enumerate(hidden_activations("all_relu", 4, 0.75), start=2):
        x = torch.tensor([-1.0, 1.0], requires_grad=True)
        y = function(x)
        y.sum().backward()
        sign = -1 if layer % 2 == 0 else 1
        assert y.tolist() == [-sign * 0.75, 1.0]
        assert x.grad.tolist() == [sign * 0.75, 1.0]


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
def test_kernels_compute_what_the_formula_says(kernel: str) -> None:
    network = multilayer_perceptron((13,), 3, (11, 9, 7), "all_relu", 0.5)
    connections = random_connections(network, 0.4, 0)
    population = make(network, [connections], kernel=kernel)
    x, y = examples(37, (13,), 3)
    population.train(x, y, 2)
    state = population.state(0)
    hidden = x.astype(np.float64)
    for layer, own in enumerate(network.layers, start=2):
        hidden = hidden @ state[own.parameter].T + state[f"{own.name}.bias"]
        if own.name != "output":
            hidden = np.where(hidden > 0, hidden, (-0.5 if layer % 2 == 0 else 0.5) * hidden)
    np.testing.assert_allclose(population.logits(x)[0], hidden, atol=1e-5)
    module = network.module()
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    np.testing.assert_allclose(module(torch.tensor(x)).detach(), hidden, atol=1e-5)


def test_sparse_and_dense_kernels_train_alike() -> None:
    network = multilayer_perceptron((13,), 3, (11, 9, 7), "all_relu", 0.6)
    connections = [random_connections(network, 0.4, seed) for seed in range(2)]
    populations = [make(network, connections, kernel=kernel) for kernel in ("dense", "packed")]
    for population in populations:
        population.train(*examples(37, (13,), 3), 3)
    expect_equal_states(populations)


def test_campaign_files_name_it() -> None:
    spec = NetworkSpec.model_validate({"name": "mlp", "hidden": [5, 4], "activation": "all_relu", "slope": 0.25})
    module = build(spec, (3,), 2).module()
    assert [module.activation1.negative_slope, module.activation2.negative_slope] == [-0.25, 0.25]
    default = build(NetworkSpec(name="lenet300", activation="all_relu"), (3,), 2).module()
    assert default.activation1.negative_slope == -0.6


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "lenet5", "activation": "all_relu"}, "multilayer perceptrons alone"),
        ({"name": "mlp", "slope": 0.5}, "slope is that of activation: all_relu"),
        ({"name": "mlp", "activation": "all_relu", "slope": -1}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_fit_is_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkSpec.model_validate(section)
