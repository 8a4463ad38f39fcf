"""Both ways of computing a population's functions give the values and gradients of each function by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rounding_reference import KINKS, PRIMITIVES, UNIT, bounded, random_functions

from evosparse.activations.compiled import CompiledActivations, can_compile
from evosparse.activations.expression import Expression, X, parse
from evosparse.activations.genome import Formula, Triple
from evosparse.activations.noise import slopes
from evosparse.activations.primitives import PUBLISHED, PrimitiveSet, primitive_of
from evosparse.activations.tensors import TensorActivations, shared_parts
from evosparse.activations.workbench import Workbench, behaviour
from evosparse.data import SearchData, Train, Validation
from evosparse.nets import Activations, InitialisationSpec, TrainingSpec, multilayer_perceptron

BOTH = pytest.mark.parametrize("computation", ["compiled", "tensors"])
# Up to a sixth of the largest number: from there on torch's hardswish is infinite, and the compiled one is not yet.
LARGE = (20, 50, 87, 1e10, 1e20, 5e37, np.inf)
SPECIAL = (*KINKS, 1e-30, -1e-30, *LARGE, *(-number for number in LARGE), np.nan)
# Of these, on multiples of a half, neither values nor derivatives are ever rounded.
EXACT = PrimitiveSet(
    tuple(PUBLISHED[name] for name in ("max", "min", "add", "sub", "relu", "hardtanh", "hardshrink", "softshrink"))
)


def computed(
    computation: str,
    functions: Sequence[Sequence[Expression]],
    seeds: Sequence[int] | None = None,
    always_random: bool = False,
    primitives: PrimitiveSet = PRIMITIVES,
) -> Activations:
    """Return functions of each slot in one of the two forms."""
    seeds = range(len(functions[0])) if seeds is None else seeds
    if computation == "compiled":
        return CompiledActivations(functions, seeds, always_random)
    return TensorActivations(functions, primitives, seeds, always_random)


def applied(activations: Activations, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values and the derivatives of a population's functions in evaluation."""
    x = x.clone().requires_grad_()
    y = activations.apply(0, x, slice(0, len(x)), None)
    y.sum().backward()
    return y.detach(), x.grad


def plain(functions: Sequence[Expression], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by evaluating one network's function after the other."""
    x = x.clone().requires_grad_()
    y = torch.stack([PRIMITIVES.evaluate(function, own) for function, own in zip(functions, x, strict=True)])
    y.sum().backward()
    return y.detach(), x.grad


def numbers(population: int, seed: int, scale: float) -> torch.Tensor:
    """Return (population, 3, 96) normal numbers, among them all kinks."""
    x = torch.from_numpy(scale * np.random.default_rng(seed).standard_normal((population, 3, 96))).float()
    x[:, 0, : len(KINKS)] = torch.tensor(KINKS)
    return x


def share_compared(
    function: Expression, x: torch.Tensor, y: torch.Tensor, slope: torch.Tensor, backwards: bool
) -> float:
    """Return the share of numbers that are sure, having compared these with the truth."""
    bound, sure = bounded(function, x.numpy().ravel())
    value, derivative = plain([function], x.double()[None])
    spread = bound.slope_error + (64 * UNIT * bound.paths if backwards else 0)
    for got, true, error in ((y, value, bound.value_error), (slope, derivative, spread)):
        difference = abs(got.numpy().ravel() - true.numpy().ravel())
        assert (difference[sure] <= 1.01 * error[sure]).all(), str(function)
    return sure.mean()


@BOTH
@settings(max_examples=60, deadline=None)
@given(
    population=st.integers(1, 7),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.1, 1.0, 4.0]),
    shared=st.booleans(),
)
def test_random_functions_are_computed_to_a_rounding_error(
    computation: str, population: int, seed: int, scale: float, shared: bool
) -> None:
    functions = random_functions(population, seed)
    functions = functions[:2] * population if shared else functions
    x = numbers(len(functions), seed, scale)
    y, slope = applied(computed(computation, [functions]), x)
    for number, function in enumerate(functions):
        share_compared(function, x[number], y[number], slope[number], computation == "tensors")


@BOTH
def test_the_rounding_error_is_bounded_nearly_everywhere(computation: str) -> None:
    functions = random_functions(200, 1)
    x = numbers(len(functions), 1, 1.0)
    y, slope = applied(computed(computation, [functions]), x)
    both = zip(functions, x, y, slope, strict=True)
    assert np.mean([share_compared(*own, computation == "tensors") for own in both]) > 0.95


