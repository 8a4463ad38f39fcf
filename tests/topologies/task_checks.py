"""What the tests of tasks share: networks written by hand, random ones, and a check that all tasks must pass."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence

import numpy as np
from topology_strategies import random_topology

from evosparse.engine.seeds import SeedKey
from evosparse.topologies.functions import codes_of
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.phenotype import Networks
from evosparse.topologies.tasks.base import Task


def face_of(task: Task) -> Interface:
    """The interface of a task's networks."""
    return Interface(tuple(task.input_names), tuple(task.output_names), task.bias, task.recurrent)


def handmade(face: Interface, functions: Sequence[str], weights: Mapping[tuple[int, int], float]) -> Topology:
    """A network from the function of each output and hidden node, and the weight of each pair of nodes."""
    hidden = range(face.fixed, face.fixed + len(functions) - len(face.outputs))
    pairs = np.array(list(weights), dtype=np.int64).reshape(-1, 2)
    topology = Topology(
        face,
        np.array(hidden, dtype=np.int64),
        np.array(codes_of(functions), dtype=np.int64),
        np.arange(len(pairs)),
        pairs[:, 0].copy(),
        pairs[:, 1].copy(),
        np.array(list(weights.values()), dtype=np.float64),
        np.ones(len(pairs), dtype=bool),
    )
    topology.check()
    return topology


def random_networks(
    task: Task, count: int, seed: int = 0, functions: Sequence[str] = ("steep_sigmoid",)
) -> list[Topology]:
    """Networks of different sizes that fit a task."""
    rng = np.random.default_rng(seed)
    return [random_topology(face_of(task), rng, hidden=number % 5, functions=functions) for number in range(count)]


def keys(count: int, seed: int = 0) -> list[SeedKey]:
    """A key for each network."""
    return [SeedKey(seed).child("network", number) for number in range(count)]


def judge(
    task: Task, topologies: Sequence[Topology], seeds: Sequence[SeedKey] | None = None
) -> list[Mapping[str, float]]:
    """What a task makes of networks."""
    return list(task.evaluate(Networks.of(topologies), seeds or keys(len(topologies))))


def expect_alone_as_in_batch(task: Task, topologies: Sequence[Topology]) -> list[Mapping[str, float]]:
    """A network's measures are the same bits alone, among others, and by a task that has been pickled."""
    seeds = keys(len(topologies))
    together = judge(task, topologies, seeds)
    assert [judge(task, [one], [seed])[0] for one, seed in zip(topologies, seeds, strict=True)] == together
    assert judge(task, topologies[::-1], seeds[::-1])[::-1] == together
    assert judge(pickle.loads(pickle.dumps(task)), topologies, seeds) == together
    return together
