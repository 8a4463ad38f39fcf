"""What the units of a network are for given examples: what its layers read, and what it answers.

For one network at a time, over existing weights alone and with dropout off; asked for once in many training steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch

from evosparse.errors import SpecError
from evosparse.nets.architectures import Connections, Network
from evosparse.nets.device import configured
from evosparse.nets.plan import Pooling, Weighted


@configured()
def unit_activities(
    network: Network, connections: Connections, state: Mapping[str, np.ndarray], x: np.ndarray
) -> list[np.ndarray]:
    """Return the activities of all units of a chain of linear layers.

    Args:
        network: the architecture.
        connections: the weights that exist.
        state: its parameters by name, as `Population.state` returns them.
        x: (n, *input_shape) examples.

    Returns:
        For the inputs, for the output of each hidden layer behind its activation function, and for the softmax of the
        network's outputs, a (units, n) float32 array: layer i joins arrays i and i + 1.

    Raises:
        SpecError: the layers are not linear, or do not follow each other.
    """
    shapes = [layer.shape for layer in network.layers]
    plan = network.plan or (None,)
    chained = all(before[0] == after[-1] for before, after in pairwise(shapes))
    if {None, Pooling} & {type(step) if step else None for step in plan} or any(len(own) > 2 for own in shapes) or not chained:
        raise SpecError(
            "expected a chain of linear layers, each of which reads the units of the one before, got layers of shape"
            f" {', '.join('x'.join(map(str, shape)) for shape in shapes)}; use a perceptron"
        )
    weights = {
        layer.name: _sparse(layer.shape, own, state[layer.parameter])
        for layer, own in zip(network.layers, connections, strict=True)
    }
    read = []
    with torch.no_grad():
        hidden = torch.from_numpy(np.array(x.reshape(len(x), -1).T, np.float32, order="C"))
        for step in plan:
            if isinstance(step, Weighted):
                read.append(hidden)
                hidden = weights[step.name] @ hidden
                if step.bias:
                    hidden += torch.from_numpy(state[f"{step.name}.bias"])[:, None]
                hidden = hidden.relu_() if step.rectified else hidden
            elif hasattr(step, "module"):
                hidden = step.module(hidden)
        return [own.numpy() for own in (*read, torch.softmax(hidden, dim=0))]


def _sparse(shape: tuple[int, ...], indices: np.ndarray | None, values: np.ndarray) -> torch.Tensor:
    """Return the existing weights of a layer as torch's sparse matrix, or all of them as they are."""
    if indices is None:
        return torch.from_numpy(values)
    rows, columns = np.divmod(indices, shape[1])
    starts = np.searchsorted(rows, np.arange(shape[0] + 1))
    parts = (torch.from_numpy(part) for part in (starts, columns, values.reshape(-1)[indices]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, shape, check_invariants=False)
