"""A genome with silent genes, whose silent genes may be expressed in its children, for the tests of phenotypes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from campaign_toys import BITS, BitsProblem, BitsSpec, noisy

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness, as_fitness
from evosparse.engine.problem import Stage
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey


@dataclass(frozen=True)
class Spelling:
    """A number of 16 bits, of which the fitness sees the `value`, and 16 more that are silent."""

    value: int
    silent: int

    @property
    def key(self) -> str:
        return sha256(self.to_bytes()).hexdigest()

    @property
    def phenotype(self) -> str:
        return sha256(self.value.to_bytes(2)).hexdigest()

    def to_bytes(self) -> bytes:
        return self.value.to_bytes(2) + self.silent.to_bytes(2)

    @classmethod
    def from_bytes(cls, data: bytes) -> Spelling:
        return cls(int.from_bytes(data[:2]), int.from_bytes(data[2:]))

    def describe(self) -> str:
        return f"{self.value:016b} and {self.silent:016b}"


class SpellingSearch(Search):
    """Goes on from the last candidate, and mostly changes its silent genes; sometimes these become the others."""

    def __init__(self, population: int) -> None:
        self._size = population
        self.parent: list[Candidate] = []

    def ask(self, key: SeedKey) -> list[Candidate]:
        if not self.parent:
            return [Candidate(Spelling(value, value ^ 5)) for value in range(self._size)]
        parent = self.parent[0]
        return [Candidate(self._child(parent.genome), parents=(parent.uid,)) for _ in range(self._size)]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.parent = [candidates[-1]]  # a silent variant of an earlier one more often than not

    def state(self) -> State:
        return State(candidates={"parent": self.parent})

    def restore(self, state: State) -> None:
        self.parent = list(state.candidates["parent"])

    def _child(self, genome: Spelling) -> Spelling:
        if random.random() < 0.2:
            return Spelling(genome.silent, genome.value)
        return Spelling(genome.value, genome.silent ^ (1 << random.randrange(BITS)))


class SpellingProblem(BitsProblem):
    """The toy with silent genes.

    Args:
        own: its fitness; by default one with keyed noise, so that other keys would give other measures.
    """

    def __init__(self, own: Fitness | None = None) -> None:
        super().__init__(BitsSpec())
        self.search = SpellingSearch(self.spec.population)
        self.stage = Stage(own or as_fitness(noisy), None, Spelling)
