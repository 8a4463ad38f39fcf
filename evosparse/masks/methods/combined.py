"""K-starts and dissipating gradients one after the other, in either order; each removes the same share.

Haroon, "What to Prune and What Not to Prune at Initialization", arXiv 2209.02201. A reconstruction from its abstract; each
ambiguity is a parameter. With density d asked for:

    the first method cuts to sqrt(d) after E dense epochs
    training goes on for an epoch under its mask
    the second method cuts to d among the survivors
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.masks.fitness import ScoreFitness
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import RECONSTRUCTION, MaskSearch, Method, within
from evosparse.masks.methods.kstarts import layer_winner, random_masks
from evosparse.masks.operators import random_submask
from evosparse.masks.prelude import Accumulation, Change, Criterion, changes, dense_mask, keep_largest, run_phases
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets.sparsity import LayerShape


class Combined(Method):
    """Parameters of the combined method.

    Attributes:
        sparsity: share of the weights that do not exist in the end, in [0, 1).
        order: which method cuts first.
        k: number of random masks of K-starts.
        epochs: E, dense epochs before the first cut.
        between: epochs under the first mask, before the second cut.
        judged_by, accumulate: how K-starts judges its masks, layer by layer.
        change: how dissipating gradients measures how far a weight moved.
    """

    method: Literal["combined"] = "combined"
    sparsity: float = Field(0.9, ge=0, lt=1)
    order: Literal["kstarts_first", "dissipating_first"] = "kstarts_first"
    k: int = Field(50, ge=1)
    epochs: int = Field(1, ge=1)
    between: int = Field(1, ge=1)
    judged_by: Criterion = "weight"
    accumulate: Accumulation = "abs_of_sum"
    change: Change = "relative"

    @property
    def notes(self) -> tuple[str, ...]:
        return (RECONSTRUCTION.format(method="the combined method"),)

    @property
    def first_sparsity(self) -> float:
        """Sparsity after the first cut: both cuts keep the same share, the root of the density."""
        return 1 - math.sqrt(1 - self.sparsity)

    def first_counts(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        """Return how many connections each layer has after the first cut."""
        # Not fewer than the second cut keeps: a floor of the output layer may lie above the root.
        return tuple(map(max, self.counts(layers, self.first_sparsity), self.counts(layers, self.sparsity)))

    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        return self.first_counts(layers)

    def search(self, bench: Workbench) -> MaskSearch:
        return KStartsFirst(self, bench) if self.order == "kstarts_first" else DissipatingFirst(self, bench)

    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        if self.order == "kstarts_first":
            return ScoreFitness(self.judged_by, self.accumulate, [Phase(None, self.epochs)], epochs)
        return DissipatedScoreFitness(self, epochs)

    def check_fitness(self, fitness: Fitness) -> None:
        raise SpecError("fitness: the combined method is driven by its own scores: leave the section out")


class _CombinedSearch(MaskSearch):
    """What both orders share: three generations at the most, and the mask of the first cut.

    Args:
        parameters: of the method.
        bench: data, network and training.
    """

    generations = 3

    def __init__(self, parameters: Combined, bench: Workbench) -> None:
        self.parameters = parameters
        self.bench = bench
        layers = bench.network.layers
        self.counts = parameters.counts(layers, parameters.sparsity)
        self.first_counts = parameters.first_counts(layers)
        self.generation = 0
        self.last: list[Candidate] = []
        self.first: list[Candidate] = []

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.last = [candidate for candidate in candidates if candidate.ok]
        if self._is_first_cut(self.generation):
            self.first = self.last[:1]
        self.generation += 1

    @abstractmethod
    def _is_first_cut(self, generation: int) -> bool:
        """Whether this generation holds the one mask of the first cut."""

    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        before = [Phase(None, self.parameters.epochs)]
        if self.first:
            before.append(Phase(self.first[0].genome, self.parameters.between))
        return within(mask, epochs, *before)

    def state(self) -> State:
        return State({"generation": self.generation}, candidates={"last": self.last, "first": self.first})

    def restore(self, state: State) -> None:
        self.generation = int(state.values["generation"])
        self.last = list(state.candidates["last"])
        self.first = list(state.candidates["first"])


class KStartsFirst(_CombinedSearch):
    """Generation 0: the k masks; generation 1: the layers' winners; generation 2: what dissipates among them."""

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self.generation == 0:
            masks = random_masks(self.bench.network.layers, self.first_counts, self.parameters.k, key)
            return [Candidate(mask, contender=False) for mask in masks]
        if self.generation == 1:
            winner = layer_winner(self.last)
            if winner is not None:
                winner.contender = False
            return [winner] if winner is not None else []
        if self.generation == 2 and self.first:
            phases = self.phases(self.first[0].genome, 0)[:-1]
            population = run_phases(self.bench, key, phases)
            mask = keep_largest(changes(population, self.parameters.change), self.counts, self.first[0].genome)
            return [Candidate(mask, parents=(self.first[0].uid,))]
        return []

    def _is_first_cut(self, generation: int) -> bool:
        return generation == 1


class DissipatingFirst(_CombinedSearch):
    """Generation 0: what dissipates; generation 1: k masks within it; generation 2: the layers' winners."""

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self.generation == 0:
            return [Candidate(first_dissipation(self.parameters, self.bench, key, self.first_counts), contender=False)]
        if self.generation == 1 and self.first:
            first = self.first[0]
            return [
                Candidate(random_submask(first.genome, self.counts, key.child("start", index).rng()), parents=(first.uid,))
                for index in range(self.parameters.k)
            ]
        if self.generation == 2:
            winner = layer_winner(self.last)
            return [winner] if winner is not None else []
        return []

    def _is_first_cut(self, generation: int) -> bool:
        return generation == 0


class DissipatedScoreFitness(ScoreFitness):
    """Scores in a network whose weights have dissipated first: each worker repeats that cut for itself.

    Args:
        parameters: of the method.
        epochs: length of the whole training, for the learning-rate schedule.
    """

    def __init__(self, parameters: Combined, epochs: int) -> None:
        super().__init__(parameters.judged_by, parameters.accumulate, (), epochs)
        self.parameters = parameters

    def evaluate(self, genomes: Sequence[Mask], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        if not self.phases:
            counts = self.parameters.first_counts(self.bench.network.layers)
            mask = first_dissipation(self.parameters, self.bench, seeds[0], counts)
            self.phases = (Phase(None, self.parameters.epochs), Phase(mask, self.parameters.between))
        return super().evaluate(genomes, seeds)


def first_dissipation(parameters: Combined, bench: Workbench, key: SeedKey, counts: Sequence[int]) -> Mask:
    """Return the mask that dissipating gradients leaves when it cuts first."""
    population = run_phases(bench, key, [Phase(None, parameters.epochs)])
    return keep_largest(changes(population, parameters.change), counts, dense_mask(bench))
