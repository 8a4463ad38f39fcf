"""Genetic programming on trees: depths and heights are kept, and DEAP's use of the global generator leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from activation_strategies import SCALARS, alphabet, alphabets, branches, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evosparse.activations.expression import Expression
from evosparse.activations.module import PUBLISHED_SET
from evosparse.activations.tree import GeneticProgramming, Tree

CONSTANTS = (0.37, -1.9)
SEEDS = st.integers(0, 2**32)


def height(expression: Expression) -> int:
    """Return how many primitives are inside each other."""
    return 1 + max(map(height, expression.arguments)) if expression.arguments else 0


def random_tree(seed: int, method: GeneticProgramming = GeneticProgramming()) -> Tree:
    """Return a random tree with two constants."""
    return method.random(alphabet(constants=CONSTANTS), np.random.default_rng(seed))


@given(alphabets(), st.integers(0, 4), st.integers(0, 2), SEEDS)
@settings(max_examples=200, deadline=None)
def test_random_trees_keep_to_their_depth(symbols: object, least: int, more: int, seed: int) -> None:
    method = GeneticProgramming(depth=(least, least + more))
    assert least <= height(method.random(symbols, np.random.default_rng(seed)).expression) <= least + more


def test_every_depth_primitive_and_leaf_occurs_among_random_trees() -> None:
    found = [random_tree(seed) for seed in range(400)]
    assert {height(genes.expression) for genes in found} == {1, 2, 3}
    assert {token for genes in found for token in genes.tokens} == {"x", "0.37", "-1.9", *SCALARS}


@given(trees(), st.integers(1, 6), SEEDS)
@settings(max_examples=200, deadline=None)
def test_no_child_grows_higher_than_the_limit(genes: Tree, limit: int, seed: int) -> None:
    method, rng = GeneticProgramming(depth=(0, 1), height=limit), np.random.default_rng(seed)
    other = GeneticProgramming().random(genes.alphabet, rng)
    for child in (method.mutate(genes, rng), method.cross(genes, other, rng)):
        assert child == genes or height(child.expression) <= limit


@given(trees())
@settings(max_examples=200, deadline=None)
def test_tokens_are_read_back_as_the_same_tree(genes: Tree) -> None:
    again = Tree.from_json(genes.to_json(), genes.alphabet)
    assert again == genes and again.expression == genes.expression
    assert tokens(genes.expression) == list(genes.tokens)


def tokens(expression: Expression) -> list[str]:
    """Return the names in an expression, each before those of its arguments."""
    own = [expression.name or repr(expression.value)]
    return own + [token for argument in expression.arguments for token in tokens(argument)]


def test_trees_compute_what_a_slow_evaluation_of_their_tokens_does() -> None:
    for seed in range(300):
        genes = random_tree(seed, GeneticProgramming(depth=(0, 5)))
        for x in (-0.95, -0.31, 0.22, 0.83):
            values = branches(genes, [x, *CONSTANTS], SCALARS)
            ours = PUBLISHED_SET.evaluate(genes.expression, torch.tensor([x], dtype=torch.float64)).item()
            # tanh and exp may differ in the last bit, by which the largest number on the way to the root is wrong.
            assert ours == pytest.approx(values[-1], rel=1e-9, abs=1e-12 * max(1.0, *map(abs, values)))


OPERATIONS: list[Callable[[Tree, Tree, np.random.Generator], Tree]] = [
    lambda first, second, rng: GeneticProgramming().random(first.alphabet, rng),
    lambda first, second, rng: GeneticProgramming().mutate(first, rng),
    lambda first, second, rng: GeneticProgramming().cross(first, second, rng),
]
operations = pytest.mark.parametrize("operation", OPERATIONS, ids=["random", "mutate", "cross"])


@operations
def test_the_global_random_state_is_not_touched(operation: Callable) -> None:
    random.seed(5)
    before = random.getstate()
    for seed in range(20):
        operation(random_tree(seed), random_tree(seed + 100), np.random.default_rng(seed))
        assert random.getstate() == before


def test_the_global_random_state_is_restored_after_an_error() -> None:
    before = random.getstate()
    with pytest.raises(KeyError):
        GeneticProgramming().mutate(Tree(alphabet(), ("unknown",)), np.random.default_rng(0))
    assert random.getstate() == before


@operations
def test_a_tree_depends_on_nothing_but_the_generator(operation: Callable) -> None:
    first, second = random_tree(1), random_tree(2)
    results = []
    for global_seed in (1, 2):
        random.seed(global_seed)
        results.append([operation(first, second, np.random.default_rng(seed)) for seed in range(50)])
    assert results[0] == results[1] and len(set(results[0])) > 5


def spans(genes: Tree) -> list[slice]:
    """Return where each branch stands among the tokens."""
    arities, found = dict(genes.alphabet.arities), []
    for start in range(len(genes.tokens)):
        end, missing = start, 1
        while missing:
            missing += arities.get(genes.tokens[end], 0) - 1
            end += 1
        found.append(slice(start, end))
    return found


def with_branch(genes: Tree, place: slice, branch: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tokens with another branch in one place."""
    return (*genes.tokens[: place.start], *branch, *genes.tokens[place.stop :])


def test_a_mutation_puts_one_branch_in_place_of_another() -> None:
    method, changed = GeneticProgramming(branch=0), 0
    for seed in range(200):
        parent = random_tree(seed)
        child = method.mutate(parent, np.random.default_rng(seed))
        leaves = ("x", "0.37", "-1.9")
        assert child.tokens in [with_branch(parent, place, (leaf,)) for place in spans(parent) for leaf in leaves]
        changed += child != parent
    assert changed > 150


def test_a_crossover_puts_a_branch_of_the_second_parent_into_the_first() -> None:
    changed = 0
    for seed in range(200):
        first, second = random_tree(seed), random_tree(seed + 1000)
        child = GeneticProgramming().cross(first, second, np.random.default_rng(seed))
        branches_of_second = [second.tokens[place] for place in spans(second)]
        assert child.tokens in [with_branch(first, place, own) for place in spans(first) for own in branches_of_second]
        changed += child != first
    assert changed > 100


@pytest.mark.parametrize("name", ["tanh", "max"])
def test_one_primitive_without_constants_is_enough(name: str) -> None:
    method, rng = GeneticProgramming(depth=(0, 2)), np.random.default_rng(0)
    genes = method.random(alphabet((name,)), rng)
    for _ in range(100):
        genes = method.cross(method.mutate(genes, rng), method.random(genes.alphabet, rng), rng)
        assert {*genes.tokens} <= {"x", name} and height(genes.expression) <= method.height


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"depth": (3, 1)}, "0 <= least <= greatest <= 6 (height, 10 at most), got [3, 1]"),
        ({"depth": (-1, 2)}, "0 <= least <= greatest <= 6 (height, 10 at most), got [-1, 2]"),
        ({"depth": (1, 7)}, "0 <= least <= greatest <= 6 (height, 10 at most), got [1, 7]"),
        ({"height": 2}, "0 <= least <= greatest <= 2 (height, 10 at most), got [1, 3]"),
        ({"depth": (1, 20), "height": 30}, "0 <= least <= greatest <= 10 (height, 10 at most), got [1, 20]"),
    ],
)
def test_depths_that_no_tree_can_have_are_one_clear_error(given: dict, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        GeneticProgramming(**given)
    (error,) = refused.value.errors()
    assert told in error["msg"]
