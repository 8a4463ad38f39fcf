"""Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow", ICLR 2020.

GraSP, arXiv 2002.07376.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evosparse.nets import Connections
from evosparse.nets.sensitivity import gradient_flow
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Scores


@method
class GraSP(Pruning):
    """Scores are w (H g) on some examples: kept is what the norm of the gradient would lose most by; see `Pruning`.

    The paper removes the greatest -w (H g), which is the same (equation 8).

    Attributes:
        examples: for the score; None for ten of each output.
        temperature: what outputs are divided by before the loss (published code; 1 is the equation as it stands).

    Deviations: examples are drawn at random, not as many of each class; biases are neither scored nor cut.
    """

    method: Literal["grasp"] = "grasp"
    examples: int | None = Field(None, ge=1)
    temperature: float = Field(200.0, gt=0)

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        state = cohort.population.state(number)
        x, y = cohort.sample(number, self.examples or 10 * cohort.network.classes, turn)
        cohort.charge_dense([number], len(x), passes=6)  # the gradient of a gradient
        flow = gradient_flow(cohort.network, state, x, y, cohort.training.loss, self.temperature)
        weights = [state[layer.parameter].reshape(-1) for layer in cohort.network.layers]
        return [(w * own_flow)[own] for w, own_flow, own in zip(weights, flow, connections, strict=True)]
