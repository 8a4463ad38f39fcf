"""RigL restarted from the units that a first RigL left alive: Evci et al., ICML 2020, table 2 (RigL+)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evosparse.errors import SpecError
from evosparse.nets import Layer, MultilayerPerceptron
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify.alive import alive_units
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.methods.rigl import RigL


@method
class RigLRestarted(RigL):
    """RigL twice: the second time, from other initial weights, only between units that were alive after the first.

    The second network has as many weights as the first where the distribution keeps a total (`er`); with ``explicit``
    sparsities they are shares of the smaller layers. Where so few units were alive that there is no room for them, it has
    all weights that there is room for.

    Attributes:
        first: distribution of the first training; None for the same.
    """

    method: Literal["rigl_restarted"] = "rigl_restarted"
    first: Distribution | None = None

    def sparsify(self, cohort: Cohort) -> None:
        if not isinstance(cohort.network, MultilayerPerceptron):
            raise SpecError("rigl_restarted: expected a multilayer perceptron, whose dead units can be told; use rigl")
        first = RigL(**self.model_dump(exclude={"method", "first"}) | {"distribution": self.first or self.distribution})
        first.sparsify(cohort)
        cohort.allowed = [
            [
                np.flatnonzero(np.outer(heads, tails))
                for tails, heads in zip(units[:-1], units[1:], strict=True)
            ]
            for units in (alive_units(cohort.network.layers, own) for own in cohort.connections)
        ]
        cohort.forget_choice()
        cohort.begin(self.start(cohort), cohort.epochs, redraw=True)
        self.train(cohort)

    def counts(self, cohort: Cohort, number: int) -> tuple[int, ...]:
        if cohort.allowed is None:
            return super().counts(cohort, number)
        units = alive_units(cohort.network.layers, cohort.connections[number])
        shapes = [(int(heads.sum()), int(tails.sum())) for tails, heads in zip(units[:-1], units[1:], strict=True)]
        layers = [Layer(layer.name, shape) for layer, shape in zip(cohort.network.layers, shapes, strict=True)]
        wanted = sum(super().counts(cohort, number))
        room = sum(layer.size for layer in layers)
        return counts(layers, max(0.0, 1 - wanted / room), self.distribution)
