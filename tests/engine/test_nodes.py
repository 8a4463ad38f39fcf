"""How workers share the processors and GPUs of the nodes of a cluster, and when a node is gone."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.nodes import answers, has_left, share_out
from evosparse.errors import ClusterError

LAPTOP = [{"CPU": 4.0}]
WORKSTATION = [{"CPU": 8.0, "GPU": 2.0}]
MIXED = [{"CPU": 16.0}, {"CPU": 4.0, "GPU": 1.0}, {}]


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        (LAPTOP, None, None, (4, 0.0)),
        (LAPTOP, 2, None, (2, 0.0)),
        (WORKSTATION, None, None, (8, 0.25)),
        (WORKSTATION, 2, None, (2, 1.0)),
        (WORKSTATION, 3, None, (3, 0.5)),
        (WORKSTATION, None, 0.0, (8, 0.0)),
        (WORKSTATION, None, 0.5, (4, 0.5)),
        (WORKSTATION, None, 2, (1, 2)),
        (MIXED, None, None, (4, 0.25)),
        (MIXED, None, 0, (20, 0)),
    ],
)
def test_workers_share_what_there_is(
    nodes: Sequence[Mapping[str, float]], workers: int | None, gpus: float | None, expected: tuple[int, float]
) -> None:
    assert share_out(nodes, workers, gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus"),
    [
        (LAPTOP, 5, None),
        (LAPTOP, 1, 0.5),
        (WORKSTATION, 5, 0.5),
        (MIXED, 5, None),
        (WORKSTATION, 1, 3),
        ([], None, None),
    ],
)
def test_what_has_no_room_is_refused(
    nodes: Sequence[Mapping[str, float]], workers: int | None, gpus: float | None
) -> None:
    with pytest.raises(ClusterError, match=r"expected room for \d+ workers, each with 1 CPU and .* ask for fewer"):
        share_out(nodes, workers, gpus)


@pytest.mark.parametrize("gpus", [0.4, 1.5, -1, 0.75])
def test_a_share_that_does_not_fill_a_gpu_is_refused(gpus: float) -> None:
    with pytest.raises(ClusterError, match="expected 1/n of a GPU for each worker, or whole ones, got"):
        share_out(WORKSTATION, 1, gpus)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=4),
    st.none() | st.integers(1, 12),
)
def test_the_shares_can_be_placed_one_after_the_other(sizes: list[tuple[int, int]], workers: int | None) -> None:
    """Place each worker on the first CPU and GPU with room, as a scheduler would."""
    nodes = [{"CPU": float(cpus), "GPU": float(gpus)} for cpus, gpus in sizes]
    try:
        count, share = share_out(nodes, workers, None)
    except ClusterError:
        return
    cpus = [size[0] for size in sizes]
    cards = [[1.0] * size[1] for size in sizes]
    for _ in range(count):
        index = next(
            i for i in range(len(nodes)) if cpus[i] and (not share or any(left >= share - 1e-9 for left in cards[i]))
        )
        cpus[index] -= 1
        if share:
            card = next(j for j, left in enumerate(cards[index]) if left >= share - 1e-9)
            cards[index][card] -= share


def test_a_node_has_left_when_it_is_unknown_dead_or_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        node = {"NodeID": "a", "Alive": True, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}
        assert not has_left("a", [node])
        assert has_left("a", [node | {"Alive": False}])
        assert has_left("b", [node])
        assert answers("127.0.0.1", port)
    assert has_left("a", [node])
    assert not answers("127.0.0.1", port)
