"""The parts of private training: per-sample gradients, carriers, the bound and the noise, supports, minibatches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from evosparse.errors import SpecError
from evosparse.nets import Network, inspect_module, multilayer_perceptron
from evosparse.nets.losses import LossName, total_loss
from evosparse.sparsify.private import (
    Carriers,
    Outer,
    PerSampleGradients,
    Sampling,
    Whole,
    carriers,
    clipped_sum,
    expect_separable,
    noisy_mean,
    previous_support,
    random_support,
)
from evosparse.sparsify.private.gradients import LEFT, RIGHT

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


class Shared(nn.Module):
    """No chain of layers: one is used twice, and its weights also stand outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale, self.output = nn.Linear(6, 6), nn.Parameter(torch.ones(6)), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.inner(torch.tanh(self.inner(x))))
        return self.output(self.scale * (x @ self.inner.weight))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2, padding=1), nn.GroupNorm(2, 4), nn.ReLU(),
        nn.Conv2d(4, 4, 2, groups=2), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


def positions() -> nn.Module:
    """One layer is used at two positions of an example, one at a single position that has a dimension of its own."""
    return nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.ReLU(), nn.Flatten(), nn.Unflatten(1, (1, 8)), nn.Linear(8, 4),
        nn.ReLU(), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


NETWORKS: dict[str, Network] = {
    "perceptron": multilayer_perceptron((6,), 3, (5, 4)),
    "convolutional": inspect_module(convolutional, (6,), 3, "convolutional"),
    "positions": inspect_module(positions, (6,), 3, "positions"),
    "shared": inspect_module(Shared, (6,), 3, "shared"),
}


