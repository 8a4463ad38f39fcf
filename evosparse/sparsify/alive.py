"""Which units of a sparse perceptron are alive: joined to the inputs and to the outputs over existing weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evosparse.nets import Connections, Layer


def alive_units(layers: Sequence[Layer], connections: Connections) -> list[NDArray[np.bool_]]:
    """Return which units of the inputs and of each layer are alive; outputs always are.

    A hidden unit without inputs or without outputs is removed with its weights, and so both ways until nothing changes. An
    input is alive if a weight of an alive unit reads it.

    Args:
        layers: of a perceptron, in order.
        connections: the weights that exist.
    """
    masks = []
    for layer, own in zip(layers, connections, strict=True):
        exists = np.full(layer.size, own is None)
        exists[slice(None) if own is None else own] = True
        masks.append(exists.reshape(layer.shape))
    reached = [np.ones(masks[0].shape[1], dtype=bool)]
    for mask in masks:
        reached.append(mask[:, reached[-1]].any(axis=1))
    useful = [np.ones(masks[-1].shape[0], dtype=bool)]
    for place in range(len(masks) - 1, -1, -1):
        heads = useful[0] & (reached[place + 1] if place < len(masks) - 1 else True)
        useful.insert(0, masks[place][heads].any(axis=0))
    alive = [one & other for one, other in zip(reached, useful, strict=True)]
    alive[-1] = np.ones(masks[-1].shape[0], dtype=bool)
    return alive
