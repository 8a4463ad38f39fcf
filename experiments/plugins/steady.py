"""A fitness function of one's own over activation functions: those whose networks answer right on noisy examples too.

It is called with a `Triple` of functions; ``data`` is the campaign's workbench, which trains networks with them. A
triple that cannot be measured is answered with `Invalid` and the reason, which costs this one candidate.
"""

from __future__ import annotations

import numpy as np

from evosparse import Invalid, SeedKey, fitness
from evosparse.activations import Triple, Workbench


@fitness(maximize="steady")
def steady(
    triple: Triple, seed: SeedKey, data: Workbench, epochs: int = 1, noise: float = 1.0
) -> dict[str, float] | Invalid:
    """Validation accuracy of a network with these functions, on examples with noise.

    Args:
        triple: whose network is trained.
        seed: the key of this evaluation.
        data: examples, network and training of the campaign.
        epochs: length of the training.
        noise: standard deviation of what is added to each number of an example.

    Returns:
        The objective ``steady``, and the accuracy without noise beside it.
    """
    flaw = data.flaw(triple)
    if flaw:
        return Invalid(flaw)
    network = data.train_networks([triple], [seed], epochs=epochs)
    x, y = data.validation.x, data.validation.y
    disturbed = x + noise * seed.child("noise").rng().standard_normal(x.shape, dtype=np.float32)
    accuracy, steady_accuracy = (float(network.accuracy(examples, y)[0]) for examples in (x, disturbed))
    if not np.isfinite([accuracy, steady_accuracy]).all():
        return Invalid("training diverged")
    return {"steady": steady_accuracy, "accuracy": accuracy}
