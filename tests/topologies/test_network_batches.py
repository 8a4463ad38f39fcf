"""Networks compute what a slow walk from node to node computes, alone as in any batch, and forget when they are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from topology_strategies import batches, topologies

from evosparse.topologies.functions import codes_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.phenotype import Networks

EITHER = pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])

# What the functions do to a number, written from their definitions.
SCALARS: Mapping[str, Callable[[float], float]] = {
    "steep_sigmoid": lambda x: 1 / (1 + math.exp(-4.9 * x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "relu": lambda x: x if x > 0 else 0.0,
    "identity": lambda x: x,
    "sin": math.sin,
    "gaussian": lambda x: math.exp(-(x**2)),
    "abs": abs,
    "step": lambda x: float(x > 0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "hardshrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "hardtanh": lambda x: sorted((-1.0, x, 1.0))[1],
    "hardswish": lambda x: x * sorted((0.0, x + 3, 6.0))[1] / 6,
    "softshrink": lambda x: x - 0.5 if x > 0.5 else x + 0.5 if x < -0.5 else 0.0,
}


class SlowNetwork:
    """One network by recursion and dictionaries, from its genes alone."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        face = topology.interface
        self.values = dict.fromkeys([*range(face.fixed), *topology.hidden.tolist()], 0.0)

    def computed(self, node: int, value: Callable[[int], float]) -> float:
        """Return the value of a node that is no source, from the values of the nodes before it."""
        own, total = self.topology, 0.0
        for source, target, weight, enabled in zip(own.source, own.target, own.weight, own.enabled, strict=True):
            if enabled and target == node:
                total += float(weight) * value(int(source))
        return SCALARS[own.function_of(node)](total)

    def activate(self, inputs: Sequence[float]) -> list[float]:
        """Return the outputs for an input."""
        face = self.topology.interface
        given = dict(enumerate([*inputs, 1.0][: face.sources]))
        if not face.recurrent:
            known = dict(given)

            def value(node: int) -> float:
                if node not in known:
                    known[node] = self.computed(node, value)
                return known[node]

            return [value(node) for node in face.output_nodes]
        self.values |= given
        for _ in range(face.sweeps):
            before = dict(self.values)
            after = {node: self.computed(node, before.__getitem__) for node in before if node >= face.sources}
            self.values |= after
        return [self.values[node] for node in face.output_nodes]


def seen(draw: st.DrawFn, *shape: int) -> NDArray[np.float64]:
    """Draw what networks are shown."""
    return draw(arrays(np.float64, shape, elements=st.floats(-2, 2, allow_subnormal=False)))


def network(
    genes: Sequence[tuple[int, int, float]],
    hidden: Sequence[int] = (),
    function: str = "identity",
    recurrent: bool = False,
    sweeps: int = 1,
    enabled: Sequence[bool] | None = None,
) -> Topology:
    """Return a network of input 0, bias 1 and output 2, from triples (source, target, weight)."""
    source, target, weight = np.array(genes, dtype=np.float64).reshape(-1, 3).T
    topology = Topology(
        Interface(("x",), ("y",), True, recurrent, sweeps),
        np.array(hidden, dtype=np.int64),
        np.array(codes_of([function] * (1 + len(hidden))), dtype=np.int64),
        np.arange(len(genes)),
        source.astype(np.int64),
        target.astype(np.int64),
        weight.copy(),
        np.ones(len(genes), dtype=bool) if enabled is None else np.array(enabled),
    )
    topology.check()
    return topology


@EITHER
@settings(deadline=None)
@given(data=st.data())
def test_networks_compute_what_a_walk_from_node_to_node_does(recurrent: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(recurrent))
    steps = seen(data.draw, 4, len(batch), len(batch[0].interface.inputs))
    fast, slow = Networks.of(batch), [SlowNetwork(topology) for topology in batch]
    for inputs in steps:
        expected = [own.activate(row) for own, row in zip(slow, inputs.tolist(), strict=True)]
        np.testing.assert_allclose(fast.activate(inputs), expected, rtol=1e-12, atol=1e-12)


