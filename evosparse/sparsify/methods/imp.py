"""Iterative magnitude pruning with retraining: Zimmer, Spiegel and Pokutta, ICLR 2023, arXiv 2111.00843."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from evosparse.nets import Connections, Population, ScheduleSpec, TrainingSpec
from evosparse.nets.paced import PacedPopulation
from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.methods.magnitude import Magnitude
from evosparse.sparsify.retraining import Retraining, RetrainingSchedule, adaptive_start


@method
class IMP(Magnitude):
    """Magnitude pruning of a trained network; after each of ``rounds`` cuts it is retrained by a schedule of its own.

    Attributes:
        retraining: the schedule, see `RetrainingSchedule`.
        retrain_epochs: of all rounds together; None for as many as the first training has.
        norm: what ALLR measures the loss of a cut by: all parameters, or the ``weights`` alone.

    ALLR's factor in the last retraining is the measure ``retraining_rate``.

    Deviation: each retraining has a fresh optimizer; the published code keeps moments, those of removed weights too.
    """

    method: Literal["imp"] = "imp"
    retraining: Retraining = "allr"
    retrain_epochs: int | None = Field(None, ge=1)
    norm: Literal["all", "weights"] = "all"

    def sparsify(self, cohort: Cohort) -> None:
        for turn in range(2, self.rounds_of(cohort) + 2):
            self._schedule(cohort).expect_fitting(self._epochs(cohort, turn))
        super().sparsify(cohort)

    def begin(
        self, cohort: Cohort, connections: Sequence[Connections], states: Sequence[State] | None, turn: int
    ) -> int:
        epochs = self._epochs(cohort, turn)
        if turn == 1:
            cohort.begin(connections, epochs, self.first_training(cohort))
            return epochs
        rates = [self._rate(cohort, number, own, epochs) for number, own in enumerate(connections)]
        for number, rate in enumerate(rates):
            cohort.further[number]["retraining_rate"] = rate
        training = cohort.training.model_copy(update={"schedule": self._schedule(cohort)})
        redraw = self.redraw and turn > self.rounds_of(cohort)
        cohort.begin(
            connections,
            epochs,
            training,
            redraw,
            states=None if redraw else states,
            kind=partial(PacedPopulation, rates),
        )
        return epochs

    def first_training(self, cohort: Cohort) -> TrainingSpec:
        """Return how dense networks are trained."""
        return cohort.training

    def budgeted(self, cohort: Cohort) -> tuple[int, int]:
        """Return the epochs of the first training and of all retraining."""
        first = cohort.epochs if self.round_epochs is None else self.round_epochs
        return first, self.retrain_epochs or cohort.epochs

    def _epochs(self, cohort: Cohort, turn: int) -> int:
        first, rest = self.budgeted(cohort)
        rounds = self.rounds_of(cohort)
        return first if turn == 1 else rest * (turn - 1) // rounds - rest * (turn - 2) // rounds

    def _schedule(self, cohort: Cohort) -> RetrainingSchedule:
        first, _ = self.budgeted(cohort)
        steps = -(-len(cohort.train.x) // cohort.training.batch)
        return RetrainingSchedule(self.retraining, self.first_training(cohort).schedule, max(1, first), steps)

    def _rate(self, cohort: Cohort, number: int, kept: Connections, epochs: int) -> float:
        """Return a network's factor of the learning rate behind a cut, which the population has not seen yet."""
        if self.retraining != "allr":
            return 1.0
        population: Population = cohort.population
        before = cohort.connections[number]
        state = population.state(number)
        others = cohort.network.unmasked if self.norm == "all" else ()
        other = sum(float(np.square(state[name], dtype=np.float64).sum()) for name in others)
        weights = [state[layer.parameter].reshape(-1).astype(np.float64) for layer in cohort.network.layers]
        whole, left = (
            np.sqrt(other + sum(float(np.square(w[own]).sum()) for w, own in zip(weights, every, strict=True)))
            for every in (before, kept)
        )
        removed = 1 - sum(map(len, kept)) / max(1, sum(map(len, before)))
        return adaptive_start(whole, left, removed, epochs, self.budgeted(cohort)[0])


@method
class BIMP(IMP):
    """Budgeted IMP: dense training and retraining together last as long as one training of another method.

    Attributes:
        dense_share: of the epochs, for the dense training, whose learning rate falls linearly to zero.
    """

    method: Literal["bimp"] = "bimp"
    dense_share: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _budget_alone(self) -> BIMP:
        if (self.round_epochs, self.retrain_epochs) != (None, None):
            raise ValueError(
                "bimp divides the epochs of one training by dense_share; leave round_epochs and retrain_epochs out, or take imp"
            )
        return self

    def first_training(self, cohort: Cohort) -> TrainingSpec:
        return cohort.training.model_copy(update={"schedule": ScheduleSpec(name="linear")})

    def budgeted(self, cohort: Cohort) -> tuple[int, int]:
        first = max(1, round(self.dense_share * cohort.epochs))
        return first, max(0, cohort.epochs - first)
