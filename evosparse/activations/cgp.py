"""Cartesian genetic programming: a grid of nodes, of which those that the output reaches are active.

Julian Miller, "Cartesian Genetic Programming" (2011); the grid and the mutation are those of Lapid and Sipper (2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.activations.expression import Expression, X, constant
from evosparse.activations.primitives import Alphabet
from evosparse.section import Section

Node = tuple[int, int, int]
"""Number of a primitive, and the two places that it may read."""


@dataclass(frozen=True)
class Grid:
    """The genes of one function.

    Places are numbered: 0 is ``x``, then come the constants, then the nodes, column by column.

    Args:
        alphabet: what nodes can be.
        rows, levels_back: of the grid; a node reads inputs and nodes of so many columns before its own.
        nodes: genes of each node.
        output: the place whose value is the function's.
    """

    encoding = "cgp"

    alphabet: Alphabet
    rows: int
    levels_back: int
    nodes: tuple[Node, ...]
    output: int

    @property
    def inputs(self) -> int:
        """Number of places before the first node."""
        return 1 + len(self.alphabet.constants)

    def legal(self, node: int) -> tuple[int, ...]:
        """Return the places that a node may read."""
        column = node // self.rows
        first = self.inputs + max(0, column - self.levels_back) * self.rows
        return (*range(self.inputs), *range(first, self.inputs + column * self.rows))

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Numbers of the nodes that the output reaches, ascending."""
        reached, waiting = set(), [self.output]
        while waiting:
            node = waiting.pop() - self.inputs
            if node >= 0 and node not in reached:
                reached.add(node)
                function, *places = self.nodes[node]
                waiting += places[: self.alphabet.arities[function][1]]
        return tuple(sorted(reached))

    @cached_property
    def expression(self) -> Expression:
        """The function that the active nodes compute."""
        places = {0: X} | {index: constant(value) for index, value in enumerate(self.alphabet.constants, 1)}
        for node in self.active:  # ascending: a node reads earlier columns alone
            function, *read = self.nodes[node]
            name, arity = self.alphabet.arities[function]
            places[self.inputs + node] = Expression(name, tuple(places[place] for place in read[:arity]))
        return places[self.output]

    def to_json(self) -> Mapping[str, object]:
        """Return JSON values that `from_json` reads."""
        return {
            "rows": self.rows,
            "levels_back": self.levels_back,
            "nodes": [gene for node in self.nodes for gene in node],
            "output": self.output,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, object], alphabet: Alphabet) -> Grid:
        """Read what `to_json` returned."""
        genes = values["nodes"]
        nodes = tuple(zip(genes[::3], genes[1::3], genes[2::3], strict=True))
        return cls(alphabet, values["rows"], values["levels_back"], nodes, values["output"])


class CGP(Section):
    """The grid, its random start and its mutation.

    Attributes:
        rows, columns: of the grid.
        levels_back: how many columns back a node may read.
    """

    name: Literal["cgp"] = "cgp"
    rows: int = Field(5, ge=1, le=100)
    columns: int = Field(5, ge=1, le=12)  # a formula may double in length with each column
    levels_back: int = Field(5, ge=1)

    def random(self, alphabet: Alphabet, rng: np.random.Generator) -> Grid:
        """Return genes drawn uniformly among the legal ones."""
        empty = Grid(alphabet, self.rows, self.levels_back, (), 0)
        nodes = []
        for node in range(self.rows * self.columns):
            places = empty.legal(node)
            first, second = rng.integers(len(places), size=2)
            nodes.append((int(rng.integers(len(alphabet.arities))), places[first], places[second]))
        return replace(empty, nodes=tuple(nodes), output=int(rng.integers(empty.inputs + len(nodes))))

    def mutate(self, genes: Grid, rng: np.random.Generator) -> Grid:
        """Change one gene of one active node, or the output, to another legal value.

        The node or the output is drawn uniformly, then one of its genes that has another legal value. The second place
        of a primitive that reads one is such a gene: then the function stays what it is.
        """
        # A node whose genes have no other legal value (one primitive, one input) cannot be drawn.
        choices = [node for node in genes.active if _changeable(genes, node)]
        drawn = int(rng.integers(len(choices) + 1))
        if drawn == len(choices):
            return replace(genes, output=_another(range(genes.inputs + len(genes.nodes)), genes.output, rng))
        node = choices[drawn]
        changeable = _changeable(genes, node)
        which = changeable[int(rng.integers(len(changeable)))]
        new = list(genes.nodes[node])
        new[which] = _another(_legal(genes, node, which), new[which], rng)
        return replace(genes, nodes=(*genes.nodes[:node], tuple(new), *genes.nodes[node + 1 :]))

    def cross(self, first: Grid, second: Grid, rng: np.random.Generator) -> Grid:
        """Return the first parent: in Cartesian genetic programming there is no crossover."""
        return first


def _legal(genes: Grid, node: int, which: int) -> Sequence[int]:
    return range(len(genes.alphabet.arities)) if which == 0 else genes.legal(node)


def _changeable(genes: Grid, node: int) -> list[int]:
    return [which for which in range(3) if len(_legal(genes, node, which)) > 1]


def _another(legal: Sequence[int], value: int, rng: np.random.Generator) -> int:
    """Return a legal value other than the present one."""
    others = [other for other in legal if other != value]
    return others[int(rng.integers(len(others)))] if others else value