@EITHER
@settings(deadline=None)
@given(data=st.data())
def test_an_answer_is_that_of_a_network_that_has_seen_nothing(recurrent: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(recurrent))
    cases = seen(data.draw, 5, len(batch[0].interface.inputs))
    networks = Networks.of(batch)
    networks.activate(cases[0])
    expected = [[SlowNetwork(topology).activate(case) for case in cases.tolist()] for topology in batch]
    np.testing.assert_allclose(networks.answer(cases), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(data=st.data())
def test_a_network_computes_the_same_bits_alone_as_in_a_batch(data: st.DataObject) -> None:
    batch = data.draw(batches())
    steps = seen(data.draw, 3, len(batch), len(batch[0].interface.inputs))
    together, alone = Networks.of(batch), [Networks.of([topology]) for topology in batch]
    assert (together.answer(steps[:, 0]) == np.concatenate([own.answer(steps[:, 0]) for own in alone])).all()
    for inputs in steps:
        rows = [own.activate(row) for own, row in zip(alone, inputs, strict=True)]
        assert (together.activate(inputs) == np.concatenate(rows)).all()


@settings(deadline=None)
@given(data=st.data())
def test_disabled_genes_make_no_difference(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    names = ("innovation", "source", "target", "weight", "enabled")
    without = replace(topology, **{name: getattr(topology, name)[topology.enabled] for name in names})
    steps = seen(data.draw, 3, 1, len(topology.interface.inputs))
    with_them, bare = Networks.of([topology]), Networks.of([without])
    assert without.phenotype == topology.phenotype
    assert all((with_them.activate(inputs) == bare.activate(inputs)).all() for inputs in steps)


@settings(deadline=None)
@given(data=st.data())
def test_networks_forget_when_they_are_reset(data: st.DataObject) -> None:
    batch = data.draw(batches())
    steps = seen(data.draw, 3, len(batch), len(batch[0].interface.inputs))
    networks = Networks.of(batch)
    first = [networks.activate(inputs) for inputs in steps]
    networks.reset()
    assert (np.array([networks.activate(inputs) for inputs in steps]) == first).all()


def test_feed_forward_networks_remember_nothing() -> None:
    networks = Networks.of([network([(0, 5, 2.0), (5, 2, 3.0), (1, 2, 1.0)], [5])])
    assert [networks.activate([x]).item() for x in (1.0, -1.0, 1.0)] == [7.0, -5.0, 7.0]


def test_recurrent_networks_pass_a_value_one_node_further_in_each_sweep() -> None:
    path = [(0, 5, 2.0), (5, 2, 3.0)]
    slow = Networks.of([network(path, [5], recurrent=True)])
    assert [slow.activate([x]).item() for x in (1.0, 10.0, 0.0, 0.0)] == [0.0, 6.0, 60.0, 0.0]
    quick = Networks.of([network(path, [5], recurrent=True, sweeps=2)])
    assert [quick.activate([x]).item() for x in (1.0, 10.0, 0.0, 0.0)] == [6.0, 60.0, 0.0, 0.0]


def test_a_node_with_a_loop_remembers() -> None:
    networks = Networks.of([network([(0, 2, 1.0), (2, 2, 0.5)], recurrent=True)])
    assert [networks.activate([x]).item() for x in (8.0, 0.0, 0.0, 1.0)] == [8.0, 4.0, 2.0, 2.0]


def test_a_node_that_nothing_goes_into_has_its_functions_value_at_zero() -> None:
    networks = Networks.of([network([], function="sigmoid"), network([(4, 2, 4.0)], [4], function="gaussian")])
    assert networks.activate([3.0]).ravel().tolist() == [0.5, math.exp(-16.0)]


# By name: genes, and the place of one that closes the loop.
LOOPS = {
    "node": ([(0, 4, 1.0), (4, 4, 1.0), (4, 2, 1.0)], 1),
    "pair": ([(0, 4, 1.0), (4, 7, 1.0), (7, 4, 1.0), (7, 2, 1.0)], 2),
    "output": ([(0, 2, 1.0), (2, 4, 1.0), (4, 2, 1.0)], 1),
    "unneeded": ([(0, 2, 1.0), (4, 7, 1.0), (7, 4, 1.0)], 2),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_an_expressed_loop_is_refused_in_a_feed_forward_network(loop: str) -> None:
    genes, closing = LOOPS[loop]
    with pytest.raises(ValueError, match="expected a feed-forward network, got a loop"):
        Networks.of([network([(0, 2, 1.0)]), network(genes, [4, 7])])
    enabled = [place != closing for place in range(len(genes))]
    assert Networks.of([network(genes, [4, 7], enabled=enabled)]).activate([0.0]).item() == 0.0


def test_networks_of_different_interfaces_are_no_batch() -> None:
    with pytest.raises(ValueError, match="expected networks of one interface"):
        Networks.of([network([]), network([], recurrent=True)])


@pytest.mark.parametrize("shape", [(3, 1), (2, 2), (2,), ()])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected inputs of shape \(2, 1\)"):
        Networks.of([network([]), network([])]).activate(np.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 2), (1,), (3, 1, 1)])
def test_cases_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected cases of shape \(cases, 1\)"):
        Networks.of([network([])]).answer(np.zeros(shape))
