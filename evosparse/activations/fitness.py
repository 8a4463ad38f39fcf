"""The fitness that the searches bring: validation accuracy of a fresh network after a short training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from evosparse.activations.genome import Triple
from evosparse.activations.workbench import Workbench
from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Invalid, Resources
from evosparse.engine.seeds import SeedKey
from evosparse.section import Section, bare_string

Reduction = Literal["max", "last", "mean"]
_OWN = ("epochs", "reduce", "repeats", "individual_weights", "refuse_flawed")


class FitnessSpec(Section):
    """How triples of functions are judged; a bare string is a user's function.

    Attributes:
        epochs: length of the training.
        reduce: of the validation accuracies after each epoch the ``max`` (the published code), the ``last`` or the ``mean``.
        repeats: networks trained for each triple, with other initial weights; their mean counts.
        individual_weights: draw initial weights for each triple apart (the published code), or the same for all.
        refuse_flawed: do not train with a function that is constant or not finite on 64 points.
        function: instead of all that, a user's fitness: ``module:name``, ``path/to/file.py:name`` or an entry point of
            the group ``evosparse.fitness``.
        parameters: keyword arguments for it.
    """

    epochs: int = Field(3, ge=1)
    reduce: Reduction = "max"
    repeats: int = Field(1, ge=1)
    individual_weights: bool = True
    refuse_flawed: bool = True
    function: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    _bare = bare_string("function")

    @model_validator(mode="after")
    def _fits_together(self) -> FitnessSpec:
        given = [name for name in _OWN if name in self.model_fields_set and name != "individual_weights"]
        changed = [name for name in given if getattr(self, name) != type(self).model_fields[name].default]
        if self.function is not None and changed:
            raise ValueError(f"{changed[0]} belongs to the built-in fitness, not to function: hand it over as a parameter")
        if self.parameters and self.function is None:
            raise ValueError("parameters are those of a user's function, and none is named: name it, or leave them out")
        return self


class TrainedFitness(Fitness):
    """Validation accuracy of fresh networks, all triples of a batch trained at once.

    Args:
        epochs: length of the training.
        reduce: how the accuracies after each epoch make one.
        repeats: networks for each triple.
        refuse_flawed: do not train with functions that are constant or not finite.
    """

    objectives: Objectives = {"accuracy": "max"}

    def __init__(self, epochs: int = 3, reduce: Reduction = "max", repeats: int = 1, refuse_flawed: bool = True) -> None:
        self.epochs = epochs
        self.reduce = reduce
        self.repeats = repeats
        self.refuse_flawed = refuse_flawed

    def prepare(self, resources: Resources) -> None:
        """Keep the workbench.

        Raises:
            TypeError: it is handed something else, such as what the final examination works with.
        """
        if not isinstance(resources.data, Workbench):
            raise TypeError(f"expected a Workbench, without a test set, got {type(resources.data).__name__}")
        self.bench: Workbench = resources.data

    def evaluate(self, genomes: Sequence[Triple], seeds: Sequence[SeedKey]) -> Sequence[Mapping[str, float] | Invalid]:
        """Train the networks of all triples as one tensor program, and measure each after each epoch."""
        flaws = [self.bench.flaw(triple) if self.refuse_flawed else "" for triple in genomes]
        sound = [number for number, flaw in enumerate(flaws) if not flaw]
        results: list[Mapping[str, float] | Invalid] = [Invalid(flaw) for flaw in flaws]
        if sound:
            curves = self._curves([genomes[number] for number in sound], [seeds[number] for number in sound])
            for number, curve in zip(sound, curves, strict=True):
                results[number] = self._measures(curve)
        return results

    def _curves(self, triples: Sequence[Triple], keys: Sequence[SeedKey]) -> np.ndarray:
        """Return the (triples, repeats, epochs) validation accuracies."""
        bench = self.bench
        own = [bench.seeds(key, replicate) for key in keys for replicate in range(self.repeats)]
        repeated = [triple for triple in triples for _ in range(self.repeats)]
        population = bench.population(repeated, own, self.epochs)
        curves = []
        for _ in range(self.epochs):
            population.train(bench.train.x, bench.train.y, 1)
            curves.append(population.accuracy(bench.validation.x, bench.validation.y))
        return np.stack(curves, axis=1).reshape(len(triples), self.repeats, self.epochs)

    def _measures(self, curve: np.ndarray) -> Mapping[str, float] | Invalid:
        if not np.isfinite(curve).all():
            epoch = int(np.flatnonzero(~np.isfinite(curve).all(axis=0))[0]) + 1
            return Invalid(f"training diverged: outputs are not finite after epoch {epoch}")
        reduced = {"max": curve.max(axis=1), "last": curve[:, -1], "mean": curve.mean(axis=1)}[self.reduce]
        return {"accuracy": float(reduced.mean()), "accuracy_last": float(curve[:, -1].mean())}
