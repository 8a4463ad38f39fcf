"""Networks with functions of their own train as each would alone, bit for bit, and as a plain loop trains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding_reference import PRIMITIVES, random_functions
from torch import nn
from torch.nn import functional

from evosparse.activations.compiled import CompiledActivations
from evosparse.activations.expression import Expression, parse
from evosparse.activations.primitives import PrimitiveSet, primitive_of
from evosparse.activations.tensors import TensorActivations
from evosparse.nets import (
    InitialisationSpec,
    Network,
    NetworkSpec,
    Population,
    Seeds,
    Slot,
    TrainingSpec,
    build,
    inspect_module,
    multilayer_perceptron,
)
from evosparse.nets.randomness import Purpose, generator

Functions = Sequence[Expression]
"""Of one network: the function in each of its slots."""

ADAM = TrainingSpec(batch=12, learning_rate=0.01)
BOTH = pytest.mark.parametrize("computation", ["compiled", "tensors"])


def twice(x: torch.Tensor) -> torch.Tensor:
    """A user's primitive whose gradient has several terms."""
    return x * torch.sigmoid(x) + 0.1 * x


WITH_OWN = PrimitiveSet((*PRIMITIVES.primitives, primitive_of(twice, "twice")))


class Odd(nn.Module):
    """A user's module of odd sizes, which uses a slot twice and adds what stood before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.first = Slot("input")
        self.hidden = nn.Linear(75, 11)
        self.again = nn.Linear(11, 11)
        self.middle = Slot("hidden")
        self.last = nn.Linear(11, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(self.first(self.norm(self.convolution(x))).flatten(1))
        hidden = hidden + self.middle(hidden)
        return self.last(self.middle(self.again(hidden)))


def examples(n: int, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return random examples of the network's shape."""
    rng = np.random.default_rng(n)
    y = rng.integers(network.classes, size=n)
    shift = 0.2 * y.reshape(-1, *[1] * len(network.input_shape))
    return (rng.standard_normal((n, *network.input_shape)) + shift).astype(np.float32), y


def of_all_slots(
    network: Network, population: int, seed: int, primitives: PrimitiveSet = PRIMITIVES
) -> list[Functions]:
    """Return random functions, among them shared ones and random ones, for each role of each network."""
    drawn = random_functions(3 * population, seed, primitives)
    drawn[:2] = parse("max(rrelu(x), tanh(x))", PRIMITIVES.arities), parse("rrelu(x)", PRIMITIVES.arities)
    rng, every = np.random.default_rng(seed), []
    for _ in range(population):
        own = dict(zip(("input", "hidden", "output"), rng.choice(len(drawn), 3), strict=True))
        every.append([drawn[own[role]] for role in network.slots])
    return every


def trained(
    network: Network,
    functions: Sequence[Functions],
    seeds: Sequence[Seeds],
    computation: str,
    data: tuple[np.ndarray, np.ndarray],
    training: TrainingSpec = ADAM,
    epochs: int = 2,
    always_random: bool = False,
    primitives: PrimitiveSet = WITH_OWN,
) -> Population:
    """Return a population that was trained with functions of each network's own."""
    by_slot, noise = list(zip(*functions, strict=True)), [own.noise for own in seeds]
    if computation == "compiled":
        activations = CompiledActivations(by_slot, noise, always_random)
    else:
        activations = TensorActivations(by_slot, primitives, noise, always_random)
    population = Population(
        network, [[None] * len(network.layers)] * len(seeds), seeds, training, InitialisationSpec(weights="module"),
        epochs, device="cpu", kernel="dense", activations=activations,
    )  # fmt: skip
    population.train(*data, epochs)
    return population


def results(population: Population, data: tuple[np.ndarray, np.ndarray], number: int) -> list[np.ndarray]:
    """Return all that one network came to."""
    measures = population.evaluate(*data)
    logits = population.logits(data[0])[number]
    return [*population.state(number).values(), logits, measures.accuracy[number], measures.loss[number]]