def examples(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((count, 6)).astype(np.float32), rng.integers(3, size=count)
    return torch.from_numpy(x), torch.from_numpy(y)


def slow_loop(module: nn.Module, x: torch.Tensor, y: torch.Tensor, loss: LossName) -> list[dict[str, torch.Tensor]]:
    """Return the gradients of one example after another, each by a backward pass of its own."""
    found = []
    for one in range(len(x)):
        module.zero_grad()
        total_loss(loss, module(x[one : one + 1])[None], y[one : one + 1]).backward()
        found.append({name: value.grad.clone() for name, value in module.named_parameters()})
    return found


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("name", NETWORKS)
def test_per_sample_gradients_are_those_of_single_examples(
    name: str, loss: LossName, both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evosparse.sparsify.private.gradients._NUMBERS", 200)  # several chunks
    network = NETWORKS[name]
    module, (x, y) = network.module(1), examples(7)
    slow = slow_loop(network.module(1), x, y, loss)
    weights = {key: value.detach() for key, value in module.named_parameters()}
    layers = {layer.parameter for layer in network.layers[:-1]}
    for factorised in (set(), layers):
        rng = np.random.default_rng(2)
        parts = {
            key: carriers(value.flatten(1), min(2, value.shape[0]), rng) if key in factorised else value
            for key, value in weights.items()
        }
        own = PerSampleGradients(network, network.module(1), {}, loss)
        chunks = list(own.chunks(parts, both, x, y, seed=0))
        assert len(chunks) > 1
        for key, part in parts.items():
            wanted = torch.stack([one[key] for one in slow])
            if not isinstance(part, Carriers):
                found = torch.cat([chunk[key].dense() for chunk in chunks])
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
                continue
            flat = wanted.flatten(2)
            lefts = torch.cat([chunk[key + LEFT].dense() for chunk in chunks])
            torch.testing.assert_close(lefts, flat @ part.right.T, atol=1e-5, rtol=1e-4)
            if both:
                rights = torch.cat([chunk[key + RIGHT].dense() for chunk in chunks])
                torch.testing.assert_close(rights, part.left.T @ flat, atol=1e-5, rtol=1e-4)


def test_carriers_leave_what_the_network_answers() -> None:
    network, x = NETWORKS["perceptron"], examples(4)[0]
    module = network.module(3)
    answers = module(x)
    weights = {key: value.detach() for key, value in module.named_parameters()}
    split = carriers(weights["hidden1.weight"], 2, np.random.default_rng(0))
    again = functional_call(module, weights | {"hidden1.weight": split.left @ split.right + split.rest}, (x,))
    torch.testing.assert_close(again, answers, atol=1e-6, rtol=1e-5)


def test_no_examples_have_no_gradients() -> None:
    network, (x, y) = NETWORKS["perceptron"], examples(0)
    weights = {key: value.detach() for key, value in network.module(0).named_parameters()}
    own = PerSampleGradients(network, network.module(0), {}, "cross_entropy")
    assert list(own.chunks(weights, False, x, y, 0)) == []


def test_dropout_is_drawn_for_each_example_by_its_seed() -> None:
    network = multilayer_perceptron((6,), 3, (40,))
    weights = {key: value.detach() for key, value in network.module(0).named_parameters()}
    own = PerSampleGradients(network, network.module(0), {}, "cross_entropy", dropout=0.5)
    x, y = (value[:1].repeat(5, *(1,) * (value.ndim - 1)) for value in examples(1))
    state = torch.get_rng_state()
    first, again, other = (next(own.chunks(weights, False, x, y, seed))["output.weight"].dense() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({tuple((one == 0).flatten().tolist()) for one in first}) == 5


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def running_norm() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 2, 3), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten())


@pytest.mark.parametrize("build", [batch_norm, running_norm])
def test_statistics_of_minibatches_are_refused(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(SpecError, match=r"Norm1d at '1'.*nn.GroupNorm or nn.LayerNorm"):
        expect_separable(build())


class Counting(nn.Module):
    """Keeps a sum over all examples that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += x.sum()
        return self.body(x)


def test_a_module_that_changes_its_buffers_is_refused() -> None:
    network, (x, y) = inspect_module(Counting, (6,), 3, "counting"), examples(2)
    weights = {key: value.detach() for key, value in network.module(0).named_parameters()}
    own = PerSampleGradients(network, network.module(0), {"seen": torch.zeros(())}, "cross_entropy")
    with pytest.raises(SpecError, match=r"torch.func.vmap .* mend the module"):
        next(own.chunks(weights, False, x, y, 0))


@given(SHAPES, st.integers(1, 9), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60)
def test_carriers_are_orthonormal_and_their_sum_is_the_weights(
    shape: tuple[int, int], rank: int, seed: int, poor: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    if poor:
        weights[1:] = 0  # of rank 1
    rank = min(rank, shape[1])
    split = carriers(weights, rank, rng)
    torch.testing.assert_close(split.left @ split.right + split.rest, weights, atol=1e-5, rtol=0)
    torch.testing.assert_close(split.right @ split.right.T, torch.eye(rank), atol=1e-5, rtol=0)
    columns = min(rank, shape[0])
    wanted = torch.diag((torch.arange(rank) < columns).float())
    torch.testing.assert_close(split.left.T @ split.left, wanted, atol=1e-5, rtol=0)


@given(SHAPES, st.integers(0, 2**32))
@settings(max_examples=60)
def test_gradients_by_carriers_are_projections_and_lose_nothing_at_full_rank(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, gradient = (torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for _ in range(2))
    for rank in {1, min(shape)}:
        split = carriers(weights, rank, rng)
        left, right = split.project(gradient)
        rows, columns = split.right.T @ split.right, split.left @ split.left.T
        both = gradient @ rows + columns @ gradient - columns @ gradient @ rows
        torch.testing.assert_close(split.rebuild(left, right), both, atol=1e-4, rtol=0)
        torch.testing.assert_close(split.rebuild(left), gradient @ rows, atol=1e-4, rtol=0)
        if rank == min(shape):
            torch.testing.assert_close(split.rebuild(left, right), gradient, atol=1e-4, rtol=0)
    whole = carriers(weights, shape[1], rng)
    torch.testing.assert_close(whole.rebuild(whole.project(gradient)[0]), gradient, atol=1e-4, rtol=0)


@given(st.floats(0.01, 10), st.integers(0, 2**32), st.booleans(), st.booleans())
@settings(max_examples=60)
def test_no_example_adds_more_than_the_bound(clip: float, seed: int, cut: bool, outer: bool) -> None:
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-3, 3)
    a, b, rows, columns = (
        torch.from_numpy((scale * rng.standard_normal((5, *shape))).astype(np.float32))
        for shape in ((3, 4), (7,), (3,), (4,))
    )
    gradients = {"a": Outer(rows, columns) if outer else Whole(a), "b": Whole(b)}
    support = {"a": random_support(12, 0.5, rng) if cut else None, "b": None}
    alone = [
        clipped_sum({name: value.only(torch.arange(5) == one) for name, value in gradients.items()}, support, clip)
        for one in range(5)
    ]
    for one, own in enumerate(alone):
        joint = torch.cat([*own.values()])
        whole = gradients["a"].dense()[one].flatten()
        raw = torch.cat([whole if support["a"] is None else whole[support["a"]], b[one]])
        assert joint.norm() <= clip * (1 + 1e-5)
        torch.testing.assert_close(joint, raw * min(1.0, clip / float(raw.norm())), rtol=1e-4, atol=1e-6)
    together = clipped_sum(gradients, support, clip)
    for name, value in together.items():
        torch.testing.assert_close(value, sum(own[name] for own in alone), rtol=1e-4, atol=1e-5)


def test_an_example_without_a_finite_gradient_adds_nothing() -> None:
    for broken in (np.nan, np.inf, 3e38):
        whole = torch.tensor([[3.0, 4.0], [broken, broken]])
        for every in (Whole(whole), Outer(torch.tensor([[1.0], [10.0]]), whole)):
            own = clipped_sum({"a": every, "b": Whole(torch.tensor([[0.0], [1.0]]))}, {"a": None, "b": None}, 1.0)
            torch.testing.assert_close(own["a"], torch.tensor([0.6, 0.8]))
            assert own["b"].item() == 0
    assert clipped_sum({"a": Whole(torch.zeros(2, 3))}, {"a": None}, 1.0)["a"].tolist() == [0, 0, 0]


def test_no_norm_of_an_outer_product_is_lost_below_the_least_number() -> None:
    """Squares of 1e-30 and of 1e31 are 0 and infinite in float32, their product's norm is 10."""
    extreme = Outer(torch.full((1, 1), 1e-30), torch.full((1, 1), 1e31))
    for support in (None, torch.tensor([0])):
        assert clipped_sum({"a": extreme}, {"a": support}, 1.0)["a"].item() == pytest.approx(1.0, rel=1e-5)


def test_noise_has_the_variance_of_the_bound_and_is_on_the_support_alone() -> None:
    """LS2: (sigma C / B)^2 within 2 % on the support, exactly 0 off it."""
    size, sigma, clip, batch = 1000, 1.3, 0.7, 20
    rng = np.random.default_rng(3)
    support = {"a": random_support(size, 0.3, rng), "b": None}
    total = {"a": torch.zeros(300), "b": torch.zeros(10)}
    shapes = {"a": torch.Size((25, 40)), "b": torch.Size((10,))}
    drawn = [
        noisy_mean(total, support, shapes, batch, sigma * clip, np.random.default_rng(seed)) for seed in range(200)
    ]
    outside = np.setdiff1d(np.arange(size), support["a"].numpy())
    noise = np.stack([one["a"].flatten().numpy() for one in drawn])
    assert not noise[:, outside].view(np.int32).any()
    inside = np.concatenate([noise[:, support["a"].numpy()].ravel(), *(one["b"].numpy() for one in drawn)])
    assert len(inside) == 200 * 310
    assert abs(inside.var() / (sigma * clip / batch) ** 2 - 1) < 0.02
    assert abs(inside.mean()) < 0.02 * inside.std()
    quiet = noisy_mean({"a": torch.ones(300), "b": torch.ones(10)}, support, shapes, batch, 0.0, rng)
    assert set(quiet["b"].tolist()) == {np.float32(1 / batch)} and int((quiet["a"] != 0).sum()) == 300


def test_supports_have_their_size_and_follow_the_previous_update() -> None:
    rng = np.random.default_rng(0)
    assert len(random_support(10, 0.01, rng)) == 1 and random_support(3, 1.0, rng).tolist() == [0, 1, 2]
    update = torch.zeros(4, 25)
    update.view(-1)[[3, 50, 99]] = torch.tensor([-5.0, 2.0, 1.0])
    for carried, held in ((0.2, [3, 50]), (0.1, [3]), (1.0, [3, 50, 99]), (0.0, [])):
        chosen = [previous_support(update, 0.1, carried, np.random.default_rng(seed)).tolist() for seed in range(20)]
        assert all(len(set(one)) == 10 and one == sorted(one) and set(held) <= set(one) for one in chosen)
        assert set.intersection(*map(set, chosen)) == set(held), "the rest is drawn"


def test_poisson_minibatches_have_the_sizes_of_a_binomial() -> None:
    sampling = Sampling("poisson", 400, 30)
    assert (sampling.rate, sampling.expected, sampling.steps) == (0.075, 30, 13)
    drawn = [sampling.rows(7, step) for step in range(3000)]
    sizes = np.array([len(rows) for rows in drawn])
    variance = 400 * 0.075 * 0.925
    assert abs(sizes.mean() - 30) < 4 * np.sqrt(variance / 3000)
    assert abs(sizes.var() / variance - 1) < 4 * np.sqrt(2 / 3000)
    shares = np.bincount(np.concatenate(drawn), minlength=400) / 3000
    assert np.abs(shares - 0.075).max() < 5 * np.sqrt(0.075 * 0.925 / 3000)
    assert np.array_equal(drawn[5], sampling.rows(7, 5)) and not np.array_equal(drawn[5], sampling.rows(8, 5))
    assert {sampling.divisor(rows) for rows in drawn} == {30}


def test_a_minibatch_of_more_than_all_examples_has_all() -> None:
    sampling = Sampling("poisson", 20, 64)
    assert (sampling.rate, sampling.expected, sampling.steps) == (1.0, 20, 1) and len(sampling.rows(0, 0)) == 20


def test_a_shuffled_epoch_has_every_example_once() -> None:
    sampling = Sampling("shuffle", 53, 16)
    epochs = [[sampling.rows(0, epoch * 4 + number) for number in range(4)] for epoch in range(2)]
    for epoch in epochs:
        assert [len(rows) for rows in epoch] == [sampling.divisor(rows) for rows in epoch] == [16, 16, 16, 5]
        assert sorted(np.concatenate(epoch).tolist()) == list(range(53))
    assert not np.array_equal(epochs[0][0], epochs[1][0])
