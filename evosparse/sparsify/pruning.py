"""The family of methods that score weights, keep the best, and train or retrain what is left.

    for each round: train so many epochs; score existing weights; keep the best; set back
    train what is left to the end

Four parts are chosen apart from each other: what is scored (a method's `Pruning.scores`), over which weights scores are
compared (``scope``, ``distribution``), when (``rounds``, ``round_epochs``), and what is trained on (``reset``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from evosparse.nets import Connections, Network
from evosparse.nets.population import BeforeStep
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify.base import Sparsifier
from evosparse.sparsify.budget import Positions, best, best_of_all
from evosparse.sparsify.cohort import Cohort, State

Reset = Literal["init", "rewind", "finetune"]
Scores = Sequence[np.ndarray]


class Pruning(Sparsifier):
    """Parameters that all of this family share.

    Attributes:
        scope: compare scores within each layer, or over the whole network.
        distribution: with scope ``layer``, how many weights each layer keeps.
        rounds: in how many cuts the sparsity is reached, by equal shares of what is left.
        round_epochs: epochs of training before each cut; 0 to cut at initialisation; None for those of a whole training.
        reset: after a cut weights are set back to their ``init``-ial values, to those of step ``rewind_steps``
            (``rewind``), or go on as they are (``finetune``). The optimizer is fresh in any case.
        rewind_steps: see above.
        retrain_rate: factor of the learning rate in the last training.
        redraw: train what is left from other initial weights, the control of lottery tickets.
    """

    scope: Literal["global", "layer"] = "global"
    distribution: Distribution = Distribution(output_floor=0)
    rounds: int = Field(1, ge=1)
    round_epochs: int | None = Field(0, ge=0)
    reset: Reset = "init"
    rewind_steps: int = Field(0, ge=0)
    retrain_rate: float = Field(1.0, gt=0)
    redraw: bool = False

    @abstractmethod
    def scores(self, cohort: Cohort, number: int, connections: Connections, turn: int) -> Scores:
        """Score a network's weights; the greatest are kept.

        Args:
            cohort: the networks in training.
            number: which of them.
            connections: its existing weights, as arrays of flat indices.
            turn: number of the cut.

        Returns:
            For each layer, (connections,) scores.
        """

    def sparsify(self, cohort: Cohort) -> None:
        """Cut round by round, then train to the end."""
        connections, states = cohort.dense, None
        early: list[State] | None = None
        cuts = self.rounds_of(cohort)
        for turn in range(1, cuts + 1):
            early = self._train(cohort, self.begin(cohort, connections, states, turn), early)
            existing = cohort.connections
            # All are scored and cut, the random ones of one network by its own key alone.
            connections = [self._kept(cohort, number, existing[number], turn) for number in range(len(cohort))]
            states = self._set_back(cohort, early)
            self.after_cut(cohort, connections, turn)
        epochs = self.begin(cohort, connections, states, cuts + 1)
        cohort.advance(0 if cohort.masks_alone else epochs, final=True)

    def begin(self, cohort: Cohort, connections: Sequence[Connections], states: Sequence[State] | None, turn: int) -> int:
        """Begin the training before a cut, or behind the last one, and return its epochs.

        Args:
            cohort: the networks; where there was a training before, its population is still there.
            connections: the weights that exist from now on, for each network.
            states: what they begin with; None for initial weights.
            turn: number of the cut that follows; behind the last cut one more.
        """
        training, last = cohort.training, turn > self.rounds_of(cohort)
        if last and self.retrain_rate != 1:
            training = training.model_copy(update={"learning_rate": training.learning_rate * self.retrain_rate})
        epochs = cohort.epochs if last or self.round_epochs is None else self.round_epochs
        redraw = last and self.redraw
        cohort.begin(connections, epochs, training, redraw, states=None if redraw else states)
        return epochs

    def train(self, cohort: Cohort, epochs: int, before_step: BeforeStep | None = None) -> None:
        """Train before a cut; what the population is then is scored."""
        cohort.advance(epochs, before_step=before_step)

    def after_cut(self, cohort: Cohort, connections: Sequence[Connections], turn: int) -> None:
        """Do something with what a cut left; by default nothing. The cohort's population may be replaced."""

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        if self.scope == "layer":
            counts(network.layers, sparsity, self.distribution)

    def rounds_of(self, cohort: Cohort) -> int:
        """Return the number of cuts."""
        return self.rounds

    def budget(self, cohort: Cohort, number: int, turn: int) -> tuple[int, ...]:
        """Return how many weights each layer keeps after a cut; with scope ``global`` their sum counts alone."""
        density = (1 - cohort.replicates[number].sparsity) ** (turn / self.rounds_of(cohort))
        if self.scope == "global":
            return (round(density * cohort.size),)
        return counts(cohort.network.layers, 1 - density, self.distribution)

    def _kept(self, cohort: Cohort, number: int, existing: Connections, turn: int) -> list[Positions]:
        scores = self.scores(cohort, number, existing, turn)
        budget = self.budget(cohort, number, turn)
        if self.scope == "global":
            return best_of_all(scores, budget[0], existing)
        return [own[best(score, count)] for own, score, count in zip(existing, scores, budget, strict=True)]

    def _train(self, cohort: Cohort, epochs: int, early: list[State] | None) -> list[State] | None:
        """Train before a cut; in the first round remember the networks at the step to which they are set back."""
        if early is not None or self.reset != "rewind":
            self.train(cohort, epochs)
            return early
        states: list[State] = []

        def remember(_: object) -> bool:
            if cohort.population.steps == self.rewind_steps:
                states.extend(cohort.population.state(number) for number in range(len(cohort)))
            return False

        self.train(cohort, epochs, remember)
        return states or self._states(cohort)

    def _set_back(self, cohort: Cohort, early: list[State] | None) -> list[State] | None:
        if self.reset == "finetune":
            return self._states(cohort)
        return early if self.reset == "rewind" else None

    @staticmethod
    def _states(cohort: Cohort) -> list[State]:
        return [cohort.population.state(number) for number in range(len(cohort))]


def magnitudes(cohort: Cohort, number: int) -> list[np.ndarray]:
    """Return, for each layer, the (connections,) magnitudes of a network's existing weights."""
    return [np.abs(cohort.population.weights(layer, number)) for layer in range(len(cohort.network.layers))]
