"""Cartesian genetic programming: what genes compute, which of them count, and what a mutation changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from activation_strategies import SCALARS, alphabet, grids, places
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from evosparse.activations.cgp import CGP, Grid
from evosparse.activations.genome import Triple
from evosparse.activations.module import PUBLISHED_SET

SHAPES = [(5, 5, 5), (1, 1, 1), (3, 6, 2), (2, 4, 1), (4, 3, 9), (1, 7, 3)]  # rows, columns, levels back
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
CONSTANTS = (0.37, -1.9)


def grid(shape: tuple[int, int, int] = (5, 5, 5), seed: int = 0, names: Sequence[str] = tuple(SCALARS)) -> Grid:
    """Return random genes with two constants."""
    rows, columns, levels_back = shape
    method = CGP(rows=rows, columns=columns, levels_back=levels_back)
    return method.random(alphabet(names, CONSTANTS), np.random.default_rng(seed))


def reached(genes: Grid, place: int) -> set[int]:
    """Return the nodes that a place depends on, itself included, by following its genes."""
    node = place - 1 - len(genes.alphabet.constants)
    if node < 0:
        return set()
    function, *read = genes.nodes[node]
    return {node}.union(*(reached(genes, other) for other in read[: genes.alphabet.arities[function][1]]))


def readable(genes: Grid, node: int) -> list[int]:
    """Return the places that a node may read, by looking at the column of every place."""
    inputs, column = 1 + len(genes.alphabet.constants), node // genes.rows
    legal = list(range(inputs))
    for other in range(len(genes.nodes)):
        if 1 <= column - other // genes.rows <= genes.levels_back:
            legal.append(inputs + other)
    return legal


def changes(before: Grid, after: Grid) -> list[tuple[int, int]]:
    """Return the genes that differ: node and place in it; the output is node -1."""
    assert replace(after, nodes=before.nodes, output=before.output) == before
    assert len(after.nodes) == len(before.nodes)
    found = [(-1, 0)] if before.output != after.output else []
    for node, (old, new) in enumerate(zip(before.nodes, after.nodes, strict=True)):
        found += [(node, which) for which in range(3) if old[which] != new[which]]
    return found


def expect_legal(genes: Grid) -> None:
    """Fail if a gene has a value that it may not have."""
    for node, (function, *read) in enumerate(genes.nodes):
        assert function in range(len(genes.alphabet.arities)) and set(read) <= set(readable(genes, node))
    assert genes.output in range(1 + len(genes.alphabet.constants) + len(genes.nodes))


def expect_equally_often(counts: Counter, choices: int) -> None:
    """Fail if draws are not about as frequent as each other: one chance in ten thousand if they are drawn equally."""
    expected = counts.total() / choices
    statistic = sum((count - expected) ** 2 for count in counts.values()) / expected
    statistic += (choices - len(counts)) * expected
    assert len(counts) <= choices and statistic < chi2.ppf(1 - 1e-4, choices - 1)


@shapes
def test_genes_compute_what_a_slow_evaluation_of_the_grid_does(shape: tuple[int, int, int]) -> None:
    for seed in range(60):
        genes = grid(shape, seed)
        for x in (-0.95, -0.31, 0.22, 0.83):
            values = places(genes, [x, *CONSTANTS], SCALARS)
            ours = PUBLISHED_SET.evaluate(genes.expression, torch.tensor([x], dtype=torch.float64)).item()
            # tanh and exp may differ in the last bit, by which the largest number on the way to the output is wrong.
            largest = max(abs(values[0]), *(abs(values[3 + node]) for node in genes.active), 1.0)
            assert ours == pytest.approx(values[genes.output], rel=1e-9, abs=1e-12 * largest)


@shapes
def test_random_genes_are_legal_and_all_legal_values_occur(shape: tuple[int, int, int]) -> None:
    drawn = [grid(shape, seed) for seed in range(400)]
    for genes in drawn:
        expect_legal(genes)
    last = len(drawn[0].nodes) - 1
    expect_equally_often(Counter(genes.nodes[last][0] for genes in drawn), len(SCALARS))
    for which in (1, 2):
        expect_equally_often(Counter(genes.nodes[last][which] for genes in drawn), len(readable(drawn[0], last)))
    expect_equally_often(Counter(genes.output for genes in drawn), last + 4)


@given(grids())
@settings(deadline=None)
def test_active_nodes_are_those_that_the_output_reaches(genes: Grid) -> None:
    assert genes.active == tuple(sorted(reached(genes, genes.output)))
    assert all(genes.legal(node) == tuple(readable(genes, node)) for node in range(len(genes.nodes)))


@given(grids(), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_a_mutation_changes_one_gene_that_counts_to_a_legal_value(genes: Grid, seed: int) -> None:
    child = CGP().mutate(genes, np.random.default_rng(seed))
    ((node, _),) = changes(genes, child)
    assert node in (-1, *reached(genes, genes.output))
    expect_legal(child)


@given(grids(), st.integers(0, 2**32))
@settings(deadline=None)
def test_the_same_seed_gives_the_same_genes(genes: Grid, seed: int) -> None:
    method = CGP(rows=2, columns=3, levels_back=1)
    assert method.mutate(genes, np.random.default_rng(seed)) == method.mutate(genes, np.random.default_rng(seed))
    first, second = (method.random(genes.alphabet, np.random.default_rng(seed)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", [4, 8, 11, 17])
def test_every_active_node_and_the_output_are_drawn_equally_often(seed: int) -> None:
    genes = grid(seed=seed)
    genes = replace(genes, output=max(range(3, 28), key=lambda place: len(reached(genes, place))))
    active = reached(genes, genes.output)
    assert len(active) >= 4
    rng = np.random.default_rng(seed)
    drawn = [changes(genes, CGP().mutate(genes, rng))[0] for _ in range(5000)]
    expect_equally_often(Counter(node for node, _ in drawn), len(active) + 1)
    expect_equally_often(Counter(which for node, which in drawn if node >= 0), 3)


def test_every_other_legal_value_is_drawn_equally_often() -> None:
    genes = replace(grid((2, 3, 1)), output=7)
    rng = np.random.default_rng(0)
    children = [CGP().mutate(genes, rng) for _ in range(6000)]
    assert 4 in genes.active
    expect_equally_often(Counter(child.output for child in children if child.output != 7), 8)
    for which, choices in ((0, 14), (1, 4), (2, 4)):  # fifteen primitives; x, two constants and two nodes
        new = Counter(child.nodes[4][which] for child in children if child.nodes[4][which] != genes.nodes[4][which])
        expect_equally_often(new, choices)


@shapes
def test_a_silent_second_place_changes_nothing_when_it_is_mutated(shape: tuple[int, int, int]) -> None:
    silent = 0
    for seed in range(300):
        genes = replace(grid(shape, seed), output=shape[0] * shape[1] + 2)
        child = CGP().mutate(genes, np.random.default_rng(seed))
        ((node, which),) = changes(genes, child)
        if which == 2 and genes.alphabet.arities[genes.nodes[node][0]][1] == 1:
            silent += 1
            assert child.expression == genes.expression and child != genes
    assert silent > 0


@given(grids(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_phenotype_depends_on_active_genes_alone(genes: Grid, random: st.randoms) -> None:
    active, nodes = reached(genes, genes.output), []
    for node, (function, first, second) in enumerate(genes.nodes):
        if node not in active:
            function, first = random.randrange(len(genes.alphabet.arities)), random.choice(readable(genes, node))
        if node not in active or genes.alphabet.arities[function][1] == 1:
            second = random.choice(readable(genes, node))
        nodes.append((function, first, second))
    other = replace(genes, nodes=tuple(nodes))
    ours, theirs = Triple(("hidden",), (genes,)), Triple(("hidden",), (other,))
    assert other.expression == genes.expression and theirs.phenotype == ours.phenotype
    assert (theirs.key == ours.key) == (other == genes)


@pytest.mark.parametrize("name", ["tanh", "mul"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 3, 1)], ids=str)
def test_one_primitive_of_one_input_can_be_mutated(name: str, shape: tuple[int, int, int]) -> None:
    rows, columns, levels_back = shape
    method, rng = CGP(rows=rows, columns=columns, levels_back=levels_back), np.random.default_rng(0)
    genes, outputs = method.random(alphabet((name,)), rng), set()
    for _ in range(200):
        child = method.mutate(genes, rng)
        assert len(changes(genes, child)) == 1
        expect_legal(child)
        outputs.add(child.output)
        genes = child
    assert outputs == set(range(1 + rows * columns))


def test_genes_written_by_hand_are_read_as_meant() -> None:
    # Places: 0 is x, 1 is the constant, 2 and 3 the first column, 4 and 5 the second.
    genes = Grid(alphabet(("tanh", "max"), (0.5,)), 2, 1, ((0, 0, 1), (1, 0, 1), (1, 2, 3), (0, 3, 3)), 4)
    assert str(genes.expression) == "max(tanh(x), max(x, 0.5))" and genes.active == (0, 1, 2)
    assert str(replace(genes, output=0).expression) == "x" and replace(genes, output=0).active == ()
    assert str(replace(genes, output=1).expression) == "0.5"
    assert str(replace(genes, output=5).expression) == "tanh(max(x, 0.5))"


def test_there_is_no_crossover() -> None:
    first, second = grid(seed=1), grid(seed=2)
    assert CGP().cross(first, second, np.random.default_rng(0)) is first


def test_the_grid_of_the_paper_is_the_default() -> None:
    genes = CGP().random(alphabet(), np.random.default_rng(0))
    assert len(genes.nodes) == 25 and genes.rows == 5 and len(genes.alphabet.arities) == 15
    assert genes.legal(24) == tuple(range(21)) and genes.legal(4) == (0,)
