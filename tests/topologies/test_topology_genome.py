"""Topologies come back from bytes as they were, are known by their content, and are refused when they make no network."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_strategies import topologies

from evosparse.errors import StoreError
from evosparse.topologies.functions import NAMES, code_of
from evosparse.topologies.genome import Interface, Topology

ARRAYS = ("hidden", "functions", "innovation", "source", "target", "weight", "enabled")
MAGIC = b"EVTO\x01"


def small() -> Topology:
    """Inputs 0 and 1, bias 2, outputs 3 and 4, hidden nodes 5 and 9; the second connection is disabled."""
    topology = Topology(
        Interface(("a", "b"), ("y", "z")),
        np.array([5, 9]),
        np.array([code_of(name) for name in ("tanh", "relu", "sin", "abs")]),
        np.array([1, 2, 4, 7]),
        np.array([0, 1, 5, 9]),
        np.array([5, 3, 9, 3]),
        np.array([0.5, -1.5, 2.0, 0.1]),
        np.array([True, False, True, True]),
    )
    topology.check()
    return topology


def changed(topology: Topology, name: str, place: int, value: float) -> Topology:
    """Return a topology with another number in one place of an array."""
    array = getattr(topology, name).copy()
    array[place] = value
    return replace(topology, **{name: array})


@settings(deadline=None)
@given(topologies())
def test_bytes_bring_back_the_same_genes(topology: Topology) -> None:
    back = Topology.from_bytes(topology.to_bytes())
    assert back.interface == topology.interface
    for name in ARRAYS:
        array, before = getattr(back, name), getattr(topology, name)
        assert array.dtype == before.dtype and np.array_equal(array, before)
        assert not array.flags.writeable
    assert (back.key, back.phenotype, hash(back)) == (topology.key, topology.phenotype, hash(topology))
    assert back == topology and back.to_bytes() == topology.to_bytes()


EXPRESSED = {
    "weight": lambda own: changed(own, "weight", 0, 0.25),
    "function": lambda own: changed(own, "functions", 2, code_of("step")),
    "source": lambda own: changed(own, "source", 0, 1),
    "target": lambda own: changed(own, "target", 3, 4),
    "hidden": lambda own: replace(own, hidden=np.array([5, 9, 11]), functions=np.append(own.functions, 0)),
    "enabled": lambda own: changed(own, "enabled", 0, False),
    "name": lambda own: replace(own, interface=replace(own.interface, inputs=("a", "c"))),
    "sweeps": lambda own: replace(own, interface=replace(own.interface, sweeps=2)),
}
SILENT = {
    "innovation": lambda own: changed(own, "innovation", 3, 8),
    "disabled weight": lambda own: changed(own, "weight", 1, 0.25),
    "disabled target": lambda own: changed(own, "target", 1, 4),
}


@pytest.mark.parametrize("change", EXPRESSED.values(), ids=EXPRESSED)
def test_what_is_expressed_makes_another_key_and_another_phenotype(change: Callable[[Topology], Topology]) -> None:
    own = small()
    assert change(own) != own and change(own).key != own.key
    assert change(own).phenotype != own.phenotype


@pytest.mark.parametrize("change", SILENT.values(), ids=SILENT)
def test_what_is_not_expressed_makes_another_key_and_the_same_phenotype(
    change: Callable[[Topology], Topology],
) -> None:
    own = small()
    assert change(own) != own and change(own).key != own.key
    assert change(own).phenotype == own.phenotype


def test_equal_genes_are_one_value() -> None:
    assert small() == small() and len({small(), small()}) == 1
    assert small() != "a topology"


def test_genes_cannot_be_changed() -> None:
    own = small()
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(own, name)[0] = 1


def test_a_topology_tells_names_functions_and_size() -> None:
    own = small()
    assert [own.interface.name(node) for node in (0, 1, 2, 3, 4, 9)] == ["a", "b", "bias", "y", "z", "h9"]
    assert [own.function_of(node) for node in (3, 4, 5, 9)] == ["tanh", "relu", "sin", "abs"]
    assert (own.size, own.describe()) == (3, "2 hidden, 3 connections (and 1 disabled)")
    bare = replace(own.interface, bias=False)
    assert [bare.name(node) for node in range(bare.fixed)] == ["a", "b", "y", "z"]


@settings(deadline=None)
@given(topologies(), st.data())
def test_damaged_bytes_are_refused_or_bring_back_the_same_genes(topology: Topology, data: st.DataObject) -> None:
    damaged = bytearray(topology.to_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    # A few bits of a compressed stream mean nothing.
    try:
        assert Topology.from_bytes(bytes(damaged)) == topology
    except StoreError:
        pass


@given(topologies(), st.floats(0, 1, exclude_max=True))
def test_bytes_that_are_cut_are_refused(topology: Topology, share: float) -> None:
    data = topology.to_bytes()
    with pytest.raises(StoreError, match="expected a topology"):
        Topology.from_bytes(data[: int(share * len(data))])


def test_bytes_of_another_format_are_refused() -> None:
    with pytest.raises(StoreError, match="expected a topology of format .*, got b'EVTO.x02'"):
        Topology.from_bytes(b"EVTO\x02" + small().to_bytes()[len(MAGIC) :])


def with_head(place: int, value: str) -> bytes:
    """Return the bytes of a topology with other JSON in one place of its head."""
    head, _, body = zlib.decompress(small().to_bytes()[len(MAGIC) :]).partition(b"\n")
    parts = [json.dumps(part) for part in json.loads(head)]
    parts[place] = value
    return MAGIC + zlib.compress(f"[{', '.join(parts)}]\n".encode() + body)


HEADS = {
    "no inputs": (0, "[]"),
    "inputs that are a number": (0, "3"),
    "sweeps that are text": (4, '"many"'),
    "no sweeps": (4, "0"),
    "endless sweeps": (4, "Infinity"),
    "an unknown function": (5, '["tanh", "relu", "sin", "cubed"]'),
    "too few functions": (5, '["tanh", "relu", "sin"]'),
    "too many hidden nodes": (6, "3"),
    "hidden nodes below none": (6, "-1"),
    "half a connection": (7, "0.5"),
    "more than belongs there": (7, "4, 4"),
    "no JSON": (7, "}"),
}


def test_a_head_that_is_not_damaged_is_read() -> None:
    assert Topology.from_bytes(with_head(4, "1")) == small()


@pytest.mark.parametrize(("place", "value"), HEADS.values(), ids=HEADS)
def test_bytes_with_a_damaged_head_are_refused(place: int, value: str) -> None:
    with pytest.raises(StoreError, match="expected a topology, got bytes that cannot be read"):
        Topology.from_bytes(with_head(place, value))


BAD = {
    "fewer functions": (lambda own: replace(own, functions=own.functions[:3]), "different lengths"),
    "fewer weights": (lambda own: replace(own, weight=own.weight[:3]), "different lengths"),
    "fewer enabled": (lambda own: replace(own, enabled=own.enabled[:3]), "different lengths"),
    "function below all": (lambda own: changed(own, "functions", 0, -1), "function that does not exist"),
    "function beyond all": (lambda own: changed(own, "functions", 3, len(NAMES)), "function that does not exist"),
    "innovations out of order": (lambda own: changed(own, "innovation", 0, 3), "must ascend"),
    "one innovation twice": (lambda own: changed(own, "innovation", 0, 2), "must ascend"),
    "hidden out of order": (lambda own: changed(own, "hidden", 0, 10), "must ascend"),
    "hidden in place of an output": (lambda own: changed(own, "hidden", 0, 4), "must ascend"),
    "from nowhere": (lambda own: changed(own, "source", 0, 6), "does not exist"),
    "from below all": (lambda own: changed(own, "source", 0, -1), "does not exist"),
    "to nowhere": (lambda own: changed(own, "target", 0, 6), "does not exist"),
    "to an input": (lambda own: changed(own, "target", 0, 1), "does not exist"),
    "to the bias": (lambda own: changed(own, "target", 0, 2), "does not exist"),
    "one pair twice": (lambda own: changed(changed(own, "source", 1, 9), "target", 1, 3), "join the same nodes"),
    "infinite weight": (lambda own: changed(own, "weight", 1, np.inf), "not finite"),
    "weight that is no number": (lambda own: changed(own, "weight", 1, np.nan), "not finite"),
}


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD)
def test_genes_that_make_no_network_are_refused(change: Callable[[Topology], Topology], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        change(small()).check()


BAD_BYTES = [name for name in BAD if not name.startswith(("fewer", "function"))]  # others cannot be written so


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bytes_of_genes_that_make_no_network_are_refused(name: str) -> None:
    change, reason = BAD[name]
    with pytest.raises(StoreError, match=reason):
        Topology.from_bytes(change(small()).to_bytes())


@pytest.mark.parametrize("wrong", [{"inputs": ()}, {"outputs": ()}, {"sweeps": 0}], ids=str)
def test_an_interface_without_inputs_outputs_or_sweeps_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        Interface(**({"inputs": ("x",), "outputs": ("y",)} | wrong))
