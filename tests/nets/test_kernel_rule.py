"""Which kernel `auto` stands for, what each kernel refuses, and what bfloat16 is worth."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import pytest
import torch
from nets_reference import (
    distinct_seeds,
    examples,
    make,
    minibatches,
    random_connections,
    recorded_training,
    reference_gradients,
    small,
)
from pydantic import ValidationError
from torch import nn

from evosparse.errors import SpecError
from evosparse.nets import (
    Network,
    NetworkSpec,
    TrainingSpec,
    build,
    choose_kernel,
    expect_fitting,
    fused,
    inspect_module,
    multilayer_perceptron,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def lenet() -> Network:
    return build(NetworkSpec(name="lenet5"), (16, 16), 3)


def smooth_convolution() -> Network:
    # Without maxima: numbers of few digits are often equal, and then another one may be taken for the largest.
    return inspect_module(
        lambda: nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96, 3)),
        (1, 12, 12),
        3,
        "smooth",
    )


def unplannable() -> Network:
    return inspect_module(
        lambda: nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), (13,), 3, "normalised"
    )


@pytest.fixture
def slow_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without instructions for bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.fixture(params=["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def fast_processor(request: pytest.FixtureRequest, slow_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with instructions for bfloat16 of either kind; any other computes the same, but slowly."""
    monkeypatch.setattr(torch.cpu, request.param, lambda: True)


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_perceptrons_are_packed_up_to_two_fifths_of_what_the_dense_kernel_multiplies(kind: str) -> None:
    # 13, 70 and 3 are rounded up to 32, 96 and 32 in the stacked matrices; a module's weights are not rounded.
    network = small(kind, hidden=(70,))
    most = int(0.4 * (96 * 32 + 32 * 96)) if kind == "mlp" else int(0.8 * (70 * 13 + 3 * 70))
    least = most - 210
    assert choose_kernel(network, [least, 210], "float32", CPU) == "packed"
    assert choose_kernel(network, [least + 1, 210], "float32", CPU) == "dense"
    assert choose_kernel(network, [0, 0], "float32", CPU) == "packed"


def test_convolutions_count_as_often_as_they_are_used() -> None:
    # On 16x16 pixels the kernels have 144 and 4 positions.
    network = lenet()
    dense = 144 * 500 + 4 * 25_000 + 50 * 500 + 500 * 3
    assert dense == network.multiply_adds([None] * 4)
    assert int(0.8 * dense) == 144 * 500 + 4 * 21_700
    assert choose_kernel(network, [500, 21_700, 0, 0], "float32", CPU) == "packed"
    assert choose_kernel(network, [500, 21_700, 1, 0], "float32", CPU) == "dense"
    assert choose_kernel(network, [500, 21_701, 0, 0], "float32", CPU) == "dense"


def test_the_densest_network_in_each_layer_decides() -> None:
    network = multilayer_perceptron((320,), 10, (320,))
    sparse, half = random_connections(network, 0.1, 0), random_connections(network, 0.3, 1)
    assert make(network, [sparse] * 3).kernel == "packed"
    assert make(network, [sparse, [None, None]]).kernel == "dense"
    assert make(network, [sparse, [half[0], None]]).kernel == "packed"
    more = random_connections(network, 0.45, 2)
    assert make(network, [sparse, [more[0], sparse[1]], sparse]).kernel == "dense"


def test_other_devices_precisions_and_unknown_modules_are_dense(fast_processor: None) -> None:
    for network in (multilayer_perceptron((64,), 10, (64,)), lenet()):
        few = [1] * len(network.layers)
        assert choose_kernel(network, few, "float32", CPU) == "packed"
        assert choose_kernel(network, few, "float32", CUDA) == "dense"
        assert choose_kernel(network, few, "bfloat16", CPU) == "dense"
    assert choose_kernel(unplannable(), [1, 1], "float32", CPU) == "dense"


def test_a_named_kernel_is_taken_whatever_the_rule_says() -> None:
    network = small("mlp")
    for kernel in ("dense", "packed", "csr"):
        for connections in ([None] * 3, random_connections(network, 0.1, 0)):
            assert make(network, [connections], training=TrainingSpec(kernel=kernel)).kernel == kernel
            assert make(network, [connections], kernel=kernel).kernel == kernel
    assert make(network, [[None] * 3], training=TrainingSpec(kernel="csr"), kernel="packed").kernel == "packed"


@pytest.mark.parametrize(
    ("name", "network", "device", "message"),
    [
        ("csr", lenet(), CPU, "csr trains multilayer perceptrons alone; use packed, dense or auto"),
        ("csr", small("module"), CPU, "csr trains multilayer perceptrons alone"),
        ("csr", unplannable(), CPU, "csr trains multilayer perceptrons alone"),
        ("packed", small("mlp"), CUDA, "packed computes on a CPU, not on cuda; use dense, csr or auto"),
        ("packed", lenet(), torch.device("cuda", 1), "packed computes on a CPU, not on cuda:1"),
        ("packed", unplannable(), CPU, "packed trains nn.Sequential modules .*; use dense or auto"),
    ],
)
def test_a_kernel_that_does_not_fit_is_refused(name: str, network: Network, device: torch.device, message: str) -> None:
    with pytest.raises(SpecError, match=f"training.kernel: {message}"):
        expect_fitting(name, "float32", network, device)
    if device.type == "cpu":
        with pytest.raises(SpecError, match=f"training.kernel: {message}"):
            make(network, [[None] * len(network.layers)], kernel=name)


