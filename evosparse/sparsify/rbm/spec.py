"""The parameters of a restricted Boltzmann machine and of its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from evosparse.section import Section
from evosparse.sparsify.rbm.connectivity import NCG, Connectivity, as_connectivity


class RBMSpec(Section):
    """How large a machine is, how it is connected and how it is trained.

    Attributes:
        hidden: number of hidden units, H.
        connectivity: a `Connectivity`, its name (``dense``, ``random``, ``ncg``), or a mapping of name and parameters.
        label_links: whether the connections of label units are ``optimised`` like those of pixels or all there
            (``dense``).
        redraw_A: whether connections and their scores are drawn ``once``, or anew in ``each_call`` of `RBM.fit`, as the
            published code does; weights and biases stay in both.
        steps: k of CD-k.
        batch: examples of a minibatch; the last of an epoch may be smaller.
        learning_rate: of weights and biases.
        initial_weights: bound of the uniform distribution of the first weights, of missing connections too.
        precision: of all arithmetic of the training.
    """

    hidden: int = Field(500, ge=1)
    connectivity: Annotated[SerializeAsAny[Connectivity], BeforeValidator(as_connectivity)] = NCG()
    label_links: Literal["optimised", "dense"] = "dense"
    redraw_A: Literal["each_call", "once"] = "once"
    steps: int = Field(1, ge=1)
    batch: int = Field(50, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    initial_weights: float = Field(1.0, gt=0)
    precision: Literal["float32", "float64"] = "float32"
