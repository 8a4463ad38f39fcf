"""A sparse network without its dead units is smaller and answers as before."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sparsify_registry import DATA, NETWORK
from torch import nn

import evosparse
from evosparse.errors import SpecError
from evosparse.nets import Network, NetworkSpec, build, inspect_module, multilayer_perceptron
from evosparse.sparsify.alive import alive_units
from evosparse.sparsify.compact import compact
from evosparse.sparsify.fitness import module_of


def padded(shape: Sequence[int], classes: int) -> nn.Module:
    """A convolution that is padded reads a constant unit differently at the border."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, padding=1), nn.Sigmoid(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Sequential(nn.Linear(5 * 16, 9, bias=False), nn.GELU()), nn.Linear(9, classes, bias=False),
    )  # fmt: skip


def networks() -> dict[str, Callable[[], Network]]:
    return {
        "relu": partial(multilayer_perceptron, (13,), 3, (11, 7)),
        "sigmoid": partial(multilayer_perceptron, (13,), 3, (11, 7, 5), "sigmoid"),
        "all_relu": partial(multilayer_perceptron, (13,), 3, (6, 5, 4), "all_relu"),
        "lenet5": lambda: build(NetworkSpec(name="lenet5"), (16, 16), 4),
        "cnn": lambda: build(NetworkSpec(name="cnn", activation="softplus"), (10, 10), 4),
        "padded": lambda: inspect_module(partial(padded, (1, 8, 8), 3), (1, 8, 8), 3, "padded"),
    }


def sparse(network: Network, density: float, seed: int, dead: float = 0.0) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return random connections and a state, with a share of the units of each hidden layer made dead."""
    rng, state, places = np.random.default_rng(seed), {}, []
    for name, value in network.module(seed).state_dict().items():
        state[name] = rng.standard_normal(value.shape).astype(np.float32) * (0.3 if value.ndim > 1 else 1)
    for index, layer in enumerate(network.layers):
        mask = rng.random(layer.shape) < density
        if index < len(network.layers) - 1:
            mask[rng.random(layer.shape[0]) < dead] = False
        state[layer.parameter] *= mask
        places.append(np.flatnonzero(mask))
    return places, state


def answers(module: nn.Module, network: Network, count: int = 20) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(np.random.default_rng(0).standard_normal((count, *network.input_shape)).astype(np.float32))).numpy()


@pytest.mark.parametrize("name", networks())
@settings(max_examples=12, deadline=None)
@given(density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]), dead=st.sampled_from([0.0, 0.4, 0.9, 1.0]), seed=st.integers(0, 99))
def test_answers_are_those_of_the_masked_network(name: str, density: float, dead: float, seed: int) -> None:
    network = networks()[name]()
    places, state = sparse(network, density, seed, dead)
    smaller = compact(network, places, state)
    np.testing.assert_allclose(
        answers(smaller.module, network), answers(module_of(network, state), network), rtol=2e-4, atol=2e-5
    )
    assert all(own <= layer.shape[0] for own, layer in zip(smaller.widths, network.layers, strict=False))


@given(density=st.sampled_from([0.02, 0.1, 0.3]), seed=st.integers(0, 99))
def test_what_is_left_of_a_perceptron_are_its_alive_units(density: float, seed: int) -> None:
    places, state = sparse(NETWORK, density, seed, 0.3)
    alive = alive_units(NETWORK.layers, places)[1:-1]
    assert compact(NETWORK, places, state).widths == tuple(max(1, int(own.sum())) for own in alive)


def test_a_constant_unit_before_a_padded_layer_stays() -> None:
    network = networks()["padded"]()
    places, state = sparse(network, 1.0, 0)
    state["0.weight"][2] = 0
    places[0] = np.flatnonzero(state["0.weight"])
    assert compact(network, places, state).widths == (4, 5, 9)
    state["2.weight"][1] = 0
    places[1] = np.flatnonzero(state["2.weight"])
    assert compact(network, places, state).widths == (4, 4, 9)  # before a linear layer it can go


def test_a_network_of_another_form_is_refused() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(x + self.one(x))

    network = inspect_module(Skip, (5,), 2, "Skip")
    with pytest.raises(SpecError, match="compact: expected a chain of layers"):
        compact(network, [None, None], dict(network.module_values([0]).__next__()))


@pytest.mark.parametrize("name", networks())
def test_the_python_source_builds_the_same_network(name: str, tmp_path: Path) -> None:
    network = networks()[name]()
    smaller = compact(network, *sparse(network, 0.2, 3, 0.3))
    save_file(smaller.module.state_dict(), tmp_path / "small.safetensors")
    (tmp_path / "small.py").write_text(smaller.to_python("small.safetensors"))
    spec = importlib.util.spec_from_file_location("small", tmp_path / "small.py")
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    np.testing.assert_array_equal(answers(own.network(), network), answers(smaller.module, network))


def test_the_benchmark_compares_the_two() -> None:
    script = Path(__file__).resolve().parents[2] / "experiments" / "benchmarks" / "compact.py"
    words = ["--data", "digits", "--network", "mlp", "--sparsity", "0.8", "--epochs", "1", "--runs", "1"]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["method"] for row in rows] == ["nn_relief", "i_spasp", "bernoulli_units"]
    for row in rows:
        assert row["greatest_difference"] < 1e-3 and row["bytes_smaller"] < row["bytes_masked"]


@pytest.mark.parametrize("method", ["nn_relief", "i_spasp", "bernoulli_units"])
def test_methods_that_remove_units_leave_a_smaller_network(method: str) -> None:
    (made,) = evosparse.sparsify("mlp", DATA, method, 0.8, epochs=2)
    smaller = made.compact()
    assert sum(smaller.widths) < 64 + 32
    np.testing.assert_allclose(
        answers(smaller.module, made.network), answers(made.module(), made.network), rtol=1e-4, atol=1e-5
    )
