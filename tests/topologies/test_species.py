"""Species against slow references: distances by sets, who joins whom, who may have children, and how many."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_relatives import CODES, families, genes_of, relatives

from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations
from evosparse.topologies.species import Distance, Record, SmallGenome, may_reproduce, offspring, updated
from evosparse.topologies.start import Start, first_genomes

coefficients = st.floats(0, 3)
distances = st.builds(
    Distance, coefficients, coefficients, coefficients, st.sampled_from(("one_below_20", "always_n", "one"))
)
records = st.lists(
    st.tuples(st.integers(-5, 5).map(float), st.integers(0, 60)), min_size=1, max_size=6
).map(lambda rows: [Record(number, best, improved) for number, (best, improved) in enumerate(rows)])


def slow_distance(rule: Distance, first: Topology, second: Topology) -> float:
    """The distance by the formula of the paper, with sets."""
    one, two = genes_of(first), genes_of(second)
    excess = {number for number in one if number > max(two, default=-1)}
    excess |= {number for number in two if number > max(one, default=-1)}
    matching = one.keys() & two.keys()
    disjoint = (one.keys() ^ two.keys()) - excess
    size = max(len(one), len(two), 1)
    if rule.small_genome_n == "one_below_20" and len(one) < 20 and len(two) < 20:
        size = 1
    if rule.small_genome_n == "one":
        size = 1
    difference = sum(abs(one[number][2] - two[number][2]) for number in matching) / max(len(matching), 1)
    return rule.excess * len(excess) / size + rule.disjoint * len(disjoint) / size + rule.weight * difference


def minimal(inputs: int, weight: float = 0.0) -> Topology:
    """A network of as many genes as it has inputs."""
    face = Interface(tuple(f"in{place}" for place in range(inputs)), ("y",), bias=False)
    rng = np.random.default_rng(0)
    one = first_genomes(1, Start(), face, (0, CODES), (1.0, "uniform"), Innovations(face.fixed), rng)[0]
    return replace(one, weight=np.full(inputs, weight))


def part(topology: Topology, *numbers: int) -> Topology:
    """A network with some of its connections."""
    kept = np.isin(topology.innovation, numbers)
    names = ("innovation", "source", "target", "weight", "enabled")
    return replace(topology, **{name: getattr(topology, name)[kept] for name in names})


@settings(deadline=None)
@given(families(), distances)
def test_distances_are_those_of_the_slow_reference(family: list[Topology], rule: Distance) -> None:
    for first in family[:3]:
        for second in family:
            assert rule.between(first, second) == pytest.approx(slow_distance(rule, first, second), abs=1e-12)
            assert rule.between(first, second) == rule.between(second, first)
        assert rule.between(first, first) == 0.0


@pytest.mark.parametrize(
    ("small", "inputs", "size"),
    [("one_below_20", 10, 1), ("always_n", 10, 9), ("one_below_20", 25, 24), ("always_n", 25, 24), ("one", 25, 1)],
)
def test_a_distance_by_hand(small: SmallGenome, inputs: int, size: int) -> None:
    # The first has one gene beyond the second's last, and two before that the second has not; which has one, too.
    whole, numbers = minimal(inputs), set(range(inputs))
    first = part(replace(whole, weight=np.full(inputs, 2.0)), *(numbers - {1}))
    second = part(replace(whole, weight=np.full(inputs, 0.5)), *(numbers - {0, 2, inputs - 1}))
    expected = 5.0 * 1 / size + 7.0 * 3 / size + 0.3 * 1.5
    assert Distance(5.0, 7.0, 0.3, small).between(first, second) == pytest.approx(expected)


def test_the_larger_genome_decides_whether_both_are_small() -> None:
    for genes, size in ((19, 1), (20, 20)):
        whole = minimal(genes)
        assert Distance(1.0, 1.0, 1.0).between(whole, part(whole, 0)) == (genes - 1) / size


def test_the_distance_to_a_genome_without_genes_is_all_excess() -> None:
    whole = minimal(3, weight=4.0)
    rule = Distance(1.0, 100.0, 100.0, "always_n")
    assert rule.between(whole, part(whole)) == 1.0 and rule.between(part(whole), part(whole)) == 0.0


@settings(deadline=None)
@given(families(), st.integers(0, 3), st.floats(0.0, 6.0))
def test_each_genome_joins_the_first_species_that_is_near_or_founds_one(
    family: list[Topology], known: int, threshold: float
) -> None:
    rule = Distance(1.0, 1.0, 0.4)
    representatives, expected = list(family[:known]), []
    for genome in family[known:]:
        near = [place for place, one in enumerate(representatives) if rule.between(genome, one) < threshold]
        if not near:
            near = [len(representatives)]
            representatives.append(genome)
        expected.append(near[0])
    assert rule.assign(family[known:], family[:known], threshold).tolist() == expected


def test_relatives_make_several_species() -> None:
    # Otherwise the test above would prove little.
    family = relatives(Interface(("a", "b"), ("y",)), np.random.default_rng(2), 8, 40)
    found = Distance(1.0, 1.0, 0.4).assign(family[3:], family[:3], 3.0)
    assert set(found) > {0, 3, 4}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.integers(0, 300))
def test_children_are_shared_out_in_proportion_and_to_the_last(values: list[float], total: int) -> None:
    counts = offspring(np.array(values), total)
    assert counts.sum() == total and (counts >= 0).all()
    whole = sum(map(Fraction, values))
    exact = [Fraction(value) * total / whole if whole else Fraction(total, len(values)) for value in values]
    more = [own - count for own, count in zip(exact, counts.tolist(), strict=True)]
    assert all(abs(difference) < 1 + 1e-9 for difference in more)
    # Whoever got one for a remainder had no smaller one than anyone who got none.
    rounded_up = [difference + 1 for difference in more if difference < -1e-9]
    rounded_down = [difference for difference in more if difference >= 0]
    assert min(rounded_up, default=1) >= max(rounded_down, default=0) - 1e-9


@pytest.mark.parametrize(
    ("values", "total", "expected"),
    [
        ([1.0, 1.0, 1.0], 10, [4, 3, 3]),
        ([0.5, 0.3, 0.2], 7, [4, 2, 1]),
        ([5.6, 2.9, 1.5], 10, [6, 3, 1]),
        ([1.0, 0.0], 5, [5, 0]),
        ([0.0, 0.0], 5, [3, 2]),
        ([1e-300, 3e-300], 8, [2, 6]),
    ],
)
def test_children_by_hand(values: list[float], total: int, expected: list[int]) -> None:
    assert offspring(np.array(values), total).tolist() == expected


@given(records, st.integers(0, 80), st.integers(1, 20), st.integers(1, 25), st.integers(0, 60))
def test_who_may_have_children_is_what_the_paper_says_and_the_best_species(
    known: list[Record], generation: int, stagnation: int, patience: int, improved: int
) -> None:
    best = sorted(known, key=lambda record: (record.best, -record.number))[-2:]
    if generation - improved > patience:
        expected = {record.number for record in best}
    else:
        lively = {record.number for record in known if not generation - record.improved >= stagnation}
        expected = lively | {best[-1].number} if lively else {record.number for record in best}
    found = may_reproduce(known, generation, stagnation, patience, improved)
    assert found == sorted(expected)


def test_a_species_but_the_best_is_out_after_fifteen_generations_without_a_better_one() -> None:
    others = [Record(1, 2.0, 20), Record(2, 9.5, 0)]
    for generation, expected in ((20, [0, 1, 2]), (24, [0, 1, 2]), (25, [1, 2])):
        assert may_reproduce([Record(0, 9.0, 10), *others], generation, 15, 20, 20) == expected


@given(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20))
def test_a_record_is_the_best_so_far_and_when_it_came_first(values: list[float]) -> None:
    record = None
    for generation, value in enumerate(values):
        record = updated(record, 7, value, generation)
        so_far = values[: generation + 1]
        assert record == Record(7, max(so_far), so_far.index(max(so_far)))
