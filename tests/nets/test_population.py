"""What a population promises beside its arithmetic: going on, sums of gradients, evaluation, dropout, divergence."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets_reference import COMBINATIONS, EVERY_KERNEL, bool_masks, dense, examples, make, random_connections, small
from torch import nn
from torch.nn.functional import cross_entropy

from evosparse.errors import SpecError
from evosparse.nets import (
    InitialisationSpec,
    NetworkSpec,
    Seeds,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.randomness import Purpose, generator


class Normalised(nn.Sequential):
    """A user's module that normalises over the minibatch."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(13, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    schedule=st.sampled_from(["constant", "cosine", {"name": "step", "every": 2, "factor": 0.5}]),
    combination=st.sampled_from(COMBINATIONS),
)
def test_training_in_parts_equals_training_at_once(
    parts: list[int], schedule: object, combination: tuple[str, str]
) -> None:
    kind, kernel = combination
    network = small(kind)
    x, y = examples(45, (13,), 3)
    spec = TrainingSpec(batch=16, schedule=schedule, dropout=0.2)
    connections = [random_connections(network, 0.5, i) for i in range(2)]
    at_once, in_parts = (make(network, connections, training=spec, epochs=7, kernel=kernel) for _ in range(2))
    at_once.train(x, y, sum(parts))
    for part in parts:
        in_parts.train(x, y, part)
    assert at_once.steps == in_parts.steps == 3 * sum(parts)
    assert at_once.epochs_done == in_parts.epochs_done == sum(parts)
    for number in range(2):
        for first, second in zip(at_once.state(number).values(), in_parts.state(number).values(), strict=True):
            np.testing.assert_array_equal(first, second)


def test_more_epochs_than_the_schedule_has_are_refused() -> None:
    x, y = examples(20, (13,), 3)
    population = make(small("mlp"), [[None] * 3], epochs=2)
    population.train(x, y, 1)
    with pytest.raises(ValueError, match="at most 1 more epochs of the 2"):
        population.train(x, y, 2)


@EVERY_KERNEL
@pytest.mark.parametrize("sums", ["signed", "absolute"])
def test_gradients_are_those_of_the_steps_of_the_last_epoch(sums: str, kind: str, kernel: str) -> None:
    network = small(kind)
    x, y = examples(40, (13,), 3)
    connections = [random_connections(network, 0.5, 0), [None] * 3]
    spec = TrainingSpec(optimizer="sgd", learning_rate=0.1, weight_decay=0.1, batch=16)
    seeds = [Seeds(0, 0, 0), Seeds(1, 1, 1)]
    population = make(network, connections, seeds, spec, kernel=kernel)
    population.train(x, y, 1)
    modules = []
    for number in range(2):
        module = network.module()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in population.state(number).items()})
        modules.append(module)
    population.train(x, y, 1, gradients=sums)
    for number, module in enumerate(modules):
        masks = bool_masks(network, connections[number])
        mask = masks["hidden1.weight"]
        expected = np.zeros(mask.shape)
        optimizer = torch.optim.SGD(module.parameters(), 0.1, weight_decay=0.1)
        order = generator(seeds[number].order, Purpose.ORDER, 1).permutation(len(x))
        for start in range(0, len(x), 16):
            rows = order[start : start + 16]
            optimizer.zero_grad()
            cross_entropy(module(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])).backward()
            gradient = module.get_parameter("hidden1.weight").grad.numpy() * mask
            expected += np.abs(gradient) if sums == "absolute" else gradient
            optimizer.step()
            for name, own in masks.items():
                weight = module.get_parameter(name).detach()
                weight *= torch.from_numpy(own)
        assert population.gradients(0, number).shape == (mask.sum(),)
        np.testing.assert_allclose(dense(population, "gradients", 0)[number], expected, rtol=1e-3, atol=1e-5)
    population.train(x, y, 1)
    with pytest.raises(ValueError, match="no gradients were accumulated"):
        population.gradients(0, 0)


