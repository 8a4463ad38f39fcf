"""A fitness class of one's own: masks whose networks serve their worst class best.

`TrainedFitness` trains the networks of a whole batch of masks as one tensor program, which is much faster than one after the
other. A class that derives from it says only what is measured on the trained networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evosparse.masks import Mask, TrainedFitness
from evosparse.nets import Population


class WorstClass(TrainedFitness):
    """Validation accuracy on the class that a network knows least.

    Args:
        epochs: length of the training.
        share: how much of the objective the worst class makes; the rest is the accuracy on all examples.
    """

    objectives = {"worst_class": "max"}

    def __init__(self, epochs: int = 1, share: float = 1.0) -> None:
        super().__init__(epochs=epochs)
        self.share = share

    def measure(self, population: Population, masks: Sequence[Mask]) -> Sequence[Mapping[str, float]]:
        """Measure trained networks, one for each mask."""
        validation = self.bench.validation
        right = population.logits(validation.x).argmax(axis=2) == validation.y  # (networks, examples)
        classes = np.unique(validation.y)
        worst = np.min([right[:, validation.y == label].mean(axis=1) for label in classes], axis=0)
        accuracy = right.mean(axis=1)
        return [
            {"worst_class": self.share * low + (1 - self.share) * mean, "accuracy": mean}
            for low, mean in zip(worst, accuracy, strict=True)
        ]
