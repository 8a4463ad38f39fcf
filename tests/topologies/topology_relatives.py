"""What the tests of NEAT share: genomes that grew from one ancestor over several generations, and a check for loops.

They have genes in common and genes of their own, some of which join the same nodes under different numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import numpy as np
from hypothesis import strategies as st
from topology_strategies import interfaces

from evosparse.topologies import operators
from evosparse.topologies.functions import NAMES
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations
from evosparse.topologies.start import Start, first_genomes

CODES = np.arange(len(NAMES))
Gene = tuple[int, int, float, bool]  # source, target, weight, enabled


def genes_of(topology: Topology) -> dict[int, Gene]:
    """The genes of a genome by innovation number."""
    columns = (topology.innovation, topology.source, topology.target, topology.weight, topology.enabled)
    return {number: tuple(gene) for number, *gene in zip(*(column.tolist() for column in columns), strict=True)}


def pairs_of(topology: Topology) -> list[tuple[int, int]]:
    """The nodes that each connection joins."""
    return list(zip(topology.source.tolist(), topology.target.tolist(), strict=True))


def functions_of(topology: Topology) -> dict[int, int]:
    """The code of each output's and each hidden node's function, by the number of the node."""
    nodes = [*topology.interface.output_nodes, *topology.hidden.tolist()]
    return dict(zip(nodes, topology.functions.tolist(), strict=True))


def loop_free(pairs: Iterable[tuple[int, int]]) -> bool:
    """Whether nodes that are joined so can be put into an order in which each gives only to later ones."""
    before: dict[int, set[int]] = {}
    for source, target in pairs:
        before.setdefault(target, set()).add(source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError:
        return False
    return True


def mutated(topology: Topology, innovations: Innovations, rng: np.random.Generator) -> Topology:
    """A genome after up to three mutations of any kind."""
    for _ in range(rng.integers(4)):
        match rng.integers(9):
            case 0 | 1:
                topology = operators.add_node(topology, int(rng.choice(CODES)), innovations, rng)
            case 2 | 3 | 4:
                topology = operators.add_connection(topology, float(rng.normal()), innovations, rng)
            case 5:
                topology = operators.toggle(topology, rng)
            case 6:
                topology = operators.delete_connection(topology, rng)
            case 7:
                topology = operators.delete_node(topology, rng)
            case 8:
                topology = operators.change_function(topology, CODES, rng)
        topology = replace(topology, weight=topology.weight + rng.normal(size=len(topology.weight)))
    return topology


def relatives(face: Interface, rng: np.random.Generator, generations: int = 5, members: int = 6) -> list[Topology]:
    """The last generation of a family.

    Args:
        face: of all of them.
        rng: source of all randomness.
        generations: from the ancestor on.
        members: of each generation.
    """
    start = Start(form="random", hidden=3, density=0.5) if rng.random() < 0.5 else Start()
    innovations = Innovations(face.fixed + start.nodes, "generation")
    family = first_genomes(1, start, face, (0, CODES), (1.0, "uniform"), innovations, rng) * members
    for _ in range(generations):
        innovations.begin_generation()
        family = [mutated(family[rng.integers(members)], innovations, rng) for _ in range(members)]
    return family


@st.composite
def families(draw: st.DrawFn, recurrent: bool | None = None) -> list[Topology]:
    """Draw six relatives (see `relatives`), after no generation they are all alike.

    Args:
        recurrent: whether networks may have loops; None for either.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return relatives(draw(interfaces(recurrent)), rng, draw(st.integers(0, 8)))
