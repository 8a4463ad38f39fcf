"""Exported networks: the Python source computes what the network computes, and the JSON holds all of its genes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_strategies import random_topology, topologies

from evosparse.topologies.export import to_json, to_python
from evosparse.topologies.functions import NAMES, codes_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.phenotype import Networks, plan_of

# What these compute leaves nothing to a library that could round in another way.
PLAIN = ("relu", "identity", "abs", "step", "leaky_relu", "hardshrink", "hardtanh", "hardswish", "softshrink")


def loaded(topology: Topology, **metadata: str) -> SimpleNamespace:
    """Return the names of the exported module, executed by itself."""
    scope: dict[str, object] = {"__name__": "network"}
    exec(compile(to_python(topology, metadata), "network.py", "exec", dont_inherit=True), scope)
    return SimpleNamespace(**{name: value for name, value in scope.items() if name != "__builtins__"})


def genes(face: Interface, functions: list[str], pairs: list[tuple[int, int]], weights: list[float]) -> Topology:
    """Return a network with the connections given, all of them enabled."""
    source, target = np.array(pairs).T
    return Topology(
        face,
        np.arange(face.fixed, face.fixed + len(functions) - len(face.outputs)),
        np.array(codes_of(functions)),
        np.arange(len(pairs)),
        source.copy(),
        target.copy(),
        np.array(weights, dtype=float),
        np.ones(len(pairs), dtype=bool),
    )


def inputs_for(topology: Topology, seed: int, steps: int = 6, size: float = 3.0) -> list[list[float]]:
    """Return a sequence of random inputs."""
    shape = (steps, len(topology.interface.inputs))
    return np.random.default_rng(seed).normal(scale=size, size=shape).tolist()


@settings(deadline=None)
@given(topologies(functions=PLAIN), st.integers(0, 1000))
def test_the_source_adds_in_the_same_order_as_the_network(topology: Topology, seed: int) -> None:
    networks, exported = Networks.of([topology]), loaded(topology).Network()
    for inputs in inputs_for(topology, seed):
        assert exported.activate(inputs) == networks.activate(inputs)[0].tolist()


@settings(deadline=None)
@given(topologies(functions=[name for name in NAMES if name not in ("step", "hardshrink")]), st.integers(0, 1000))
def test_the_source_computes_what_the_network_computes(topology: Topology, seed: int) -> None:
    networks, exported = Networks.of([topology]), loaded(topology).Network()
    for _ in range(2):
        for inputs in inputs_for(topology, seed):
            expected = networks.activate(inputs)[0].tolist()
            assert exported.activate(inputs) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        networks.reset()
        exported.reset()


@pytest.mark.parametrize("function", NAMES)
def test_no_input_is_too_large_for_the_source(function: str) -> None:
    face = Interface(("x",), ("y",), bias=False, recurrent=True)
    # The value of a loop grows beyond all numbers, and the other takes that from itself.
    topology = genes(face, [function, "identity"], [(0, 2), (2, 2), (2, 1), (1, 1)], [1.0, 1e30, 1.0, -1.0])
    networks, exported = Networks.of([topology]), loaded(topology).Network()
    for x in (1.0, -1e300, 1e300, 0.0, 1e300, *[-1.0] * 20):
        np.testing.assert_allclose(exported.activate([x]), networks.activate([x])[0], rtol=1e-9)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_source_is_a_program_that_needs_nothing_but_python(recurrent: bool, tmp_path: Path) -> None:
    face = Interface(("ray -45", "ray 45", "speed"), ("left", "right"), recurrent=recurrent, sweeps=2)
    topology = random_topology(face, np.random.default_rng(3), hidden=5)
    path = tmp_path / "network.py"
    path.write_text(to_python(topology, {"evosparse": "0.1.0", "uid": "g3-12", "measures": '{"fitness": 1.5}'}))
    cases = inputs_for(topology, 0)
    networks = Networks.of([topology])
    expected = [networks.activate(case)[0].tolist() for case in cases]

    def run(arguments: list[str], text: str) -> list[list[float]]:
        command = [sys.executable, "-I", "-S", str(path), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)
        return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]

    lines = "".join(" ".join(map(repr, case)) + "\n" for case in cases)
    assert np.array(run([], lines)) == pytest.approx(np.array(expected), rel=1e-9)
    assert run([repr(value) for value in cases[0]], "") == [pytest.approx(expected[0], rel=1e-9)]


def test_the_source_tells_where_it_comes_from_and_what_it_wants() -> None:
    face = Interface(("x", "y"), ("out",))
    topology = random_topology(face, np.random.default_rng(0))
    metadata = {"evosparse": "0.1.0", "uid": "g3-12\nraise SystemExit", "measures": '{"fitness": 1.5}'}
    text = to_python(topology, metadata)
    assert all(word in text for word in ("0.1.0", "g3-12", '{"fitness": 1.5}', topology.describe()))
    exported = loaded(topology, **metadata)
    assert (exported.INPUTS, exported.OUTPUTS) == (["x", "y"], ["out"])
    with pytest.raises(ValueError, match=r"expected 2 inputs \['x', 'y'\], got 3"):
        exported.Network().activate([1.0, 2.0, 3.0])


def test_nodes_may_have_any_names() -> None:
    inputs = (
        "float", "INPUTS", "self", "inputs", "total", "math", "exp", "tanh", "h31", "next_x", "x", "x'", "x-1", "x 1",
        "1", "lambda", "", '"""', "\\", "new\nline", "θ₁", "ﬁ", "\udc80", "map", "relu",
    )  # fmt: skip
    outputs = ("x", "range", "abs", "len", "exp")
    face = Interface(inputs, outputs, recurrent=True, sweeps=2)
    topology = random_topology(face, np.random.default_rng(1), hidden=4, density=1.0, expressed=1.0)
    networks, exported = Networks.of([topology]), loaded(topology)
    assert (exported.INPUTS, exported.OUTPUTS) == (list(inputs), list(outputs))
    network = exported.Network()
    for case in inputs_for(topology, 2):
        assert network.activate(case) == pytest.approx(networks.activate(case)[0].tolist(), rel=1e-9)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_node_may_have_thousands_of_connections(recurrent: bool) -> None:
    face = Interface(tuple(f"pixel {place}" for place in range(4000)), ("y",), recurrent=recurrent)
    weights = np.random.default_rng(0).normal(size=4001).tolist()
    topology = genes(face, ["identity"], [(place, 4001) for place in range(4001)], weights)
    case = inputs_for(topology, 1, steps=1)[0]
    assert loaded(topology).Network().activate(case) == Networks.of([topology]).activate(case)[0].tolist() != [0.0]


