"""Crossover and mutation of weights against a slow reference with dictionaries, and by their shares in many children.

The reference is written from the rules, not from the compiled loop; only the order of the draws is taken from `breed`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from topology_relatives import CODES, Gene, families, functions_of, genes_of, loop_free, pairs_of, relatives

from evosparse.topologies.breeding import Inheritance, Parents, breed, draw_weights, leads
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations
from evosparse.topologies.start import Start, first_genomes

PAPER = Inheritance(
    average=0.0, inherit_disabled=0.75, equal_fitness_genes="random", weights=0.8, perturb=0.9, power=2.5,
    replace_power=2.5, distribution="uniform", clip=None,
)  # fmt: skip
UNCHANGED = replace(PAPER, weights=0.0)
FACE = Interface(("a", "b", "c"), ("y", "z"))
shares = st.sampled_from((0.0, 0.3, 0.75, 1.0))
inheritances = st.builds(
    Inheritance, shares, shares, st.sampled_from(("random", "both", "first")), shares, shares, st.just(0.7),
    st.just(2.5), st.sampled_from(("uniform", "gaussian")), st.sampled_from((None, 1.0)),
)  # fmt: skip


@dataclass(frozen=True)
class Draws:
    """What chance says about one child; that of `breed` comes in arrays, of all children one after another.

    Args:
        averaged, mutated: whether its weights are averaged, and mutated.
        pick, half, disabled: (genes of both parents,) for each gene that either parent has, in order.
        perturbed, shifts, fresh: (genes of both parents,) for each gene of the child, in order.
    """

    averaged: bool
    mutated: bool
    pick: NDArray[np.float64]
    half: NDArray[np.float64]
    disabled: NDArray[np.float64]
    perturbed: NDArray[np.float64]
    shifts: NDArray[np.float64]
    fresh: NDArray[np.float64]


def same_draws(
    population: list[Topology], parents: Parents, rules: Inheritance, rng: np.random.Generator
) -> list[Draws]:
    """The draws that `breed` makes with a generator of the same state, in its order."""
    mated = zip(parents.first, parents.second, strict=True)
    room = [len(population[one].weight) + (len(population[two].weight) if two >= 0 else 0) for one, two in mated]
    averaged = rng.random(len(room)) < rules.average
    mutated = parents.mutated & (rng.random(len(room)) < rules.weights)
    chances = rng.random((4, sum(room)))
    shifts = draw_weights(sum(room), rules.power, rules.distribution, rng)
    fresh = draw_weights(sum(room), rules.replace_power, rules.distribution, rng)
    spans = [slice(sum(room[:place]), sum(room[: place + 1])) for place in range(len(room))]
    return [
        Draws(one, two, *chances[:, span], shifts[span], fresh[span])
        for one, two, span in zip(averaged, mutated, spans, strict=True)
    ]


def crossed(first: Topology, second: Topology, equal: bool, rules: Inheritance, draws: Draws) -> dict[int, Gene]:
    """The genes of a child: matching ones of either, others of the fitter; or of both, as long as they go together."""
    one, two = genes_of(first), genes_of(second)
    child, doubtful = {}, {}
    for place, number in enumerate(sorted({*one, *two})):
        if number in one and number in two:
            source, target, weight, _ = (one if draws.pick[place] < 0.5 else two)[number]
            if draws.averaged:
                weight = (one[number][2] + two[number][2]) / 2
            silent = not (one[number][3] and two[number][3]) and draws.disabled[place] < rules.inherit_disabled
            child[number] = (source, target, weight, not silent)
        elif not equal or rules.equal_fitness_genes == "first":
            if number in one:
                child[number] = one[number]
        elif rules.equal_fitness_genes == "both" or draws.half[place] < 0.5:
            if number in one:
                child[number] = one[number]
            else:
                doubtful[number] = two[number]
    for number, gene in sorted(doubtful.items()):
        pairs = [(source, target) for source, target, *_ in child.values()]
        if gene[:2] not in pairs and (first.interface.recurrent or loop_free([*pairs, gene[:2]])):
            child[number] = gene
    return dict(sorted(child.items()))


def reweighted(genes: dict[int, Gene], rules: Inheritance, draws: Draws) -> dict[int, Gene]:
    """The genes after mutation of the weights."""
    if not draws.mutated:
        return genes
    changed = {}
    for place, (number, (source, target, weight, enabled)) in enumerate(genes.items()):
        moved = weight + draws.shifts[place] if draws.perturbed[place] < rules.perturb else draws.fresh[place]
        bound = np.inf if rules.clip is None else rules.clip
        changed[number] = (source, target, max(-bound, min(bound, moved)), enabled)
    return changed


def random_parents(members: int, children: int, rng: np.random.Generator) -> Parents:
    second = rng.integers(-1, members, children)
    equal = (rng.random(children) < 0.6) & (second >= 0)
    return Parents(rng.integers(members, size=children), second, equal, rng.random(children) < 0.7)


def repeated(children: int, first: int = 0, second: int = -1, equal: bool = False, mutated: bool = True) -> Parents:
    """Many children of the same."""
    whole = np.full(children, 1)
    return Parents(first * whole, second * whole, equal * whole > 0, mutated * whole > 0)


def minimal(weight: float, enabled: bool = True) -> Topology:
    """A minimal network of `FACE`, whose eight weights are all the same."""
    rng = np.random.default_rng(0)
    [one] = first_genomes(1, Start(), FACE, (0, CODES), (1.0, "uniform"), Innovations(FACE.fixed), rng)
    return replace(one, weight=np.full(8, weight), enabled=np.full(8, enabled))


def weights_of(children: list[Topology]) -> NDArray[np.float64]:
    return np.array([child.weight for child in children])


def part(topology: Topology, kept: NDArray[np.bool_]) -> Topology:
    """A genome with some of its connections."""
    names = ("innovation", "source", "target", "weight", "enabled")
    return replace(topology, **{name: getattr(topology, name)[kept] for name in names})


def near(found: NDArray[np.bool_], share: float) -> bool:
    """Whether a share of many independent cases is within five standard deviations of its expectation."""
    return abs(found.mean() - share) <= 5 * np.sqrt(share * (1 - share) / found.size)


@settings(deadline=None, max_examples=150)
@given(families(), inheritances, st.integers(0, 2**32 - 1))
def test_children_are_those_of_the_slow_reference(family: list[Topology], rules: Inheritance, seed: int) -> None:
    parents = random_parents(len(family), 12, np.random.default_rng(seed))
    children = breed(family, parents, rules, np.random.default_rng(seed))
    draws = same_draws(family, parents, rules, np.random.default_rng(seed))
    for place, (one, two, equal) in enumerate(zip(parents.first, parents.second, parents.equal, strict=True)):
        if two < 0:
            expected = genes_of(family[one])
        else:
            expected = crossed(family[one], family[two], equal, rules, draws[place])
        expected = reweighted(expected, rules, draws[place])
        assert genes_of(children[place]) == expected


@settings(deadline=None, max_examples=150)
@given(families(), inheritances, st.integers(0, 2**32 - 1))
def test_a_child_is_a_network_made_of_its_parents(family: list[Topology], rules: Inheritance, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = random_parents(len(family), 12, rng)
    children = breed(family, parents, rules, rng)
    assert len(children) == 12
    for child, one, two in zip(children, parents.first, parents.second, strict=True):
        child.check()
        assert child.interface == family[one].interface
        pairs = pairs_of(child)
        assert child.interface.recurrent or loop_free(pairs)
        assert len(set(pairs)) == len(pairs)
        ends = {node for pair in pairs for node in pair}
        assert {node for node in ends if node >= child.interface.fixed} == set(child.hidden.tolist())
        theirs = [genes_of(family[parent]) for parent in (one, two) if parent >= 0]
        for number, gene in genes_of(child).items():
            assert any(number in genes and genes[number][:2] == gene[:2] for genes in theirs)
        assert all(number in genes_of(child) for number in theirs[0] if all(number in genes for genes in theirs))
        known = functions_of(family[one])
        if two >= 0:
            known = functions_of(family[two]) | known  # the first parent's where both have a node
        assert functions_of(child).items() <= known.items()


def test_relatives_bring_what_is_difficult() -> None:
    # Otherwise the tests above would prove nothing about genes that do not go together.
    both, doubles, loops = replace(UNCHANGED, equal_fitness_genes="both"), 0, 0
    for seed in range(60):
        family = relatives(FACE, np.random.default_rng(seed), generations=8)
        parents = random_parents(len(family), 12, np.random.default_rng(seed))
        for place, child in enumerate(breed(family, parents, both, np.random.default_rng(seed))):
            if parents.equal[place]:
                second = genes_of(family[parents.second[place]])
                left_out = [second[number][:2] for number in second.keys() - genes_of(child).keys()]
                present = pairs_of(child)
                doubles += sum(pair in present for pair in left_out)
                loops += sum(pair not in present for pair in left_out)
    assert doubles > 50 and loops > 50


@pytest.mark.parametrize("states", [(False, True), (True, False), (False, False)])
def test_a_gene_disabled_in_a_parent_is_disabled_in_three_of_four_children(states: tuple[bool, bool]) -> None:
    family = [minimal(1.0, states[0]), minimal(1.0, states[1])]
    for equal in (False, True):
        children = breed(family, repeated(5000, 0, 1, equal), PAPER, np.random.default_rng(1))
        assert near(~np.array([child.enabled for child in children]), 0.75)


def test_a_gene_enabled_in_both_parents_stays_so_and_that_of_a_single_parent_as_it_is() -> None:
    rng = np.random.default_rng(0)
    assert all(child.enabled.all() for child in breed([minimal(1.0)] * 2, repeated(500, 0, 1), PAPER, rng))
    alone = breed([minimal(1.0, False)], repeated(500), PAPER, rng)
    assert not any(child.enabled.any() for child in alone)


def test_matching_genes_are_of_either_parent_alike_or_all_averaged() -> None:
    family = [minimal(1.0), minimal(3.0)]
    weights = weights_of(breed(family, repeated(5000, 0, 1), UNCHANGED, np.random.default_rng(2)))
    assert set(np.unique(weights)) == {1.0, 3.0} and near(weights == 1.0, 0.5)
    rules = replace(UNCHANGED, average=0.4)
    weights = weights_of(breed(family, repeated(5000, 0, 1), rules, np.random.default_rng(3)))
    averaged = (weights == 2.0).all(axis=1)
    assert near(averaged, 0.4) and not (weights[~averaged] == 2.0).any()


@pytest.mark.parametrize(("rule", "share"), [("random", 0.5), ("both", 1.0), ("first", None)])
def test_genes_that_only_one_of_two_equals_has_come_by_the_rule(rule: str, share: float | None) -> None:
    whole = minimal(1.0)
    first, second = np.arange(8) < 6, np.arange(8) >= 2
    family = [part(whole, kept) for kept in (first, second)]
    rules = replace(UNCHANGED, equal_fitness_genes=rule)
    for equal in (True, False):
        children = breed(family, repeated(4000, 0, 1, equal), rules, np.random.default_rng(4))
        has = np.array([np.isin(whole.innovation, child.innovation) for child in children])
        assert has[:, first & second].all()
        if not equal or share is None:
            assert has[:, first].all() and not has[:, ~first].any()
        else:
            assert near(has[:, :2], share) and near(has[:, 6:], share)


@pytest.mark.parametrize(("distribution", "deviation"), [("uniform", 1 / np.sqrt(3)), ("gaussian", 1.0)])
def test_the_shares_of_perturbed_and_replaced_weights_are_as_given(distribution: str, deviation: float) -> None:
    # No perturbation leads from 1000 to where weights are drawn afresh.
    rules = replace(PAPER, power=0.5, replace_power=2.0, distribution=distribution)
    weights = weights_of(breed([minimal(1000.0)], repeated(5000), rules, np.random.default_rng(5)))
    changed = (weights != 1000.0).any(axis=1)
    assert near(changed, 0.8) and (weights[changed] != 1000.0).all()
    perturbed = weights[changed] > 500
    shifts, fresh = weights[changed][perturbed] - 1000.0, weights[changed][~perturbed]
    assert near(perturbed, 0.9)
    for values, power in ((shifts, 0.5), (fresh, 2.0)):
        assert abs(values.mean()) < 5 * power * deviation / np.sqrt(len(values))
        assert values.std() == pytest.approx(power * deviation, rel=0.05)
        assert distribution == "gaussian" or (np.abs(values) <= power).all()


def test_weights_are_mutated_only_where_they_may_be_and_never_beyond_their_bound() -> None:
    family = [minimal(7.0)]
    rules = replace(PAPER, weights=1.0, clip=8.0)
    still = breed(family, repeated(200, mutated=False), rules, np.random.default_rng(6))
    assert all(child == family[0] for child in still)
    weights = weights_of(breed(family, repeated(500), rules, np.random.default_rng(6)))
    assert np.abs(weights).max() == 8.0 and (weights < 8.0).any()


def test_parents_without_a_common_gene_can_have_a_child_without_any() -> None:
    whole = minimal(1.0)
    family = [part(whole, np.arange(8) == place) for place in (0, 1)]
    children = breed(family, repeated(400, 0, 1, equal=True), PAPER, np.random.default_rng(7))
    for child in children:
        child.check()
    assert near(np.array([len(child.weight) == 0 for child in children]), 0.25)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14), st.integers(0, 6), st.integers(0, 6))
@settings(deadline=None)
def test_a_node_leads_to_another_if_there_is_a_way(pairs: list[tuple[int, int]], start: int, end: int) -> None:
    joined = np.eye(7, dtype=int)
    for source, target in pairs:
        joined[source, target] = 1
    ways = np.linalg.matrix_power(joined, 7)
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    assert leads(columns[0].copy(), columns[1].copy(), start, end) == (ways[start, end] > 0)
