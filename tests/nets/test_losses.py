"""Losses against torch's own, and what training does with bounds of norms, decay and schedules, against plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from nets_reference import EVERY_KERNEL, examples, make, minibatches, random_connections, small
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from evosparse.nets import ScheduleSpec, Seeds, TrainingSpec, multilayer_perceptron
from evosparse.nets.dropout import drop_inputs, module_dropout, perceptron_dropout
from evosparse.nets.losses import each_loss, total_loss

X, Y = examples(43, (13,), 3)
VALUES = np.random.default_rng(3).random((43, 3)).astype(np.float32)
SEEDS = [Seeds(3, 1, 5), Seeds(4, 2, 6)]


def plain(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One network's mean loss as torch has it."""
    if name == "cross_entropy":
        return cross_entropy(outputs, targets)
    values = targets if targets.is_floating_point() else one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    answers = torch.sigmoid(outputs) if name == "sigmoid_squared_error" else outputs
    return mse_loss(answers, values) * outputs.shape[1] / 2


LOSSES = [
    ("cross_entropy", torch.from_numpy(Y)),
    ("squared_error", torch.from_numpy(VALUES)),
    ("squared_error", torch.from_numpy(Y)),
    ("sigmoid_squared_error", torch.from_numpy(VALUES)),
    ("sigmoid_squared_error", torch.from_numpy(Y)),
]


