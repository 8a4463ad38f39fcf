"""Innovation numbers (NE8): the same change gets the same numbers as long as it is remembered, and others never do.

Numbers are compared with plain counting, over random changes of both scopes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from topology_relatives import CODES

from evosparse.engine.codec import array_from_bytes, array_to_bytes
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.innovation import Innovations, Scope
from evosparse.topologies.operators import add_connection, add_node
from evosparse.topologies.start import Start, first_genomes

SCOPES = ("generation", "run")
scopes = st.sampled_from(SCOPES)
# A change: a new generation, a connection of two nodes, or a connection split in a genome that has so many nodes of it.
changes = st.lists(
    st.one_of(
        st.just(("generation",)),
        st.tuples(st.just("connection"), st.integers(0, 3), st.integers(2, 5)),
        st.tuples(st.just("split"), st.integers(0, 4), st.integers(0, 2)),
    ),
    max_size=40,
)


def apply(innovations: Innovations, change: tuple) -> list[int]:
    """The numbers that a change gets."""
    match change:
        case ("connection", source, target):
            return [innovations.connection(source, target)]
        case ("split", connection, times):
            present: list[int] = []
            for _ in range(times + 1):
                present.append(innovations.split(connection, present))
            return present
    innovations.begin_generation()
    return []


@given(scopes, changes)
def test_ne8_numbers_are_new_unless_the_change_is_remembered(scope: Scope, made: list[tuple]) -> None:
    innovations = Innovations(6, scope)
    connections, nodes, latest = {}, {}, {"connection": -1, "split": 5}
    for change in made:
        numbers = apply(innovations, change)
        if change == ("generation",) and scope == "generation":
            connections, nodes = {}, {}
        for time, number in enumerate(numbers):
            known = connections if change[0] == "connection" else nodes
            what = change[1:] if change[0] == "connection" else (change[1], time)
            if what not in known:
                latest[change[0]] += 1
                known[what] = latest[change[0]]
            assert number == known[what]


@given(scopes, changes, changes)
def test_numbers_go_on_from_a_state_and_to_read_it_changes_nothing(
    scope: Scope, before: list[tuple], after: list[tuple]
) -> None:
    whole, read = Innovations(6, scope), Innovations(6, scope)
    for change in before:
        assert apply(whole, change) == apply(read, change)
        read.state()
    state = read.state()
    assert np.array_equal(state, read.state()) and state.dtype == np.int64 and state.shape[1] == 4
    restored = Innovations(99, scope)
    restored.restore(array_from_bytes(array_to_bytes(state), "innovations"))
    assert np.array_equal(restored.state(), state)
    for change in after:
        assert apply(whole, change) == apply(read, change) == apply(restored, change)


def ancestors(innovations: Innovations) -> list[Topology]:
    face = Interface(("a", "b"), ("y",))
    return first_genomes(2, Start(), face, (0, CODES), (1.0, "uniform"), innovations, np.random.default_rng(0))


@pytest.mark.parametrize("scope", SCOPES)
def test_the_same_split_of_two_genomes_is_one_innovation_as_long_as_it_is_remembered(scope: Scope) -> None:
    innovations = Innovations(4, scope)
    first, second = ancestors(innovations)
    assert first.innovation.tolist() == second.innovation.tolist() == [0, 1, 2]
    innovations.begin_generation()
    one, two = (add_node(topology, 0, innovations, np.random.default_rng(1)) for topology in (first, second))
    assert one.hidden.tolist() == two.hidden.tolist() == [4]
    assert one.innovation.tolist() == two.innovation.tolist() == [0, 1, 2, 3, 4]
    innovations.begin_generation()
    late = add_node(first, 0, innovations, np.random.default_rng(1))
    assert (late.hidden.tolist(), late.innovation.tolist()) == {
        "generation": ([5], [0, 1, 2, 5, 6]),
        "run": ([4], [0, 1, 2, 3, 4]),
    }[scope]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_connection_that_is_split_again_in_one_genome_gets_another_node(scope: Scope) -> None:
    innovations = Innovations(4, scope)
    own, _ = ancestors(innovations)
    grown = [own]
    for _ in range(3):
        # The first connection is all that can be split: the others are silent, or begin at the bias.
        open_again = replace(grown[-1], enabled=np.arange(len(grown[-1].weight)) == 0)
        grown.append(add_node(open_again, 0, innovations, np.random.default_rng(0)))
        grown[-1].check()
    assert [topology.hidden.tolist() for topology in grown] == [[], [4], [4, 5], [4, 5, 6]]
    assert grown[-1].innovation.tolist() == list(range(9))


@pytest.mark.parametrize("scope", SCOPES)
def test_the_same_new_connection_in_two_genomes_is_one_innovation(scope: Scope) -> None:
    innovations = Innovations(4, scope)
    grown = [add_node(topology, 0, innovations, np.random.default_rng(1)) for topology in ancestors(innovations)]
    added = [add_connection(topology, 0.5, innovations, np.random.default_rng(2)) for topology in grown]
    assert added[0].innovation.tolist() == added[1].innovation.tolist() == [0, 1, 2, 3, 4, 5]
