"""How much privacy a training costs: epsilon of the Poisson-subsampled Gaussian mechanism, by Opacus' accountant.

Opacus is an optional extra. Of its two accountants this is the one by Renyi divergences (Mironov et al., arXiv
1908.10530): an upper bound in closed form, without a discretisation whose error would have to be stated beside it.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from importlib.util import find_spec

from evosparse.errors import SpecError

_TOLERANCE = 1e-3
"""How far below the wanted epsilon the one that is reached may be."""


def accountant_is_there() -> bool:
    """Return whether the extra ``private`` is installed."""
    return find_spec("opacus") is not None


def expect_accountant() -> None:
    """Refuse to account without an accountant.

    Raises:
        SpecError: the extra ``private`` is not installed.
    """
    if not accountant_is_there():
        raise SpecError(
            "epsilon: expected a privacy accountant, but Opacus is not installed; pip install 'evosparse[private]', or"
            " give a noise_multiplier in place of epsilon, and none is reported"
        )


@lru_cache(maxsize=64)
def epsilon_of(rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Return the epsilon that so many steps cost; neighbouring data sets differ by one example that is there or not.

    Args:
        rate: q, the probability with which each example is in a minibatch, drawn for each example and step anew.
        noise_multiplier: sigma, the noise's standard deviation over the bound of an example's contribution, above 0.
        steps: of the training.
        delta: of the guarantee, 0 to 1; less than one over the number of examples means something.

    Raises:
        SpecError: there is no accountant.
    """
    expect_accountant()
    from opacus.accountants import RDPAccountant  # takes two seconds

    accountant = RDPAccountant()
    accountant.history = [(noise_multiplier, rate, steps)]
    with warnings.catch_warnings():
        # Told where another order than the given ones might bound a little better: it is a bound all the same.
        warnings.filterwarnings("ignore", message="Optimal order")
        return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=64)
def noise_multiplier_for(epsilon: float, rate: float, steps: int, delta: float) -> float:
    """Return the least noise multiplier, to a thousandth of epsilon, that so many steps need for an epsilon.

    Args:
        epsilon: that is at most reached, above 0.
        rate, steps, delta: as for `epsilon_of`.

    Raises:
        SpecError: there is no accountant, or no noise is enough.
    """
    low, high = 0.0, 1.0
    while epsilon_of(rate, high, steps, delta) > epsilon:
        low, high = high, 2 * high
        if high > 1e6:
            raise SpecError(
                f"epsilon: expected one that some noise is enough for, got {epsilon:g} at delta {delta:g} in {steps:,}"
                " steps; raise epsilon or delta"
            )
    while epsilon_of(rate, high, steps, delta) < epsilon - _TOLERANCE * epsilon:
        middle = (low + high) / 2
        if math.isclose(low, high, rel_tol=1e-9):
            break
        low, high = (middle, high) if epsilon_of(rate, middle, steps, delta) > epsilon else (low, middle)
    return high