def expect_equal(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> None:
    """Compare in bits, but for the sign of zero and the kind of NaN."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def expect_pure(
    network: Network, functions: Sequence[Functions], seeds: Sequence[Seeds], n: int, run: Callable[..., Population]
) -> None:
    """Train all together, and some alone, reversed, and beside more of them; compare every bit."""
    data, everyone = examples(n, network), list(range(len(seeds)))

    def of(numbers: Sequence[int]) -> Population:
        return run(network, [functions[i] for i in numbers], [seeds[i] for i in numbers], data=data)

    together, reverse = of(everyone), of(everyone[::-1])
    for i in {0, len(seeds) // 2, len(seeds) - 1}:
        expected = results(together, data, i)
        for population, who in ((of([i]), 0), (reverse, len(seeds) - 1 - i), (of([0, i, *everyone]), 1)):
            expect_equal(expected, results(population, data, who))


def seeds_of(population: int, shared: bool) -> list[Seeds]:
    return [Seeds(weights=i % 3, order=7 if shared else i, noise=5 if shared else i // 2) for i in range(population)]


@BOTH
@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 70), min_size=2, max_size=5),
    population=st.integers(1, 8),
    n=st.integers(1, 40),
    shared=st.booleans(),
    always_random=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_perceptrons_with_functions_of_their_own_are_pure(
    computation: str,
    widths: list[int],
    population: int,
    n: int,
    shared: bool,
    always_random: bool,
    dropout: float,
    seed: int,
) -> None:
    network = multilayer_perceptron(widths[:1], 3, widths[1:])
    primitives = WITH_OWN if computation == "tensors" else PRIMITIVES
    functions = of_all_slots(network, population, seed, primitives)
    training = TrainingSpec(batch=12, learning_rate=0.01, dropout=dropout)
    run = partial(trained, computation=computation, training=training, always_random=always_random)
    expect_pure(network, functions, seeds_of(population, shared), n, run)


@BOTH
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "individual"])
@pytest.mark.parametrize("seed", range(3))
def test_the_published_perceptron_is_pure(computation: str, shared: bool, seed: int) -> None:
    network = build(NetworkSpec(name="fcn"), (8, 8), 10)
    run = partial(trained, computation=computation)
    expect_pure(network, of_all_slots(network, 17, seed), seeds_of(17, shared), 31, run)


@pytest.mark.parametrize("population", [2, 3, 9])
def test_gradients_are_added_in_one_order_whoever_shares_the_parts(population: int) -> None:
    # Three uses of a part, whose gradients give other bits in another order, and strangers that use it in other orders.
    formulas = ["tanh(x) + (elu(x) - (x - hardswish(x)))", "hardswish(x) * elu(x)", "elu(x)", "x - x * tanh(x)"]
    formulas += ["hardswish(x)", "twice(x) - (twice(x) * x - elu(x))", "(x - x) + (elu(x) - tanh(x))", "tanh(x)"]
    formulas += ["twice(elu(x)) + elu(x)"]
    functions = [parse(formula, WITH_OWN.arities) for formula in formulas]
    network = multilayer_perceptron((20,), 3, (32, 17))
    run = partial(trained, computation="tensors")
    for start in range(len(functions) - population + 1):
        own = [[function] * 2 for function in functions[start : start + population]]
        expect_pure(network, own, seeds_of(population, True), 30, run)


@BOTH
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "individual"])
@pytest.mark.parametrize("kind", ["cnn", "module"])
def test_modules_with_functions_of_their_own_are_pure(computation: str, kind: str, shared: bool) -> None:
    network = build(NetworkSpec(name="cnn"), (10, 10), 3) if kind == "cnn" else inspect_module(Odd, (1, 7, 7), 3, "Odd")
    functions = of_all_slots(network, 4, 3)
    run = partial(trained, computation=computation, training=TrainingSpec(batch=7, learning_rate=0.003))
    expect_pure(network, functions, seeds_of(4, shared), 17, run)


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_both_computations_train_alike(kind: str) -> None:
    network = multilayer_perceptron((30,), 3, (32, 9)) if kind == "mlp" else inspect_module(Odd, (1, 7, 7), 3, "Odd")
    formulas = ["tanh(x) + rrelu(x)", "elu(x)", "hardswish(x) - 0.5", "celu(x) * tanh(x)"]
    functions = [[parse(formula, PRIMITIVES.arities)] * len(network.slots) for formula in formulas]
    # Not Adam: it makes whole steps of what rounding leaves of the gradient of a bias in front of a normalisation.
    data, training = examples(24, network), TrainingSpec(optimizer="sgd", learning_rate=0.05, batch=12)
    both = (trained(network, functions, seeds_of(4, False), own, data, training) for own in ("compiled", "tensors"))
    first, second = both
    for number in range(4):
        for one, other in zip(first.state(number).values(), second.state(number).values(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@BOTH
def test_in_bfloat16_functions_are_computed_too(computation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # others are slow, but compute as well
    formula = parse("tanh(x) + rrelu(x)", PRIMITIVES.arities)
    for network in (multilayer_perceptron((30,), 3, (32, 9)), inspect_module(Odd, (1, 7, 7), 3, "Odd")):
        functions, data = [[formula] * len(network.slots)] * 2, examples(48, network)
        training = TrainingSpec(batch=12, learning_rate=0.01, precision="bfloat16")
        low = trained(network, functions, seeds_of(2, False), computation, data, training)
        full = trained(network, functions, seeds_of(2, False), computation, data)
        np.testing.assert_allclose(low.evaluate(*data).loss, full.evaluate(*data).loss, atol=0.1)


def by_hand(place: int, x: torch.Tensor) -> torch.Tensor:
    """The functions of `FORMULAS`, written as a person would."""
    if place == 0:
        return torch.tanh(x) + 0.5 * x
    if place < 6:
        return functional.elu(x) - torch.tanh(x * x)
    return functional.celu(torch.tanh(x) * x)


FORMULAS = ("tanh(x) + 0.5 * x", "elu(x) - tanh(x * x)", "celu(tanh(x) * x)")


@BOTH
def test_ten_steps_are_those_of_a_plain_loop(computation: str) -> None:
    network = build(NetworkSpec(name="fcn"), (8, 8), 10)
    first, middle, last = (parse(formula, PRIMITIVES.arities) for formula in FORMULAS)
    strangers = of_all_slots(network, 3, 8)
    functions = [strangers[0], [first, *[middle] * 5, last], *strangers[1:]]
    seeds, data = seeds_of(4, False), examples(60, network)
    population = trained(network, functions, seeds, computation, data)
    assert population.steps == 10

    module = network.module(seeds[1].weights).double()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    x, y = torch.from_numpy(data[0]).double().flatten(1), torch.from_numpy(data[1])
    layers = [part for part in module if isinstance(part, nn.Linear)]

    def logits(rows: np.ndarray | slice) -> torch.Tensor:
        hidden = x[rows]
        for place, layer in enumerate(layers[:-1]):
            hidden = by_hand(place, layer(hidden))
        return layers[-1](hidden)

    for epoch in range(2):
        order = generator(seeds[1].order, Purpose.ORDER, epoch).permutation(60)
        for start in range(0, 60, 12):
            rows = order[start : start + 12]
            optimizer.zero_grad()
            functional.cross_entropy(logits(rows), y[rows]).backward()
            optimizer.step()
    state = population.state(1)
    for name, value in module.named_parameters():
        np.testing.assert_allclose(state[name], value.detach().numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
    before = network.module(seeds[1].weights).state_dict()
    assert any(not np.allclose(state[name], value.numpy(), atol=1e-2) for name, value in before.items())
    np.testing.assert_allclose(population.logits(data[0])[1], logits(slice(None)).detach(), rtol=1e-3, atol=1e-3)


@BOTH
@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_a_function_that_overflows_leaves_its_neighbours_alone(computation: str, kind: str) -> None:
    network = multilayer_perceptron((30,), 3, (32, 9)) if kind == "mlp" else inspect_module(Odd, (1, 7, 7), 3, "Odd")
    power = parse("mul(1e20 * x, 1e20 * x)", PRIMITIVES.arities)
    functions = of_all_slots(network, 3, 1)
    functions[0] = [parse("tanh(x)", PRIMITIVES.arities)] * 2
    functions[1] = [power] * 2
    seeds, data = seeds_of(3, True), examples(24, network)
    population = trained(network, functions, seeds, computation, data)
    measures = population.evaluate(*data)
    assert np.isnan(measures.accuracy[1]) and np.isnan(measures.loss[1])
    assert np.isfinite([measures.accuracy[0], measures.loss[0]]).all()
    for number in (0, 2):
        alone = trained(network, functions[number : number + 1], seeds[number : number + 1], computation, data)
        expect_equal(results(population, data, number), results(alone, data, 0))


@BOTH
def test_a_network_is_random_in_training_only(computation: str) -> None:
    network, formula = multilayer_perceptron((30,), 3, (32, 9)), parse("rrelu(x)", PRIMITIVES.arities)
    data, seeds = examples(24, network), [Seeds(1, 1, 1), Seeds(1, 1, 2), Seeds(1, 1, 1)]
    population = trained(network, [[formula] * 2] * 3, seeds, computation, data)
    states = [population.state(number)["hidden1.weight"] for number in range(3)]
    assert np.array_equal(states[0], states[2]) and not np.array_equal(states[0], states[1])
    np.testing.assert_array_equal(population.logits(data[0]), population.logits(data[0]))
    hidden = torch.from_numpy(data[0])
    state = {name: torch.from_numpy(value) for name, value in population.state(0).items()}
    for name in ("hidden1", "hidden2"):
        hidden = functional.linear(hidden, state[f"{name}.weight"], state[f"{name}.bias"])
        hidden = functional.rrelu(hidden, 1 / 8, 1 / 3, training=False)
    expected = functional.linear(hidden, state["output.weight"], state["output.bias"])
    np.testing.assert_allclose(population.logits(data[0])[0], expected, rtol=1e-4, atol=1e-5)