@EVERY_KERNEL
@pytest.mark.parametrize("n", [1, 128, 129, 512, 513, 1100])
def test_all_examples_are_evaluated_the_remainder_too(n: int, kind: str, kernel: str) -> None:
    network = small(kind)
    x, y = examples(n, (13,), 3)
    population = make(network, [random_connections(network, 0.5, i) for i in range(2)], kernel=kernel)
    population.train(x[:64], y[:64], 3)
    evaluation, logits = population.evaluate(x, y), population.logits(x)
    assert logits.shape == (2, n, 3) and evaluation.accuracy.dtype == evaluation.loss.dtype == np.float64
    for number in range(2):
        module = network.module().eval()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in population.state(number).items()})
        with torch.no_grad():
            expected = module(torch.from_numpy(x))
        np.testing.assert_allclose(logits[number], expected.numpy(), rtol=1e-4, atol=1e-5)
        assert evaluation.accuracy[number] == (logits[number].argmax(axis=1) == y).mean()
        assert evaluation.loss[number] == pytest.approx(cross_entropy(expected, torch.from_numpy(y)).item(), rel=1e-4)
    np.testing.assert_array_equal(population.accuracy(x, y), evaluation.accuracy)
    np.testing.assert_array_equal(population.loss(x, y), evaluation.loss)


@EVERY_KERNEL
def test_a_diverged_network_is_nan_and_leaves_the_others_alone(kind: str, kernel: str) -> None:
    network = small(kind)
    x, y = examples(40, (13,), 3)
    connections = [random_connections(network, 0.5, i) for i in range(3)]
    healthy, sick = (make(network, connections, kernel=kernel) for _ in range(2))
    stack = sick._layers[0]
    stack.write(stack.values, 1, connections[1][0], stack.read(stack.values, 1) * np.float32(np.inf))
    for population in (healthy, sick):
        population.train(x, y, 2)
    evaluation = sick.evaluate(x, y)
    np.testing.assert_array_equal(np.isnan(evaluation.accuracy), [False, True, False])
    np.testing.assert_array_equal(np.isnan(evaluation.loss), [False, True, False])
    for number in (0, 2):
        for first, second in zip(healthy.state(number).values(), sick.state(number).values(), strict=True):
            np.testing.assert_array_equal(first, second)


@EVERY_KERNEL
def test_dropout_is_that_of_the_noise_seed_and_the_step(kind: str, kernel: str) -> None:
    # One hidden layer and one step: the gradient of the output weights shows which activations were dropped.
    network = small(kind, hidden=(40,))
    x, y = examples(30, (13,), 3)
    seeds = [Seeds(1, 1, 1), Seeds(1, 1, 2), Seeds(1, 1, 1)]
    spec = TrainingSpec(optimizer="sgd", batch=30, dropout=0.5)
    population = make(network, [[None] * 2] * 3, seeds, spec, kernel=kernel)
    population.train(x, y, 1, gradients="signed")
    gradients = dense(population, "gradients", 1)
    np.testing.assert_array_equal(gradients[0], gradients[2])
    assert (gradients[0] != gradients[1]).any()
    without = make(network, [[None] * 2], seeds[:1], spec, dropout=0.0, kernel=kernel)
    without.train(x, y, 1, gradients="signed")
    assert (dense(without, "gradients", 1)[0] != gradients[0]).any()


