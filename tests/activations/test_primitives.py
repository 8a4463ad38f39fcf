"""Primitives: what the published ones compute, and which functions of a user's are taken and refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from activation_strategies import SCALARS
from torch import nn
from torch.nn import functional

from evosparse.activations.expression import parse
from evosparse.activations.primitives import PUBLISHED, PrimitiveSet, find_primitives, primitive_of
from evosparse.errors import PluginError, SpecError

NUMBERS = [-4.0, -3.0, -1.3, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 0.7, 1.0, 2.2, 3.0, 4.0]


def write(folder: Path, stem: str, source: str) -> None:
    """Write a user's file."""
    (folder / f"{stem}.py").write_text(f"import torch\nfrom torch.nn import functional\n\n\n{source}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_primitive_is_what_its_definition_says(name: str) -> None:
    primitive = PUBLISHED[name]
    pairs = [(a, b) for a in NUMBERS for b in (NUMBERS if primitive.arity == 2 else [0.0])]
    arguments = [torch.tensor(own, dtype=torch.float64) for own in zip(*pairs, strict=True)][: primitive.arity]
    expected = [SCALARS[name](*pair[: primitive.arity]) for pair in pairs]
    torch.testing.assert_close(primitive.function(*arguments), torch.tensor(expected, dtype=torch.float64))


def test_there_are_the_fifteen_primitives_of_the_paper() -> None:
    two = [name for name, primitive in PUBLISHED.items() if primitive.arity == 2]
    assert len(PUBLISHED) == 15 and two == ["max", "min", "add", "sub", "mul"]


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 3, 4, 4)])
def test_functions_apply_to_tensors_of_any_shape(shape: tuple[int, ...]) -> None:
    published = PrimitiveSet(tuple(PUBLISHED.values()))
    for formula in ("0.5", "x", "max(tanh(x), 0.1 * x)"):
        x = torch.full(shape, 0.3)
        y = published.evaluate(parse(formula, published.arities), x)
        assert y.shape == x.shape and y.dtype == x.dtype


def test_a_function_is_found_in_a_file_and_used_in_formulas(forgetful: Path) -> None:
    write(forgetful, "own_primitives", "def swish(x, beta=2.0):\n    return x * torch.sigmoid(beta * x)\n\n\n")
    with (forgetful / "own_primitives.py").open("a") as file:
        file.write("def between(a, b):\n    return (a + b) / 2\n")
    names = ["own_primitives.py:swish", "relu", "own_primitives:between"]
    found = PrimitiveSet(find_primitives(names, forgetful), (0.5,))
    assert found.alphabet.arities == (("swish", 1), ("relu", 1), ("between", 2))
    x = torch.linspace(-2, 2, 9)
    y = found.evaluate(parse("between(swish(x), tanh(x) * 0.5)", found.arities), x)
    torch.testing.assert_close(y, (x * torch.sigmoid(2 * x) + torch.tanh(x) / 2) / 2)


def two(a: torch.Tensor, b: torch.Tensor, /, *, weight: float = 0.5) -> torch.Tensor:
    return a * weight + b


def test_the_arity_is_the_number_of_arguments_that_must_be_given() -> None:
    def one(x: torch.Tensor, slope: float = 1.0, *others: float, scale: float = 1.0) -> torch.Tensor:
        return x * slope * scale

    assert (primitive_of(one, "here").arity, primitive_of(two, "here").arity) == (1, 2)
    assert (
        primitive_of(two, "here").source == "two({0}, {1})"
        and "weight: float = 0.5" in primitive_of(two, "here").definition
    )


def test_torchs_own_functions_of_python_can_be_used(forgetful: Path) -> None:
    (primitive,) = find_primitives(["torch.nn.functional:softsign"], forgetful)
    assert (primitive.name, primitive.arity) == ("softsign", 1)


def mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean()


def centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean()


def noisy(x: torch.Tensor) -> torch.Tensor:
    return x + torch.randn_like(x)


def positive(x: torch.Tensor) -> torch.Tensor:
    return x > 0


def double(x: torch.Tensor) -> torch.Tensor:
    return x.double()


def in_place(x: torch.Tensor) -> torch.Tensor:
    return x.mul_(2)


def by_numpy(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() * 2)


def number(x: torch.Tensor) -> float:
    return 1.0


