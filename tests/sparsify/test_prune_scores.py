"""The scores of pruning methods against slow references, and exact budgets whatever the scores are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from evosparse.nets import InitialisationSpec, Network, TrainingSpec, inspect_module, multilayer_perceptron
from evosparse.nets.losses import total_loss
from evosparse.nets.randomness import Purpose, generator
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify import METHODS, Cohort, Pruning, Replicate
from evosparse.sparsify.methods import EdgePopup, GraSP, SynFlow
from evosparse.sparsify.methods.edge_popup import initial_scores, masked, straight_through


class Examples(NamedTuple):
    x: np.ndarray
    y: np.ndarray


def tiny(
    sparsities: Sequence[float] = (0.5,), network: Network | None = None, epochs: int = 2, regression: bool = False
) -> Cohort:
    """A cohort of small networks: 5 inputs, hidden layers of 4 and 6 units, 3 outputs."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 5)).astype(np.float32)
    y = rng.standard_normal((40, 3)).astype(np.float32) if regression else rng.integers(0, 3, 40)
    return Cohort(
        network or multilayer_perceptron((5,), 3, (4, 6)),
        Examples(x, y),
        Examples(x[:20], y[:20]),
        [Replicate(number, sparsity) for number, sparsity in enumerate(sparsities)],
        TrainingSpec(batch=8, loss="squared_error" if regression else "cross_entropy"),
        InitialisationSpec(mask_aware=False),
        epochs,
    )


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_scores_are_weights_times_explicit_hessian_times_gradient(temperature: float, regression: bool) -> None:
    cohort = tiny(regression=regression)
    cohort.begin(cohort.dense, 1)
    found = GraSP(temperature=temperature, examples=12).scores(cohort, 0, cohort.connections[0], 1)

    x, y = (torch.from_numpy(part) for part in cohort.sample(0, 12, 1))
    module = cohort.network.module().double()
    state = {name: torch.from_numpy(value).double() for name, value in cohort.population.state(0).items()}
    shapes = [layer.shape for layer in cohort.network.layers]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([int(np.prod(shape)) for shape in shapes])
        named = {layer.parameter: part.view(layer.shape) for layer, part in zip(cohort.network.layers, parts, strict=True)}
        outputs = functional_call(module, state | named, (x.double(),)) / temperature
        return total_loss(cohort.training.loss, outputs[None], y.double() if regression else y)

    weights = torch.cat([state[layer.parameter].flatten() for layer in cohort.network.layers])
    hessian = torch.autograd.functional.hessian(loss, weights)
    gradient = torch.autograd.functional.jacobian(loss, weights)
    expected = (weights * (hessian @ gradient)).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_synflow_scores_are_the_flow_over_all_paths_through_a_weight() -> None:
    cohort = tiny()
    cohort.begin(cohort.dense, 1)
    state = cohort.population.state(0)
    for layer in cohort.network.layers:  # biases begin at zero, and shall count here
        name = f"{layer.name}.bias"
        state[name] = np.random.default_rng(1).standard_normal(state[name].shape).astype(np.float32)
    cohort.begin(cohort.dense, 1, states=[state])
    found = SynFlow().scores(cohort, 0, cohort.connections[0], 1)

    names = [layer.name for layer in cohort.network.layers]
    weights = [np.abs(state[f"{name}.weight"].astype(np.float64)) for name in names]
    biases = [np.abs(state[f"{name}.bias"].astype(np.float64)) for name in names]
    reaching = [np.ones(5)]
    for weight, bias in zip(weights, biases, strict=True):
        reaching.append(weight @ reaching[-1] + bias)
    leaving = [np.ones(3)]
    for weight in reversed(weights[1:]):
        leaving.insert(0, weight.T @ leaving[0])
    for own, weight, below, above in zip(found, weights, reaching, leaving, strict=False):
        np.testing.assert_allclose(own.reshape(weight.shape), above[:, None] * weight * below, rtol=1e-5)


def test_synflow_is_conserved_from_layer_to_layer_where_there_are_no_biases() -> None:
    cohort = tiny()
    cohort.begin(cohort.dense, 1)
    totals = [own.sum() for own in SynFlow().scores(cohort, 0, cohort.connections[0], 1)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)


def test_synflow_in_many_rounds_keeps_paths_that_one_round_loses() -> None:
    one, many = (tiny((0.9,), multilayer_perceptron((5,), 3, (30, 30))) for _ in range(2))
    SynFlow(rounds=1).sparsify(one)
    SynFlow().sparsify(many)
    least = [min(map(len, cohort.connections[0])) for cohort in (one, many)]
    assert least[1] > least[0]


PRUNING = sorted(name for name, kind in METHODS.items() if issubclass(kind, Pruning))


@pytest.mark.parametrize("name", PRUNING)
@settings(max_examples=4)
@given(density=st.floats(0.02, 0.98))
def test_budgets_are_exact_where_all_scores_are_zero(name: str, density: float) -> None:
    class Zero(METHODS[name]):
        def scores(self, cohort: Cohort, number: int, connections: Sequence[np.ndarray], turn: int) -> list[np.ndarray]:
            return [np.zeros(len(own)) for own in connections]

    cohort = tiny((1 - density,), epochs=1)
    method = Zero(scope="global") if name == "han" else Zero()
    method.sparsify(cohort)
    assert sum(map(len, cohort.connections[0])) == round((1 - (1 - density)) * cohort.size)