@EVERY_KERNEL
def test_dropout_drops_its_share_of_units_and_scales_the_others_up(kind: str, kernel: str) -> None:
    # With one example, the gradient of the output weights is error x activation, so it shows which units were dropped.
    network = small(kind, hidden=(40,))
    x, y = examples(1, (13,), 3)
    seeds = [Seeds(1, 1, noise) for noise in range(300)]
    population = make(network, [[None] * 2] * 300, seeds, dropout=0.25, kernel=kernel)
    population.train(x, y, 1, gradients="signed")
    gradients = dense(population, "gradients", 1)
    first, output = (dense(population, "initial_weights", layer)[0] for layer in range(2))
    hidden = np.maximum(first @ x[0], 0)
    alive = hidden > 0
    kept = gradients.any(axis=1) & alive
    assert abs(kept[:, alive].mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / (300 * alive.sum()))
    for gradient, own in zip(gradients, kept, strict=True):
        scaled = hidden * own / 0.75
        logits = output @ scaled
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(3)[y[0]]
        np.testing.assert_allclose(gradient, np.outer(error, scaled), rtol=1e-3, atol=1e-5)


@EVERY_KERNEL
def test_inputs_are_dropped_in_training_alone(kind: str, kernel: str) -> None:
    # With one example, the gradient of the first weights is error x input, so it shows which inputs were dropped.
    network = small(kind, hidden=(40,))
    x, y = examples(1, (13,), 3)
    population = make(
        network, [[None] * 2] * 200, [Seeds(1, 1, noise) for noise in range(200)], TrainingSpec(batch=1, input_dropout=0.25), kernel=kernel
    )
    before = population.logits(x)
    np.testing.assert_allclose(before, np.broadcast_to(before[:1], before.shape), rtol=1e-6)
    population.train(x, y, 1, gradients="signed")
    kept = dense(population, "gradients", 0).any(axis=1)
    assert abs(kept.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / kept.size)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_dropout_layers_of_a_module_follow_the_training_or_keep_their_own(kernel: str) -> None:
    own = inspect_module(lambda: nn.Sequential(nn.Linear(13, 9), nn.Dropout(0.5), nn.Linear(9, 3)), (13,), 3, "own")
    x, y = examples(16, (13,), 3)
    trained = {}
    for dropout in (0.0, 0.5, 0.1):
        population = make(own, [[None] * 2], training=TrainingSpec(batch=16, dropout=dropout), kernel=kernel)
        population.train(x, y, 1)
        trained[dropout] = population.weights(0, 0)
    np.testing.assert_array_equal(trained[0.0], trained[0.5])
    assert (trained[0.1] != trained[0.5]).any()


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_dropout_is_refused_where_a_module_has_no_place_for_it(kernel: str) -> None:
    network = inspect_module(lambda: nn.Sequential(nn.Linear(13, 3)), (13,), 3, "bare")
    with pytest.raises(SpecError, match=r"training.dropout.*put nn.Dropout\(\) into the module"):
        make(network, [[None]], dropout=0.5, kernel=kernel)


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
def test_dropout_of_a_perceptron_without_hidden_layers_drops_nothing(kernel: str) -> None:
    network = multilayer_perceptron((13,), 3, ())
    x, y = examples(20, (13,), 3)
    states = []
    for dropout in (0.0, 0.3):
        population = make(network, [[None]], dropout=dropout, kernel=kernel)
        population.train(x, y, 1)
        states.append(population.state(0))
    for first, second in zip(*(state.values() for state in states), strict=True):
        np.testing.assert_array_equal(first, second)


def test_running_means_belong_to_each_network() -> None:
    network = inspect_module(Normalised, (13,), 3, "Normalised")
    x, y = examples(32, (13,), 3)
    population = make(network, [[None] * 2] * 2)
    population.train(x, y, 2)
    first, second = population.state(0), population.state(1)
    assert first["1.num_batches_tracked"] == second["1.num_batches_tracked"] == 4
    assert (first["1.running_mean"] != second["1.running_mean"]).all() and first["1.running_mean"].all()


def test_a_lone_last_example_is_refused_under_batch_normalisation() -> None:
    population = make(inspect_module(Normalised, (13,), 3, "Normalised"), [[None] * 2])
    x, y = examples(33, (13,), 3)
    with pytest.raises(SpecError, match="training.batch: .* choose a batch size that does not leave one of 33"):
        population.train(x, y, 1)


