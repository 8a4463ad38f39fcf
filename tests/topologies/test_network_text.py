"""Networks as text: every connection stands in the line of its node, in lines that a terminal can hold."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_strategies import topologies

from evosparse.topologies.functions import codes_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.layout import arrange
from evosparse.topologies.text import draw_text

CELL = re.compile(r"\(?([+-]\S+) (\w+)( ↺)?\)?")


def one_layer(weights: list[float], names: list[str] | None = None) -> Topology:
    """Return a network in which inputs have the weights given to one output."""
    face = Interface(tuple(names or [f"in{place}" for place in range(len(weights))]), ("out",), bias=False)
    count = len(weights)
    return Topology(
        face,
        np.arange(0),
        np.array(codes_of(["tanh"])),
        np.arange(count),
        np.arange(count),
        np.full(count, count),
        np.array(weights),
        np.ones(count, dtype=bool),
    )


def rows_of(text: str) -> dict[str, list[tuple[str, str, bool]]]:
    """Return what stands beside each node: weight, name, and whether it is marked as closing a loop."""
    rows: dict[str, list[tuple[str, str, bool]]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("  ") and not line.startswith("    "):
            name, rest = line.split(maxsplit=1)
            rows[name] = []
        elif line.startswith("    ") and name:
            rest = line
        else:
            continue
        rows[name] += [(weight, source, bool(loop)) for weight, source, loop in CELL.findall(rest)]
    return rows


def test_a_network_is_read_from_its_text() -> None:
    face = Interface(("x", "angle"), ("force",), bias=True, recurrent=True)
    topology = Topology(
        face,
        np.array([4, 7]),
        np.array(codes_of(["tanh", "sigmoid", "relu"])),
        np.arange(6),
        np.array([0, 4, 2, 7, 0, 3]),
        np.array([4, 3, 3, 7, 7, 4]),
        np.array([0.5, -1.25, 2.0, 1.0, 1.0, 10.0]),
        np.array([True, True, True, True, False, True]),
    )
    assert draw_text(topology).splitlines() == [
        "2 hidden, 5 connections (and 1 disabled)",
        "inputs: x, bias",
        "not used: angle",
        "",
        "layer 1",
        "  h4     sigmoid  +10.00 force ↺   +0.50 x",
        "",
        "outputs",
        "  force  tanh      +2.00 bias      -1.25 h4",
        "",
        "↺ closes a loop",
    ]
    assert "  h7     relu      +1.00 h7 ↺     (+1.00 x)" in draw_text(topology, everything=True).splitlines()


@settings(deadline=None)
@given(topologies(), st.integers(60, 120), st.booleans())
def test_every_connection_stands_beside_its_node_the_strongest_first(
    topology: Topology, width: int, everything: bool
) -> None:
    name = topology.interface.name
    layout = arrange(topology, everything)
    rows = rows_of(draw_text(topology, width, everything))
    assert set(rows) == {name(node) for nodes in layout.layers[1:] for node in nodes}
    for nodes in layout.layers[1:]:
        for node in nodes:
            into = [link for link in layout.connections if link.target == node]
            row = rows[name(node)]
            assert sorted((source, loop) for _, source, loop in row) == sorted(
                (name(link.source), link.backward and topology.interface.recurrent) for link in into
            )
            weights = {name(link.source): link.weight for link in into}
            assert all(float(text) == pytest.approx(weights[source], rel=0.5, abs=0.005) for text, source, _ in row)
            enabled = [abs(link.weight) for link in into if link.enabled]
            assert [abs(weights[source]) for _, source, _ in row[: len(enabled)]] == sorted(enabled, reverse=True)


@settings(deadline=None)
@given(topologies(), st.integers(20, 120), st.booleans())
def test_lines_are_no_longer_than_the_terminal_is_wide(topology: Topology, width: int, everything: bool) -> None:
    for line in draw_text(topology, width, everything).splitlines()[1:]:
        assert len(line) <= width or len(CELL.findall(line)) <= 1


@pytest.mark.parametrize(
    ("weight", "text"),
    [(0.0, "+0.00"), (0.004, "+4e-03"), (-0.5, "-0.50"), (99.99, "+99.99"), (99.999, "+100"), (-12345.0, "-12345"),
     (123456.0, "+1e+05")],
)  # fmt: skip
def test_weights_are_short_and_never_rounded_to_nothing(weight: float, text: str) -> None:
    assert rows_of(draw_text(one_layer([weight])))["out"] == [(text, "in0", False)]


def test_of_very_many_connections_the_strongest_are_named_and_the_others_counted() -> None:
    text = draw_text(one_layer(list(range(1, 101))), 80)
    assert [source for _, source, _ in rows_of(text)["out"]] == [f"in{place}" for place in range(99, 75, -1)]
    assert text.endswith("and 76 weaker ones")
    assert len(text.splitlines()) < 25


def test_long_names_are_cut() -> None:
    text = draw_text(one_layer([1.0, 2.0], ["a" * 60, "b" * 20]), 80)
    assert "a" * 19 + "…" in text and "a" * 20 not in text and "b" * 20 in text