def test_kernels_that_fit_are_not_refused() -> None:
    for device in (CPU, CUDA):
        for network in (small("mlp"), lenet(), unplannable()):
            expect_fitting("dense", "float32", network, device)
        expect_fitting("csr", "float32", small("mlp"), device)
    for network in (small("mlp"), lenet()):
        expect_fitting("packed", "float32", network, CPU)
    expect_fitting("dense", "bfloat16", lenet(), CUDA)


def test_loops_are_compiled_anew_where_no_folder_can_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(cache: bool = False, **options: object) -> Callable:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(fused, "njit", njit)
    double = fused._compiled({"contract"})(lambda x: 2 * x)
    assert double(3.5) == 7 and double.nopython_signatures


@pytest.mark.parametrize("kernel", ["packed", "csr"])
def test_bfloat16_is_refused_by_all_kernels_but_the_dense_one(kernel: str, fast_processor: None) -> None:
    with pytest.raises(ValidationError, match=f"bfloat16 is of the dense kernel alone; got kernel {kernel}"):
        TrainingSpec(kernel=kernel, precision="bfloat16")
    for own in ("dense", "auto"):
        with pytest.raises(SpecError, match="bfloat16"):
            make(small("mlp"), [[None] * 3], training=TrainingSpec(kernel=own, precision="bfloat16"), kernel=kernel)


def test_bfloat16_is_refused_where_it_would_be_slower(slow_processor: None) -> None:
    message = "training.precision: bfloat16 needs a GPU, or a processor with AMX or AVX-512 BF16"
    for kernel in ("auto", "dense"):
        with pytest.raises(SpecError, match=message):
            make(small("mlp"), [[None] * 3], training=TrainingSpec(kernel=kernel, precision="bfloat16"))
    with pytest.raises(SpecError, match=message):
        choose_kernel(small("mlp"), [1, 1, 1], "bfloat16", CPU)
    with pytest.raises(SpecError, match=message):
        expect_fitting("dense", "bfloat16", small("mlp"), CPU)
    assert choose_kernel(small("mlp"), [1, 1, 1], "bfloat16", CUDA) == "dense"


@pytest.mark.parametrize("kind", ["mlp", "module", "convolution"])
def test_gradients_in_bfloat16_are_those_of_autograd_to_its_few_digits(kind: str, fast_processor: None) -> None:
    network = smooth_convolution() if kind == "convolution" else small(kind)
    x, y = examples(20, network.input_shape, 3)
    connections, seeds = [random_connections(network, 0.5, number) for number in range(2)], distinct_seeds(2)
    training = TrainingSpec(batch=20, kernel="dense", precision="bfloat16")
    (step,) = recorded_training(make(network, connections, seeds, training), x, y, 1)
    for own, seed, (values, gradients) in zip(connections, seeds, step, strict=True):
        rows = minibatches(seed, 20, 20, 1)[0]
        expected, _ = reference_gradients(network, values, own, x[rows], y[rows])
        for name, gradient in gradients.items():
            error = np.linalg.norm(gradient - expected[name]) / np.linalg.norm(expected[name])
            assert error < 0.03, name  # 8 binary digits are 0.004
            assert error > 1e-5 or name.endswith("bias"), "expected fewer digits than those of float32"


@pytest.mark.parametrize("kind", ["mlp", "module", "lenet5"])
def test_bfloat16_learns_as_well_as_float32_and_keeps_float32_values(kind: str, fast_processor: None) -> None:
    network = lenet() if kind == "lenet5" else small(kind)
    x, y = examples(300, network.input_shape, 3)
    share = np.arange(x[0].size) * 3 // x[0].size
    x += (3 * (share == y[:, None])).reshape(x.shape)  # easy: a third of the features for each class
    connections = [random_connections(network, 0.5, number) for number in range(3)]
    trained = {}
    for precision in ("float32", "bfloat16"):
        training = TrainingSpec(learning_rate=3e-3, batch=20, kernel="dense", precision=precision)
        population = make(network, connections, training=training)
        population.train(x[:200], y[:200], 5 if kind == "lenet5" else 20)
        trained[precision] = population
    exact, low = (population.accuracy(x[200:], y[200:]) for population in trained.values())
    assert exact.min() > 0.9
    np.testing.assert_allclose(low, exact, atol=0.05)
    exact, low = (population.logits(x) for population in trained.values())
    assert low.dtype == np.float32 and (low != exact).any()
    for number, own in enumerate(connections):
        state = trained["bfloat16"].state(number)
        for layer, indices in zip(network.layers, own, strict=True):
            weights = state[layer.parameter]
            assert np.count_nonzero(weights) == len(indices)
            rounded = torch.from_numpy(weights).bfloat16().float().numpy()
            assert (rounded != weights).mean() > 0.9 * len(indices) / layer.size
