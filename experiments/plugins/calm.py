"""A fitness function of one's own: masks whose networks answer right, and are not too sure of it.

Any plain function of one genome becomes a fitness by `@fitness`. What else it needs it asks for by name: ``data``, for masks
the workbench with train and validation examples (the test set cannot be reached); ``seed``, the key from which everything
random has to come; ``device``. All further arguments are parameters of the campaign file.
"""

from __future__ import annotations

import numpy as np

from evosparse import SeedKey, fitness
from evosparse.masks import Mask, Workbench


@fitness(maximize="calm")
def calm(mask: Mask, seed: SeedKey, data: Workbench, epochs: int = 1, penalty: float = 0.5) -> dict[str, float]:
    """Validation accuracy of the mask's network, less a penalty for being sure of wrong answers.

    Args:
        mask: whose network is trained.
        seed: the key of this evaluation.
        data: examples, network and training of the campaign.
        epochs: length of the training.
        penalty: how much accuracy a mean probability of 1 on wrong answers costs.

    Returns:
        The objective ``calm``, and what it is made of; all of it is stored with the candidate.
    """
    network = data.train_networks([mask], [seed], epochs=epochs)
    logits = network.logits(data.validation.x)[0].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    wrong = probabilities.argmax(axis=1) != data.validation.y
    sure = probabilities.max(axis=1)[wrong].mean() if wrong.any() else 0.0
    accuracy = 1.0 - wrong.mean()
    return {"calm": accuracy - penalty * sure, "accuracy": accuracy, "sure_of_wrong": sure}
