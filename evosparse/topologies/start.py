"""First populations: the minimal networks that NEAT grows from, and the larger ones of the paper's ablations."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evosparse.section import Section, bare_string
from evosparse.topologies.breeding import Distribution, draw_weights
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations


class Start(Section):
    """The networks of the first generation; a bare string is the form.

    Attributes:
        form: ``minimal``, every input and the bias joined to every output and no hidden node; ``dense``, with ``hidden``
            nodes more, joined to all inputs and all outputs; ``random``, one to ``hidden`` nodes and random connections.
        hidden: number of hidden nodes, or the largest number.
        density: probability of each connection of a random network.
    """

    form: Literal["minimal", "dense", "random"] = "minimal"
    hidden: int = Field(10, ge=1)
    density: float = Field(0.5, gt=0, le=1)

    _bare = bare_string("form")

    @property
    def nodes(self) -> int:
        """Most hidden nodes of a network of the first generation."""
        return 0 if self.form == "minimal" else self.hidden

    def joined(self, face: Interface, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Return the pairs of nodes that one network joins.

        Args:
            face: its interface.
            rng: source of randomness.
        """
        sources, outputs = range(face.sources), face.output_nodes
        direct = [(source, target) for source in sources for target in outputs]
        hidden = range(face.fixed, face.fixed + self.nodes)
        if self.form == "minimal":
            return direct
        if self.form == "dense":
            into = [(source, node) for source in sources for node in hidden]
            return direct + into + [(node, target) for node in hidden for target in outputs]
        hidden = hidden[: rng.integers(1, self.hidden + 1)]
        givers = [*sources, *hidden, *(outputs if face.recurrent else ())]
        # Without loops: hidden nodes give only to those behind them.
        pairs = [
            (source, target)
            for source in givers
            for target in (*hidden, *outputs)
            if face.recurrent or target in outputs or source < target
        ]
        drawn = rng.random(len(pairs)) < self.density
        chosen = [pair for pair, is_drawn in zip(pairs, drawn, strict=True) if is_drawn]
        reached = {target for _, target in chosen}
        return chosen + [(int(rng.integers(face.sources)), target) for target in outputs if target not in reached]


def first_genomes(
    count: int,
    start: Start,
    face: Interface,
    functions: tuple[int, NDArray[np.int64]],
    weights: tuple[float, Distribution],
    innovations: Innovations,
    rng: np.random.Generator,
) -> list[Topology]:
    """Return the genomes of the first generation.

    Args:
        count: how many.
        start: their form.
        face: their interface.
        functions: code of the outputs' function, and codes to draw hidden nodes' from.
        weights: power and distribution of the weights.
        innovations: gives the numbers.
        rng: source of randomness.
    """
    return [_first(start, face, functions, weights, innovations, rng) for _ in range(count)]


def _first(start, face, functions, weights, innovations, rng):
    genes = sorted((innovations.connection(*pair), *pair) for pair in start.joined(face, rng))
    innovation, source, target = (np.array(column, dtype=np.int64) for column in zip(*genes, strict=True))
    ends = np.unique(np.concatenate([source, target]))
    hidden = ends[ends >= face.fixed]
    output, codes = functions
    own = np.concatenate([np.full(len(face.outputs), output), codes[rng.integers(len(codes), size=len(hidden))]])
    weight = draw_weights(len(source), *weights, rng)
    return Topology(face, hidden, own, innovation, source, target, weight, np.ones(len(source), dtype=bool))
