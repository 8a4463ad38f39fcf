"""A cut from one kernel to another, or within one that cannot be cut in place, takes everything along that stays."""

from __future__ import annotations

import numpy as np
import pytest
from nets_reference import dense, examples, expect_equal_states, make, random_connections, small

from evosparse.nets import Connections, Network, NetworkSpec, Population, Seeds, TrainingSpec, build

MOVES = [
    ("mlp", "dense", "packed"),
    ("mlp", "dense", "csr"),
    ("mlp", "packed", "packed"),
    ("mlp", "packed", "csr"),
    ("mlp", "packed", "dense"),
    ("mlp", "csr", "csr"),
    ("mlp", "csr", "packed"),
    ("mlp", "csr", "dense"),
    ("module", "dense", "packed"),
    ("module", "packed", "packed"),
    ("module", "packed", "dense"),
    ("lenet5", "dense", "packed"),
    ("lenet5", "packed", "packed"),
    ("lenet5", "packed", "dense"),
]
EVERY_MOVE = pytest.mark.parametrize(("kind", "before", "after"), MOVES, ids=["-".join(move) for move in MOVES])
TRAININGS = {
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "plain": {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "cosine"},
}
SEEDS = [Seeds(3, 1, 5), Seeds(4, 1, 6), Seeds(4, 2, 6)]


def network_of(kind: str) -> Network:
    return (
        build(NetworkSpec(name="lenet5", activation="tanh"), (16, 16), 3) if kind == "lenet5" else small(kind, "tanh")
    )


def connections_of(network: Network) -> tuple[list[Connections], list[Connections]]:
    """Return connections of three networks before and after a cut: from all, from some, and a layer to nothing."""
    some = random_connections(network, 0.5, 1)
    first = [[None] * len(network.layers), some, some]
    second = [
        random_connections(network, 0.2, 2),
        [own[::3] for own in some],
        [some[0], *(own[:0] for own in some[1:])],
    ]
    return first, second


def moments(population: Population) -> list[dict[str, np.ndarray]]:
    """Return, for each network, the optimizer's state of each parameter, expanded to the parameter's shape."""
    told: list[dict[str, np.ndarray]] = [{} for _ in range(len(population))]
    for name, stack in population._kernel.stacks.items():
        for key, value in population._optimizer.state[stack.values].items():
            for number, own in enumerate(told):
                whole = stack.expand(value, number).numpy().copy() if value.ndim else value.numpy().copy()
                own[f"{key} of {name}"] = whole
    return told


@EVERY_MOVE
@pytest.mark.parametrize("training", TRAININGS)
def test_a_cut_moves_values_and_moments_exactly(training: str, kind: str, before: str, after: str) -> None:
    network = network_of(kind)
    x, y = examples(40, network.input_shape, 3)
    first, second = connections_of(network)
    population = make(network, first, SEEDS, TrainingSpec(batch=16, **TRAININGS[training]), kernel=before)
    population.train(x, y, 1)
    states, states_of_optimizer = [population.state(number) for number in range(3)], moments(population)
    drawn = [dense(population, "initial_weights", index) for index in range(len(network.layers))]
    population.cut(second, kernel=after)
    assert population.kernel == after and (population.steps, population.epochs_done) == (3, 1)
    masks = [
        {
            layer.parameter: np.isin(np.arange(layer.size), indices).reshape(layer.shape)
            for layer, indices in zip(network.layers, own, strict=True)
        }
        for own in second
    ]
    for number, own in enumerate(second):
        for index, indices in enumerate(own):
            np.testing.assert_array_equal(population.connections(number)[index], indices)
            whole = drawn[index][number].reshape(-1)
            np.testing.assert_array_equal(population.initial_weights(index, number), whole[indices])
        for name, value in population.state(number).items():
            np.testing.assert_array_equal(value, states[number][name] * masks[number].get(name, True))
        for key, value in moments(population)[number].items():
            name = key.split(" of ")[1]
            mask = masks[number].get(name, True) if value.ndim else True
            np.testing.assert_array_equal(value, states_of_optimizer[number][key] * mask, err_msg=key)
    assert [own.keys() for own in moments(population)] == [own.keys() for own in states_of_optimizer]


