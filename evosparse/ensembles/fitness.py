"""The fitness functions over ensembles: the F of CIF-E. A whole batch is judged by one pass over the cached votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Invalid, Resources, as_fitness, find_fitness
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.diversity import DiversityName
from evosparse.ensembles.genome import Ensemble
from evosparse.ensembles.greedy import greedy_selection
from evosparse.ensembles.votes import BadVotes
from evosparse.section import Section

EMPTY = "an ensemble without members decides nothing"
Aim = Literal["accuracy", "balanced_accuracy", "log_loss", "accuracy_diversity", "near_best_diversity", "accuracy_size"]
_OBJECTIVES: Mapping[str, Objectives] = {
    "accuracy": {"accuracy": "max"},
    "balanced_accuracy": {"balanced_accuracy": "max"},
    "log_loss": {"log_loss": "min"},
    "accuracy_diversity": {"score": "max"},
    "near_best_diversity": {"score": "max"},
    "accuracy_size": {"accuracy": "max", "size": "min"},
}


class FitnessSpec(Section):
    """How ensembles are judged; a bare string is the aim, or a user's function if it has a colon.

    Attributes:
        aim: ``accuracy`` of the vote; ``balanced_accuracy``; ``log_loss`` of the mean probabilities (with vote.rule: soft);
            ``accuracy_diversity``, ``weight`` of the one and the rest of the other; ``near_best_diversity``, the diversity of
            ensembles whose accuracy is within ``margin`` of the greedy selection's; ``accuracy_size``, both (for nsga2).
        diversity: the measure.
        weight: of accuracy against diversity.
        margin: of accuracy below that of the greedy selection.
        function: a user's own instead, ``module:name``, ``path/to/file.py:name`` or an entry point of the group
            ``evosparse.fitness``.
        parameters: keyword arguments for it.
    """

    aim: Aim = "accuracy"
    diversity: DiversityName = "disagreement"
    weight: float = Field(0.9, ge=0, le=1)
    margin: float = Field(0.01, ge=0, le=1)
    function: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"function" if ":" in value else "aim": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> FitnessSpec:
        if self.parameters and self.function is None:
            raise ValueError("parameters are those of a user's function, and none is named: name it, or leave them out")
        return self

    def make(self, own: Fitness | Callable | None = None, base: Path | None = None) -> Fitness:
        """Make the fitness.

        Args:
            own: a user's in Python, in place of a named one.
            base: folder that relative paths start at.
        """
        if own is not None:
            return as_fitness(own)
        if self.function is not None:
            return find_fitness(self.function, self.parameters, base)
        return VoteFitness(self.aim, self.diversity, self.weight, self.margin)


class VoteFitness(Fitness):
    """Judges ensembles by how they vote on the examples that drive the search.

    Args:
        aim: see `FitnessSpec`.
        diversity: the measure.
        weight: of accuracy against diversity.
        margin: of accuracy below that of the greedy selection.
    """

    def __init__(
        self, aim: Aim = "accuracy", diversity: DiversityName = "disagreement", weight: float = 0.9, margin: float = 0.01
    ) -> None:
        self.aim = aim
        self.diversity = diversity
        self.weight = weight
        self.margin = margin
        self.objectives = _OBJECTIVES[aim]

    def prepare(self, resources: Resources) -> None:
        """Keep the votes.

        Raises:
            TypeError: it is handed something else, such as what the final examination works with.
            BadVotes: the aim is log_loss, and ensembles do not decide by probabilities.
        """
        if not isinstance(resources.data, Bench):
            raise TypeError(f"expected a Bench, without a test set, got {type(resources.data).__name__}")
        self.bench: Bench = resources.data
        self.device = resources.device
        if self.aim == "log_loss" and self.bench.vote.rule != "soft":
            raise BadVotes(f"fitness.aim: log_loss needs vote.rule: soft, got {self.bench.vote.rule}: set it, or aim at accuracy")
        self._reference = 0.0
        if self.aim == "near_best_diversity":
            greedy = greedy_selection(self.bench.votes) > 0
            self._reference = float(self.bench.tally(greedy[None]).accuracy[0])

    def evaluate(self, genomes: Sequence[Ensemble], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float] | Invalid]:
        """Judge all at once."""
        chosen = np.stack([genome.chosen for genome in genomes])
        columns = self.measures(chosen)
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return [
            dict(zip(columns, row, strict=True)) if some else Invalid(EMPTY)
            for row, some in zip(rows, chosen.any(axis=1), strict=True)
        ]

    def measures(self, chosen: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        """Return the (candidates,) values of each measure.

        Args:
            chosen: (candidates, members).
        """
        tally = self.bench.tally(chosen, self.device)
        columns = {"accuracy": tally.accuracy, "size": chosen.sum(axis=1).astype(np.float64)}
        match self.aim:
            case "balanced_accuracy":
                columns["balanced_accuracy"] = tally.balanced_accuracy
            case "log_loss":
                columns["log_loss"] = tally.log_loss
            case "accuracy_diversity" | "near_best_diversity":
                gain = self.bench.diversity(self.diversity).gain(chosen)
                columns[self.diversity] = gain
                columns["score"] = self._score(tally.accuracy, gain)
        return columns

    def _score(self, accuracy: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.aim == "accuracy_diversity":
            return self.weight * accuracy + (1 - self.weight) * gain
        # Whoever is near the best is above whoever is not: no measure of diversity is below -1, no accuracy above 1.
        return np.where(accuracy >= self._reference - self.margin, 3 + gain, accuracy)
