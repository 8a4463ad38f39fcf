"""Pictures of networks and species: they name what they show, and equal ones are equal files."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from topology_strategies import random_topology

from evosparse.errors import StoreError
from evosparse.topologies.figures import draw_network, draw_species
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.layout import arrange

RECURRENT = Interface(("ray -45", "$ray$", "speed"), ("left", "right"), recurrent=True)
HISTORY = [{1: 30}, {1: 20, 2: 10}, {1: 5, 2: 15, 7: 10}, {2: 10, 7: 20}]


def words_in(path: Path) -> list[str]:
    """Return the texts of an SVG, which stand beside their outlines as comments."""
    return re.findall(r"<!-- (.+?) -->", path.read_text())


def network(seed: int = 0, face: Interface = RECURRENT, hidden: int = 3, density: float = 0.3) -> Topology:
    """Return a random network some of whose connections are disabled."""
    return random_topology(face, np.random.default_rng(seed), hidden, density)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_networks_give_equal_files_whatever_the_settings(suffix: str, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    first, second, other = (tmp_path / f"{name}{suffix}" for name in ("first", "second", "other"))
    draw_network(network(), first)
    with matplotlib.rc_context({"font.size": 20, "lines.linestyle": "--", "svg.hashsalt": None}):
        draw_network(network(), second)
    draw_network(network(1), other)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_histories_give_equal_files(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second, other = (tmp_path / f"{name}{suffix}" for name in ("first", "second", "other"))
    draw_species(HISTORY, first)
    draw_species(HISTORY, second)
    draw_species(HISTORY[:-1], other)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("everything", [False, True])
def test_the_picture_names_nodes_functions_and_weights(everything: bool, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    topology = network()
    layout = arrange(topology, everything)
    draw_network(topology, path := tmp_path / "network.svg", "A title", everything)
    words = words_in(path)
    nodes = [node for nodes in layout.layers for node in nodes]
    expected = [topology.interface.name(node) for node in nodes]
    expected += [topology.function_of(node) for node in nodes if node >= topology.interface.sources]
    expected += [f"{link.weight:+.2f}" for link in layout.connections]
    assert 3 < len(layout.connections) <= 16
    assert all(words.count(word) >= expected.count(word) for word in expected)
    assert "A title" in words
    assert ("disabled" in words) == everything
    unused = [topology.interface.name(node) for node in range(topology.interface.sources) if node not in nodes]
    assert (f"not used: {', '.join(unused)}" in words) == bool(unused)


def test_loops_are_told_from_other_connections(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_network(network(density=0.6), loops := tmp_path / "loops.svg")
    forward = network(face=Interface(RECURRENT.inputs, RECURRENT.outputs))
    draw_network(forward, without := tmp_path / "forward.svg")
    assert "closes a loop" in words_in(loops)
    assert "closes a loop" not in words_in(without)
    assert "dasharray" in loops.read_text()
    assert "dasharray" not in without.read_text()


def test_a_network_with_hundreds_of_connections_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    face = Interface(tuple(f"pixel {place}" for place in range(300)), ("y",))
    draw_network(network(face=face, hidden=0, density=1.0), path := tmp_path / "large.png")
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert 500 < max(width, height) < 17_000


def test_a_network_without_connections_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_network(network(density=0.0), path := tmp_path / "empty.svg")
    assert {"left", "right", "not used: ray -45, $ray$, speed, bias"} <= set(words_in(path))


def test_large_species_are_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = [{1: 60, 2: 38, 3: 2} for _ in range(10)]
    draw_species(history, path := tmp_path / "species.svg")
    words = words_in(path)
    assert "3 species" in words
    assert {"generation", "networks", "1", "2"} <= set(words)
    # The thin one's number would lie on the others.
    assert "3" not in words


def test_what_cannot_be_drawn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(StoreError, match="pictures need matplotlib"):
        draw_network(network(), tmp_path / "network.png")
    with pytest.raises(StoreError, match="pictures need matplotlib"):
        draw_species(HISTORY, tmp_path / "species.png")
    assert list(tmp_path.iterdir()) == []
