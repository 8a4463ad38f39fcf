"""The layout of a drawing: what is expressed is shown, from inputs to outputs, and nothing lies on anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_strategies import topologies

from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.layout import Layout, arrange, needed
from evosparse.topologies.phenotype import plan_of


def network(face: Interface, hidden: int, pairs: list[tuple[int, int]]) -> Topology:
    """Return a network with the connections given, all of weight 1."""
    source, target = np.array(pairs).T
    return Topology(
        face,
        np.arange(face.fixed, face.fixed + hidden),
        np.zeros(len(face.outputs) + hidden, dtype=np.int64),
        np.arange(len(pairs)),
        source.copy(),
        target.copy(),
        np.ones(len(pairs)),
        np.ones(len(pairs), dtype=bool),
    )


def columns_passed(layout: Layout, source: int, target: int) -> range:
    """Return the columns in which a connection has bends."""
    first, last = layout.places[source][0], layout.places[target][0]
    return range(first, last - 1, -1) if first >= last else range(first + 1, last)


@settings(deadline=None)
@given(topologies())
def test_what_the_outputs_need_is_shown_and_nothing_else(topology: Topology) -> None:
    layout = arrange(topology)
    plan = plan_of([topology])
    face = topology.interface
    shown = [node for nodes in layout.layers for node in nodes]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(layout.places) == needed(topology)
    assert sum(node >= face.sources for node in shown) == len(plan.function)
    assert sorted(link.weight for link in layout.connections) == sorted(plan.weight.tolist())


@settings(deadline=None)
@given(topologies())
def test_everything_is_shown_if_asked_for(topology: Topology) -> None:
    layout = arrange(topology, everything=True)
    assert set(layout.places) == {*range(topology.interface.fixed), *topology.hidden.tolist()}
    assert [(link.source, link.target, link.weight, link.enabled) for link in layout.connections] == list(
        zip(
            *(getattr(topology, name).tolist() for name in ("source", "target", "weight", "enabled")),
            strict=True,
        )
    )


@settings(deadline=None)
@given(topologies(), st.booleans())
def test_inputs_stand_left_and_outputs_right_in_their_order(topology: Topology, everything: bool) -> None:
    face = topology.interface
    layout = arrange(topology, everything)
    assert list(layout.layers[0]) == sorted(layout.layers[0])
    assert set(layout.layers[0]) <= set(range(face.sources))
    assert list(layout.layers[-1]) == list(face.output_nodes)
    for column, nodes in enumerate(layout.layers):
        assert {layout.places[node][0] for node in nodes} <= {column}
        heights = [layout.places[node][1] for node in nodes]
        assert heights == sorted(heights)


@settings(deadline=None)
@given(topologies())
def test_a_column_is_the_longest_path_from_the_inputs(topology: Topology) -> None:
    layout = arrange(topology)
    for node in {node for nodes in layout.layers[1:-1] for node in nodes}:
        forward = [link.source for link in layout.connections if link.target == node and not link.backward]
        assert layout.places[node][0] == 1 + max((layout.places[source][0] for source in forward), default=0)
    for link in layout.connections:
        assert link.backward == (layout.places[link.source][0] >= layout.places[link.target][0])


@settings(deadline=None)
@given(topologies(recurrent=False))
def test_without_loops_only_what_leaves_an_output_goes_backward(topology: Topology) -> None:
    outputs = topology.interface.output_nodes
    assert all(link.backward == (link.source in outputs) for link in arrange(topology).connections)


def test_of_a_loop_one_connection_goes_backward() -> None:
    face = Interface(("x",), ("y",), bias=False, recurrent=True)
    first, second, third = range(face.fixed, face.fixed + 3)
    ring = [(0, second), (second, third), (third, first), (first, second), (third, 1), (third, third)]
    layout = arrange(network(face, 3, ring))
    assert {(link.source, link.target) for link in layout.connections if link.backward} == {
        (first, second),
        (third, third),
    }
    assert layout.layers == ((0,), (second,), (third,), (first,), (1,))


@settings(deadline=None)
@given(topologies(), st.booleans(), st.sampled_from((0.0, 0.3)))
def test_nodes_and_lines_of_a_column_stand_apart(topology: Topology, everything: bool, taller: float) -> None:
    layout = arrange(topology, everything, lambda ends, connections: 1 + taller * ends)
    links = layout.connections
    spans: list[list[tuple[float, float]]] = [[] for _ in layout.layers]
    for node, (column, height) in layout.places.items():
        ends = max(sum(link.source == node for link in links), sum(link.target == node for link in links))
        spans[column].append((height, 1 + taller * ends))
    for link in links:
        for column, bend in zip(columns_passed(layout, link.source, link.target), link.bends, strict=True):
            spans[column].append((bend, 0.2))
    for column in spans:
        column.sort()
        for (one, size), (other, space) in zip(column[:-1], column[1:], strict=True):
            assert other - one >= (size + space) / 2 - 1e-9


def test_hidden_nodes_are_ordered_so_that_connections_do_not_cross() -> None:
    face = Interface(("a", "b", "c"), ("x", "y", "z"), bias=False)
    first, second, third = range(face.fixed, face.fixed + 3)
    layout = arrange(network(face, 3, [(0, third), (1, second), (2, first), (third, 3), (second, 4), (first, 5)]))
    assert layout.layers == ((0, 1, 2), (third, second, first), (3, 4, 5))
    # What is joined in a line stands in a line.
    for column in range(3):
        assert [layout.places[node][1] for node in layout.layers[column]] == pytest.approx([-1, 0, 1])


@settings(deadline=None)
@given(topologies(), st.booleans())
def test_equal_networks_have_equal_layouts(topology: Topology, everything: bool) -> None:
    assert arrange(topology, everything) == arrange(Topology.from_bytes(topology.to_bytes()), everything)
