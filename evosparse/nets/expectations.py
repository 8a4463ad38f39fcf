"""What callers of a population must keep to about connections, and the errors where they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evosparse.nets.architectures import Connections, Network


def expect_connections(network: Network, connections: Sequence[Connections], population: int) -> None:
    """Refuse connections that are not those of so many networks of an architecture (ValueError)."""
    if not connections or len(connections) != population:
        raise ValueError(f"expected connections for each of {population} networks (at least 1), got {len(connections)}")
    for own in connections:
        if len(own) != len(network.layers):
            raise ValueError(f"expected connections for each of {len(network.layers)} layers, got {len(own)}")
        for layer, indices in zip(network.layers, own, strict=True):
            if indices is not None and len(indices) and not 0 <= indices[0] <= indices[-1] < layer.size:
                raise ValueError(f"expected sorted indices below {layer.size} in layer {layer.name}")


def expect_within(
    network: Network, before: Sequence[Connections], after: Sequence[Connections], mend: str = "a cut can only remove weights"
) -> None:
    """Refuse connections that did not exist before (ValueError)."""
    for had, keeps in zip(before, after, strict=True):
        for layer, existing, kept in zip(network.layers, had, keeps, strict=True):
            if existing is None:
                continue
            kept = np.arange(layer.size) if kept is None else kept
            places = np.searchsorted(existing, kept)
            if len(kept) and (places[-1] >= len(existing) or (existing[places] != kept).any()):
                raise ValueError(f"expected connections within those that exist in layer {layer.name}: {mend}")
