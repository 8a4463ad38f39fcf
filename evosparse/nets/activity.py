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
from evosparse.nets.architectures import Network
from evosparse.nets.device import configured
from evosparse.nets.plan import Pooling, Weighted


@configured()
def unit_activities(network: Network, state: Mapping[str, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Return the activities of all units of a chain of linear layers.

    Args:
        network: the architecture.
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
    read = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        hidden = torch.from_numpy(np.array(x.reshape(len(x), -1).T, np.float32, order="C"))
        for step in plan:
            if isinstance(step, Weighted):
                read.append(hidden)
                hidden = torch.from_numpy(state[f"{step.name}.weight"]).to_sparse_csr() @ hidden
                if step.bias:
                    hidden += torch.from_numpy(state[f"{step.name}.bias"])[:, None]
                hidden = hidden.relu_() if step.rectified else hidden
            elif hasattr(step, "module"):
                hidden = step.module(hidden)
        return [own.numpy() for own in (*read, torch.softmax(hidden, dim=0))]