def test_popup_scores_get_the_gradient_of_weights_times_scores_past_the_choice() -> None:
    torch.manual_seed(0)
    weights, scores = torch.randn(4, 5), torch.randn(4, 5)
    x, y = torch.randn(7, 5), torch.randint(4, (7,))
    effective = masked(weights, scores, 9)
    assert torch.count_nonzero(effective) == 9
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(x @ effective.T, y), effective)
    found = straight_through(slope, weights, scores)

    leaf = scores.clone().requires_grad_()
    magnitude = leaf.abs()
    kept = (effective.detach() != 0).float()
    through = kept + magnitude - magnitude.detach()
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(x @ (weights * through).T, y), leaf)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("output", ["linear", "softmax"])
@pytest.mark.parametrize("anneal", [True, False])
def test_popup_learns_the_masks_of_a_plain_loop(output: str, anneal: bool) -> None:
    cohort = tiny((0.6, 0.8), epochs=3)
    method = EdgePopup(output=output, anneal=anneal)
    method.sparsify(cohort)
    for number in range(2):
        for own, expected in zip(cohort.connections[number], plain_popup(cohort, method, number), strict=True):
            np.testing.assert_array_equal(own, expected)


def plain_popup(cohort: Cohort, method: EdgePopup, number: int) -> list[np.ndarray]:
    """Edge-popup as its authors write it: a module whose gradient autograd lets through."""
    replicate, layers = cohort.replicates[number], cohort.network.layers
    begun = tiny([one.sparsity for one in cohort.replicates])
    begun.begin(begun.dense, 1)
    state = {name: torch.from_numpy(value) for name, value in begun.population.state(number).items()}
    scores = [
        initial_scores(layer, replicate.key.child("popup scores", index).rng()).requires_grad_()
        for index, layer in enumerate(layers)
    ]
    optimizer = torch.optim.SGD(scores, 0.1, momentum=0.9, weight_decay=5e-4)
    x, y = torch.from_numpy(cohort.train.x), torch.from_numpy(cohort.train.y)
    steps = -(-len(x) // 8) * cohort.epochs
    for step in range(steps):
        epoch, place = divmod(step * 8, len(x))
        order = generator(replicate.seeds.order, Purpose.ORDER, epoch).permutation(len(x))
        density = (1 - replicate.sparsity) ** ((epoch + 1) / cohort.epochs if method.anneal else 1)
        kept = counts(layers, 1 - density, Distribution(output_floor=0))
        hidden = x[order[place : place + 8]]
        for index, (layer, own) in enumerate(zip(layers, scores, strict=True)):
            size = own.abs()
            mask = torch.zeros(layer.size)
            mask[size.flatten().argsort(descending=True)[: kept[index]]] = 1
            through = mask.view(layer.shape) + size - size.detach()
            hidden = nn.functional.linear(hidden, state[layer.parameter] * through, state[f"{layer.name}.bias"])
            hidden = hidden.relu() if index < 2 else hidden
        if method.output == "softmax":
            hidden = hidden.softmax(1)
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + np.cos(np.pi * step / steps))
        optimizer.zero_grad()
        nn.functional.cross_entropy(hidden, y[order[place : place + 8]]).backward()
        optimizer.step()
    last = counts(layers, replicate.sparsity, Distribution(output_floor=0))
    sizes = [own.detach().abs().flatten() for own in scores]
    return [np.sort(own.argsort(descending=True)[:n].numpy()) for own, n in zip(sizes, last, strict=True)]


def test_popup_leaves_weights_as_they_were_drawn_and_counts_its_epochs() -> None:
    cohort = tiny((0.5, 0.9))
    EdgePopup().sparsify(cohort)
    dense = tiny((0.5, 0.9))
    dense.begin(dense.dense, 1)
    for number, found in enumerate(cohort.results()):
        first = dense.population.state(number)
        for layer, own in zip(cohort.network.layers, found.connections, strict=True):
            expected = np.zeros(layer.size, np.float32)
            expected[own] = first[layer.parameter].reshape(-1)[own]
            np.testing.assert_array_equal(found.state[layer.parameter].reshape(-1), expected)
        assert found.measures["epochs"] == 2
        assert found.measures["training_multiply_adds"] == 2 * 3 * 40 * cohort.size


def test_popup_trains_modules_with_norms_and_dropout() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))

    found = []
    for sparsities in ((0.5,), (0.5, 0.8)):
        cohort = tiny(sparsities, inspect_module(partial(build), (5,), 3, "build"))
        EdgePopup().sparsify(cohort)
        found.append(cohort.results()[0])
    assert found[0].state["1.num_batches_tracked"] == 10
    for name, values in found[0].state.items():
        np.testing.assert_array_equal(values, found[1].state[name])