@pytest.mark.parametrize(("name", "targets"), LOSSES)
def test_losses_and_their_gradients_are_torchs(name: str, targets: torch.Tensor) -> None:
    outputs = torch.randn(4, 43, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = targets.double() if targets.is_floating_point() else targets
    [gradient] = torch.autograd.grad(total_loss(name, outputs, targets), outputs)
    for number in range(4):
        own = outputs[number].detach().requires_grad_()
        loss = plain(name, own, targets)
        torch.testing.assert_close(each_loss(name, outputs, targets)[number].mean(), loss)
        torch.testing.assert_close(gradient[number], torch.autograd.grad(loss, own)[0])


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error"])
def test_networks_may_have_targets_of_their_own(name: str) -> None:
    outputs = torch.randn(2, 43, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.stack([torch.from_numpy(Y), torch.from_numpy(Y).flip(0)])
    for number in range(2):
        torch.testing.assert_close(
            each_loss(name, outputs, targets)[number], each_loss(name, outputs[number : number + 1], targets[number])[0]
        )


@EVERY_KERNEL
@pytest.mark.parametrize(("loss", "targets"), [("squared_error", VALUES), ("sigmoid_squared_error", Y)])
def test_training_minimises_the_loss_that_was_asked_for(kind: str, kernel: str, loss: str, targets: np.ndarray) -> None:
    network = small(kind, "tanh")
    connections = [random_connections(network, 0.5, seed) for seed in range(2)]
    spec = TrainingSpec(optimizer="sgd", learning_rate=0.05, batch=16, loss=loss)
    population = make(network, connections, SEEDS, spec, kernel=kernel)
    modules = []
    for number in range(2):
        module = network.module().double()
        module.load_state_dict({name: torch.tensor(value) for name, value in population.state(number).items()})
        modules.append(module)
    population.train(X, targets, 2)
    for number, module in enumerate(modules):
        masks = {name: torch.tensor(value != 0) for name, value in population.state(number).items() if value.ndim > 1}
        optimizer = torch.optim.SGD(module.parameters(), 0.05)
        wanted = torch.from_numpy(targets.astype(np.float64) if targets.dtype.kind == "f" else targets)
        for rows in minibatches(SEEDS[number], len(X), 16, 2):
            optimizer.zero_grad()
            plain(loss, module(torch.tensor(X[rows]).double()), wanted[rows]).backward()
            optimizer.step()
            with torch.no_grad():
                for name, mask in masks.items():
                    module.get_parameter(name).mul_(mask)
        for name, value in population.state(number).items():
            np.testing.assert_allclose(value, module.state_dict()[name].numpy(), rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            whole = plain(loss, module(torch.tensor(X).double()), wanted).item()
        assert population.loss(X, targets)[number] == pytest.approx(whole, rel=1e-4)


def after_each_step(training: TrainingSpec, look: Callable[[dict[str, np.ndarray]], None], **options: object) -> None:
    """Train a small network, and look at its state after every step."""
    network = small("mlp")
    population = make(network, [[None] * 3, random_connections(network, 0.5, 0)], SEEDS, training, epochs=20, **options)
    looks = 0

    def before_step(_: object) -> bool:
        nonlocal looks
        if population.steps:
            looks += 1
            for number in range(2):
                look(population.state(number))
        return False

    population.train(X, Y, 20, before_step=before_step)
    assert looks == 59


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_no_row_is_longer_than_its_bound_after_any_step(optimizer: str) -> None:  # DR3
    bounded, reached = 0.7, []

    def look(state: dict[str, np.ndarray]) -> None:
        for value in state.values():
            if value.ndim > 1:
                norms = np.linalg.norm(value.astype(np.float64), axis=1)
                assert (norms <= bounded * (1 + 1e-6)).all()
                reached.append(np.isclose(norms, bounded).any())

    after_each_step(TrainingSpec(optimizer=optimizer, learning_rate=0.1, batch=16, max_norm=bounded), look)
    assert any(reached)


def test_rows_within_their_bound_are_left_alone() -> None:
    states: list[list[dict[str, np.ndarray]]] = [[], []]
    for bound, own in zip((None, 1e6), states, strict=True):
        spec = TrainingSpec(optimizer="sgd", learning_rate=0.05, batch=16, max_norm=bound, kernel="dense")
        after_each_step(spec, own.append)
    for first, second in zip(*states, strict=True):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])


def test_a_bound_of_norms_is_of_the_dense_kernel() -> None:
    with pytest.raises(ValidationError, match="dense kernel alone"):
        TrainingSpec(max_norm=1.0, kernel="packed")
    network = small("mlp")
    assert make(network, [random_connections(network, 0.01, 0)], SEEDS[:1], TrainingSpec(max_norm=1.0)).kernel == "dense"


@EVERY_KERNEL
def test_unscaled_decay_takes_its_share_whatever_the_rate_is(kind: str, kernel: str) -> None:
    network = small(kind)
    connections = [random_connections(network, 0.5, 0)]
    # So small a rate that the gradients move nothing.
    spec = TrainingSpec(optimizer="sgd", learning_rate=1e-30, batch=16, unscaled_decay=0.01)
    population = make(network, connections, SEEDS[:1], spec, kernel=kernel)
    ones = {name: np.ones_like(value) for name, value in population.state(0).items()}
    population.load(0, ones)
    population.train(X, Y, 2)
    for layer, own in zip(network.layers, connections[0], strict=True):
        told = population.state(0)[layer.parameter].reshape(-1)
        np.testing.assert_allclose(told[own], 0.99**6, rtol=1e-5)
        assert not np.delete(told, own).any()
        np.testing.assert_allclose(population.state(0)[f"{layer.name}.bias"], 0.99**6, rtol=1e-5)


def test_unscaled_decay_comes_before_the_step() -> None:
    network = small("mlp", "tanh")
    states = []
    for decay in (0.0, 0.01):
        spec = TrainingSpec(optimizer="sgd", learning_rate=0.05, batch=43, unscaled_decay=decay)
        population = make(network, [[None] * 3], SEEDS[:1], spec)
        first = population.state(0)
        population.train(X, Y, 1)
        states.append(population.state(0))
    for name, value in states[1].items():
        np.testing.assert_allclose(value, states[0][name] - 0.01 * first[name], rtol=1e-4, atol=1e-6)


def test_a_schedule_by_epochs_is_torchs_multi_step() -> None:
    spec = ScheduleSpec(name="step", at=(2, 3, 7), factor=0.3)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 7], 0.3)
    for epoch in range(10):
        for part in (0, 0.5, 0.99):
            assert spec.share(epoch + part, 10) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(
    "values",
    [{"name": "step"}, {"name": "step", "at": (2,)}, {"name": "step", "at": (2,), "every": 2, "factor": 0.5},
     {"name": "cosine", "at": (2,)}, {"name": "step", "factor": 0.5}],
)  # fmt: skip
def test_a_schedule_that_does_not_fit_together_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="every .epochs. and factor, or at"):
        ScheduleSpec(**values)


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_dropout_of_a_linear_network_answers_on_average_as_without(probability: float) -> None:  # DR2
    network = multilayer_perceptron((5,), 2, (16,))
    state = make(network, [[None] * 2], SEEDS[:1]).state(0)
    hidden = state["hidden1.weight"] @ np.random.default_rng(0).standard_normal(5)  # no activation: all is linear
    draws = [
        [perceptron_dropout([7], [16], probability, step, 1000)[0][0, :, :16].numpy() for step in range(100)],
        [module_dropout([7], [(16,)], [probability], step, 1000)[0][0].numpy() for step in range(100)],
    ]
    for factors in map(np.concatenate, draws):
        assert factors.shape == (100_000, 16)
        np.testing.assert_allclose(np.unique(factors), [0, 1 / (1 - probability)])
        answers = (factors * hidden) @ state["output.weight"].T
        np.testing.assert_allclose(answers.mean(axis=0), state["output.weight"] @ hidden, atol=1e-2)


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_dropped_inputs_are_on_average_the_inputs(probability: float) -> None:
    x, y = torch.arange(1, 13, dtype=torch.float32).view(4, 3), torch.arange(4)
    total, rows = torch.zeros(2, 2, 3), torch.tensor([[3, 1], [0, 2]])
    for step in range(20_000):
        dropped, labels, own = drop_inputs(x, y, rows, [5, 6], probability, step)
        assert labels[own].tolist() == rows.tolist()
        kept = dropped[own] != 0
        torch.testing.assert_close(dropped[own][kept], (x[rows] / (1 - probability))[kept])
        total += kept
    np.testing.assert_allclose(total / 20_000, 1 - probability, atol=0.015)


def test_networks_of_one_seed_share_dropped_inputs_and_others_have_their_own() -> None:
    x, y, rows = torch.ones(6, 50), torch.arange(6), torch.tensor([4, 0, 5])
    alone, _, own = drop_inputs(x, y, rows, [5], 0.5, 3)
    assert own.ndim == 1 and alone.shape == (3, 50)
    both, labels, own = drop_inputs(x, y, rows, [5, 6], 0.5, 3)
    assert labels[own].tolist() == [rows.tolist()] * 2
    assert both[own[0]].equal(alone) and not both[own[1]].equal(alone)
    assert not drop_inputs(x, y, rows, [5], 0.5, 4)[0].equal(alone)
    shared, labels, own = drop_inputs(x, y, torch.stack([rows, rows.flip(0)]), [5], 0.5, 3)
    assert labels[own].tolist() == [[4, 0, 5], [5, 0, 4]] and shared[own[1]].equal(alone)
