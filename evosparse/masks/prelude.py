"""What a network goes through before masks are judged or cut on it: epochs of dense training, perhaps a first cut.

Follows Haroon, "What to Prune and What Not to Prune at Initialization" (arXiv 2209.02201), as far as its abstract tells:
a reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evosparse.engine.seeds import SeedKey
from evosparse.masks.genome import Mask, MaskLayer
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets import Connections, Population

Criterion = Literal["weight", "gradient", "both"]
Accumulation = Literal["abs_of_sum", "sum_of_abs"]
Change = Literal["relative", "absolute"]
_TINY = 1e-12  # keeps the relative change of a weight that starts at zero finite


@dataclass(frozen=True)
class Scores:
    """How good each weight of a network looks in the first epochs.

    Args:
        values: per layer, a float64 array of one score for each existing weight; masks are judged by its sum.
        connections: per layer, the flat indices of the weights that exist; None for all.
    """

    values: Sequence[np.ndarray]
    connections: Connections

    def of(self, mask: Mask) -> list[float]:
        """Return the sum over the mask's connections for each layer: the sum of ``M * s``."""
        sums = []
        for values, existing, layer in zip(self.values, self.connections, mask.layers, strict=True):
            indices = layer.indices
            places = indices if existing is None else np.searchsorted(existing, indices)
            sums.append(float(values[places].sum()))
        return sums


def run_phases(
    bench: Workbench, key: SeedKey, phases: Sequence[Phase], accumulation: Accumulation | None = None, epochs: int = 0
) -> Population:
    """Train one network through phases, as all searches with this key do.

    Args:
        bench: data, network and training.
        key: any key of the campaign; its root counts.
        phases: masks and epochs, each mask within the one before.
        accumulation: accumulate gradients over the last epoch of the last phase: signed or absolute.
        epochs: length of the whole training for the learning-rate schedule; at least that of the phases.

    Returns:
        The one network, in training.
    """
    total = max(epochs, sum(phase.epochs for phase in phases))
    population = bench.population([phases[0].mask], [bench.seeds(key.root)], total)
    for number, phase in enumerate(phases):
        if number:
            bench.cut(population, [phase.mask])
        last = number == len(phases) - 1
        gradients = {None: "none", "abs_of_sum": "signed", "sum_of_abs": "absolute"}[accumulation if last else None]
        population.train(bench.train.x, bench.train.y, phase.epochs, gradients=gradients)
    return population


def score(population: Population, criterion: Criterion, index: int = 0) -> Scores:
    """Score each weight of one network by its magnitude, its accumulated gradient, or their product.

    Args:
        population: networks whose last training accumulated gradients, if the criterion needs them.
        criterion: what makes a weight good.
        index: which of the networks.
    """
    values = []
    for layer in range(len(population.network.layers)):
        weights = np.abs(population.weights(layer, index)).astype(np.float64)
        if criterion == "weight":
            values.append(weights)
            continue
        gradients = np.abs(population.gradients(layer, index)).astype(np.float64)
        values.append(gradients if criterion == "gradient" else weights * gradients)
    return Scores(values, population.connections(index))


def changes(population: Population, rule: Change) -> list[np.ndarray]:
    """Return per layer how far each existing weight of the first network has moved from its initial value."""
    moved = []
    for layer in range(len(population.network.layers)):
        initial = population.initial_weights(layer, 0).astype(np.float64)
        change = np.abs(population.weights(layer, 0).astype(np.float64) - initial)
        moved.append(change / (np.abs(initial) + _TINY) if rule == "relative" else change)
    return moved


def keep_largest(scores: Sequence[np.ndarray], counts: Sequence[int], within: Mask) -> Mask:
    """Keep exactly so many connections of each layer, those of largest score; of equal ones the first.

    Args:
        scores: per layer, one score for each of the connections that they are chosen from.
        counts: connections to keep in each layer.
        within: the mask of these connections.
    """
    layers = []
    for layer, values, count in zip(within.layers, scores, counts, strict=True):
        # Stable and by index, never by a threshold: thresholds miss the count when scores tie.
        order = np.argsort(-values, kind="stable")
        layers.append(MaskLayer(layer.name, layer.shape, layer.indices[np.sort(order[:count])]))
    return Mask(tuple(layers))


def dense_mask(bench: Workbench) -> Mask:
    """Return the mask in which every weight of the network exists."""
    return Mask(tuple(MaskLayer(layer.name, layer.shape, np.arange(layer.size)) for layer in bench.network.layers))
