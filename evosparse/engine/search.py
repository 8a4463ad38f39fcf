"""The contract of a search: it proposes candidates, learns what they are worth, and can be put aside and taken up again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey, global_random


@dataclass(frozen=True)
class State:
    """Everything that a search needs to go on, apart from what the campaign file says.

    Args:
        values: JSON values by name.
        arrays: numpy arrays by name, none of object type.
        candidates: groups of evaluated candidates by name, such as the present population; the store keeps their uids.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    candidates: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)


class Search(ABC):
    """One evolutionary search, with DEAP inside.

    ``ask`` and ``tell`` alternate, one pair a generation. All randomness comes from the key that ``ask`` receives.

    Attributes:
        generations: how many generations the search takes until it is complete, at the most; None if it goes on as long
            as it is asked.
    """

    generations: int | None = None

    @abstractmethod
    def ask(self, key: SeedKey) -> list[Candidate]:
        """Propose the next generation.

        Args:
            key: randomness of this generation; ``key.rng()`` is a generator, ``key.root`` the campaign's own key.
                While this runs, Python's global ``random`` (which DEAP uses) is seeded from it as well.

        Returns:
            The candidates to evaluate; an empty list when the search is complete.
        """

    @abstractmethod
    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Learn from the evaluated generation: the candidates of the last ``ask``, in the same order.

        A candidate whose evaluation did not succeed has ``ok == False`` and an invalid fitness.
        """

    @abstractmethod
    def state(self) -> State:
        """Return what ``restore`` needs to go on from here, valid between ``tell`` and ``ask``."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state that ``state`` returned, possibly in another process."""


def drive(search: Search, seed: int) -> Iterator[list[Candidate]]:
    """Run a search without a campaign around it: nothing is stored, and who goes through the generations judges them.

    Args:
        search: from its beginning.
        seed: of all randomness; the candidates are those of a campaign with that seed.

    Yields:
        The candidates of each generation, which must be judged before the next one is asked for.
    """
    number = 0
    while True:
        key = SeedKey(seed).child("ask", number)
        with global_random(key.child("deap")):
            candidates = search.ask(key)
        if not candidates:
            return
        for index, candidate in enumerate(candidates):
            candidate.generation, candidate.uid = number, f"{number}.{index}"
        yield candidates
        search.tell(candidates)
        number += 1
