"""Initial weights: one dense draw for every seed, the same for all masks, scaled by the connections that a mask leaves.

Kaiming He et al., "Delving Deep into Rectifiers" (arXiv 1502.01852); Glorot and Bengio, AISTATS 2010. The scaling by
the mask's own fan-in follows Evci et al., "Gradient Flow in Sparse Neural Networks" (arXiv 2010.03533).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from evosparse.nets.architectures import Layer, Network
from evosparse.nets.randomness import Purpose, generator
from evosparse.section import Section

_BLOCK = 2**20  # weights that are drawn at a time


class InitialisationSpec(Section):
    """How initial weights are drawn; biases start at zero, but for ``module``.

    Attributes:
        weights: ``he_normal`` or ``he_uniform``, of variance 2 / fan_in; ``glorot_normal``, of variance
            2 / (fan_in + fan_out); ``module``, the values (of weights and biases) that the torch module gives itself.
        mask_aware: count only existing connections: as fan_in those of each output unit (or channel), as fan_out the
            layer's mean. The module's values are multiplied by sqrt(dense fan_in / fan_in).
    """

    weights: Literal["he_normal", "he_uniform", "glorot_normal", "module"] = "he_normal"
    mask_aware: bool = True


def initial_weights(
    network: Network,
    layer: int,
    connections: Sequence[np.ndarray | None],
    seeds: Sequence[int],
    spec: InitialisationSpec,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the initial values of a layer's existing weights, network by network, those of equal seed together.

    Args:
        network: the architecture.
        layer: the index of the layer.
        connections: for each network, the flat indices of the weights that exist; None for all.
        seeds: for each network, the seed of its weights.
        spec: the distribution.

    Yields:
        The number of a network, and a (connections,) float32 array of the values at its indices.
    """
    shape = network.layers[layer]
    for seed in dict.fromkeys(seeds):
        numbers = [number for number, own in enumerate(seeds) if own == seed]
        values = {
            number: np.empty(shape.size if connections[number] is None else len(connections[number]), np.float32)
            for number in numbers
        }
        for start, block in _draw(network, layer, seed, spec):
            for number in numbers:
                _pick(connections[number], start, block, values[number])
        for number in numbers:
            yield number, values.pop(number) * _scale(shape, connections[number], spec)


def module_values(
    network: Network, connections: Sequence[Sequence[np.ndarray | None]], seeds: Sequence[int], spec: InitialisationSpec
) -> Iterator[tuple[str, int, np.ndarray | None, np.ndarray]]:
    """Yield what `initial_weights` and `initial_unmasked` do for ``module``, building each seed's module once.

    Yields:
        The name of a parameter, the number of a network, the flat indices of the weights that exist (None for all), and
        a float32 array of the values.
    """
    distinct = list(dict.fromkeys(seeds))
    for seed, values in zip(distinct, network.module_values(distinct), strict=True):
        for number in (number for number, own in enumerate(seeds) if own == seed):
            for layer, existing in zip(network.layers, connections[number], strict=True):
                block = values[layer.parameter].ravel()
                own = block if existing is None else block[existing]
                yield layer.parameter, number, existing, own * _scale(layer, existing, spec)
            for name in network.unmasked:
                yield name, number, None, values[name]


def initial_unmasked(
    network: Network, seeds: Sequence[int], spec: InitialisationSpec
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield the initial values of the other parameters, as far as they are not zero.

    The biases of the maskable layers are zero, unless ``module`` was asked for; all else (norms, embeddings) starts
    with the values that the module gives itself.

    Args:
        network: the architecture.
        seeds: for each network, the seed of its weights.
        spec: the distribution.

    Yields:
        The name of a parameter, the number of a network, and an array of the parameter's shape.
    """
    zero = set() if spec.weights == "module" else {f"{layer.name}.bias" for layer in network.layers}
    names = [name for name in network.unmasked if name not in zero]
    for seed in dict.fromkeys(seeds) if names else ():
        module = network.module(seed)
        for name in names:
            values = module.get_parameter(name).detach().numpy()
            for number in (number for number, own in enumerate(seeds) if own == seed):
                yield name, number, values


def _draw(network: Network, layer: int, seed: int, spec: InitialisationSpec) -> Iterator[tuple[int, np.ndarray]]:
    """Draw all weights of the dense layer, block by block, of unit variance (the module's own values: as they are).

    Yields:
        The flat index of the block's first weight, and the block: a dense layer may be larger than the memory.
    """
    shape = network.layers[layer]
    if spec.weights == "module":
        yield 0, network.module(seed).get_parameter(shape.parameter).detach().numpy().ravel()
        return
    rng = generator(seed, Purpose.WEIGHTS, layer)
    for start in range(0, shape.size, _BLOCK):
        size = min(_BLOCK, shape.size - start)
        if spec.weights == "he_uniform":
            yield start, (2 * rng.random(size, np.float32) - 1) * np.float32(np.sqrt(3))
        else:
            yield start, rng.standard_normal(size, np.float32)


def _pick(indices: np.ndarray | None, start: int, block: np.ndarray, values: np.ndarray) -> None:
    """Put the weights of a block that exist where they belong among a network's values."""
    if indices is None:
        values[start : start + len(block)] = block
        return
    # Limits of the indices' own type: for any other, numpy would convert all of them.
    first, last = np.searchsorted(indices, np.array([start, start + len(block)], indices.dtype))
    values[first:last] = block[indices[first:last] - start]


def _scale(layer: Layer, indices: np.ndarray | None, spec: InitialisationSpec) -> np.ndarray | np.float32:
    """Return the factor of each existing weight, or of all."""
    dense = indices is None or not spec.mask_aware
    if dense:
        rows, fan_in, fan_out = None, np.float64(layer.fan_in), layer.fan_out
    else:
        rows = indices // layer.fan_in
        fan_in = np.bincount(rows, minlength=layer.shape[0]).astype(np.float64)
        fan_out = len(indices) / layer.shape[1]
    match spec.weights:
        case "module":
            variance = layer.fan_in / np.maximum(fan_in, 1)
        case "glorot_normal":
            variance = 2 / np.maximum(fan_in + fan_out, 1)
        case _:
            variance = 2 / np.maximum(fan_in, 1)
    # Units without a connection have no value to be scaled: the maximum only keeps their division quiet.
    factor = np.sqrt(variance).astype(np.float32)
    return factor if rows is None else factor[rows]
