"""A task and a fitness of one's own for networks that grow: to recall a bit, with as few connections as that takes.

A task is a function of a whole batch of `Networks`, which answer together; its mark names what they are shown and
answer. A fitness in its place is a function of one `Topology`; ``data`` is the `Bench` with the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evosparse import SeedKey, fitness
from evosparse.topologies import Bench, Networks, Topology, task


@task(inputs=("bit",), outputs=("recalled",), recurrent=True)
def recall(
    networks: Networks, seeds: Sequence[SeedKey], steps: int = 20, delay: int = 1
) -> Mapping[str, NDArray[np.float64]]:
    """Share of random bits that a network tells some steps after it was shown them.

    Args:
        networks: to be judged, which have seen nothing yet.
        seeds: of each network's bits.
        steps: bits that a network is shown, one after the other.
        delay: steps after which it should tell a bit.
    """
    bits = np.array([seed.rng().integers(2, size=steps) for seed in seeds])
    right = np.zeros(len(networks))
    for step in range(steps):
        told = networks.activate(bits[:, step : step + 1])[:, 0] >= 0.5
        if step >= delay:
            right += told == bits[:, step - delay]
    return {"fitness": right / (steps - delay), "solved": right == steps - delay}


@fitness(maximize="thrift")
def thrift(topology: Topology, data: Bench, seed: SeedKey, price: float = 0.01) -> dict[str, float]:
    """Fitness of the task, less what the connections cost.

    Args:
        topology: the network.
        data: the task, and the means to run networks.
        seed: of what the task draws.
        price: of a connection.
    """
    [measures] = data.evaluate([topology], [seed])
    return {**measures, "thrift": measures["fitness"] - price * topology.size}
