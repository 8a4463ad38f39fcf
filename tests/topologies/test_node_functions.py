"""The functions of nodes are the same compiled, on tensors, as exported text, and as primitives of that name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from evosparse.activations.primitives import PUBLISHED, RANDOM
from evosparse.errors import SpecError
from evosparse.topologies.functions import FUNCTIONS, NAMES, apply, code_of, codes_of

SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 1e-9, -1e-9, 40.0, -40.0, 1e3, -1e3, 1e30, -1e30]
POINTS = np.array([*SPECIAL, *np.nextafter(SPECIAL, 10), *3 * np.random.default_rng(0).standard_normal(1000)])
EACH = pytest.mark.parametrize("name", NAMES)


def exponential(x: float) -> float:
    """The ``exp`` that sources may call."""
    return math.exp(x) if x < 700 else math.inf


@EACH
def test_a_function_is_the_same_compiled_on_tensors_and_as_text(name: str) -> None:
    function = FUNCTIONS[name]
    compiled = [apply(code_of(name), float(x)) for x in POINTS]
    scope = {"math": math, "exp": exponential}
    exec(f"def function(x):\n    return {function.source}", scope)
    np.testing.assert_allclose(function.torch(torch.from_numpy(POINTS)).numpy(), compiled, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose([scope["function"](float(x)) for x in POINTS], compiled, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() & FUNCTIONS.keys()))
def test_a_function_is_the_primitive_of_that_name(name: str) -> None:
    x = torch.from_numpy(POINTS)
    torch.testing.assert_close(FUNCTIONS[name].torch(x), PUBLISHED[name].function(x), rtol=1e-13, atol=1e-15)


def test_all_primitives_of_one_argument_are_there_but_the_random_one() -> None:
    assert {name for name, own in PUBLISHED.items() if own.arity == 1} - {RANDOM} <= FUNCTIONS.keys()


@EACH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_numbers_result_does_not_depend_on_where_it_stands(name: str, dtype: torch.dtype) -> None:
    function, x = FUNCTIONS[name].torch, torch.from_numpy(POINTS).to(dtype)
    whole = function(x)
    assert whole.dtype == dtype
    for width in (1, 3, 7, 60):
        assert torch.equal(torch.cat([function(part.clone()) for part in x.split(width)]), whole)


def test_codes_are_places_of_names() -> None:
    assert codes_of(NAMES) == list(range(len(NAMES)))


def test_an_unknown_function_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="unknown function of a node 'sigmoyd': did you mean 'sigmoid'"):
        codes_of(["tanh", "sigmoyd"])
