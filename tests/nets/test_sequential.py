"""Convolutional chains train packed as they do densely and by plain autograd; what is no known chain is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets_reference import (
    distinct_seeds,
    examples,
    expect_equal_states,
    make,
    minibatches,
    random_connections,
    recorded_training,
    reference_gradients,
)
from torch import nn
from torch.nn.utils import parametrizations

from evosparse.nets import Network, Seeds, TrainingSpec, inspect_module
from evosparse.nets.plan import Dropout, Pooling, Weighted

Part = Callable[[], nn.Module]
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLING = {
    1: (nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
    2: (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    3: (nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
}
ACTIVATIONS = [
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU, nn.LogSigmoid,
    nn.Mish, nn.ReLU, nn.ReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
    nn.Tanh, nn.Tanhshrink,
]  # fmt: skip
SGD = TrainingSpec(optimizer="sgd", learning_rate=0.02, momentum=0.9, batch=7)
_MARGIN = 2e-6


def chain(parts: Sequence[Part], shape: tuple[int, ...], classes: int = 3) -> Network:
    """Describe an nn.Sequential of parts, each a function that makes one."""
    return inspect_module(lambda: nn.Sequential(*(part() for part in parts)), shape, classes, "chain")


@st.composite
def chains(draw: st.DrawFn, dropout: bool) -> Network:
    """Draw a network of convolutions, pooling, activations (and dropout), with linear layers at its end."""
    dimensions = draw(st.sampled_from([1, 2, 2, 2, 3]))
    most = {1: 12, 2: 8, 3: 5}[dimensions]
    shape = (draw(st.integers(1, 4)), *(draw(st.integers(3, most)) for _ in range(dimensions)))
    parts: list[Part] = []
    now = shape

    def put(kind: type[nn.Module], *values: object, **options: object) -> None:
        nonlocal now
        parts.append(lambda: kind(*values, **options))
        now = tuple(parts[-1]().eval()(torch.zeros(1, *now)).shape[1:])

    for _ in range(draw(st.integers(1, 3))):
        for part in draw(st.permutations(["convolution", "activation", "pooling", "dropout"])):
            if part == "convolution":
                kernel, padding, dilation, stride, bias = _drawn_kernel(draw, now[1:])
                groups = draw(st.sampled_from([count for count in (1, 2, 3, 4) if now[0] % count == 0]))
                channels = groups * draw(st.integers(1, 3))
                put(
                    CONVOLUTIONS[dimensions], now[0], channels, kernel,
                    stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias,
                )  # fmt: skip
            elif part == "activation" and draw(st.booleans()):
                put(draw(st.sampled_from(ACTIVATIONS)))
            elif part == "pooling" and draw(st.booleans()):
                maximum, average, adaptive = POOLING[dimensions]
                kind = draw(st.sampled_from([maximum, average, adaptive]))
                if kind is adaptive:
                    put(kind, draw(st.integers(1, 4)))
                else:
                    side = draw(st.integers(1, min(3, *now[1:])))
                    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, side // 2))
                    put(kind, side, stride, padding, ceil_mode=draw(st.booleans()))
            elif part == "dropout" and dropout and draw(st.booleans()):
                put(nn.Dropout, draw(st.sampled_from([0.0, 0.3, 0.6])))
    put(nn.Flatten)
    hidden = draw(st.integers(1, 9))
    for outputs in (hidden, 3):
        put(nn.Linear, now[0], outputs, bias=draw(st.booleans()))
        if outputs == hidden:
            put(draw(st.sampled_from(ACTIVATIONS)))
    return chain(parts, shape)


def _drawn_kernel(
    draw: st.DrawFn, extent: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    """Draw kernel, padding, dilation and stride that fit an extent, and whether there is a bias."""
    kernel, padding, dilation = [], [], []
    for size in extent:
        padding.append(draw(st.integers(0, 2)))
        dilation.append(draw(st.integers(1, 2)))
        kernel.append(draw(st.integers(1, min(4, (size + 2 * padding[-1] - 1) // dilation[-1] + 1))))
    stride = [draw(st.sampled_from([1, 1, 2, 3])) for _ in extent]
    return tuple(kernel), tuple(padding), tuple(dilation), tuple(stride), draw(st.booleans())


def drawn_connections(network: Network, densities: Sequence[float], empty: int) -> list[list[np.ndarray | None]]:
    """Return connections of four networks: everything, few, some, and few with one layer that has none."""
    few, some = (
        [indices.astype(np.int32) for indices in random_connections(network, own, i)] for i, own in enumerate(densities)
    )
    broken = [indices[:0] if index == empty % len(few) else indices for index, indices in enumerate(few)]
    return [[None] * len(network.layers), few, some, broken]


@settings(max_examples=60, deadline=None)
@given(
    network=chains(dropout=False),
    densities=st.tuples(st.floats(0, 0.2), st.floats(0.2, 1)),
    empty=st.integers(0, 4),
    n=st.integers(1, 20),
)
def test_packed_convolutions_have_the_gradients_of_plain_autograd(
    network: Network, densities: tuple[float, float], empty: int, n: int
) -> None:
    assert network.plan is not None
    x, y = examples(n, network.input_shape, 3)
    connections, seeds = drawn_connections(network, densities, empty), distinct_seeds(4)
    population = make(network, connections, seeds, SGD, kernel="packed")
    steps = recorded_training(population, x, y, 1)
    for number, own in enumerate(connections):
        for step, rows in zip(steps, minibatches(seeds[number], n, SGD.batch, 1), strict=True):
            values, gradients = step[number]
            expected, margin = reference_gradients(network, values, own, x[rows], y[rows])
            assume(margin.relative > _MARGIN)
            assert gradients.keys() == expected.keys()
            for name, gradient in gradients.items():
                np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=5e-6, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    network=chains(dropout=True),
    densities=st.tuples(st.floats(0, 0.2), st.floats(0.2, 1)),
    empty=st.integers(0, 4),
    n=st.integers(1, 20),
    shared=st.booleans(),
)
def test_packed_convolutions_train_and_drop_as_the_dense_kernel_does(
    network: Network, densities: tuple[float, float], empty: int, n: int, shared: bool
) -> None:
    x, y = examples(n, network.input_shape, 3)
    connections = drawn_connections(network, densities, empty)
    seeds = [Seeds(i, 4 if shared else i, 5 if shared else i) for i in range(4)]
    populations = [make(network, connections, seeds, SGD, kernel=kernel) for kernel in ("dense", "packed")]
    np.testing.assert_allclose(*(population.logits(x) for population in populations), rtol=1e-4, atol=1e-5)
    for population in populations:
        population.train(x, y, 2)
    expect_equal_states(populations)
    first, second = (population.evaluate(x, y) for population in populations)
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-3, atol=1e-5)


def linear_chain(change: Callable[[nn.Sequential], object] | None = None, *parts: nn.Module) -> nn.Sequential:
    """Return a chain of known parts, changed or with parts put into its middle."""
    module = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), *parts, nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    if change is not None:
        change(module)
    return module


def twice() -> nn.Sequential:
    inner = nn.Linear(8, 8)
    return nn.Sequential(inner, nn.Tanh(), inner, nn.Linear(8, 3))


class Tripled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(x)


class Doubled(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Last(nn.Module):
    def forward(self, states: tuple[torch.Tensor, object]) -> torch.Tensor:
        return states[0][:, -1]


def share(name: str) -> Callable[[nn.Sequential], None]:
    return lambda module: setattr(module[2], name, getattr(module[0], name))


def hooked(register: str, number: int | None) -> Callable[[nn.Sequential], object]:
    """Return what adds a hook, which does nothing, to a part or to the whole."""
    return lambda module: getattr(module if number is None else module[number], register)(lambda *_: None)


HOOKS = [
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook",
]  # fmt: skip
UNKNOWN: dict[str, tuple[Part, tuple[int, ...]]] = {
    **{f"{name} of a layer": (lambda name=name: linear_chain(hooked(name, 2)), (8,)) for name in HOOKS},
    **{f"{name} of the whole": (lambda name=name: linear_chain(hooked(name, None)), (8,)) for name in HOOKS},
    "shared weights": (lambda: linear_chain(share("weight")), (8,)),
    "shared biases": (lambda: linear_chain(share("bias")), (8,)),
    "a layer used twice": (twice, (8,)),
    "normalisation": (lambda: linear_chain(None, nn.BatchNorm1d(8)), (8,)),
    "a derived layer": (lambda: linear_chain(None, Tripled(8, 8)), (8,)),
    "a derived chain": (lambda: Doubled(nn.Linear(8, 8), nn.Linear(8, 3)), (8,)),
    "a derived chain inside": (lambda: linear_chain(None, Doubled(nn.Linear(8, 8))), (8,)),
    "another forward": (lambda: linear_chain(lambda module: setattr(module[2], "forward", torch.tanh)), (8,)),
    "frozen weights": (lambda: linear_chain(lambda module: module[0].weight.requires_grad_(False)), (8,)),
    "frozen biases": (lambda: linear_chain(lambda module: module[2].bias.requires_grad_(False)), (8,)),
    "parametrised weights": (lambda: linear_chain(lambda module: parametrizations.weight_norm(module[2])), (8,)),
    "an activation with parameters": (lambda: linear_chain(None, nn.PReLU()), (8,)),
    "an activation of all units": (lambda: linear_chain(None, nn.Softmax(dim=1)), (8,)),
    "a recurrent layer": (lambda: nn.Sequential(nn.LSTM(4, 5, batch_first=True), Last(), nn.Linear(5, 3)), (2, 4)),
    "a layer over the last of two dimensions": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.Flatten(), nn.Linear(10, 3)), (2, 4),
    ),
    **{
        f"a convolution with {name}": (
            lambda options=options: nn.Sequential(nn.Conv2d(1, 4, 3, **options), nn.Flatten(), nn.LazyLinear(3)),
            (1, 6, 6),
        )
        for name, options in {
            "padding by reflection": {"padding": 1, "padding_mode": "reflect"},
            "circular padding": {"padding": 1, "padding_mode": "circular"},
            "padding by name": {"padding": "same"},
        }.items()
    },
    "a transposed convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(1, 4, 3), nn.Flatten(), nn.Linear(256, 3)), (1, 6, 6),
    ),
    "dropout of channels": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(64, 3)), (1, 6, 6),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_no_chain_of_known_steps_trains_densely(name: str) -> None:
    build, shape = UNKNOWN[name]

    def ready() -> nn.Module:
        module = build()
        if any(isinstance(part, nn.LazyLinear) for part in module.modules()):
            module(torch.zeros(1, *shape))
        return module

    network = inspect_module(ready, shape, 3, name)
    assert network.plan is None
    population = make(network, [random_connections(network, 0.05, 0)])
    assert population.kernel == "dense"
    before = population.state(0)
    population.train(*examples(20, shape, 3), 1)
    assert any((before[key] != value).any() for key, value in population.state(0).items())


CHAINS: dict[str, tuple[list[Part], tuple[int, ...]]] = {
    "pooling of images without channels": ([lambda: nn.MaxPool2d(2), nn.Flatten, lambda: nn.Linear(16, 3)], (8, 8)),
    "adaptive pooling of images without channels": (
        [lambda: nn.AdaptiveAvgPool2d(3), nn.Flatten, lambda: nn.Linear(9, 3)], (8, 8),
    ),
    "pooling of features": ([lambda: nn.AvgPool1d(2), lambda: nn.Linear(4, 3)], (8,)),
    "pooling of a single channel in one dimension": (
        [lambda: nn.Conv1d(1, 1, 3), lambda: nn.MaxPool1d(2), nn.Flatten, lambda: nn.Linear(5, 3)], (1, 12),
    ),
    "pooling of a single channel in two dimensions": (
        [lambda: nn.Conv2d(1, 1, 3), lambda: nn.MaxPool2d(2), nn.Flatten, lambda: nn.Linear(9, 3)], (1, 8, 8),
    ),
    "pooling of a single channel in three dimensions": (
        [lambda: nn.Conv3d(1, 1, 3), lambda: nn.AvgPool3d(2), nn.Flatten, lambda: nn.Linear(8, 3)], (1, 6, 6, 6),
    ),
    "pooling with overlap, rounding up": (
        [lambda: nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True), nn.Flatten, lambda: nn.LazyLinear(3)], (2, 9, 7),
    ),
    "pooling that leaves the padding out": (
        [lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten, lambda: nn.LazyLinear(3)], (2, 9, 7),
    ),
    "flattening in parts": (
        [
            lambda: nn.Conv2d(2, 4, 3), nn.Tanh, lambda: nn.Flatten(2), lambda: nn.Conv1d(4, 3, 5),
            lambda: nn.Unflatten(2, (4, 8)), lambda: nn.AvgPool2d(2), nn.Flatten, lambda: nn.Linear(24, 3),
        ],
        (2, 8, 8),
    ),
    "chains in chains": (
        [lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(8, 5), nn.ReLU())), lambda: nn.Linear(5, 3)], (8,),
    ),
    "activations in place": (
        [
            lambda: nn.LeakyReLU(0.3, inplace=True), lambda: nn.Linear(8, 6), lambda: nn.ELU(inplace=True),
            lambda: nn.Linear(6, 6), lambda: nn.Dropout(0.3, inplace=True), lambda: nn.ReLU(inplace=True),
            lambda: nn.Linear(6, 3),
        ],
        (8,),
    ),
    "rectified outputs": ([lambda: nn.Linear(8, 5), nn.ReLU, nn.ReLU, lambda: nn.Linear(5, 3), nn.ReLU], (8,)),
    "no dropout at all": ([lambda: nn.Linear(8, 5), lambda: nn.Dropout(0.0), lambda: nn.Linear(5, 3)], (8,)),
    "dropout of everything": ([lambda: nn.Linear(8, 5), lambda: nn.Dropout(1.0), lambda: nn.Linear(5, 3)], (8,)),
    "dropout of the inputs": ([lambda: nn.Dropout(0.4), nn.Flatten, lambda: nn.Linear(16, 3)], (1, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("population", [1, 3])
@pytest.mark.parametrize("batch", [1, 32, 40])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_with_known_pitfalls_train_sparsely_as_they_do_densely(name: str, batch: int, population: int) -> None:
    parts, shape = CHAINS[name]

    def build() -> nn.Module:
        module = nn.Sequential(*(part() for part in parts))
        module.eval()(torch.zeros(1, *shape))
        return module.train()

    network = inspect_module(build, shape, 3, name)
    x, y = examples(33, shape, 3)
    training = SGD.model_copy(update={"batch": batch, "learning_rate": 0.002})
    connections = [random_connections(network, 0.3, i) for i in range(population)]
    # By the rule, which must not choose what cannot be trained sparsely.
    populations = [make(network, connections, training=training, kernel=kernel) for kernel in ("dense", None)]
    assert populations[1].kernel == ("dense" if network.plan is None else "packed")
    np.testing.assert_allclose(*(population.logits(x) for population in populations), rtol=1e-4, atol=1e-5)
    for population in populations:
        population.train(x, y, 1)
    expect_equal_states(populations)


def test_the_state_of_a_packed_module_is_all_that_its_state_dict_holds() -> None:
    def build() -> nn.Module:
        module = linear_chain()
        module.register_buffer("mean", torch.full((2,), 3.0))
        return module

    network = inspect_module(build, (8,), 3, "with a buffer")
    population = make(network, [random_connections(network, 0.1, 0)])
    state = population.state(0)
    assert state.keys() == network.module().state_dict().keys()
    np.testing.assert_array_equal(state["mean"], [3, 3])


def test_a_plan_tells_the_steps_of_a_chain_and_joins_layers_with_their_relu() -> None:
    parts = [
        lambda: nn.Conv2d(2, 4, 3, padding=1), nn.ReLU, lambda: nn.MaxPool2d(2), lambda: nn.Dropout(0.3), nn.Flatten,
        lambda: nn.Linear(64, 3, bias=False),
    ]  # fmt: skip
    first, pooling, dropout, last = chain(parts, (2, 8, 8)).plan
    assert isinstance(first, Weighted) and (first.name, first.bias, first.rectified) == ("0", True, True)
    assert isinstance(pooling, Pooling) and (pooling.input_shape, pooling.output_shape) == ((4, 8, 8), (4, 4, 4))
    assert isinstance(dropout, Dropout) and (dropout.probability, dropout.shape) == (0.3, (4, 4, 4))
    assert isinstance(last, Weighted) and (last.name, last.bias, last.rectified) == ("5", False, False)
