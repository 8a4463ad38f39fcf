"""Perceptrons whose biases are weights: all at once they compute what their module does, each whatever stands beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evosparse.errors import SpecError
from evosparse.nets import Connections, InitialisationSpec, Network, Population, Seeds, TrainingSpec, inspect_module
from evosparse.nets.augmented import AugmentedNetwork, AugmentedPerceptron

AS_DRAWN = InitialisationSpec(weights="module", mask_aware=False)


def network(widths: Sequence[int]) -> Network:
    return inspect_module(partial(AugmentedPerceptron, widths), widths[:1], widths[-1], "augmented")


def general(special: Network) -> Network:
    """The same network, for the kernel that trains any module."""
    return Network(**{field.name: getattr(special, field.name) for field in fields(Network)})


def some(own: Network, number: int, rng: np.random.Generator) -> list[Connections]:
    return [
        [np.flatnonzero(rng.random(layer.size) < rng.uniform(0.1, 1)) for layer in own.layers] for _ in range(number)
    ]


def data(rng: np.random.Generator, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((30, inputs)).astype(np.float32), rng.integers(0, outputs, 30)


def trained(
    own: Network, connections: Sequence[Connections], numbers: Sequence[int], loss: str, x: np.ndarray, y: np.ndarray
) -> Population:
    training = TrainingSpec(optimizer="sgd", momentum=0.9, weight_decay=1e-3, learning_rate=0.05, batch=8, loss=loss)
    seeds = [Seeds(number, number, number) for number in numbers]
    population = Population(own, connections, seeds, training, AS_DRAWN, 3, "cpu")
    population.train(x, y, 3)
    return population


# 31, 32 and 33: where the padding has room for the constant, where it has none, and where it is nearly a whole block.
@settings(max_examples=10)
@given(st.lists(st.sampled_from([1, 7, 31, 32, 33]), min_size=2, max_size=4), st.booleans(), st.integers(0, 99))
def test_they_are_trained_as_their_module_is(widths: list[int], regression: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = network((*widths, 3))
    assert isinstance(own, AugmentedNetwork)
    assert own.unmasked == {} and [layer.shape[1] for layer in own.layers] == [width + 1 for width in widths]
    x, y = data(rng, widths[0], 3)
    loss = "squared_error" if regression else "cross_entropy"
    connections = some(own, 3, rng)
    special, plain = (trained(one, connections, range(3), loss, x, y) for one in (own, general(own)))
    np.testing.assert_allclose(special.logits(x), plain.logits(x), rtol=1e-3, atol=1e-4)
    for number, kept in enumerate(connections):
        state = special.state(number)
        for layer, indices in zip(own.layers, kept, strict=True):
            removed = np.setdiff1d(np.arange(layer.size), indices)
            assert not state[layer.parameter].reshape(-1)[removed].any()
        module = own.module()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        with torch.no_grad():
            outputs = module(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(outputs, special.logits(x)[number], rtol=1e-4, atol=1e-5)


def test_a_network_is_bit_for_bit_the_same_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(0)
    own = network((2, 20, 32, 4))
    x, y = data(rng, 2, 4)
    connections = some(own, 4, rng)
    together = trained(own, connections, range(4), "cross_entropy", x, y)
    for number in range(4):
        alone = trained(own, connections[number : number + 1], [number], "cross_entropy", x, y)
        for name, values in alone.state(0).items():
            np.testing.assert_array_equal(values, together.state(number)[name])


def test_there_is_no_dropout() -> None:
    own = network((2, 5, 3))
    with pytest.raises(SpecError, match="dropout"):
        Population(own, [[None, None]], [Seeds(0, 0, 0)], TrainingSpec(dropout=0.5), AS_DRAWN, 1)
