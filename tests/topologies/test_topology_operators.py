"""The mutations of the structure: what each must change, what it must leave as it is, and how it draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_relatives import CODES, families, functions_of, genes_of, loop_free, pairs_of
from topology_strategies import topologies

from evosparse.topologies import operators
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations
from evosparse.topologies.start import Start, first_genomes

LATE = 1000  # a number beyond those of the genomes that the tests begin with
seeds = st.integers(0, 2**32 - 1)
genomes = st.one_of(topologies(), families().map(lambda family: family[0]))
# Each with what it needs beside the genome.
MUTATIONS: dict[str, Callable[[Topology, np.random.Generator], Topology]] = {
    "add_node": lambda own, rng: operators.add_node(own, 3, fresh(), rng),
    "add_node_to_the_oldest": lambda own, rng: operators.add_node(own, 3, fresh(), rng, "oldest"),
    "add_connection": lambda own, rng: operators.add_connection(own, 0.5, fresh(), rng),
    "toggle": operators.toggle,
    "delete_connection": operators.delete_connection,
    "delete_node": operators.delete_node,
    "change_function": lambda own, rng: operators.change_function(own, CODES, rng),
}


def fresh() -> Innovations:
    """Innovations whose numbers come after those of any genome here."""
    innovations = Innovations(LATE)
    innovations.restore([(0, LATE, LATE, 0)])
    return innovations


def minimal(face: Interface) -> Topology:
    rng = np.random.default_rng(0)
    return first_genomes(1, Start(), face, (0, CODES), (1.0, "uniform"), Innovations(face.fixed), rng)[0]


def drawn_alike(found: Counter, kinds: int) -> bool:
    """Whether each of several kinds came as often as the others, within five standard deviations."""
    total = found.total()
    spread = 5 * np.sqrt(total * (1 / kinds) * (1 - 1 / kinds))
    return len(found) == kinds and all(abs(count - total / kinds) < spread for count in found.values())


@settings(deadline=None)
@pytest.mark.parametrize("name", MUTATIONS)
@given(own=genomes, seed=seeds)
def test_what_comes_out_is_a_network_of_the_same_interface_and_depends_on_the_seed_alone(
    name: str, own: Topology, seed: int
) -> None:
    before = own.to_bytes()
    after = MUTATIONS[name](own, np.random.default_rng(seed))
    after.check()
    assert after.interface == own.interface and own.to_bytes() == before
    assert own.interface.recurrent or loop_free(pairs_of(after))
    assert after == MUTATIONS[name](own, np.random.default_rng(seed))


@settings(deadline=None)
@given(genomes, seeds)
def test_a_new_connection_is_one_gene_between_two_nodes_that_had_none(own: Topology, seed: int) -> None:
    after = operators.add_connection(own, 0.5, fresh(), np.random.default_rng(seed))
    if after is own:
        return
    genes = genes_of(after)
    source, target, weight, enabled = genes.pop(LATE)
    assert genes == genes_of(own) and functions_of(after) == functions_of(own)
    assert (source, target) not in pairs_of(own) and target >= own.interface.sources
    assert (weight, enabled) == (0.5, True)


def test_each_ordered_pair_that_is_free_is_connected_alike() -> None:
    face = Interface(("a", "b"), ("y", "z"), recurrent=True)
    rng = np.random.default_rng(0)
    added = [operators.add_connection(minimal(face), 0.5, fresh(), rng) for _ in range(4000)]
    found = Counter(pair for after in added if len(after.weight) > 6 for pair in pairs_of(after)[6:])
    assert drawn_alike(found, 4) and set(found) == {(3, 3), (3, 4), (4, 3), (4, 4)}


def test_a_free_pair_is_looked_for_twenty_times_and_then_the_genome_stays() -> None:
    # Of 21 pairs one is free: it is missed 20 times with probability (20 / 21) ** 20.
    face = Interface(("a", "b", "c"), ("w", "x", "y"), recurrent=True)
    whole = minimal(face)
    rng, innovations = np.random.default_rng(0), Innovations(face.fixed)
    innovations.restore([(0, face.fixed, len(whole.weight), 0)])
    while len(whole.weight) < 20:
        whole = operators.add_connection(whole, 0.5, innovations, rng)
    after = [operators.add_connection(whole, 0.5, innovations, rng) for _ in range(30000)]
    missed = np.mean([one is whole for one in after])
    # Three and a half standard deviations, which are less than what one try more or less would make.
    assert abs(missed - (20 / 21) ** 20) < 3.5 * np.sqrt(0.377 * 0.623 / 30000)
    full = next(one for one in after if one is not whole)
    assert all(operators.add_connection(full, 0.5, innovations, rng) is full for _ in range(50))


def test_a_feed_forward_network_gets_no_loop_even_where_a_silent_connection_would_close_it() -> None:
    face = Interface(("a",), ("y", "z"), bias=False)
    forward = replace(minimal(face), enabled=np.array([True, False]))
    rng = np.random.default_rng(0)
    found = [operators.add_connection(forward, 0.5, fresh(), rng) for _ in range(60)]
    grown = {tuple(pairs_of(after)[2:]): after for after in found if after is not forward}
    assert set(grown) == {((1, 2),), ((2, 1),)}
    silent = replace(grown[(1, 2),], enabled=np.array([True, True, False]))
    assert all(operators.add_connection(silent, 0.5, fresh(), rng) is silent for _ in range(50))


@settings(deadline=None)
@given(genomes, seeds)
def test_a_new_node_takes_the_place_of_an_enabled_connection(own: Topology, seed: int) -> None:
    face = own.interface
    bias = face.sources - 1 if face.bias else None
    after = operators.add_node(own, 3, fresh(), np.random.default_rng(seed))
    before, genes = genes_of(own), genes_of(after)
    candidates = [number for number, (source, _, _, enabled) in before.items() if enabled and source != bias]
    if not candidates:
        assert after is own
        return
    into, out_of = genes.pop(LATE), genes.pop(LATE + 1)
    [split] = [number for number in before if genes[number] != before[number]]
    source, target, weight, _ = before[split]
    assert split in candidates and genes == before | {split: (source, target, weight, False)}
    assert into == (source, LATE, 1.0, True) and out_of == (LATE, target, weight, True)
    assert functions_of(after) == functions_of(own) | {LATE: 3}


def test_small_genomes_split_their_oldest_connections_first_and_large_ones_any() -> None:
    rng, count = np.random.default_rng(0), 4000
    own = minimal(Interface(("a", "b", "c"), ("y", "z")))
    own = replace(own, enabled=own.innovation != 1)
    bias = own.interface.sources - 1
    oldest = [source for source, enabled in zip(own.source, own.enabled) if enabled and source != bias]
    grown = [operators.add_node(own, 0, fresh(), rng, "oldest") for _ in range(count)]
    splits = [np.flatnonzero(own.enabled & ~after.enabled[: own.size + 1]) for after in grown if after is not own]
    usable = np.flatnonzero(own.enabled & (own.source != bias))
    found = Counter(int(np.searchsorted(usable, place[0])) for place in splits)
    assert len(usable) == len(oldest) == 5
    for place in range(len(usable) + 1):
        # The last of these is that none of them was taken.
        share = 0.3**place * (0.7 if place < len(usable) else 1.0)
        times = found[place] if place < len(usable) else count - len(splits)
        assert abs(times / count - share) < 5 * np.sqrt(share / count)
    large = minimal(Interface(tuple("abcdefghijklmno"), ("y",), bias=False))
    drawn = [operators.add_node(large, 0, fresh(), rng, "oldest") for _ in range(3000)]
    assert drawn_alike(Counter(int(np.flatnonzero(~after.enabled)[0]) for after in drawn), 15)


def test_each_enabled_connection_that_is_not_from_the_bias_is_split_alike() -> None:
    own = minimal(Interface(("a", "b", "c"), ("y", "z")))
    own = replace(own, enabled=own.innovation != 1)
    rng = np.random.default_rng(0)
    found = Counter(pairs_of(operators.add_node(own, 0, fresh(), rng))[-2][0:1] for _ in range(3000))
    assert drawn_alike(Counter({key: count for key, count in found.items() if key != (0,)}), 2)
    assert abs(found[(0,)] / 3000 - 1 / 5) < 5 * np.sqrt(0.16 / 3000)


@settings(deadline=None)
@given(genomes, seeds)
def test_a_toggle_turns_one_connection(own: Topology, seed: int) -> None:
    after = operators.toggle(own, np.random.default_rng(seed))
    assert (after.enabled != own.enabled).sum() == min(len(own.enabled), 1)
    assert replace(after, enabled=own.enabled) == own


@settings(deadline=None)
@given(genomes, seeds)
def test_a_deleted_connection_takes_nodes_along_that_have_no_other(own: Topology, seed: int) -> None:
    after = operators.delete_connection(own, np.random.default_rng(seed))
    if len(own.weight) < 2:
        assert after is own
        return
    before, genes = genes_of(own), genes_of(after)
    [lost] = before.keys() - genes.keys()
    assert genes == {number: gene for number, gene in before.items() if number != lost}
    joined = {node for pair in pairs_of(after) for node in pair}
    kept = {node: code for node, code in functions_of(own).items() if node < own.interface.fixed or node in joined}
    assert functions_of(after) == kept


@settings(deadline=None)
@given(genomes, seeds)
def test_a_deleted_node_takes_its_connections_along(own: Topology, seed: int) -> None:
    after = operators.delete_node(own, np.random.default_rng(seed))
    before, genes = genes_of(own), genes_of(after)
    if after is own:
        # There was none, or the one that was drawn had all the connections.
        assert not len(own.hidden) or any(all(node in pair for pair in pairs_of(own)) for node in own.hidden)
        return
    gone = set(own.hidden.tolist()) - set(after.hidden.tolist())
    assert any(genes == {number: gene for number, gene in before.items() if node not in gene[:2]} for node in gone)
    joined = {node for pair in pairs_of(after) for node in pair}
    kept = {node: code for node, code in functions_of(own).items() if node < own.interface.fixed or node in joined}
    assert functions_of(after) == kept and genes


@settings(deadline=None)
@given(genomes, seeds, st.lists(st.sampled_from(CODES.tolist()), min_size=1, unique=True))
def test_another_function_is_that_of_one_hidden_node_and_one_of_those_allowed(
    own: Topology, seed: int, codes: list[int]
) -> None:
    after = operators.change_function(own, np.array(codes), np.random.default_rng(seed))
    changed = functions_of(after).items() - functions_of(own).items()
    assert replace(after, functions=own.functions) == own and len(changed) <= 1
    assert all(node >= own.interface.fixed and code in codes for node, code in changed)


def test_each_node_and_each_function_is_drawn_alike() -> None:
    rng, innovations = np.random.default_rng(0), fresh()
    own = minimal(Interface(("a",), ("y",), bias=False))
    for _ in range(3):
        own = operators.add_node(own, 0, innovations, rng)
    after = [operators.change_function(own, np.array([4, 5]), rng) for _ in range(3000)]
    found = Counter(next(iter(functions_of(one).items() - functions_of(own).items())) for one in after)
    assert drawn_alike(found, 6)
