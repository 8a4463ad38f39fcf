"""What the search methods over ensembles share: the E of CIF-E."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.bench import Bench
from evosparse.ensembles.initialisation import Initialisation
from evosparse.errors import SpecError, StoreError
from evosparse.section import Section


def _range(value: tuple[float, float] | str) -> tuple[float, float] | str:
    if not isinstance(value, str) and not 0 <= value[0] < value[1] <= 1:
        raise ValueError("must be a range [low, high] with 0 <= low < high <= 1, or 1/n")
    return value


# Of probabilities: the least and the greatest; or 1/n, which leaves 1/n and 1 - 1/n for n members.
Bounds = Annotated[tuple[float, float] | Literal["1/n"], AfterValidator(_range)]


class Method(Section):
    """Parameters of one search method; each method is one file with this class and its search.

    Attributes:
        generations: at the most.
    """

    generations: int = Field(250, ge=1)

    @abstractmethod
    def search(self, bench: Bench, start: Initialisation) -> EnsembleSearch:
        """Make the search.

        Args:
            bench: the votes.
            start: where it begins.
        """

    def check_fitness(self, fitness: Fitness) -> None:
        """Refuse a fitness that this method cannot be driven by.

        Raises:
            SpecError: it has several objectives.
        """
        if len(fitness.objectives) > 1:
            names = ", ".join(fitness.objectives)
            raise SpecError(f"fitness: expected one objective for search method {self.method}, got {names}: use nsga2")


class EnsembleSearch(Search):
    """A search over which members of a pool vote.

    Args:
        parameters: of the method.
        bench: the votes.
        start: where it begins.

    Attributes:
        asked: number of generations so far.
    """

    def __init__(self, parameters: Method, bench: Bench, start: Initialisation) -> None:
        self.parameters = parameters
        self.bench = bench
        self.start = start
        self.asked = 0
        self.generations = parameters.generations
        self._expected: str | None = None

    @abstractmethod
    def propose(self, key: SeedKey) -> list[Candidate]:
        """Propose the next generation."""

    @abstractmethod
    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Learn from an evaluated generation."""

    def memory(self) -> State:
        """Return what the method itself needs to go on."""
        return State()

    def recall(self, state: State) -> None:
        """Go on from what `memory` returned."""

    @property
    def finished(self) -> bool:
        """Whether the method has nothing more to propose before its last generation."""
        return False

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self._expected not in (None, self.bench.fingerprint):
            raise StoreError(
                "expected the votes that the campaign began with, got others from the same members: another version of "
                "scikit-learn or another machine fits them differently; go on where it began, or run a new campaign"
            )
        return [] if self.finished or self.asked >= self.parameters.generations else self.propose(key)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.learn(candidates)
        self.asked += 1

    def state(self) -> State:
        own = self.memory()
        values = {"asked": self.asked, "pool": self.bench.fingerprint, **own.values}
        return State(values, own.arrays, own.candidates)

    def restore(self, state: State) -> None:
        self.asked, self._expected = int(state.values["asked"]), str(state.values["pool"])
        self.recall(state)

    def candidates(self, rows: NDArray[np.bool_]) -> list[Candidate]:
        """Return candidates without parents from (candidates, members) truth values."""
        return [Candidate(self.bench.ensemble(row)) for row in rows]

    def first(self, count: int, key: SeedKey) -> list[Candidate]:
        """Return the first population."""
        return self.candidates(self.start.draw(self.bench, count, key.rng()))


def rows_of(candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
    """Return the (candidates, members) truth values of candidates."""
    return np.stack([candidate.genome.chosen for candidate in candidates])


def flip(row: NDArray[np.bool_], rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a copy in which each bit is turned with that probability."""
    return row ^ (rng.random(len(row)) < rate)


def crossed(search: EnsembleSearch, first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
    """Return a child of the first parent or, with the probability of a crossover, of both; bits of it are flipped.

    Args:
        search: whose parameters have ``crossover`` and ``mutation``, by default one over the number of members.
        first, second: the parents; in a crossover each bit is one's or the other's with probability one half.
        rng: source of randomness.
    """
    row, parents = first.genome.chosen, [first.uid]
    if rng.random() < search.parameters.crossover:
        row = np.where(rng.random(len(row)) < 0.5, row, second.genome.chosen)
        parents.append(second.uid)
    rate = 1 / len(row) if search.parameters.mutation is None else search.parameters.mutation
    return Candidate(search.bench.ensemble(flip(row, rate, rng)), parents=tuple(dict.fromkeys(parents)))


def margins(bounds: Bounds, members: int) -> tuple[float, float]:
    """Return the least and the greatest probability."""
    if bounds == "1/n":
        least = 1 / max(members, 2)
        return least, 1 - least
    return bounds