def test_parameters_that_a_module_does_not_train_stay() -> None:
    def frozen() -> nn.Module:
        module = nn.Sequential(nn.Linear(13, 9), nn.ReLU(), nn.Linear(9, 3))
        module[0].requires_grad_(False)
        return module

    network = inspect_module(frozen, (13,), 3, "frozen")
    assert [layer.name for layer in network.layers] == ["2"]
    population = make(network, [[None]], [Seeds(4, 0, 0)])
    population.train(*examples(32, (13,), 3), 1)
    expected = network.module(4).state_dict()
    np.testing.assert_array_equal(population.state(0)["0.weight"], expected["0.weight"].numpy())
    assert set(population.state(0)) == set(expected)


@EVERY_KERNEL
def test_training_reads_nothing_and_moves_nothing_global(kind: str, kernel: str) -> None:
    x, y = examples(40, (13,), 3)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), copy.deepcopy(np.random.get_state()[1])
        initialisation = InitialisationSpec(weights="module")
        population = make(small(kind), [[None] * 3], dropout=0.3, initialisation=initialisation, kernel=kernel)
        population.train(x, y, 1)
        assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
        states.append(population.state(0))
    for first, second in zip(*(state.values() for state in states), strict=True):
        np.testing.assert_array_equal(first, second)


@EVERY_KERNEL
def test_read_only_data_stays_and_results_are_copies(kind: str, kernel: str) -> None:
    x, y = examples(40, (13,), 3)
    x.flags.writeable = y.flags.writeable = False
    population = make(small(kind), [[None] * 3], kernel=kernel)
    population.train(x, y, 1, gradients="signed")
    told = [population.weights(0, 0), population.gradients(0, 0), *population.state(0).values()]
    kept = [own.copy() for own in told]
    population.train(x, y, 1, gradients="signed")
    for first, second in zip(told, kept, strict=True):
        np.testing.assert_array_equal(first, second)
        first[...] = 0
    assert population.weights(0, 0).all() and population.gradients(0, 0).any()
    assert population.state(0)["hidden1.bias"].any()


@EVERY_KERNEL
@pytest.mark.parametrize(
    ("connections", "seeds"),
    [
        ([], []),
        ([[None] * 3], [Seeds(0, 0, 0)] * 2),
        ([[None] * 2], [Seeds(0, 0, 0)]),
        ([[np.array([143]), None, None]], [Seeds(0, 0, 0)]),
    ],
)
def test_connections_that_do_not_fit_are_refused(connections: list, seeds: list[Seeds], kind: str, kernel: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        make(small(kind), connections, seeds, kernel=kernel)


def test_all_is_computed_with_one_thread_and_without_denormals_and_the_caller_keeps_his_own() -> None:
    seen = []

    class Spy(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.get_num_threads(), torch.tensor([1e-40]).mul(1.0).item()))
            return super().forward(x)

    network = inspect_module(lambda: Spy(nn.Linear(13, 3)), (13,), 3, "Spy")
    x, y = examples(4, (13,), 3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        seen.clear()
        population = make(network, [[None]])
        population.train(x, y, 1)
        population.evaluate(x, y)
        population.logits(x)
        assert seen == [(1, 0.0)] * 3
        assert torch.get_num_threads() == 2 and torch.tensor([1e-40]).mul(1.0).item() > 0
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_lenet5_learns(kernel: str) -> None:
    x, y = examples(60, (16, 16), 3)
    network = build(NetworkSpec(name="lenet5"), (16, 16), 3)
    spec = TrainingSpec(batch=10, learning_rate=3e-3, dropout=0.2)
    population = make(network, [random_connections(network, 0.3, 0)], training=spec, kernel=kernel)
    population.train(x, y, 8)
    assert population.accuracy(x, y)[0] > 0.8