@EVERY_MOVE
@pytest.mark.parametrize("training", TRAININGS)
def test_training_after_a_cut_is_that_of_the_dense_kernel_cut_in_place(
    training: str, kind: str, before: str, after: str
) -> None:
    network = network_of(kind)
    x, y = examples(40, network.input_shape, 3)
    first, second = connections_of(network)
    spec = TrainingSpec(batch=16, dropout=0.2, **TRAININGS[training])
    populations = []
    for one, other in ((before, after), ("dense", "dense")):
        population = make(network, first, SEEDS, spec, kernel=one, epochs=3)
        population.train(x, y, 1)
        population.cut(second, kernel=other)
        population.train(x, y, 2)
        populations.append(population)
    expect_equal_states(populations)


@EVERY_MOVE
def test_a_cut_before_any_training_is_a_smaller_network_with_the_values_of_the_larger(
    kind: str, before: str, after: str
) -> None:
    network = network_of(kind)
    first, second = connections_of(network)
    population = make(network, first, SEEDS, kernel=before)
    drawn = [dense(population, "weights", index) for index in range(len(network.layers))]
    population.cut(second, kernel=after)
    for number, own in enumerate(second):
        for index, indices in enumerate(own):
            np.testing.assert_array_equal(population.weights(index, number), drawn[index][number].reshape(-1)[indices])
    population.train(*examples(20, network.input_shape, 3), 1)
    assert (population.weights(0, 0) != drawn[0][0].reshape(-1)[second[0][0]]).any()


@EVERY_MOVE
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("everything", [True, False])
def test_a_cut_to_connections_that_do_not_exist_is_refused_and_changes_nothing(
    everything: bool, layer: int, kind: str, before: str, after: str
) -> None:
    network = network_of(kind)
    x, y = examples(20, network.input_shape, 3)
    connections = [random_connections(network, 0.5, number) for number in range(2)]
    population, alone = (make(network, connections, kernel=before) for _ in range(2))
    for one in (population, alone):
        one.train(x, y, 1)
    more = [list(own) for own in connections]
    missing = np.setdiff1d(np.arange(network.layers[layer].size), more[1][layer])
    more[1][layer] = None if everything else np.union1d(more[1][layer][:3], missing[:1])
    with pytest.raises(ValueError, match="can only remove"):
        population.cut(more, kernel=after)
    assert population.kernel == before
    for one in (population, alone):
        one.train(x, y, 1)
    for number, own in enumerate(connections):
        for index, indices in enumerate(own):
            np.testing.assert_array_equal(population.connections(number)[index], indices)
        for first, second in zip(population.state(number).values(), alone.state(number).values(), strict=True):
            np.testing.assert_array_equal(first, second)


def test_by_default_the_rule_says_what_goes_on_after_a_cut() -> None:
    network = network_of("mlp")
    population = make(network, [[None] * 3], training=TrainingSpec(kernel="dense"))
    population.cut([random_connections(network, 0.1, 0)])
    assert population.kernel == "dense"
    network = network_of("lenet5")
    population = make(network, [[None] * 4])
    assert population.kernel == "dense"
    population.train(*examples(20, network.input_shape, 3), 1)
    population.cut([random_connections(network, 0.9, 0)])
    assert population.kernel == "dense"
    population.cut([[own[::9] for own in random_connections(network, 0.9, 0)]])
    assert population.kernel == "packed"


@pytest.mark.parametrize("kernel", ["packed", "csr"])
def test_only_the_dense_kernel_freezes(kernel: str) -> None:
    network = network_of("mlp")
    population = make(network, [[None] * 3], kernel=kernel)
    with pytest.raises(ValueError, match=f"expected the dense kernel where removed weights are frozen, got {kernel}"):
        population.cut([random_connections(network, 0.1, 0)], freeze=True)
    assert population.connections(0)[0] is None and population.weights(0, 0).all()
