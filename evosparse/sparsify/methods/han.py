"""Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015, arXiv 1506.02626."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evosparse.nets.sparsity import Distribution
from evosparse.sparsify.base import method
from evosparse.sparsify.methods.magnitude import Magnitude

LENET300 = {"hidden1": 0.92, "hidden2": 0.91, "output": 0.74}
"""Published sparsities of LeNet-300-100 (table 2)."""


@method
class Han(Magnitude):
    """Magnitude pruning layer by layer; survivors keep their values and are retrained at a tenth of the learning rate.

    Deviation: counts, and not thresholds of q times a layer's standard deviation, so that budgets are exact; the
    sensitivity scan that finds q is left to whoever sets ``distribution.layers``.
    """

    method: Literal["han"] = "han"
    scope: Literal["global", "layer"] = "layer"
    distribution: Distribution = Distribution(distribution="uniform", output_floor=0.2)
    retrain_rate: float = Field(0.1, gt=0)
