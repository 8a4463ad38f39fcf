"""Importance pruning: hidden units whose incoming weights are small lose them, in the middle of sparse training.

Curci et al., "Truly Sparse Neural Networks at Scale", arXiv 2102.01732.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evosparse.nets import Layer
from evosparse.section import Section
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.units import expect_chain, without


class Importance(Section):
    """When units are removed, and which.

    Attributes:
        after: number of epochs after which it begins.
        every: epochs between.
        percentile: of the importances of a layer's units up to which units are removed.
        prune_regrow: ``excluded``: removed units lose their outgoing weights too, and nothing grows there again; or
            ``code``, as published: incoming weights alone, and they may grow again.

    The importance of a unit is the sum of |w| over its incoming weights. Deviation: units without any, such as those that were
    removed before, do not count towards the percentile; there soon would be no others below it.
    """

    after: int = Field(200, ge=0)
    every: int = Field(10, ge=1)
    percentile: float = Field(20, ge=0, le=100)
    prune_regrow: Literal["excluded", "code"] = "excluded"

    def due(self, epochs: int) -> bool:
        """Return whether units are removed after so many epochs."""
        return epochs > self.after and epochs % self.every == 0

    def prune(self, cohort: Cohort) -> None:
        """Remove units of all networks of a cohort.

        Raises:
            SpecError: it is not known which layer reads which.
        """
        expect_chain(cohort.network, "importance")
        layers, every = cohort.network.layers, cohort.connections
        places = cohort.allowed or [[np.arange(layer.size) for layer in layers] for _ in every]
        allowed, left = [], []
        for number, own in enumerate(every):
            doomed = [
                unimportant(layer, indices, cohort.population.weights(index, number), self.percentile)
                for index, (layer, indices) in enumerate(zip(layers[:-1], own[:-1], strict=True))
            ]
            outgoing = self.prune_regrow == "excluded"
            left.append(without(layers, own, doomed, outgoing))
            allowed.append(without(layers, places[number], doomed, outgoing) if outgoing else places[number])
        cohort.cut(left)
        cohort.allowed = allowed


def unimportant(layer: Layer, indices: np.ndarray, values: np.ndarray, percentile: float) -> NDArray[np.bool_]:
    """Return which units of a layer have an importance up to the percentile.

    Args:
        layer: one with a matrix of weights.
        indices: (connections,) flat indices of its weights.
        values: (connections,) of the weights.
        percentile: from 0 to 100, of the units with incoming weights.
    """
    rows, units = indices // layer.fan_in, layer.shape[0]
    importance = np.bincount(rows, np.abs(values), units)
    joined = np.bincount(rows, minlength=units) > 0
    return joined & (importance <= np.percentile(importance[joined], percentile)) if joined.any() else joined
