"""Neural network relief: Dekhovich, Tax, Sluiter and Bessa, Machine Learning 2024, arXiv 2109.10795."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.nets import Connections, Layer, Network
from evosparse.nets.population import BeforeStep
from evosparse.nets.reading import mean_inputs
from evosparse.sparsify.base import method
from evosparse.sparsify.budget import Positions
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.pruning import Pruning, Scores
from evosparse.sparsify.units import expect_chain, heard_best, without_unheard


@method
class NNRelief(Pruning):
    """Each unit keeps the fewest weights that bring it a share ``alpha`` of what it is told; then all is trained anew.

        s = |w| times the mean |activity| that it reads (of a convolution: of a whole kernel, over all positions)
        keep the greatest s of a unit, |bias| among them, until their sum is at least alpha times that of all
        last layer to first: a unit that nothing reads loses its incoming weights

    Attributes:
        alpha: see above; 1 removes nothing.
        kernel_alpha: of convolutions.
        examples: training examples by which activities are measured.
        rounds: cuts. One before the last never leaves fewer weights than the sparsity allows; the last one reaches it, by the
            alpha, one for all units, that leaves as many.
        select: cut what each training came to at its ``last`` epoch, or at the best one on the ``validation`` examples.
        always_drop_one: the least s of a unit goes even at alpha = 1, as in the published code.

    Deviations: biases take part in the sums and stay where the unit does; of equal s the first ones are kept, not all dropped;
    the published code chooses the epoch on the test set.
    """

    method: Literal["nn_relief"] = "nn_relief"
    alpha: float = Field(0.95, gt=0, le=1)
    kernel_alpha: float = Field(0.9, gt=0, le=1)
    examples: int = Field(1000, ge=1)
    rounds: int = Field(5, ge=1)
    round_epochs: int | None = Field(None, ge=0)
    select: Literal["last", "validation"] = "last"
    always_drop_one: bool = False

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        expect_chain(network, self.method)

    def train(self, cohort: Cohort, epochs: int, before_step: BeforeStep | None = None) -> None:
        if self.select == "last":
            return super().train(cohort, epochs, before_step)
        cohort.forget_choice()
        cohort.advance(epochs, final=True, before_step=before_step)
        for number, state in enumerate(cohort.selected if epochs else ()):
            cohort.population.load(number, state)
        cohort.forget_choice()

    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        """Return for each weight the share of what its unit is told by it and by all that tell less: kept if above 1 - alpha."""
        state = cohort.population.state(number)
        x, _ = cohort.sample(number, self.examples, turn)
        cohort.charge_sparse([number], len(x))
        read = mean_inputs(cohort.network, state, x)
        found = []
        for layer, inputs, own in zip(cohort.network.layers, read, connections, strict=True):
            signals = np.abs(state[layer.parameter].reshape(layer.shape[0], -1)) * inputs
            bias = np.abs(state.get(f"{layer.name}.bias", np.zeros(layer.shape[0], np.float32)))
            found.append(shares(layer, signals, bias, self.always_drop_one)[own])
        return found

    def _kept(self, cohort: Cohort, number: int, existing: Connections, turn: int) -> list[Positions]:
        scores, layers = self.scores(cohort, number, existing, turn), cohort.network.layers
        wanted = self.budget(cohort, number, self.rounds_of(cohort))[0]
        alphas = [self.alpha if len(layer.shape) == 2 else self.kernel_alpha for layer in layers]
        if turn < self.rounds_of(cohort):
            kept = [
                own if alpha == 1 and not self.always_drop_one else own[score > 1 - alpha]
                for own, score, alpha in zip(existing, scores, alphas, strict=True)
            ]
            kept = without_unheard(layers, kept)
            if sum(map(len, kept)) >= wanted:
                return kept
        # Each layer's own alpha stands at zero, so that those of linear layers and of convolutions are cut side by side.
        relative = [score - (1 - alpha) for score, alpha in zip(scores, alphas, strict=True)]
        return heard_best(layers, relative, wanted, existing)


def shares(layer: Layer, signals: np.ndarray, bias: np.ndarray, drop_least: bool = False) -> np.ndarray:
    """Return, for each weight, 1 minus the share of its unit's signals that greater ones bring; kernels count as one.

    Args:
        layer: the layer.
        signals: (units, fan_in) of each weight.
        bias: (units,) of each bias.
        drop_least: the least one of a unit, the bias among them, has a share of 0.

    Returns:
        (size,) float64, from 0 to 1; 0 for all weights of a unit that is told nothing.
    """
    units, kernel = layer.shape[0], layer.fan_in // layer.shape[1]
    entries = signals.reshape(units, layer.shape[1], kernel).sum(axis=2, dtype=np.float64)
    entries = np.concatenate([entries, bias[:, None]], axis=1)
    order = np.argsort(-entries, axis=1, kind="stable")
    ordered = np.take_along_axis(entries, order, axis=1)
    with np.errstate(invalid="ignore"):  # of a network that has diverged; whoever chooses by the shares says so
        before = np.cumsum(ordered, axis=1) - ordered
        total = ordered.sum(axis=1, keepdims=True)
        left = np.divide(total - before, total, out=np.zeros_like(before), where=total != 0)
    if drop_least:
        left[:, -1] = 0
    found = np.empty_like(left)
    np.put_along_axis(found, order, left, axis=1)
    return np.repeat(found[:, :-1], kernel, axis=1).reshape(-1)
