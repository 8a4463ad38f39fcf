"""The energy of a restricted Boltzmann machine and what follows from it in closed form; no training here.

    E(x, h) = -x d - h b - h^T C x
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Parameters:
    """What the energy is made of, as the machine has it now.

    Args:
        weights: (H, X) array, C: those of missing connections are zero.
        hidden_bias: (H,) array, b.
        visible_bias: (X,) array, d.
    """

    weights: Floats
    hidden_bias: Floats
    visible_bias: Floats

    def energy(self, x: Floats, h: Floats) -> Floats:
        """Return the (n,) energies of (n, X) visible states beside (n, H) hidden ones."""
        return -(x @ self.visible_bias + h @ self.hidden_bias + ((h @ self.weights) * x).sum(axis=1))

    def hidden_probabilities(self, x: Floats) -> Floats:
        """Return the (n, H) probabilities that hidden units are on, given (n, X) visible states or probabilities."""
        return expit(x @ self.weights.T + self.hidden_bias)

    def visible_probabilities(self, h: Floats) -> Floats:
        """Return the (n, X) probabilities that visible units are on, given (n, H) hidden states or probabilities."""
        return expit(h @ self.weights + self.visible_bias)

    def free_energy(self, x: Floats) -> Floats:
        """Return the (n,) free energies F of (n, X) visible states, in nats: the probability of x is exp(-F(x)) / Z."""
        return -(x @ self.visible_bias) - softplus(x @ self.weights.T + self.hidden_bias).sum(axis=1)

    def gibbs(self, x: Floats, steps: int, rng: np.random.Generator) -> Floats:
        """Return (n, X) states of 0 and 1 after that many full steps (x to h to x) of n independent chains."""
        for _ in range(steps):
            h = bernoulli(self.hidden_probabilities(x), rng)
            x = bernoulli(self.visible_probabilities(h), rng)
        return x

    def transposed(self) -> Parameters:
        """Return the same machine with hidden and visible units exchanged; its partition function is the same."""
        return Parameters(self.weights.T, self.visible_bias, self.hidden_bias)

    def astype(self, dtype: type[np.floating]) -> Parameters:
        """Return the parameters in another precision."""
        return Parameters(*(part.astype(dtype) for part in (self.weights, self.hidden_bias, self.visible_bias)))


def softplus(a: Floats) -> Floats:
    """Return log(1 + exp(a)), which neither overflows nor loses small values."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def bernoulli(probabilities: Floats, rng: np.random.Generator) -> Floats:
    """Draw independent zeros and ones, in the shape and precision of the probabilities of one."""
    return (rng.random(probabilities.shape, probabilities.dtype) < probabilities).astype(probabilities.dtype)