def test_a_loop_in_a_network_without_memory_is_refused() -> None:
    topology = genes(Interface(("x",), ("y",), bias=False), ["relu"] * 3, [(0, 2), (2, 3), (3, 2), (3, 1)], [1.0] * 4)
    with pytest.raises(ValueError, match="got a loop"):
        to_python(topology, {})


@settings(deadline=None)
@given(topologies())
def test_the_json_holds_all_genes(topology: Topology) -> None:
    document = json.loads(to_json(topology, {}))
    face = topology.interface
    nodes, connections = document["nodes"], document["connections"]
    assert [node["name"] for node in nodes if node["kind"] == "input"] == list(face.inputs) == document["inputs"]
    assert [node["name"] for node in nodes if node["kind"] == "output"] == list(face.outputs) == document["outputs"]
    bias = any(node["kind"] == "bias" for node in nodes)
    columns = [
        np.array([gene[name] for gene in connections], dtype=kind)
        for name, kind in (("innovation", int), ("source", int), ("target", int), ("weight", float), ("enabled", bool))
    ]
    read = Topology(
        Interface(face.inputs, face.outputs, bias, document["recurrent"], document["sweeps"]),
        np.array([node["node"] for node in nodes if node["kind"] == "hidden"], dtype=int),
        np.array(codes_of([node["function"] for node in nodes if "function" in node])),
        *columns,
    )
    assert read == topology
    assert set(document["functions"]) == {topology.function_of(node["node"]) for node in nodes if "function" in node}


@settings(deadline=None)
@given(topologies())
def test_the_json_tells_what_makes_a_difference(topology: Topology) -> None:
    document = json.loads(to_json(topology, {}))
    plan = plan_of([topology])
    assert sum("function" in node and node["expressed"] for node in document["nodes"]) == len(plan.function)
    weights = [gene["weight"] for gene in document["connections"] if gene["expressed"]]
    assert sorted(weights) == sorted(plan.weight.tolist())


def test_the_json_holds_the_metadata() -> None:
    topology = random_topology(Interface(("x",), ("y",)), np.random.default_rng(0))
    metadata = {"uid": "g3-12", "campaign": '{"seed": 1}', "measures": '{"fitness": 1.5}', "notes": '["a note"]'}
    document = json.loads(to_json(topology, metadata))
    assert document["uid"] == "g3-12"
    assert [document[name] for name in ("campaign", "measures", "notes")] == [{"seed": 1}, {"fitness": 1.5}, ["a note"]]
