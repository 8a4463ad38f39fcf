"""Contrastive divergence: the gradient that machines are trained by.

Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation 14(8), 2002.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evosparse.sparsify.rbm.parameters import Floats, Parameters, bernoulli


@dataclass(frozen=True, eq=False)
class Gradient:
    """The direction in which the log-likelihood of a minibatch grows.

    Args:
        weights: (H, X) array, at every position, of missing connections too.
        hidden_bias: (H,) array.
        visible_bias: (X,) array.
    """

    weights: Floats
    hidden_bias: Floats
    visible_bias: Floats


def contrastive_divergence(parameters: Parameters, x: Floats, steps: int, rng: np.random.Generator) -> Gradient:
    """Estimate the mean gradient of the log-likelihood by CD-k.

        x~ = x after k steps of Gibbs sampling
        weights = mean(h^(x) x^T - h^(x~) x~^T), hidden_bias = mean(h^(x) - h^(x~)), visible_bias = mean(x - x~)

    where h^ are probabilities of hidden units, not states.

    Args:
        parameters: of the machine.
        x: (n, X) minibatch in the precision of the parameters.
        steps: k, at least 1.
        rng: source of randomness.
    """
    present = parameters.hidden_probabilities(x)
    # The chain's first hidden states come from the probabilities that are there already.
    first = bernoulli(parameters.visible_probabilities(bernoulli(present, rng)), rng)
    model = parameters.gibbs(first, steps - 1, rng)
    imagined = parameters.hidden_probabilities(model)
    # One product of both halves: large machines are bound by memory, and each pass over (H, X) counts.
    hidden = np.concatenate([present, -imagined]) / x.dtype.type(len(x))
    return Gradient(
        hidden.T @ np.concatenate([x, model]), hidden.sum(axis=0), (x.sum(axis=0) - model.sum(axis=0)) / x.dtype.type(len(x))
    )
