"""Dissipating gradients: remove the weights that stay near their initial value in the first epochs.

Haroon, "What to Prune and What Not to Prune at Initialization", arXiv 2209.02201. A reconstruction from its abstract; each
ambiguity is a parameter.

    train the dense network for E epochs
    rule budget:    keep the asked number of weights, those that changed most
    rule threshold: after each epoch remove the weights that changed by no more than a fraction, down to the asked number
    training goes on under the mask
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.masks.fitness import TrainedFitness
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import RECONSTRUCTION, MaskSearch, Method, within
from evosparse.masks.prelude import Change, changes, dense_mask, keep_largest, run_phases
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets.sparsity import LayerShape


class Dissipating(Method):
    """Parameters of dissipating gradients.

    Attributes:
        sparsity: share of the weights to remove, in [0, 1); None (with the rule threshold) removes all that stay.
        epochs: E, the epochs during which weights may move.
        change: how far a weight moved, relative to its initial value (the abstract's words) or absolute (the control).
        rule: an exact budget, or a threshold that is applied after each epoch.
        fraction: the threshold.
        removed: removed weights become zero, or stay for ever at their initial value.
        rewind: train the network from the initial weights on, instead of going on.
        judge_epochs: epochs under the mask before its validation accuracy is taken as its fitness.
    """

    method: Literal["dissipating"] = "dissipating"
    sparsity: float | None = Field(0.9, ge=0, lt=1)
    epochs: int = Field(1, ge=1)
    change: Change = "relative"
    rule: Literal["budget", "threshold"] = "budget"
    fraction: float = Field(0.1, gt=0)
    removed: Literal["set_to_zero", "freeze_at_initial"] = "set_to_zero"
    rewind: bool = False
    judge_epochs: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _budget_needs_sparsity(self) -> Dissipating:
        if self.sparsity is None and self.rule == "budget":
            raise ValueError("rule 'budget' needs a sparsity: give one, or set rule to 'threshold'")
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        return (RECONSTRUCTION.format(method="dissipating gradients"),)

    @property
    def freezes(self) -> bool:
        """Whether removed weights keep their initial value."""
        return self.removed == "freeze_at_initial"

    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        if self.rule == "threshold":  # which may remove nothing
            return tuple(math.prod(layer.shape) for layer in layers)
        return self.counts(layers, self.sparsity)

    def search(self, bench: Workbench) -> DissipatingSearch:
        return DissipatingSearch(self, bench)

    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        return TrainedFitness(epochs=self.judge_epochs, dense_epochs=0 if self.rewind else self.epochs)


class DissipatingSearch(MaskSearch):
    """Dissipating gradients as a search of one candidate; the dense network is trained where the campaign runs.

    Args:
        parameters: of the method.
        bench: data, network and training.
    """

    generations = 1

    def __init__(self, parameters: Dissipating, bench: Workbench) -> None:
        self.parameters = parameters
        self.bench = bench
        self.done = False

    def ask(self, key: SeedKey) -> list[Candidate]:
        return [] if self.done else [Candidate(dissipate(self.parameters, self.bench, key))]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.done = True

    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        return within(mask, epochs, *([] if self.parameters.rewind else [Phase(None, self.parameters.epochs)]))

    def state(self) -> State:
        return State({"done": self.done})

    def restore(self, state: State) -> None:
        self.done = bool(state.values["done"])


def dissipate(parameters: Dissipating, bench: Workbench, key: SeedKey) -> Mask:
    """Return the mask that the first epochs leave."""
    mask = dense_mask(bench)
    counts = [1] * len(mask.layers)
    if parameters.sparsity is not None:
        counts = parameters.counts(bench.network.layers, parameters.sparsity)
    if parameters.rule == "budget":
        population = run_phases(bench, key, [Phase(None, parameters.epochs)])
        return keep_largest(changes(population, parameters.change), counts, mask)
    population = bench.population([None], [bench.seeds(key.root)], parameters.epochs)
    for _ in range(parameters.epochs):
        population.train(bench.train.x, bench.train.y, 1)
        moved = changes(population, parameters.change)
        survivors = [
            max(count, int(np.count_nonzero(change > parameters.fraction)))
            for count, change in zip(counts, moved, strict=True)
        ]
        mask = keep_largest(moved, survivors, mask)
        bench.cut(population, [mask])
    return mask
