"""The partition function, exactly or by annealed importance sampling, and the average negative log-likelihood.

Neal, "Annealed Importance Sampling", Statistics and Computing 11, 2001; Salakhutdinov and Murray, "On the Quantitative
Analysis of Deep Belief Networks", ICML 2008.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit, logsumexp
from threadpoolctl import threadpool_limits

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.section import Section
from evosparse.sparsify.rbm.parameters import Floats, Parameters, bernoulli, softplus

MOST_ENUMERATED = 25
"""Units of the smaller side of which all states are still gone through."""

_CHUNK_BITS = 12


class AnnealingSpec(Section):
    """The path from independent units (inverse temperature 0) to the machine (1), and how many chains walk it.

    Attributes:
        pieces: (first, last, step) of each piece of the path, joined from 0 to 1. As published: 0 to .5 by 1e-3, to .9
            by 1e-4, to 1 by 1e-5, which is 14,500 steps.
        chains: independent walks.
    """

    pieces: tuple[tuple[float, float, float], ...] = ((0.0, 0.5, 1e-3), (0.5, 0.9, 1e-4), (0.9, 1.0, 1e-5))
    chains: int = Field(100, ge=2)

    @model_validator(mode="after")
    def _joined(self) -> AnnealingSpec:
        ends = [0.0, *(last for _, last, _ in self.pieces)]
        if ends[-1] != 1 or any(
            first != before or last <= first or not 0 < step <= last - first
            for before, (first, last, step) in zip(ends, self.pieces, strict=False)
        ):
            raise ValueError(
                "expected pieces (first, last, step) that lead from 0 to 1, each beginning where the one before ends, with"
                f" steps above 0 and not longer than their piece; got {self.pieces}"
            )
        return self

    def temperatures(self) -> Floats:
        """Return the (steps + 1,) inverse temperatures, from 0 to 1."""
        parts = [np.linspace(first, last, round((last - first) / step) + 1)[1:] for first, last, step in self.pieces]
        return np.concatenate([[0.0], *parts])


@dataclass(frozen=True, eq=False)
class AnnealingEstimate:
    """What annealed importance sampling found.

    Args:
        log_partition: estimate of log Z, in nats.
        standard_error: of it, by the spread of the weights over chains; it knows nothing of modes that no chain met.
        log_weights: (chains,) logarithms of the importance weights.
    """

    log_partition: float
    standard_error: float
    log_weights: Floats


def log_partition(parameters: Parameters) -> float:
    """Return log Z in nats, by going through all states of the smaller side, in double precision.

    Raises:
        SpecError: both sides have more than 25 units.
    """
    hidden, visible = parameters.weights.shape
    if min(hidden, visible) > MOST_ENUMERATED:
        raise SpecError(
            f"expected at most {MOST_ENUMERATED} hidden or visible units to go through all their states, got {hidden} hidden"
            f" and {visible} visible; estimate with annealed_log_partition instead"
        )
    smaller = (parameters if visible <= hidden else parameters.transposed()).astype(np.float64)
    return float(logsumexp([logsumexp(-energies) for energies in _free_energies(smaller)]))


def annealed_log_partition(
    parameters: Parameters, key: SeedKey, annealing: AnnealingSpec = AnnealingSpec(), base: Floats | None = None
) -> AnnealingEstimate:
    """Estimate log Z by annealed importance sampling.

        x ~ independent units with biases `base`; log w = 0
        for each inverse temperature t after the first:
            log w += log p*_t(x) - log p*_before(x)
            x = one step of Gibbs sampling at t
        log Z = log Z_0 + log(mean of w)

    log p*_t(x) = (1 - t) base x + t d x + sum of softplus(t (C x + b)); at t = 0 hidden units are fair coins.

    Args:
        parameters: of the machine; their precision is that of the chains, weights are summed in double precision.
        key: source of randomness.
        annealing: path and chains; published by default.
        base: (X,) biases at t = 0, such as the logits of the data's means; zeros by default.

    Raises:
        SpecError: the base is not of that shape or not finite.
    """
    dtype = parameters.weights.dtype
    hidden, visible = parameters.weights.shape
    base = np.zeros(visible) if base is None else np.asarray(base, np.float64)
    if base.shape != (visible,) or not np.isfinite(base).all():
        raise SpecError(f"base: expected ({visible},) finite biases, one for each visible unit, got shape {base.shape}")
    rng, temperatures = key.rng(), annealing.temperatures()
    slope = (parameters.visible_bias - base).astype(dtype)
    log_weights = np.zeros(annealing.chains)
    x = bernoulli(np.broadcast_to(expit(base).astype(dtype), (annealing.chains, visible)), rng)
    # The number of threads changes the last bits.
    with threadpool_limits(1, "blas"):
        for before, now in pairwise(temperatures):
            inputs = x @ parameters.weights.T + parameters.hidden_bias
            log_weights += (now - before) * (x @ slope).astype(np.float64)
            log_weights += (softplus(dtype.type(now) * inputs) - softplus(dtype.type(before) * inputs)).sum(axis=1)
            h = bernoulli(expit(dtype.type(now) * inputs), rng)
            upward = (h @ parameters.weights + slope) * dtype.type(now)
            x = bernoulli(expit(upward + base.astype(dtype)), rng)
    logarithm = logsumexp(log_weights) - np.log(annealing.chains)
    relative = np.exp(log_weights - logarithm)
    first = hidden * np.log(2) + softplus(base).sum()
    error = relative.std(ddof=1) / np.sqrt(annealing.chains)
    return AnnealingEstimate(float(first + logarithm), float(error), log_weights)


def average_nll(parameters: Parameters, x: Floats, log_z: float) -> float:
    """Return the mean negative log-likelihood of (n, X) states, in nats an example, given log Z."""
    # In parts, for all hidden units of a large data set at once would not fit.
    parts = np.array_split(x, max(1, len(x) // 1000))
    dtype = parameters.weights.dtype
    total = sum(parameters.free_energy(np.asarray(part, dtype)).sum(dtype=np.float64) for part in parts)
    return float(total / len(x) + log_z)


def states(units: int) -> Floats:
    """Return all (2 ** units, units) states of 0 and 1, counting in binary from zero, the last unit fastest."""
    return (np.arange(2**units)[:, None] >> np.arange(units)[::-1] & 1).astype(np.float64)


def _free_energies(parameters: Parameters) -> Iterator[Floats]:
    """Yield free energies of all visible states, a chunk for each state of the first units."""
    visible = parameters.weights.shape[1]
    last = min(visible, _CHUNK_BITS)
    fast, first = states(last), visible - last
    inputs = fast @ parameters.weights[:, first:].T + parameters.hidden_bias
    biases = fast @ parameters.visible_bias[first:]
    for number in range(2**first):
        slow = (number >> np.arange(first)[::-1] & 1).astype(np.float64)
        shifted = inputs + parameters.weights[:, :first] @ slow
        yield -(biases + parameters.visible_bias[:first] @ slow) - softplus(shifted).sum(axis=1)
