"""Genetic programming on trees: DEAP's `gp`, as a second encoding of the same functions.

John Koza, "Genetic Programming" (1992).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Literal

import numpy as np
from deap import gp
from pydantic import Field, model_validator

from evosparse.activations.expression import VARIABLE, Expression, X, constant
from evosparse.activations.primitives import Alphabet
from evosparse.section import Section


@dataclass(frozen=True)
class Tree:
    """The genes of one function.

    Args:
        alphabet: what its parts can be.
        tokens: names of primitives, ``x`` and constants, each before its arguments.
    """

    encoding = "tree"

    alphabet: Alphabet
    tokens: tuple[str, ...]

    @cached_property
    def expression(self) -> Expression:
        """The function that the tree stands for."""
        arities = dict(self.alphabet.arities)
        values = {repr(value): constant(value) for value in self.alphabet.constants} | {VARIABLE: X}
        stack: list[Expression] = []
        for token in reversed(self.tokens):
            if token in values:
                stack.append(values[token])
            else:
                stack.append(Expression(token, tuple(stack.pop() for _ in range(arities[token]))))
        return stack.pop()

    def to_json(self) -> Mapping[str, object]:
        """Return JSON values that `from_json` reads."""
        return {"tokens": list(self.tokens)}

    @classmethod
    def from_json(cls, values: Mapping[str, object], alphabet: Alphabet) -> Tree:
        """Read what `to_json` returned."""
        return cls(alphabet, tuple(values["tokens"]))


class GeneticProgramming(Section):
    """Random trees, and their mutation and crossover.

    Attributes:
        depth: least and greatest depth of a random tree (ramped half and half), at most 10.
        branch: greatest depth of the random branch that a mutation puts in place of another.
        height: no tree grows higher: a child that would be is its parent.
    """

    name: Literal["tree"] = "tree"
    depth: tuple[int, int] = (1, 3)
    branch: int = Field(2, ge=0, le=10)
    height: int = Field(6, ge=1, le=30)

    @model_validator(mode="after")
    def _fits_together(self) -> GeneticProgramming:
        least, greatest = self.depth
        most = min(self.height, 10)
        if not 0 <= least <= greatest <= most:
            expected = f"expected depth: [least, greatest] with 0 <= least <= greatest <= {most} (height, 10 at most)"
            raise ValueError(f"{expected}, got [{least}, {greatest}]")
        return self

    def random(self, alphabet: Alphabet, rng: np.random.Generator) -> Tree:
        """Return a tree by ramped half and half."""
        with _seeded(rng):
            return _tree(alphabet, gp.genHalfAndHalf(_primitives(alphabet), *self.depth))

    def mutate(self, genes: Tree, rng: np.random.Generator) -> Tree:
        """Put a random branch in place of one, uniformly drawn."""
        symbols = _primitives(genes.alphabet)

        def branch(pset: gp.PrimitiveSet, type_: type) -> list:
            return gp.genFull(pset, 0, self.branch, type_)

        with _seeded(rng):
            (child,) = gp.mutUniform(_deap(genes), branch, symbols)
        return _tree(genes.alphabet, child) if child.height <= self.height else genes

    def cross(self, first: Tree, second: Tree, rng: np.random.Generator) -> Tree:
        """Put a branch of the second parent in place of one of the first."""
        with _seeded(rng):
            child, _ = gp.cxOnePoint(_deap(first), _deap(second))
        return _tree(first.alphabet, child) if child.height <= self.height else first


@lru_cache
def _primitives(alphabet: Alphabet) -> gp.PrimitiveSet:
    symbols = gp.PrimitiveSet("activation", 0)
    symbols.addTerminal(VARIABLE, VARIABLE)  # an argument of DEAP's would keep its own name when it is renamed
    for name, arity in alphabet.arities:
        symbols.addPrimitive(attrgetter(name), arity, name)  # never called: trees are evaluated as expressions
    for value in alphabet.constants:
        symbols.addTerminal(value, repr(value))
    return symbols


def _deap(genes: Tree) -> gp.PrimitiveTree:
    mapping = _primitives(genes.alphabet).mapping
    return gp.PrimitiveTree([mapping[token] for token in genes.tokens])


def _tree(alphabet: Alphabet, nodes: list) -> Tree:
    return Tree(alphabet, tuple(node.name for node in nodes))


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Let DEAP, which draws from the global ``random``, draw from a generator, and restore the global state after."""
    before = random.getstate()
    random.seed(int(rng.integers(2**63)))
    try:
        yield
    finally:
        random.setstate(before)
