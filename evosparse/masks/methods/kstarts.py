"""K-starts: the fittest of k random masks, as the first epochs judge them.

Haroon, "What to Prune and What Not to Prune at Initialization", arXiv 2209.02201. A reconstruction from its abstract; each
ambiguity is a parameter.

    draw k masks of the asked sparsity, uniformly
    train for E epochs; judge each mask by the weights or accumulated gradients it keeps
    the fittest mask (or, layer by layer, the fittest layer) is the winner; training goes on under it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import State
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError
from evosparse.masks.fitness import MaskedScoreFitness, ScoreFitness, TrainedFitness, layer_score
from evosparse.masks.genome import Mask
from evosparse.masks.methods.base import RECONSTRUCTION, MaskSearch, Method, within
from evosparse.masks.operators import compose, random_mask
from evosparse.masks.prelude import Accumulation
from evosparse.masks.starts import Starts, StartSpec
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets.sparsity import LayerShape


class KStarts(Method):
    """Parameters of K-starts; the defaults are the reading of the abstract that is closest to its words.

    Attributes:
        sparsity: share of the weights that do not exist, in [0, 1).
        k: number of random masks.
        epochs: E, after which they are judged.
        judged_by: magnitude of the weights, of the accumulated gradient, their product, or validation accuracy.
        accumulate: magnitude of the gradient summed over the last epoch, or the sum of its magnitudes.
        train_during: one dense network for all masks, or each network under its own mask.
        scope: choose per layer, or one mask for the whole network; by default per layer when judged by scores.
        rewind: train the winner from the initial weights on, instead of going on from the dense network.
        start: published methods whose masks are the k masks, each with as many weights as the search asks for, distributed
            over the layers as the method has it; by default the masks are random.
    """

    method: Literal["kstarts"] = "kstarts"
    sparsity: float = Field(0.9, ge=0, lt=1)
    k: int = Field(50, ge=1)
    epochs: int = Field(1, ge=1)
    judged_by: Literal["weight", "gradient", "both", "accuracy"] = "gradient"
    accumulate: Accumulation = "abs_of_sum"
    train_during: Literal["dense", "masked"] = "dense"
    scope: Literal["layer", "global"] | None = None
    rewind: bool = False
    start: StartSpec | None = None

    @model_validator(mode="after")
    def _accuracy_has_no_layers(self) -> KStarts:
        if self.judged_by == "accuracy" and self.scope == "layer":
            raise ValueError("scope 'layer' needs a score for each layer, and accuracy has none: set scope to 'global'")
        return self

    @model_validator(mode="after")
    def _layers_belong_together(self) -> KStarts:
        if self.start is not None and self.per_layer:
            raise ValueError("'start' distributes weights over the layers of each mask otherwise: set scope to 'global'")
        return self

    @property
    def per_layer(self) -> bool:
        """Whether each layer has a winner of its own."""
        return (self.scope or ("global" if self.judged_by == "accuracy" else "layer")) == "layer"

    @property
    def dense_epochs(self) -> int:
        """Epochs of dense training that a winner's network has behind it."""
        return self.epochs if self.train_during == "dense" and not self.rewind else 0

    @property
    def notes(self) -> tuple[str, ...]:
        return (RECONSTRUCTION.format(method="K-starts"),)

    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        return self.counts(layers, self.sparsity)

    def search(self, bench: Workbench) -> KStartsSearch:
        return KStartsSearch(self, bench)

    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        if self.judged_by == "accuracy":
            dense = self.train_during == "dense"
            return TrainedFitness(epochs=0 if dense else self.epochs, dense_epochs=self.epochs if dense else 0)
        kind = ScoreFitness if self.train_during == "dense" else MaskedScoreFitness
        return kind(self.judged_by, self.accumulate, [Phase(None, self.epochs)], epochs)

    def check_fitness(self, fitness: Fitness) -> None:
        if self.scope == "layer":
            raise SpecError("search.scope: 'layer' needs the scores of K-starts' own fitness: leave it out, or set 'global'")


class KStartsSearch(MaskSearch):
    """K-starts as a search: generation 0 holds the k masks, generation 1 the mask of the layers' winners.

    Args:
        parameters: of the method.
        bench: data, network and training.
    """

    def __init__(self, parameters: KStarts, bench: Workbench) -> None:
        self.parameters = parameters
        self.layers = bench.network.layers
        self.counts = parameters.counts(self.layers, parameters.sparsity)
        self.generations = 2 if parameters.per_layer else 1
        self.generation = 0
        self.begun: list[Candidate] = []
        if parameters.start is not None:
            self.starts = Starts(parameters.start, bench, [sum(self.counts)] * parameters.k)

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self.generation == 0:
            if self.starts is not None:
                return self.starts.candidates(key)
            return [Candidate(mask) for mask in random_masks(self.layers, self.counts, self.parameters.k, key)]
        if self.generation == 1 and self.parameters.per_layer:
            winner = layer_winner(self.begun)
            return [winner] if winner is not None else []
        return []

    def tell(self, candidates: Sequence[Candidate]) -> None:
        if self.generation == 0:
            self.begun = [candidate for candidate in candidates if candidate.ok]
        self.generation += 1

    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        dense = self.parameters.dense_epochs
        return within(mask, epochs, *([Phase(None, dense)] if dense else []))

    def state(self) -> State:
        state = State({"generation": self.generation}, candidates={"starts": self.begun})
        return state if self.starts is None else self.starts.added_to(state)

    def restore(self, state: State) -> None:
        self.generation = int(state.values["generation"])
        self.begun = list(state.candidates["starts"])
        if self.starts is not None:
            self.starts.restore(state)


def random_masks(layers: Sequence, counts: Sequence[int], k: int, key: SeedKey) -> list[Mask]:
    """Draw k masks, each from its own key, so that the first of 50 are those of 10."""
    return [random_mask(layers, counts, key.child("start", index).rng()) for index in range(k)]


def layer_winner(starts: Sequence[Candidate]) -> Candidate | None:
    """Put together the best layers of all starts; None if there is no score for each layer, or nobody to choose from."""
    if not starts or any(layer_score(layer.name) not in starts[0].outcome.measures for layer in starts[0].genome.layers):
        return None
    best = [
        max(starts, key=lambda start, name=layer_score(layer.name): start.outcome.measures[name])
        for layer in starts[0].genome.layers
    ]
    parents = tuple(dict.fromkeys(start.uid for start in best))
    return Candidate(compose([start.genome for start in best]), parents=parents)