def broken(x: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("first\nsecond")


def cumulative(x: torch.Tensor) -> torch.Tensor:
    return x.cumsum(-1)


def normalised(x: torch.Tensor) -> torch.Tensor:
    return x.softmax(0)


def three(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return a + b + c


def none() -> torch.Tensor:
    return torch.zeros(2, 32)


def any_number(*tensors: torch.Tensor) -> torch.Tensor:
    return sum(tensors)


def keyword(x: torch.Tensor, *, slope: float) -> torch.Tensor:
    return x * slope


def tanh(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x)


def x(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x)


REFUSED: list[tuple[object, str]] = [
    (lambda x: x * 2, "expected a function with a name of its own, got '<lambda>': write it with def"),
    (tanh, "expected a function with a name of its own, got 'tanh'"),
    (x, "expected a function with a name of its own, got 'x'"),
    (0.5, "expected a function of one or two tensors, as in def swish(x), got float"),
    (None, "expected a function of one or two tensors, as in def swish(x), got NoneType"),
    (nn.SiLU(), "expected a function of one or two tensors, as in def swish(x), got SiLU"),
    (partial(functional.elu, alpha=2.0), "expected a function of one or two tensors, as in def swish(x), got partial"),
    (nn.SiLU, "expected a function of one or two tensors, as in def swish(x), got (inplace"),
    (torch.sin, "expected a function written in Python, got builtin_function_or_method"),
    (three, "as in def swish(x), got (a: "),
    (none, "as in def swish(x), got ()"),
    (any_number, "as in def swish(x), got (*tensors"),
    (keyword, "as in def swish(x), got (x: "),
    (len, "got int"),
    (number, "got float: mend the function"),
    (mean, "expected a float32 tensor of the arguments' shape (2, 32), got () of torch.float32"),
    (double, "got (2, 32) of torch.float64"),
    (positive, "got (2, 32) of torch.bool"),
    (broken, "fails on tensors of shape (2, 32) in training: RuntimeError: first second; mend the function"),
    (in_place, "fails on tensors of shape (2, 32) in training: RuntimeError"),
    (by_numpy, "fails on tensors of shape (2, 32) in training: RuntimeError"),
    (centred, "to depend on the arguments' numbers in its own place"),
    (cumulative, "to depend on the arguments' numbers in its own place"),
    (normalised, "to depend on the arguments' numbers in its own place"),
    (noisy, "to depend on the arguments' numbers in its own place"),
]


@pytest.mark.parametrize(
    ("function", "told"), REFUSED, ids=[getattr(own, "__name__", type(own).__name__) for own, _ in REFUSED]
)
def test_what_is_no_primitive_is_refused_with_one_line(function: object, told: str) -> None:
    with pytest.raises(PluginError) as refused:
        primitive_of(function, "own.py:name")
    message = str(refused.value)
    assert message.startswith("own.py:name: ") and told in message and message.isprintable()


def test_unknown_names_are_refused_with_the_nearest_one(forgetful: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown primitive 'tahn': did you mean 'tanh'\?.*path/to/file.py:function"):
        find_primitives(["max", "tahn"], forgetful)
    write(forgetful, "misnamed_primitive", "def swish(x):\n    return x\n")
    with pytest.raises(PluginError, match="did you mean 'swish'"):
        find_primitives(["misnamed_primitive.py:swihs"], forgetful)
    with pytest.raises(PluginError, match="'missing_primitive.py' not found"):
        find_primitives(["missing_primitive.py:swish"], forgetful)


def test_two_primitives_of_one_name_are_refused(forgetful: Path) -> None:
    for stem in ("first_primitive", "second_primitive"):
        write(forgetful, stem, "def swish(x):\n    return x * torch.sigmoid(x)\n")
    names = ["first_primitive.py:swish", "second_primitive.py:swish"]
    with pytest.raises(SpecError, match="functions.primitives: .* got 'swish' twice"):
        PrimitiveSet(find_primitives(names, forgetful))
    with pytest.raises(SpecError, match="functions.primitives: .* got 'max' twice"):
        PrimitiveSet(find_primitives(["max", "tanh", "max"]))
    with pytest.raises(SpecError, match="functions.primitives: .* got none"):
        PrimitiveSet(())


@pytest.mark.parametrize(
    "constants", [(0.5, 0.5), (0.0, -0.0), (1, 1.0), (math.inf,), (-math.inf,), (math.nan,), (1e39,)]
)
def test_constants_that_no_formula_can_hold_are_refused(constants: tuple[float, ...]) -> None:
    with pytest.raises(SpecError, match="functions.constants: expected different numbers of single precision"):
        PrimitiveSet((PUBLISHED["max"],), constants)


@pytest.mark.parametrize(("first", "second"), [((1,), (1.0,)), ((0.0,), (-0.0,))])
def test_equal_constants_are_written_alike(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    written: list[Callable] = [PrimitiveSet((PUBLISHED["max"],), own).alphabet.constants for own in (first, second)]
    assert repr(written[0]) == repr(written[1])
