"""A network's result is bit for bit the same whatever trains beside it, wherever it stands, however many there are."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets_reference import EVERY_KERNEL, examples, make, random_connections, small
from torch import nn

from evosparse.nets import (
    Connections,
    Network,
    NetworkSpec,
    Population,
    Seeds,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.kernel import padded

TRAININGS = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine"},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 1e-3, "schedule": {"name": "step", "every": 1, "factor": 0.37}},
]


PADDED = {
    "strided": lambda: nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2),
        nn.SiLU(),
        nn.Dropout(0.2),
        nn.Conv2d(6, 5, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(20, 11),
        nn.Sigmoid(),
        nn.Linear(11, 3),
    ),
    "one long row": lambda: nn.Sequential(
        nn.Conv1d(2, 5, 5, padding=3, bias=False), nn.Mish(), nn.MaxPool1d(3, 2), nn.Flatten(), nn.Linear(160, 3)
    ),
}
PADDED_SHAPES = {"strided": (2, 7, 7), "one long row": (2, 63)}


class Odd(nn.Module):
    """Odd sizes, and operations that treat the last few numbers of a tensor in another way."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.dropout = nn.Dropout(0.2)
        self.hidden = nn.Linear(45, 11)
        self.last = nn.Linear(11, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.mul_(1.1)  # in place: the next network must not see it
        hidden = nn.functional.max_pool2d(nn.functional.silu(self.norm(self.convolution(x))), 2)
        return self.last(torch.sigmoid(self.hidden(self.dropout(hidden.flatten(1)))))


def results(population: Population, x: np.ndarray, y: np.ndarray, number: int) -> list[np.ndarray]:
    """Return all that one network came to, in bits."""
    evaluation = population.evaluate(x, y)
    measures = [evaluation.accuracy[number], evaluation.loss[number]]
    arrays = [*population.state(number).values(), population.logits(x)[number], np.array(measures)]
    arrays += [population.gradients(layer, number) for layer in range(len(population.network.layers))]
    return [array.copy() for array in arrays]


def expect_pure(
    network: Network,
    seeds: list[Seeds],
    training: TrainingSpec,
    n: int,
    kernel: str,
    epochs: int = 2,
    cut: bool = False,
    blocks: int = 1,
) -> None:
    """Train all together, and some alone, reversed, and beside a stranger; compare every bit.

    Args:
        blocks: in how many parts at least the packed kernels shall have worked on all together.
    """
    x, y = examples(n, network.input_shape, network.classes)
    connections: list[Connections] = [random_connections(network, 0.3 + 0.1 * (i % 7), i) for i in range(len(seeds))]

    def run(numbers: list[int]) -> Population:
        own = [connections[i] for i in numbers]
        population = make(network, own, [seeds[i] for i in numbers], training, kernel=kernel)
        population.train(x, y, epochs - 1)
        if cut:
            population.cut([[indices[::2] for indices in connections[i]] for i in numbers], kernel=kernel)
        population.train(x, y, 1, gradients="signed")
        return population

    everyone = list(range(len(seeds)))
    together, reverse = run(everyone), run(everyone[::-1])
    if kernel != "dense":
        assert len(list(together._kernel._blocks(padded(min(training.batch, n))))) >= blocks
    for i in {0, len(seeds) // 2, len(seeds) - 1}:
        expected = results(together, x, y, i)
        others = ((run([i]), 0), (reverse, len(seeds) - 1 - i), (run([0, i, *everyone]), 1))
        for population, who in others:
            for first, second in zip(expected, results(population, x, y, who), strict=True):
                assert first.tobytes() == second.tobytes()


def seeds_of(population: int, shared: bool) -> list[Seeds]:
    return [Seeds(weights=i % 3, order=7 if shared else i, noise=5 if shared else i) for i in range(population)]


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    classes=st.integers(2, 20),
    population=st.integers(1, 9),
    batch=st.integers(1, 70),
    n=st.integers(1, 90),
    training=st.sampled_from(TRAININGS),
    activation=st.sampled_from(["relu", "sigmoid", "silu", "mish", "tanh"]),
    shared=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
)
def test_perceptrons_are_pure(
    kernel: str,
    widths: list[int],
    classes: int,
    population: int,
    batch: int,
    n: int,
    training: dict[str, object],
    activation: str,
    shared: bool,
    dropout: float,
) -> None:
    network = multilayer_perceptron(widths[:1], classes, widths[1:], activation)
    spec = TrainingSpec(batch=max(batch, n // 6), dropout=dropout, input_dropout=dropout / 2, **training)
    expect_pure(network, seeds_of(population, shared), spec, n, kernel)


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
@pytest.mark.parametrize(
    ("widths", "population"),
    [((37, 23, 11, 3), 17), ((784, 300, 100, 10), 5), ((64, 64, 32, 10), 33), ((17, 33, 65, 2), 2)],
)
def test_known_sizes_are_pure(widths: tuple[int, ...], population: int, kernel: str) -> None:
    network = multilayer_perceptron(widths[:1], widths[-1], widths[1:-1], "sigmoid")
    expect_pure(network, seeds_of(population, True), TrainingSpec(batch=25), 60, kernel, cut=True)


@pytest.mark.parametrize("kernel", ["packed", "csr"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("activation", ["relu", "mish"])
def test_perceptrons_are_pure_in_several_blocks(activation: str, shared: bool, kernel: str) -> None:
    network = multilayer_perceptron((40,), 10, (300, 100), activation)
    training = TrainingSpec(batch=100, dropout=0.2)
    expect_pure(network, seeds_of(23, shared), training, 130, kernel, blocks=3)


@pytest.mark.parametrize("widths", [(37, 23, 11, 3), (784, 300, 100, 10)])
def test_perceptrons_in_bfloat16_are_pure(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # others are slow, but compute as well
    network = multilayer_perceptron(widths[:1], widths[-1], widths[1:-1])
    expect_pure(network, seeds_of(6, True), TrainingSpec(batch=25, precision="bfloat16"), 60, "dense", cut=True)


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("shared", [True, False])
def test_modules_are_pure(training: dict[str, object], shared: bool) -> None:
    network = inspect_module(partial(Odd, 3), (1, 8, 8), 3, "Odd")
    expect_pure(network, seeds_of(5, shared), TrainingSpec(batch=7, **training), 17, "dense", cut=True)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
def test_lenet5_is_pure(kernel: str) -> None:
    network = build(NetworkSpec(name="lenet5"), (16, 16), 5)
    expect_pure(network, seeds_of(3, False), TrainingSpec(batch=6, dropout=0.4, input_dropout=0.2), 10, kernel, cut=True)


@pytest.mark.parametrize("shared", [True, False])
def test_lenet5_is_pure_in_several_blocks(shared: bool) -> None:
    network = build(NetworkSpec(name="lenet5", activation="tanh"), (16, 16), 5)
    expect_pure(network, seeds_of(9, shared), TrainingSpec(batch=6), 10, "packed", blocks=3)


@pytest.mark.parametrize("kernel", ["dense", "packed"])
@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("name", PADDED)
def test_padded_and_strided_convolutions_are_pure(name: str, training: dict[str, object], kernel: str) -> None:
    network = inspect_module(PADDED[name], PADDED_SHAPES[name], 3, name)
    expect_pure(network, seeds_of(5, True), TrainingSpec(batch=7, **training), 17, kernel, cut=True)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", PADDED)
def test_padded_and_strided_convolutions_are_pure_in_several_blocks(name: str, shared: bool) -> None:
    network = inspect_module(PADDED[name], PADDED_SHAPES[name], 3, name)
    expect_pure(network, seeds_of(45, shared), TrainingSpec(batch=110), 120, "packed", blocks=3)


@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.5, inplace=True), nn.ELU(inplace=True)], ids=["leaky", "elu"])
def test_an_activation_that_overwrites_the_inputs_is_pure_in_several_blocks(activation: nn.Module) -> None:
    # All networks share the minibatch, which the second block must find as the first one did.
    parts = (activation, nn.Linear(40, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 3))
    network = inspect_module(lambda: nn.Sequential(*copy.deepcopy(parts)), (40,), 3, "in place")
    expect_pure(network, seeds_of(20, True), TrainingSpec(batch=100), 130, "packed", blocks=2)


@EVERY_KERNEL
def test_one_common_minibatch_gives_the_bits_of_one_for_each(kind: str, kernel: str) -> None:
    # The stranger has an order of its own, so that minibatches are no longer shared.
    if (kind, kernel) == ("module", "dense"):
        network = inspect_module(partial(Odd, 3), (1, 8, 8), 3, "Odd")
    else:
        network = small(kind)
    x, y = examples(23, network.input_shape, 3)
    connections = [random_connections(network, 0.5, i) for i in range(3)]
    trained = []
    for stranger in (1, 2):
        seeds = [Seeds(1, 1, 1), Seeds(2, 1, 2), Seeds(3, stranger, 3)]
        population = make(network, connections, seeds, TrainingSpec(batch=7), kernel=kernel)
        population.train(x, y, 2, gradients="signed")
        trained.append(results(population, x, y, 1))
    for first, second in zip(*trained, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kernel", ["dense", "packed", "csr"])
def test_the_place_of_the_data_in_memory_does_not_count(kernel: str) -> None:
    network = multilayer_perceptron((64,), 3, (11,), "silu")
    x, y = examples(37, (64,), 3)
    shifted = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)
    shifted[:] = x
    trained = []
    for data in (x, shifted):
        population = make(network, [random_connections(network, 0.5, 0)], kernel=kernel)
        population.train(data, y, 2, gradients="signed")
        trained.append(results(population, data, y, 0))
    for first, second in zip(*trained, strict=True):
        np.testing.assert_array_equal(first, second)


def digest() -> str:
    """Return a hash of what packed networks of both kinds come to."""
    summed = sha256()
    for network in (small("mlp", "mish"), inspect_module(PADDED["strided"], PADDED_SHAPES["strided"], 3, "strided")):
        x, y = examples(37, network.input_shape, 3)
        connections = [random_connections(network, 0.3, i) for i in range(3)]
        population = make(network, connections, training=TrainingSpec(batch=10, dropout=0.2), kernel="packed")
        population.train(x, y, 2, gradients="signed")
        for number in range(3):
            for array in results(population, x, y, number):
                summed.update(array.tobytes())
    return summed.hexdigest()


def test_loops_that_were_compiled_before_give_the_bits_of_those_compiled_now(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    told = []
    for _ in ("cold", "warm"):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_purity import digest"
        code += "; print(digest())"
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        told.append(ran.stdout.strip())
    compiled = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert compiled and compiled == before, "expected the first process to compile, and the second to find it done"
    assert told == [digest()] * 2
