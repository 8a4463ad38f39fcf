"""What the tests of activation functions share: random genes, a slow evaluation of genes, comparison to the last bit.

The evaluations here read the genes themselves, so that they share nothing with the expressions that are tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from hypothesis import strategies as st

from evosparse.activations.cgp import CGP, Grid
from evosparse.activations.genome import Genes
from evosparse.activations.primitives import PUBLISHED, Alphabet, PrimitiveSet
from evosparse.activations.tree import GeneticProgramming, Tree

# What the published primitives do to one Python number, written from their definitions.
SCALARS: Mapping[str, Callable[..., float]] = {
    "max": lambda a, b: a if a > b else b,
    "min": lambda a, b: a if a < b else b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "tanh": math.tanh,
    "relu": lambda a: a if a > 0 else 0.0,
    "leaky_relu": lambda a: a if a > 0 else 0.01 * a,
    "elu": lambda a: a if a > 0 else math.expm1(a),
    "hardshrink": lambda a: a if abs(a) > 0.5 else 0.0,
    "celu": lambda a: a if a > 0 else math.expm1(a),
    "hardtanh": lambda a: min(max(a, -1.0), 1.0),
    "hardswish": lambda a: a * min(max(a + 3, 0.0), 6.0) / 6,
    "softshrink": lambda a: math.copysign(max(abs(a) - 0.5, 0.0), a),
    "rrelu": lambda a: a if a > 0 else a * (1 / 8 + 1 / 3) / 2,
}
TENSORS: Mapping[str, Callable[..., torch.Tensor]] = {name: own.function for name, own in PUBLISHED.items()}


def alphabet(names: Sequence[str] = tuple(PUBLISHED), constants: Sequence[float] = ()) -> Alphabet:
    """Return an alphabet of published primitives."""
    return PrimitiveSet(tuple(PUBLISHED[name] for name in names), tuple(constants)).alphabet


def alphabets(largest: float = 2.0) -> st.SearchStrategy[Alphabet]:
    """All primitives or a few, with up to three constants or none."""
    few = st.lists(st.sampled_from(list(PUBLISHED)), min_size=1, max_size=4, unique=True)
    constants = st.lists(st.floats(-largest, largest), max_size=3, unique=True)
    return st.builds(alphabet, st.just(tuple(PUBLISHED)) | few, constants)


@st.composite
def grids(draw: st.DrawFn, largest: float = 2.0) -> Grid:
    """Genes on grids of several shapes, fresh or after some mutations."""
    number = st.integers(1, 5)
    method = CGP(rows=draw(number), columns=draw(number), levels_back=draw(st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    genes = method.random(draw(alphabets(largest)), rng)
    for _ in range(draw(st.integers(0, 3))):
        genes = method.mutate(genes, rng)
    return genes


@st.composite
def trees(draw: st.DrawFn, largest: float = 2.0) -> Tree:
    """Trees, fresh or after mutation and crossover."""
    least = draw(st.integers(0, 3))
    method = GeneticProgramming(depth=(least, draw(st.integers(least, 4))), height=draw(st.integers(4, 6)))
    rng, symbols = np.random.default_rng(draw(st.integers(0, 2**32))), draw(alphabets(largest))
    genes = method.random(symbols, rng)
    for _ in range(draw(st.integers(0, 3))):
        genes = method.cross(method.mutate(genes, rng), method.random(symbols, rng), rng)
    return genes


def genomes(largest: float = 2.0) -> st.SearchStrategy[Genes]:
    """Genes of both encodings, whose constants are at most so large."""
    return grids(largest) | trees(largest)


def many(count: int) -> list[Genes]:
    """Return random genes, the same ones always, of both encodings in turn, with and without constants."""
    found: list[Genes] = []
    for seed in range(count):
        method = (CGP(), GeneticProgramming())[seed % 2]
        symbols = alphabet(constants=((), (-1.0, 0.1, 0.5))[seed // 2 % 2])
        found.append(method.random(symbols, np.random.default_rng(seed)))
    return found


def places(genes: Grid, inputs: list, functions: Mapping[str, Callable]) -> list:
    """Return the value of every place of a grid, computed node by node.

    Args:
        genes: of the grid.
        inputs: the values of ``x`` and of the constants.
        functions: by the name of the primitive.
    """
    values = list(inputs)
    for function, first, second in genes.nodes:
        name, arity = genes.alphabet.arities[function]
        values.append(functions[name](*(values[place] for place in (first, second)[:arity])))
    return values


def branches(genes: Tree, inputs: list, functions: Mapping[str, Callable]) -> list:
    """Return the value of every branch of a tree, the whole tree's last, computed from its leaves (see `places`)."""
    arities = dict(genes.alphabet.arities)
    leaves = dict(zip(["x", *map(repr, genes.alphabet.constants)], inputs, strict=True))
    tokens, values = iter(genes.tokens), []

    def branch() -> object:
        token = next(tokens)
        value = leaves[token] if token in leaves else functions[token](*[branch() for _ in range(arities[token])])
        values.append(value)
        return value

    branch()
    assert next(tokens, None) is None
    return values


def outputs(genes: Genes, x: torch.Tensor) -> torch.Tensor:
    """Return what genes compute, by torch's operations."""
    inputs = [x, *(torch.full_like(x, value) for value in genes.alphabet.constants)]
    if isinstance(genes, Grid):
        return places(genes, inputs, TENSORS)[genes.output]
    return branches(genes, inputs, TENSORS)[-1]


def points(count: int = 10_000) -> torch.Tensor:
    """Return points that include all kinks and what is not finite."""
    special = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 1e-40, 1e30, -1e30, math.inf, -math.inf, math.nan]
    drawn = 3 * np.random.default_rng(0).standard_normal(count - len(special))
    return torch.tensor([*special, *drawn], dtype=torch.float32)


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether tensors are equal to the last bit; one that is not a number equals another."""
    return first.dtype == second.dtype and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)


def gradient(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return the derivative of an elementwise function at each point; zero for a constant."""
    x = x.clone().requires_grad_()
    y = function(x)
    if not y.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(y.sum(), x)[0]
