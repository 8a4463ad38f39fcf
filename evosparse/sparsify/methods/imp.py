"""Iterative magnitude pruning with retraining: Zimmer, Spiegel and Pokutta, ICLR 2023, arXiv 2111.00843."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

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
        retrain_epochs: of each retraining; None for ``round_epochs`` between cuts and a whole training behind the last.
        norm: what ALLR measures the loss of a cut by: all parameters, or the ``weights`` alone.
        momentum_at_prune: each retraining has a fresh optimizer (``reset``), or goes on with the moments of the weights that
            are left (``keep_masked``). The published code keeps those of removed weights too.

    ALLR's factor in the last retraining is the measure ``retraining_rate``.
    """

    method: Literal["imp"] = "imp"
    retraining: Retraining = "allr"
    retrain_epochs: int | None = Field(None, ge=1)
    norm: Literal["all", "weights"] = "all"
    momentum_at_prune: Literal["reset", "keep_masked"] = "reset"

    def sparsify(self, cohort: Cohort) -> None:
        for turn in range(2, self.rounds_of(cohort) + 2):
            self._schedule(cohort).expect_fitting(self.epochs_of(cohort, turn))
        super().sparsify(cohort)

    def begin(
        self, cohort: Cohort, connections: Sequence[Connections], states: Sequence[State] | None, turn: int
    ) -> int:
        epochs = self.epochs_of(cohort, turn)
        if turn == 1:
            cohort.begin(connections, epochs, self.first_training(cohort))
            return epochs
        rates = [self._rate(cohort, number, own, epochs) for number, own in enumerate(connections)]
        for number, rate in enumerate(rates):
            cohort.further[number]["retraining_rate"] = rate
        training = cohort.training.model_copy(update={"schedule": self._schedule(cohort)})
        redraw = self.redraw and turn > self.rounds_of(cohort)
        before = cohort.population
        cohort.begin(
            connections,
            epochs,
            training,
            redraw,
            states=None if redraw else states,
            kind=partial(PacedPopulation, rates),
        )
        if self.momentum_at_prune == "keep_masked" and not redraw:
            assert isinstance(cohort.population, PacedPopulation)
            cohort.population.adopt_moments(before)
        return epochs

    def first_training(self, cohort: Cohort) -> TrainingSpec:
        """Return how dense networks are trained."""
        return cohort.training

    def epochs_of(self, cohort: Cohort, turn: int) -> int:
        """Return the epochs of the training before a cut, or behind the last one (see `Pruning.begin`)."""
        first = cohort.epochs if self.round_epochs is None else self.round_epochs
        if turn == 1:
            return first
        return self.retrain_epochs or (cohort.epochs if turn > self.rounds_of(cohort) else first)

    def _schedule(self, cohort: Cohort) -> RetrainingSchedule:
        steps = -(-len(cohort.train.x) // cohort.training.batch)
        original = self.first_training(cohort).schedule
        return RetrainingSchedule(self.retraining, original, max(1, self.epochs_of(cohort, 1)), steps)

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
        return adaptive_start(whole, left, removed, epochs, max(1, self.epochs_of(cohort, 1)))


@method
class BIMP(IMP):
    """Budgeted IMP: dense training and retraining together last as long as one training of another method.

    Attributes:
        dense_share: of the epochs, for the dense training, whose learning rate falls linearly to zero; the rest is
            divided among the rounds. Where ``round_epochs`` is given, it says how long the trainings are, as for `IMP`.
    """

    method: Literal["bimp"] = "bimp"
    dense_share: float = Field(0.5, gt=0, lt=1)

    def first_training(self, cohort: Cohort) -> TrainingSpec:
        return cohort.training.model_copy(update={"schedule": ScheduleSpec(name="linear")})

    def epochs_of(self, cohort: Cohort, turn: int) -> int:
        if self.round_epochs is not None:
            return super().epochs_of(cohort, turn)
        first = max(1, round(self.dense_share * cohort.epochs))
        rest, rounds = cohort.epochs - first, self.rounds_of(cohort)
        return first if turn == 1 else rest * (turn - 1) // rounds - rest * (turn - 2) // rounds