@settings(max_examples=60, deadline=None)
@given(population=st.integers(1, 7), seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_tensors_have_the_bits_of_each_function_by_itself(population: int, seed: int, scale: float) -> None:
    functions = random_functions(population, seed) * 2
    x = numbers(len(functions), seed, scale)
    y, _ = applied(computed("tensors", [functions]), x)
    np.testing.assert_array_equal(y, plain(functions, x)[0])


@BOTH
@settings(max_examples=100, deadline=None)
@given(population=st.integers(1, 7), seed=st.integers(0, 2**32))
def test_at_ties_and_kinks_values_and_gradients_are_exactly_those_of_torch(
    computation: str, population: int, seed: int
) -> None:
    functions = random_functions(population, seed, EXACT)
    x = torch.arange(-16, 16).div(2).expand(population, 2, -1).contiguous()
    for got, true in zip(applied(computed(computation, [functions]), x), plain(functions, x), strict=True):
        np.testing.assert_array_equal(got, true)


@BOTH
@settings(max_examples=30, deadline=None)
@given(population=st.integers(1, 5), seed=st.integers(0, 2**32), step=st.sampled_from([None, 0, 4]))
def test_derivatives_without_a_graph_are_those_of_autograd(
    computation: str, population: int, seed: int, step: int | None
) -> None:
    others = [parse(formula, PRIMITIVES.arities) for formula in ("0.5", "x", "rrelu(x) * x")]
    x = numbers(population + 3, seed, 1.0)
    for functions in (random_functions(population, seed) + others, others[:1] * len(x)):
        activations, own = computed(computation, [functions]), x.clone().requires_grad_()
        y = activations.apply(0, own, slice(0, len(x)), step)
        value, derivative = activations.differentiate(0, x, slice(0, len(x)), step)
        assert torch.equal(value, y) and not value.requires_grad and not derivative.requires_grad
        if y.requires_grad:
            y.sum().backward()
        assert torch.equal(derivative, torch.zeros_like(x) if own.grad is None else own.grad)


def compositions() -> list[Expression]:
    """Return every primitive by itself, behind another and, if it has two arguments, of different ones."""
    found = []
    for name, primitive in PUBLISHED.items():
        for first in (X, parse("hardtanh(x)", PRIMITIVES.arities), parse("x * x", PRIMITIVES.arities)):
            found.append(Expression(name, (first,) if primitive.arity == 1 else (first, X)))
    return found


@BOTH
@pytest.mark.parametrize("function", compositions(), ids=str)
def test_infinities_and_nan_pass_through_as_they_do_in_torch(computation: str, function: Expression) -> None:
    x = torch.tensor(SPECIAL).repeat_interleave(32).view(1, -1, 32)
    value, slope = (got.numpy() for got in applied(computed(computation, [[function]]), x))
    true_value, true_slope = (true.numpy() for true in plain([function], x))
    # Elu's and tanh's values below the least normal number are nobody's concern.
    np.testing.assert_allclose(value, true_value, rtol=1e-6, atol=1e-37)
    finite = np.isfinite(x.numpy()) & np.isfinite(true_value) & np.isfinite(true_slope)
    np.testing.assert_allclose(slope[finite], true_slope[finite], rtol=1e-6, atol=3e-7)


@BOTH
@pytest.mark.parametrize(
    "outer", ["tanh({})", "elu(x - {})", "celu(x - {})", "hardtanh({})", "hardswish(-9.0 - {})", "min({}, x)"]
)
def test_a_function_that_bounds_an_overflow_has_a_gradient(computation: str, outer: str) -> None:
    power = "x"
    for _ in range(5):
        power = f"mul({power}, {power})"
    function = parse(outer.format(power), PRIMITIVES.arities)
    x = torch.tensor([14.0, 17.0, 20.0, 30.0, -17.0]).repeat_interleave(32).view(1, 5, 32)  # 30 to the 32nd is infinite
    y, slope = applied(computed(computation, [[function]]), x)
    value, true_slope = plain([function], x)
    assert torch.equal(torch.isfinite(y), torch.isfinite(value))
    finite = torch.isfinite(true_slope)
    assert finite[:, 2:].any()
    torch.testing.assert_close(slope[finite], true_slope[finite])


@pytest.mark.parametrize(
    ("name", "value", "slope", "value_units", "slope_units"),
    [
        ("tanh", np.tanh, lambda x: 1 / np.cosh(x) ** 2, 1.5, None),
        ("elu", np.expm1, np.exp, 4, 1.5),
        ("celu", np.expm1, np.exp, 4, 1.5),
    ],
)
def test_compiled_exponentials_are_within_few_units_of_the_last_place(
    name: str, value: Callable, slope: Callable, value_units: float, slope_units: float | None
) -> None:
    x = np.linspace(-100, 100, 2_000_001).astype(np.float32)
    x = np.concatenate([x, x / 50, -(10.0 ** np.linspace(-30, 2, 200_001)).astype(np.float32)])
    x = x[x <= 0] if name != "tanh" else x
    y, derivative = applied(computed("compiled", [[Expression(name, (X,))]]), torch.from_numpy(x)[None])
    exact = x.astype(np.float64)

    def units(got: torch.Tensor, true: np.ndarray) -> np.ndarray:
        spacing = np.spacing(np.maximum(abs(true), 2.0**-126).astype(np.float32))
        return abs(got[0].numpy() - true) / spacing

    assert units(y, value(exact)).max() <= value_units
    if slope_units is None:
        assert abs(derivative[0].numpy() - slope(exact)).max() <= 2 * UNIT
    else:
        assert units(derivative, slope(exact))[exact > -87].max() <= slope_units
        assert (abs(derivative[0].numpy()[exact <= -87]) < 2e-38).all()


@given(population=st.integers(1, 9), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_shared_parts_are_distinct_and_of_all_networks_that_have_them(population: int, seed: int) -> None:
    functions = random_functions(population, seed)
    parts = shared_parts(functions)
    places = {part.expression: place for place, part in enumerate(parts)}
    assert len(places) == len(parts)
    assert places.keys() == {inner for function in functions for inner in function.parts()}
    for part in parts:
        assert part.rows == tuple(n for n, function in enumerate(functions) if part.expression in set(function.parts()))
        for argument, gather in zip(part.expression.arguments, part.gathers, strict=True):
            assert places[argument] < places[part.expression]
            rows = parts[places[argument]].rows
            assert part.rows == (rows if gather is None else tuple(rows[place] for place in gather))


def test_each_distinct_part_is_evaluated_once_for_all_networks_that_share_it() -> None:
    seen: list[int] = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return torch.sin(x)

    primitives = PrimitiveSet((*PUBLISHED.values(), primitive_of(counted, "counted")))
    formulas = ["counted(x)", "counted(x) + counted(relu(x))", "relu(x)", "max(counted(x), counted(relu(x)))"]
    functions = [parse(formula, primitives.arities) for formula in formulas]
    x = numbers(4, 0, 1.0)
    activations = computed("tensors", [functions, functions[:1] * 4], primitives=primitives)
    seen.clear()
    y = activations.apply(0, x, slice(0, 4), 0)
    assert sorted(seen) == [2, 3]
    activations.apply(1, x, slice(0, 4), 0)
    assert sorted(seen) == [2, 3, 4]
    for function, own, result in zip(functions, x, y, strict=True):
        assert torch.equal(result, primitives.evaluate(function, own))
    assert not can_compile(primitives) and can_compile(PRIMITIVES)


RANDOM = [
    parse(formula, PRIMITIVES.arities) for formula in ("rrelu(x)", "tanh(rrelu(x))", "rrelu(x) - rrelu(x)", "rrelu(x)")
]


def draw(computation: str, step: int | None, seeds: Sequence[int], place: int = 0, always: bool = False) -> np.ndarray:
    """Return the values at -1 of a population of `RANDOM` functions in both slots."""
    activations = computed(computation, [RANDOM, RANDOM], seeds, always)
    return activations.apply(place, torch.full((4, 3, 32), -1.0), slice(0, 4), step).numpy()


@BOTH
@pytest.mark.parametrize("seeds", [(3, 4, 5, 6), (7, 7, 7, 7), (3, 3, 5, 5)], ids=["individual", "shared", "both"])
def test_random_slopes_are_drawn_anew_for_every_number_step_and_slot(computation: str, seeds: Sequence[int]) -> None:
    first = draw(computation, 0, seeds)
    assert (-first[0] >= np.float32(1 / 8)).all() and (-first[0] <= np.float32(1 / 3)).all()
    assert len(np.unique(first[0])) > 90  # of 96
    np.testing.assert_array_equal(first, draw(computation, 0, seeds))
    for other in (draw(computation, 1, seeds), draw(computation, 0, seeds, place=1), draw(computation, None, seeds)):
        assert (other[0] != first[0]).mean() > 0.95
    np.testing.assert_allclose(first[1], np.tanh(-slopes([seeds[1]], 0, (3, 32), 0)[0].numpy()), rtol=1e-6)
    assert (first[2] == 0).all()  # one draw for all uses in a slot
    assert (first[3] == first[0]).all() == (seeds[3] == seeds[0])


@BOTH
def test_evaluation_takes_the_mean_slope_unless_always_random(computation: str) -> None:
    seeds = (3, 4, 5, 6)
    np.testing.assert_array_equal(draw(computation, None, seeds)[0], np.float32(-11 / 48))
    always = draw(computation, None, seeds, always=True)
    assert len(np.unique(always[0])) > 90 and ((-always[0] >= 1 / 8) & (-always[0] <= np.float32(1 / 3))).all()
    np.testing.assert_array_equal(always, draw(computation, None, seeds, always=True))


@pytest.mark.parametrize("step", [None, 0, 5])
def test_both_computations_draw_the_same_slopes(step: int | None) -> None:
    first, second = (draw(computation, step, (3, 3, 5, 6), always=True) for computation in ("compiled", "tensors"))
    np.testing.assert_array_equal(first[[0, 2, 3]], second[[0, 2, 3]])


def test_slopes_fill_their_range() -> None:
    drawn = slopes([1, 2], 0, (1000, 100), 3).numpy()
    assert drawn.min() >= np.float32(1 / 8) and drawn.max() <= np.float32(1 / 3)
    assert drawn.min() < 0.12501 and drawn.max() > 0.33332
    np.testing.assert_allclose(drawn.mean(axis=(1, 2)), 11 / 48, atol=1e-3)


@BOTH
def test_gradients_of_random_slopes_are_the_slopes(computation: str) -> None:
    x = torch.tensor([-2.0, 3.0]).repeat(4, 3, 16).requires_grad_()
    y = computed(computation, [RANDOM]).apply(0, x, slice(0, 4), 7)
    y.sum().backward()
    torch.testing.assert_close(x.grad[0], (y / x)[0].detach())


def workbench(primitives: PrimitiveSet = PRIMITIVES) -> Workbench:
    """Return a workbench on two examples."""
    x, y = np.zeros((2, 4), np.float32), np.array([0, 1])
    data = SearchData(Train(x, y), Validation(x + 1, y), classes=2, input_shape=(4,))
    network = multilayer_perceptron((4,), 2, (3, 3, 3))
    return Workbench(data, network, primitives, TrainingSpec(), InitialisationSpec())


def not_finite(x: torch.Tensor) -> torch.Tensor:
    """A user's primitive without a value on one side."""
    return torch.log(x)


@pytest.mark.parametrize(
    ("formulas", "flaw"),
    [
        (("relu(x)", "tanh(x)", "x"), ""),
        (("relu(x)", "x - x", "x"), "the hidden function x - x is constant"),
        (("min(x, x) - x", "x - x", "x"), "the input function min(x, x) - x is constant"),
        (("relu(x)", "x", "not_finite(x)"), "the output function not_finite(x) is not finite"),
        (("relu(x)", "x", "1e30 * (1e30 * x)"), "the output function 1e+30 * (1e+30 * x) is not finite"),
    ],
)
def test_constant_and_non_finite_functions_are_named(formulas: Sequence[str], flaw: str) -> None:
    bench = workbench(PrimitiveSet((*PUBLISHED.values(), primitive_of(not_finite, "not_finite"))))
    alphabet = bench.primitives.alphabet
    triple = Triple(bench.roles, tuple(Formula(alphabet, formula) for formula in formulas))
    assert bench.flaw(triple).startswith(flaw) and bool(bench.flaw(triple)) == bool(flaw)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("relu(relu(x))", "relu(x)", True),
        ("x + x", "2.0 * x", True),
        ("max(x, min(x, tanh(x)))", "max(x, x)", True),
        ("tanh(x)", "hardtanh(x)", False),
        ("elu(x)", "x", False),
        ("x", "1.001 * x", False),
        ("hardtanh(x)", "max(-1.0, x)", False),
    ],
)
def test_functions_behave_alike_if_they_differ_in_form_alone(first: str, second: str, equal: bool) -> None:
    one, other = (behaviour(parse(formula, PRIMITIVES.arities), PRIMITIVES) for formula in (first, second))
    assert (one == other) is equal
