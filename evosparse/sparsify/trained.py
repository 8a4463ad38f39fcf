"""A trained sparse network as bytes, for the way from a worker to the examination, and back."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load, save

from evosparse.nets import Network
from evosparse.sparsify.cohort import Sparsified, State

_SEPARATOR = "|"  # no module's parameter has it in its name


def encode(network: Network, result: Sparsified) -> bytes:
    """Return connections and both states; of the layers existing weights alone."""
    tensors: dict[str, np.ndarray] = {}
    for part, state in (("final", result.state), ("selected", result.selected)):
        rest = dict(state)
        for index, layer in enumerate(network.layers):
            values = np.asarray(rest.pop(layer.parameter)).reshape(-1)
            # The best epoch may have had other connections; those at zero are as good as none.
            own = result.connections[index] if part == "final" else np.flatnonzero(values)
            tensors[_SEPARATOR.join((part, "places", layer.parameter))] = np.asarray(own, np.int64)
            tensors[_SEPARATOR.join((part, "values", layer.parameter))] = values[own]
        tensors |= {_SEPARATOR.join((part, "rest", name)): np.ascontiguousarray(value) for name, value in rest.items()}
    return save(tensors)


def decode(network: Network, data: bytes) -> tuple[list[np.ndarray], State, State]:
    """Return connections, final and selected state of what `encode` returned."""
    tensors = load(data)
    states: dict[str, dict[str, np.ndarray]] = {"final": {}, "selected": {}}
    connections = []
    for part, state in states.items():
        for layer in network.layers:
            own = tensors[_SEPARATOR.join((part, "places", layer.parameter))]
            values = np.zeros(layer.size, np.float32)
            values[own] = tensors[_SEPARATOR.join((part, "values", layer.parameter))]
            state[layer.parameter] = values.reshape(layer.shape)
            if part == "final":
                connections.append(own)
    for name, value in tensors.items():
        part, role, parameter = name.split(_SEPARATOR)
        if role == "rest":
            states[part][parameter] = value
    return connections, states["final"], states["selected"]
