"""The Gaussian mechanism on per-sample gradients: a joint bound of each example's contribution, and noise to match.

Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, algorithm 1. All parts of a gradient, carriers and
biases alike, are one vector with one bound: bounds part by part would need noise by the L2 norm of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from evosparse.sparsify.private.outer import PerSample
from evosparse.sparsify.private.support import Support


def clipped_sum(
    gradients: Mapping[str, PerSample], support: Support, clip: float | None
) -> dict[str, torch.Tensor]:
    """Return the sum of per-sample gradients, each cut to a support and then scaled down to a bound.

    Args:
        gradients: by part, of each example.
        support: by part, flat positions; None for all.
        clip: C, the L2 norm that all parts of one example have together at most; None for no bound. With a bound, an
            example whose gradient has no finite norm adds nothing: its NaN would drown the noise.

    Returns:
        By part, (positions,).
    """
    norms = torch.stack([gradient.norms(support[name]) for name, gradient in gradients.items()]).norm(dim=0)
    if clip is None:
        scale = torch.ones_like(norms)
    else:
        finite = norms <= torch.finfo(torch.float32).max
        if not finite.all():
            gradients = {name: gradient.only(finite) for name, gradient in gradients.items()}
        scale = torch.where(finite, (clip / norms).clamp(max=1), 0)
    return {name: gradient.sum(scale.float(), support[name]) for name, gradient in gradients.items()}


def noisy_mean(
    total: Mapping[str, torch.Tensor],
    support: Support,
    shapes: Mapping[str, torch.Size],
    batch: int,
    deviation: float,
    rng: np.random.Generator,
) -> dict[str, torch.Tensor]:
    """Return sum / B + N(0, (sigma C / B)^2) on the support, and exactly 0 off it.

    Args:
        total: by part, the (positions,) sum of bounded gradients.
        support: by part, flat positions; None for all.
        shapes: by part, that of its gradient.
        batch: B, expected examples of the minibatch.
        deviation: sigma C, standard deviation of the noise of the sum; 0 for none.
        rng: of the noise.

    Returns:
        By part, a gradient of its shape.
    """
    means = {}
    for name, own in total.items():
        noise = torch.from_numpy(rng.standard_normal(len(own), np.float32)).to(own.device) if deviation else 0
        value = (own + deviation * noise) / batch
        positions = support[name]
        if positions is None:
            means[name] = value.view(shapes[name])
        else:
            spread = torch.zeros(shapes[name].numel(), device=own.device)
            spread[positions] = value
            means[name] = spread.view(shapes[name])
    return means
