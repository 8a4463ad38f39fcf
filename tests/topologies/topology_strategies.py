"""What the tests of topologies share: random networks of random interfaces, alone and in batches of one interface.

Weights are so small that no value or rounding error grows much on its way through a network, loops included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from evosparse.topologies.functions import NAMES, codes_of
from evosparse.topologies.genome import Interface, Topology

LARGEST = 2.0  # sum of the absolute weights that go into a node


def interfaces(recurrent: bool | None = None) -> st.SearchStrategy[Interface]:
    """Draw interfaces of up to four inputs and three outputs.

    Args:
        recurrent: whether networks may have loops; None for either.
    """
    return st.builds(
        lambda inputs, outputs, *more: Interface(
            tuple(f"in{place}" for place in range(inputs)), tuple(f"out{place}" for place in range(outputs)), *more
        ),
        st.integers(1, 4),
        st.integers(1, 3),
        st.booleans(),
        st.booleans() if recurrent is None else st.just(recurrent),
        st.integers(1, 3),
    )


def random_topology(
    face: Interface,
    rng: np.random.Generator,
    hidden: int = 4,
    density: float = 0.6,
    expressed: float = 0.8,
    functions: Sequence[str] = NAMES,
) -> Topology:
    """Return a random network, whose hidden nodes are numbered in no order in which they could be computed.

    Args:
        face: of the network.
        rng: source of all randomness.
        hidden: number of hidden nodes.
        density: share of the possible connections that there are.
        expressed: share of the connections that are enabled.
        functions: names of those that nodes may have.
    """
    own = np.sort(face.fixed + rng.choice(3 * hidden, hidden, replace=False))
    computed = rng.permutation([*face.output_nodes, *own])
    pairs = [
        (source, target)
        for place, target in enumerate(computed)
        for source in (*range(face.sources), *(computed if face.recurrent else computed[:place]))
    ]
    chosen = rng.permutation(pairs)[: round(density * len(pairs))]
    source, target = chosen.T.astype(np.int64)
    into = np.array([(target == node).sum() for node in target], dtype=np.int64)
    topology = Topology(
        face,
        own.astype(np.int64),
        rng.choice(codes_of(functions), len(computed)).astype(np.int64),
        np.cumsum(rng.integers(1, 4, len(chosen))),
        source,
        target,
        rng.uniform(-LARGEST, LARGEST, len(chosen)) / into,
        rng.random(len(chosen)) < expressed,
    )
    topology.check()
    return topology


@st.composite
def topologies(
    draw: st.DrawFn,
    recurrent: bool | None = None,
    functions: Sequence[str] = NAMES,
    max_hidden: int = 8,
    interface: Interface | None = None,
) -> Topology:
    """Draw valid networks: feed-forward ones without loops, some of whose nodes the outputs do not need.

    Args:
        recurrent: whether networks may have loops; None for either.
        functions: names of those that nodes may have.
        max_hidden: most hidden nodes.
        interface: of all of them; None to draw one too.
    """
    return random_topology(
        draw(interfaces(recurrent)) if interface is None else interface,
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        draw(st.integers(0, max_hidden)),
        draw(st.sampled_from((0.6, 0.0, 0.2, 1.0))),
        draw(st.sampled_from((0.8, 1.0, 0.4))),
        functions,
    )


@st.composite
def batches(
    draw: st.DrawFn,
    recurrent: bool | None = None,
    functions: Sequence[str] = NAMES,
    max_hidden: int = 8,
    max_networks: int = 6,
) -> list[Topology]:
    """Draw one to several networks of one interface, of different sizes (see `topologies`)."""
    face = draw(interfaces(recurrent))
    return draw(st.lists(topologies(None, functions, max_hidden, face), min_size=1, max_size=max_networks))
