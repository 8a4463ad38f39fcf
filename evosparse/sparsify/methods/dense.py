"""Dense training, and dropout with a bound on the norm of weights: what sparse networks are measured by."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.cohort import Cohort


@method
class Dense(Sparsifier):
    """No weight is removed."""

    dense: ClassVar[bool] = True

    method: Literal["dense"] = "dense"

    def sparsify(self, cohort: Cohort) -> None:
        cohort.begin(cohort.dense, cohort.epochs)
        cohort.advance(cohort.epochs, final=True)


@method
class Dropout(Dense):
    """Srivastava et al., "Dropout", JMLR 15, 2014: hidden units are dropped in training, weights into a unit are bounded.

    Attributes:
        dropout: probability of DROPPING a hidden activation (the paper's p is that of keeping it).
        inputs: probability of dropping an input; the paper's is 0.2 for images.
        max_norm: c, the bound of the norm of the weights into each unit; None for none.
    """

    method: Literal["dropout"] = "dropout"
    dropout: float = Field(0.5, gt=0, lt=1)
    inputs: float = Field(0.0, ge=0, lt=1)
    max_norm: float | None = Field(2.0, gt=0)

    def sparsify(self, cohort: Cohort) -> None:
        own = {"dropout": self.dropout, "input_dropout": self.inputs, "max_norm": self.max_norm}
        cohort.begin(cohort.dense, cohort.epochs, cohort.training.model_copy(update=own))
        cohort.advance(cohort.epochs, final=True)
