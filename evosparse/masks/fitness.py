"""The fitness functions that the searches bring: validation accuracy after a short training, and K-starts' scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Resources
from evosparse.engine.seeds import SeedKey
from evosparse.masks.genome import Mask
from evosparse.masks.prelude import Accumulation, Criterion, Scores, run_phases, score
from evosparse.masks.workbench import Phase, Workbench
from evosparse.nets import Population

SCORE = "score"


class TrainedFitness(Fitness):
    """Validation accuracy of each mask's network after a short training of a whole batch at once.

    Derive from it and override `measure` (and `objectives`) to judge trained networks by something else.

    Args:
        epochs: length of the training under the mask.
        dense_epochs: epochs of dense training before the mask is cut.
        objectives: what to optimise of the measures accuracy, loss and weights.
    """

    objectives: Objectives = {"accuracy": "max"}

    def __init__(self, epochs: int = 1, dense_epochs: int = 0, objectives: Objectives | None = None) -> None:
        self.epochs = epochs
        self.dense_epochs = dense_epochs
        if objectives is not None:
            self.objectives = dict(objectives)

    def prepare(self, resources: Resources) -> None:
        """Keep the workbench."""
        self.bench: Workbench = resources.data

    def evaluate(self, genomes: Sequence[Mask], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Train the networks of all masks as one tensor program, and measure each."""
        if not self.dense_epochs:
            population = self.bench.train_networks(genomes, seeds, self.epochs)
        else:
            own = [self.bench.seeds(seed) for seed in seeds]
            population = self.bench.population([None] * len(genomes), own, self.dense_epochs + self.epochs)
            population.train(self.bench.train.x, self.bench.train.y, self.dense_epochs)
            self.bench.cut(population, genomes)
            population.train(self.bench.train.x, self.bench.train.y, self.epochs)
        return self.measure(population, genomes)

    def measure(self, population: Population, masks: Sequence[Mask]) -> Sequence[Mapping[str, float]]:
        """Measure trained networks, one for each mask."""
        validation = self.bench.validation
        found = population.evaluate(validation.x, validation.y)
        return [
            {"accuracy": accuracy, "loss": loss, "weights": mask.count}
            for accuracy, loss, mask in zip(found.accuracy, found.loss, masks, strict=True)
        ]


class ScoreFitness(Fitness):
    """K-starts' judgement: the sum of a mask's weights' scores in a network that is trained without it.

    The network is trained once on each worker, not once for each mask.

    Args:
        criterion: magnitude of the weights, of the accumulated gradient, or their product.
        accumulation: magnitude of the summed gradient, or sum of the magnitudes.
        phases: what the network goes through before masks are judged.
        epochs: length of the whole training, for the learning-rate schedule.
    """

    objectives: Objectives = {SCORE: "max"}

    def __init__(self, criterion: Criterion, accumulation: Accumulation, phases: Sequence[Phase], epochs: int = 0) -> None:
        self.criterion = criterion
        self.accumulation = accumulation
        self.phases = tuple(phases)
        self.epochs = epochs
        self._scores: Scores | None = None

    def prepare(self, resources: Resources) -> None:
        """Keep the workbench, and forget another's scores."""
        self.bench: Workbench = resources.data
        self._scores = None

    def evaluate(self, genomes: Sequence[Mask], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Sum the scores over each mask, in all and for each layer."""
        if self._scores is None:
            population = run_phases(self.bench, seeds[0], self.phases, self.accumulation, self.epochs)
            self._scores = score(population, self.criterion)
        return [layered(mask, self._scores) for mask in genomes]


class MaskedScoreFitness(ScoreFitness):
    """The same score, but of each mask in its own network, trained under that mask."""

    def evaluate(self, genomes: Sequence[Mask], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float]]:
        """Train all networks as one tensor program, and score each mask in its own."""
        (phase,) = self.phases
        bench = self.bench
        population = bench.population(genomes, [bench.seeds(seed) for seed in seeds], max(self.epochs, phase.epochs))
        gradients = "signed" if self.accumulation == "abs_of_sum" else "absolute"
        population.train(bench.train.x, bench.train.y, phase.epochs, gradients=gradients)
        accuracy = population.accuracy(bench.validation.x, bench.validation.y)
        return [
            layered(mask, score(population, self.criterion, index)) | {"accuracy": accuracy[index]}
            for index, mask in enumerate(genomes)
        ]


def layered(mask: Mask, scores: Scores) -> dict[str, float]:
    """Return the score of a mask and of each of its layers, under the names by which `layer_score` finds them."""
    parts = scores.of(mask)
    return {SCORE: sum(parts)} | {layer_score(layer.name): part for layer, part in zip(mask.layers, parts, strict=True)}


def layer_score(name: str) -> str:
    """Name the measure that holds the score of one layer."""
    return f"{SCORE}.{name}"
