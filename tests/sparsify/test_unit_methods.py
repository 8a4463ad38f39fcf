"""NN relief, i-SpaSP, variational Bernoulli units and SCL do what their pages say, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sparsify_registry import DATA, NETWORK, cohort, sparsified
from torch.nn import functional

from evosparse.errors import SpecError
from evosparse.nets import Layer, NetworkSpec, build, multilayer_perceptron
from evosparse.nets.reading import mean_inputs
from evosparse.sparsify import SCL, BernoulliUnits, Cohort, ISpaSP, NNRelief
from evosparse.sparsify.learning import Learner, minibatches
from evosparse.sparsify.methods.bernoulli_units import gated, kept_units, pairwise
from evosparse.sparsify.methods.i_spasp import reading, recovered, share, unit_counts
from evosparse.sparsify.methods.nn_relief import shares
from evosparse.sparsify.units import heard, weights_between


def activities(state: dict[str, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """What each layer of the small perceptron reads."""
    read = [x]
    for layer in NETWORK.layers[:-1]:
        read.append(np.maximum(read[-1] @ state[layer.parameter].T + state[f"{layer.name}.bias"], 0))
    return read


# NN relief


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), alpha=st.sampled_from([0.5, 0.9, 0.95, 0.99]), units=st.integers(1, 6), inputs=st.integers(1, 9))
def test_a_unit_keeps_the_fewest_weights_that_bring_its_share(seed: int, alpha: float, units: int, inputs: int) -> None:  # NR1
    rng = np.random.default_rng(seed)
    signals, bias = rng.random((units, inputs)) * (rng.random((units, inputs)) < 0.8), rng.random(units)
    kept = (shares(Layer("own", (units, inputs)), signals, bias) > 1 - alpha).reshape(units, inputs)
    for own, offset, left in zip(signals, bias, kept, strict=True):
        entries = sorted([*own, offset], reverse=True)
        fewest = next(count for count in range(1, len(entries) + 1) if sum(entries[:count]) >= alpha * sum(entries) - 1e-12)
        chosen = set(np.argsort(-np.append(own, offset), kind="stable")[:fewest])
        assert set(np.flatnonzero(left)) == chosen - {inputs}
        assert own[left].sum() + offset * (inputs in chosen) >= alpha * sum(entries) - 1e-9


def test_signals_are_means_over_the_examples() -> None:
    network = build(NetworkSpec(name="lenet5"), (16, 16), 4)
    x = np.random.default_rng(0).random((7, 16, 16), np.float32)
    state = {name: value.numpy().copy() for name, value in network.module(1).state_dict().items()}
    read = mean_inputs(network, state, x)
    module = network.module(1)
    convolved = torch.from_numpy(x)[:, None]
    for index, (name, weight) in enumerate([("convolution1", state["convolution1.weight"]), ("hidden", state["hidden.weight"])]):
        layer = next(own for own in network.layers if own.name == name)
        inputs = convolved if index == 0 else module[: list(dict(module.named_children())).index("hidden")](convolved[:, 0])
        place = network.layers.index(layer)
        for unit, incoming in ((0, 0), (1, 0)):
            if index == 0:  # |K| over |patch|, summed over positions
                kernel = torch.from_numpy(np.abs(weight[unit : unit + 1, incoming : incoming + 1]))
                slow = functional.conv2d(inputs[:, incoming : incoming + 1].abs(), kernel).sum(dim=(1, 2, 3)).mean().item()
                own = (np.abs(weight).reshape(len(weight), -1) * read[place])[unit].reshape(weight.shape[1], -1)[incoming].sum()
            else:
                slow = (torch.from_numpy(np.abs(weight[unit])) * inputs.detach().abs().mean(dim=0)).sum().item()
                own = (np.abs(weight[unit]) * read[place]).sum()
            assert own == pytest.approx(slow, rel=1e-4)


def test_whole_kernels_stand_or_fall() -> None:
    layer = Layer("own", (2, 3, 2, 2))
    found = shares(layer, np.random.default_rng(0).random((2, 12)), np.zeros(2)).reshape(6, 4)
    assert (found == found[:, :1]).all() and len(np.unique(found[:3, 0])) == 3


def test_alpha_of_one_removes_nothing() -> None:  # NR2
    made = cohort(sparsity=0.0)
    for result in sparsified(NNRelief(alpha=1.0, kernel_alpha=1.0, rounds=3), made):
        assert result.measures["density"] == 1


def test_the_least_of_a_unit_goes_at_alpha_of_one_where_that_is_asked_for() -> None:
    signals, bias = np.array([[3.0, 1.0, 2.0], [3.0, 2.0, 4.0]]), np.array([5.0, 1.0])
    found = shares(Layer("own", (2, 3)), signals, bias, drop_least=True).reshape(2, 3)
    assert (found == 0).tolist() == [[False, True, False], [False] * 3]  # of the second unit the bias is the least
    made = cohort((0,), 0.0)
    made.begin(made.dense, 1)
    kept = NNRelief(alpha=1.0, always_drop_one=True, rounds=2)._kept(made, 0, made.connections[0], 1)
    for layer, own in zip(NETWORK.layers, kept, strict=True):
        assert len(own) == layer.size  # biases are zero at first, and the least


@pytest.mark.parametrize("select", ["validation", "last"])
def test_what_a_training_came_to_at_its_best_epoch_is_cut(select: str) -> None:
    seen, states = [], []

    class Seen(NNRelief):
        def scores(self, made: Cohort, number: int, *rest: object) -> object:
            states.append((number, made.population.state(number)))
            return super().scores(made, number, *rest)

    class Watched(Cohort):
        def _choose(self) -> None:
            seen.append([self.population.state(number) for number in range(len(self))])
            super()._choose()

    numbers = tuple(range(6))
    made = cohort(numbers, kind=Watched, epochs=6, learning_rate=0.05)
    sparsified(Seen(rounds=1, select=select), made)
    plain = cohort(numbers, epochs=6, learning_rate=0.05)
    plain.begin(plain.dense, 6)
    best = np.full(6, -1.0)
    wanted: list[object] = [None] * 6
    for _ in range(6):
        plain.population.train(DATA.train.x, DATA.train.y, 1)
        accuracy = plain.population.accuracy(DATA.validation.x, DATA.validation.y)
        for number in np.flatnonzero(accuracy > best) if select == "validation" else numbers:
            wanted[number] = plain.population.state(int(number))
        best = np.maximum(best, accuracy)
    for number, state in states:
        assert all(np.array_equal(state[name], value) for name, value in wanted[number].items())
    assert select == "last" or len(seen) == 12  # both trainings choose, each among its own epochs


@pytest.mark.parametrize("sparsity", [0.3, 0.8, 0.95])
def test_no_unit_has_inputs_and_no_outputs(sparsity: float) -> None:  # NR4
    for result in sparsified(NNRelief(rounds=3), cohort(sparsity=sparsity)):
        for told, layer, own in zip(heard(NETWORK.layers, result.connections), NETWORK.layers, result.connections, strict=False):
            assert told[np.unique(own // layer.fan_in)].all()


def test_rounds_keep_the_share_until_the_last() -> None:
    seen = []

    class Seen(type(cohort())):
        def begin(self, connections: object, *rest: object, **named: object) -> None:
            seen.append([sum(len(own) for own in every) if every[0] is not None else self.size for every in connections])
            super().begin(connections, *rest, **named)

    sparsified(NNRelief(rounds=3, alpha=0.9), cohort(kind=Seen, sparsity=0.95))
    assert len(seen) == 4
    for before, after in zip(seen[:-1], seen[1:], strict=True):
        assert all(b > a for b, a in zip(before, after, strict=True))


# i-SpaSP


def slow_recovery(
    hidden: np.ndarray, weight: np.ndarray, count: int, turns: int, magnitude: bool
) -> tuple[set[int], float]:
    """The algorithm of the page, with matrices: H is (units, n), U = W H."""
    whole = weight @ hidden
    chosen: set[int] = set()
    residual = whole
    for _ in range(turns):
        importance = (weight.T @ residual).sum(axis=1)
        importance = np.abs(importance) if magnitude else importance
        omega = sorted(set(np.argsort(-importance, kind="stable")[: 2 * count]) | chosen)
        ranked = sorted(omega, key=lambda unit: (-hidden[unit].sum(), unit))
        chosen = set(ranked[:count])
        places = sorted(chosen)
        residual = whole - weight[:, places] @ hidden[places]
    return chosen, (residual**2).sum() / (whole**2).sum()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), units=st.integers(1, 12), ratio=st.floats(0.05, 1), importance=st.sampled_from(["signed", "abs"]))
def test_recovery_is_the_algorithm_of_the_page(seed: int, units: int, ratio: float, importance: str) -> None:
    rng = np.random.default_rng(seed)
    hidden = np.maximum(rng.standard_normal((units, 30)), 0).astype(np.float32)
    weight = rng.standard_normal((5, units)).astype(np.float32)
    count = max(1, int(ratio * units))
    chosen, left = recovered(
        torch.from_numpy(hidden.T.copy())[:, :, None], lambda own: own[:, :, 0] @ torch.from_numpy(weight.T.copy()), count, importance
    )
    expected, residual = slow_recovery(hidden, weight, count, 20, importance == "abs")
    assert chosen.sum() == count  # IS1
    assert set(np.flatnonzero(chosen)) == expected and left == pytest.approx(residual, rel=1e-3, abs=1e-6)
    if 2 * count >= units:  # IS3
        assert set(np.flatnonzero(chosen)) == set(np.argsort(-hidden.sum(axis=1), kind="stable")[:count])


def test_live_units_are_kept_where_the_others_are_dead() -> None:  # IS5
    rng = np.random.default_rng(0)
    hidden = torch.from_numpy(rng.random((50, 40), np.float32))
    dead = rng.permutation(40)[:24]
    hidden[:, dead] = 0
    weight = torch.from_numpy(rng.standard_normal((40, 6)).astype(np.float32))
    chosen, left = recovered(hidden[:, :, None], lambda own: own[:, :, 0] @ weight, 20)
    assert left == 0 and set(np.flatnonzero(chosen)) >= set(range(40)) - set(dead)


@pytest.mark.parametrize("name", ["lenet5", "cnn"])
def test_what_is_read_of_a_convolution_is_read_through_it(name: str) -> None:
    network = build(NetworkSpec(name=name), (16, 16), 4)
    x = np.random.default_rng(0).random((5, 16, 16), np.float32)
    state = {key: value.numpy().copy() for key, value in network.module(2).state_dict().items()}
    for index, layer in enumerate(network.layers[:-1]):
        hidden, read, _ = reading(network, state, x, index)
        assert hidden.shape[1] == layer.shape[0]
        removed = np.zeros(layer.shape[0], np.float32)
        removed[::2] = 1
        caught = []
        module = network.module(2).eval()
        module.get_submodule(network.layers[index + 1].name).register_forward_hook(lambda *own, kept=caught: kept.append(own[2]))
        module(torch.from_numpy(x))
        bias = torch.from_numpy(state[f"{network.layers[index + 1].name}.bias"])
        whole = read(hidden)
        torch.testing.assert_close(whole + bias.view(-1, *[1] * (whole.ndim - 2)), caught[0].detach(), rtol=1e-4, atol=1e-5)
        present = [torch.ones(own.shape[0]) for own in network.layers[:-1]]
        present[index] = torch.from_numpy(removed)
        tensors = gated(network, {key: torch.from_numpy(value) for key, value in state.items()}, present)
        other = reading(network, {key: value.numpy() for key, value in tensors.items()}, x, index)[1]
        torch.testing.assert_close(other(hidden), read(hidden * torch.from_numpy(removed)[None, :, None]), rtol=1e-4, atol=1e-5)


def test_residuals_are_shares() -> None:
    whole = torch.tensor([[3.0, 4.0]])
    assert share(whole, whole) == 1 and share(whole * 0, whole) == 0 and share(whole * 0, whole * 0) == 0


@settings(max_examples=30, deadline=None)
@given(hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3), sparsity=st.floats(0, 0.9))
def test_layers_keep_the_greatest_equal_share_of_units(hidden: list[int], sparsity: float) -> None:
    network = multilayer_perceptron((13,), 3, tuple(hidden))
    size = sum(layer.size for layer in network.layers)
    budget = round((1 - sparsity) * size)
    counts = unit_counts(network, budget)
    weights = weights_between(network, [np.arange(n) < count for n, count in zip(hidden, counts, strict=True)])
    if max(counts) > 1:
        assert weights <= budget
    more = [count + 1 for count in counts]
    if all(count <= n for count, n in zip(more, hidden, strict=True)):
        assert weights_between(network, [np.arange(n) < count for n, count in zip(hidden, more, strict=True)]) > budget


# Variational Bernoulli units


@settings(max_examples=60, deadline=None)
@given(theta=st.floats(0.02, 0.98), gamma=st.floats(0.05, 0.95))
def test_the_best_prior_leaves_a_cost_for_each_unit(theta: float, gamma: float) -> None:  # GS1
    def bound(pi: float) -> float:
        divergence = theta * np.log(theta / pi) + (1 - theta) * np.log((1 - theta) / (1 - pi))
        return divergence + np.log(1 + (gamma - 1) * (1 - pi))

    best = minimize_scalar(bound, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-12})
    assert best.x == pytest.approx(gamma * theta / (1 + (gamma - 1) * theta), abs=1e-4)
    assert bound(gamma * theta / (1 + (gamma - 1) * theta)) == pytest.approx((1 - theta) * np.log(gamma), abs=1e-6)


def test_a_gate_multiplies_what_a_unit_says() -> None:
    network = multilayer_perceptron((13,), 3, (6, 5), "sigmoid")  # says something even without inputs
    state = {name: torch.from_numpy(value) for name, value in next(iter(network.module_values([3]))).items()}
    present = [torch.tensor([1.0, 0, 1, 0, 1, 1]), torch.tensor([0.0, 1, 1, 0, 1])]
    module = network.module()
    x = torch.from_numpy(DATA.train.x[:4])
    own = torch.func.functional_call(module, gated(network, state, present), (x,))
    hidden = torch.sigmoid(functional.linear(x, state["hidden1.weight"], state["hidden1.bias"])) * present[0]
    hidden = torch.sigmoid(functional.linear(hidden, state["hidden2.weight"], state["hidden2.bias"])) * present[1]
    torch.testing.assert_close(own, functional.linear(hidden, state["output.weight"], state["output.bias"]))


def test_the_derivative_agrees_with_two_passes_where_the_cost_is_linear() -> None:
    weights = torch.tensor([0.3, -0.2, 0.5])
    present = [torch.tensor([1.0, 0.0, 1.0], requires_grad=True)]

    def cost(xi: list[torch.Tensor]) -> torch.Tensor:
        return (xi[0] * weights).sum()

    torch.testing.assert_close(pairwise(cost, present)[0], torch.autograd.grad(cost(present), present)[0])


@pytest.mark.parametrize("delta", ["first_order", "pairwise"])
def test_units_that_cost_much_go_and_those_that_cost_nothing_stay(delta: str) -> None:
    made = cohort((0,), sparsity=0.0, epochs=8, learning_rate=0.01)
    made.begin(made.dense, 8)
    state = made.population.state(0)
    dear = BernoulliUnits(penalty=0.5, delta=delta).learn(made, 0, state, 8)
    assert sum(float(own.sum()) for own in dear.thetas) < 2 and dear.decided[-1] > 0.8
    free = BernoulliUnits(penalty=0.0, delta=delta).learn(made, 0, state, 8)
    assert sum(float(own.sum()) for own in free.thetas) > sum(float(own.sum()) for own in dear.thetas) + 3


def test_the_best_units_are_kept_as_far_as_there_is_room() -> None:
    thetas = [np.linspace(0, 1, 11), np.linspace(1, 0, 7)]
    kept = kept_units(NETWORK, thetas, 10**9)
    assert sorted(np.unique(kept[0] // 13)) == [5, 6, 7, 8, 9, 10] and sorted(np.unique(kept[1] // 11)) == [0, 1, 2, 3]
    few = kept_units(NETWORK, thetas, 40)
    assert sum(map(len, few)) <= 40 and 10 in few[0] // 13 and 0 in few[1] // 11
    with pytest.raises(SpecError, match="bernoulli_units: expected a sparsity that leaves the 17 weights"):
        BernoulliUnits().expect_fitting(NETWORK, 0.95)
    with pytest.raises(SpecError, match="i_spasp: expected a sparsity"):
        ISpaSP().expect_fitting(NETWORK, 0.95)


# SCL


@pytest.mark.parametrize("norm", ["l2", "std", "max"])
def test_masks_are_trained_straight_through(norm: str) -> None:
    made = cohort((0,), epochs=2, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.01)
    made.begin(made.dense, 2)
    state = made.population.state(0)
    learnt = SCL(penalty=0.02, norm=norm, rate=0.1).learn(made, 0, state, 2)
    theta = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    mask = {layer.parameter: torch.full(layer.shape, 0.5) for layer in NETWORK.layers}
    velocity = {name: torch.zeros_like(value) for name, value in theta.items()}
    module, flips = NETWORK.module(), []
    for epoch in range(2):
        before = {name: own > 0 for name, own in mask.items()}
        for x, y, _ in minibatches(made, 0, epoch):
            with torch.no_grad():
                for name, part in module.named_parameters():
                    part.copy_(theta[name] * (mask[name] > 0) if name in mask else theta[name])
            module.zero_grad()
            functional.cross_entropy(module(x), y).backward()
            for name, part in module.named_parameters():
                slope = part.grad
                if name in mask:
                    normed = torch.empty_like(slope)
                    for unit, row in enumerate(slope * theta[name]):
                        size = {"l2": row.norm(), "std": row.std(correction=0), "max": row.abs().max()}[norm]
                        normed[unit] = row / (size + 1e-12)
                    slope = slope * (mask[name] > 0)
                    mask[name] = (mask[name] - 0.1 * (normed + 0.02)).clamp(-1, 1)
                velocity[name] = 0.9 * velocity[name] + slope + 0.01 * theta[name]
                theta[name] = theta[name] - 0.05 * velocity[name]
        flips.append(sum(int((before[name] != (own > 0)).sum()) for name, own in mask.items()))
    for own, layer in zip(learnt.masks, NETWORK.layers, strict=True):
        np.testing.assert_allclose(own, mask[layer.parameter].reshape(-1), atol=2e-3)
    for name, value in learnt.state.items():
        np.testing.assert_allclose(value, theta[name], atol=2e-3)
    assert abs(learnt.flips[0] - flips[0]) <= 2


def test_a_dearer_weight_leaves_fewer() -> None:
    counts = []
    for penalty in (0.0, 0.1, 0.5, 2.0):
        (result,) = sparsified(SCL(penalty=penalty, tune=0), cohort((0,), sparsity=0.0, epochs=6))
        counts.append(result.measures["weights"])
    assert counts == sorted(counts, reverse=True) and counts[-1] < counts[0]


def test_reconstructions_say_so() -> None:
    for method in (SCL(), BernoulliUnits()):
        assert any("reconstruction" in note for note in method.notes)


def test_what_they_do_not_train_with_is_refused() -> None:
    made = cohort(dropout=0.5)
    made.begin(made.dense, 1)
    with pytest.raises(SpecError, match="expected none of dropout"):
        Learner(made, made.population.state(0), 1)
