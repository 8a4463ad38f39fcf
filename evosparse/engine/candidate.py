"""What is proposed, what came of it, and how two results compare.

A candidate without a valid fitness loses every comparison; in plain DEAP a NaN would win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, Self

from deap import base

Objectives = Mapping[str, Literal["max", "min"]]


class Genome(Protocol):
    """An immutable value that a search evolves.

    Its class may have a further property ``phenotype: str``, a hash of what the genome expresses; genomes of equal
    phenotype are evaluated alike. It is for encodings in which many genomes say the same, and left out elsewhere.
    """

    @property
    def key(self) -> str:
        """Canonical content hash: equal for equal genomes, in every process."""

    def to_bytes(self) -> bytes:
        """Return the versioned encoding; never pickle."""

    def describe(self) -> str:
        """Say in one line of a table what this genome is."""


class ByContent:
    """Equality, hash and copies of an immutable value with a content ``key``."""

    key: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self is other or self.key == other.key

    def __hash__(self) -> int:
        # Not the hash of the string: that is salted per process, and the order of a set would change with it.
        return int(self.key[:15], 16)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class FitnessValues(base.Fitness):
    """A DEAP fitness whose objectives belong to the instance, so that it survives any pickle.

    Args:
        objectives: name of each objective and its direction, in order.
        measures: the measured values by name; None leaves the fitness invalid, below every valid one.

    Raises:
        ValueError: an objective is missing, NaN or infinite.
    """

    def __init__(self, objectives: Objectives, measures: Mapping[str, float] | None = None) -> None:
        self.objectives = dict(objectives)
        self.weights = tuple(1.0 if direction == "max" else -1.0 for direction in self.objectives.values())
        super().__init__()
        if measures is not None:
            values = tuple(float(measures[name]) for name in self.objectives)
            if not all(map(math.isfinite, values)):
                raise ValueError(f"a fitness needs finite values, got {dict(zip(self.objectives, values))}")
            self.values = values

    def __deepcopy__(self, memo: dict) -> FitnessValues:
        copy = FitnessValues(self.objectives)
        copy.wvalues = self.wvalues
        return copy


class Status(StrEnum):
    """What became of an evaluation."""

    OK = "ok"
    FAILED = "failed"  # the fitness function raised
    TIMEOUT = "timeout"  # it did not return in time
    CRASHED = "crashed"  # its process died
    INVALID = "invalid"  # it returned, but not the finite measures it promised


@dataclass(frozen=True)
class Outcome:
    """The result of evaluating one genome.

    Args:
        status: whether there are measures, and if not, why.
        measures: value by name; empty unless the status is ok.
        message: what went wrong, in one line.
        traceback: the end of the traceback, if there was one.
        seconds: the genome's share of the time its evaluation took.
        attempts: how often it was tried alone.
        cached: whether it was taken from an earlier evaluation of a genome that expresses the same.
        payload: what else the fitness handed back; not stored.
    """

    status: Status
    measures: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    traceback: str = ""
    seconds: float = 0.0
    attempts: int = 1
    cached: bool = False
    payload: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the genome was measured."""
        return self.status is Status.OK


@dataclass
class Candidate:
    """One proposal of a search; an individual in DEAP's terms.

    Args:
        genome: what is proposed.
        parents: uids of the candidates that it was made from.
        population: name of the population that it belongs to.
        contender: whether it may enter the Hall of Fame; false for stepping stones of a search.
        uid: ``generation.index``, set by the campaign.
        generation: the generation that it was proposed in, set by the campaign.
        outcome: result of its evaluation, set by the campaign.
        fitness: DEAP's fitness, set with the outcome; invalid until then.
    """

    genome: Genome
    parents: Sequence[str] = ()
    population: str = "population"
    contender: bool = True
    uid: str = ""
    generation: int = -1
    outcome: Outcome | None = None
    fitness: FitnessValues | None = None

    @property
    def ok(self) -> bool:
        """Whether the candidate has been evaluated with success."""
        return self.outcome is not None and self.outcome.ok

    def judge(self, outcome: Outcome, objectives: Objectives) -> None:
        """Take an outcome, and with it a fitness that is invalid unless the outcome is ok."""
        self.outcome = outcome
        self.fitness = FitnessValues(objectives, outcome.measures if outcome.ok else None)


def has_phenotype(genomes: type) -> bool:
    """Whether genomes of a class may differ and yet express the same."""
    return hasattr(genomes, "phenotype")


def expressed(genome: Genome) -> str:
    """Return the hash of what a genome expresses: its phenotype, or its key where every genome expresses its own."""
    # The class is asked, because a fault inside the property must not pass for its absence.
    return genome.phenotype if has_phenotype(type(genome)) else genome.key


def same_genome(first: Candidate, second: Candidate) -> bool:
    """Whether two candidates are the same for the Hall of Fame: they express the same."""
    return expressed(first.genome) == expressed(second.genome)
