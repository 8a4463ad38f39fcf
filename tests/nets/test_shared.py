"""Training by gradients that travel is training, and a state that travels is all of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets_reference import distinct_seeds, examples, random_connections, small

from evosparse.nets import InitialisationSpec, TrainingSpec
from evosparse.nets.shared import SharedPopulation, matched

KINDS = pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "unscaled_decay": 1e-4, "dropout": 0.2, "input_dropout": 0.1},
        {"optimizer": "adam", "schedule": "cosine"},
        {"optimizer": "rmsprop", "momentum": 0.5, "learning_rate": 1e-3},
    ],
    ids=["nesterov", "dropout", "adam", "rmsprop"],
)
KERNELS = pytest.mark.parametrize("kernel", ["dense", "packed"])


def population(options: dict[str, object], kernel: str, density: float = 0.4) -> SharedPopulation:
    network = small("mlp")
    connections = [random_connections(network, density, seed) for seed in range(2)]
    training = TrainingSpec.model_validate({"batch": 16, "kernel": kernel} | options)
    return SharedPopulation(network, connections, distinct_seeds(2), training, InitialisationSpec(), 9, device="cpu")


def expect_equal(one: SharedPopulation, other: SharedPopulation) -> None:
    for number in range(len(one)):
        mine, theirs = one.state(number), other.state(number)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


@KINDS
@KERNELS
def test_gradients_from_elsewhere_train_bit_for_bit(options: dict[str, object], kernel: str) -> None:
    x, y = examples(37, (13,), 3)
    plain, server, worker = (population(options, kernel) for _ in range(3))
    plain.train(x, y, 3)
    batches = math.ceil(len(x) / 16)
    for step in range(3 * batches):
        epoch, number = divmod(step, batches)
        worker.assume([server.connections(0), server.connections(1)], server.values())
        server.pull(worker.push(x, y, epoch, number, step), epoch + number / batches)
    assert server.steps == plain.steps
    expect_equal(plain, server)


@KINDS
@KERNELS
def test_training_goes_on_from_a_state_in_a_population_of_other_connections(
    options: dict[str, object], kernel: str
) -> None:
    x, y = examples(37, (13,), 3)
    plain, other = population(options, kernel), population(options, kernel, density=0.2)
    plain.train(x, y, 2)
    other.train(x, y, 1)
    other.resume(plain.save())
    assert (other.steps, other.epochs_done) == (plain.steps, plain.epochs_done)
    for own in (plain, other):
        own.train(x, y, 2)
    expect_equal(plain, other)


@given(st.data())
def test_gradients_of_gone_connections_are_dropped(data: st.DataObject) -> None:
    places = st.lists(st.integers(0, 30), unique=True, max_size=20).map(lambda own: np.array(sorted(own), np.int64))
    before, after = data.draw(places), data.draw(places)
    given_ = np.arange(1, len(before) + 1, dtype=np.float32)
    bias = [np.ones(3, np.float32)]
    found = matched({"w": [given_], "b": bias}, [[before]], [[after]], ["w"])
    there = dict(zip(before.tolist(), given_.tolist(), strict=True))
    assert found["w"][0].tolist() == [there.get(place, 0.0) for place in after.tolist()]
    assert found["b"] is bias
