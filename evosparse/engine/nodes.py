"""The nodes of a cluster: how the workers of a campaign share what they have, and whether they are still there."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from evosparse.errors import ClusterError


def share_out(
    nodes: Sequence[Mapping[str, float]], workers: int | None, gpus_per_worker: float | None
) -> tuple[int, float]:
    """Decide on the number of workers and the GPUs of each.

    Args:
        nodes: number of resources by name (``CPU``, ``GPU``), for each node.
        workers: the number asked for; None for one on each CPU, of the nodes with GPUs if there are any.
        gpus_per_worker: a fraction 1/n or a whole number; None for the largest fraction that leaves room for all.

    Returns:
        The number of workers, and the GPUs of each.

    Raises:
        ClusterError: the nodes have no room for them.
    """
    if gpus_per_worker is None:
        gpus_per_worker = _largest_fraction(nodes, workers)
    elif not _can_be_shared(gpus_per_worker):
        raise ClusterError(f"expected 1/n of a GPU for each worker, or whole ones, got {gpus_per_worker:g}: round it")
    room = sum(_room(node, gpus_per_worker) for node in nodes)
    wanted = room if workers is None else workers
    if wanted > room or wanted < 1:
        listed = "; ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes)
        raise ClusterError(
            f"expected room for {max(wanted, 1)} workers, each with 1 CPU and {gpus_per_worker:g} GPU, but the cluster "
            f"has room for {room} (its nodes: {listed}): ask for fewer workers or smaller gpus_per_worker"
        )
    return wanted, gpus_per_worker


def has_left(node: str, nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a node is no longer part of the cluster.

    Args:
        node: its id.
        nodes: what Ray says of all nodes.
    """
    found = next((entry for entry in nodes if entry["NodeID"] == node), None)
    if found is None or not found["Alive"]:
        return True
    # Ray itself notices only after some seconds.
    return not answers(found["NodeManagerAddress"], found["NodeManagerPort"])


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=5.0).close()
    except OSError:
        return False
    return True


def _largest_fraction(nodes: Sequence[Mapping[str, float]], workers: int | None) -> float:
    equipped = [node for node in nodes if node.get("GPU", 0) >= 1]
    if not equipped:
        return 0.0
    wanted = workers or sum(_room(node, 0.0) for node in equipped)
    fractions = [1 / divisor for divisor in range(1, max(wanted, 1) + 1)]
    return next((share for share in fractions if sum(_room(node, share) for node in nodes) >= wanted), fractions[-1])


def _can_be_shared(gpus: float) -> bool:
    return gpus == int(gpus) >= 0 or 0 < gpus < 1 and abs(1 / gpus - round(1 / gpus)) < 0.01


def _room(node: Mapping[str, float], gpus: float) -> int:
    """Return how many workers fit on a node; a worker's share of a GPU never spans two."""
    cpus, available = int(node.get("CPU", 0)), int(node.get("GPU", 0))
    if gpus == 0:
        return cpus
    return min(cpus, available * round(1 / gpus) if gpus < 1 else available // int(gpus))
