"""What searches and fitness functions over ensembles work with: the pool's votes on the examples that drive the search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosparse.ensembles.diversity import Diversity, DiversityName
from evosparse.ensembles.genome import Ensemble, Roster
from evosparse.ensembles.votes import Chamber, Tally, Votes, VoteSpec


class Bench:
    """The votes that drive a search; they are asked for when they are first needed.

    Args:
        supply: returns the votes, or the votes themselves.
        vote: how an ensemble decides.
    """

    def __init__(self, supply: Votes | Callable[[], Votes], vote: VoteSpec = VoteSpec()) -> None:
        self._supply = supply
        self.vote = vote

    @cached_property
    def votes(self) -> Votes:
        """The pool's votes, with the true classes."""
        return self._supply if isinstance(self._supply, Votes) else self._supply()

    @cached_property
    def chamber(self) -> Chamber:
        """The votes with the rule by which an ensemble decides."""
        return Chamber.of(self.votes, self.vote)

    @cached_property
    def roster(self) -> Roster:
        """Names and accuracies of the members."""
        return Roster(self.votes.names, tuple(self.votes.accuracies.tolist()))

    @property
    def members(self) -> int:
        """Number of members of the pool."""
        return self.votes.members

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the votes, by which a campaign that is continued knows its pool again."""
        votes = self.votes
        digest = hashlib.sha256("\n".join(votes.names).encode())
        for array in (votes.labels, votes.y, votes.probabilities):
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def ensemble(self, chosen: NDArray[np.bool_]) -> Ensemble:
        """Return the genome of (members,) truth values."""
        return Ensemble(chosen, self.roster)

    def tally(self, chosen: NDArray[np.bool_], device: str = "cpu") -> Tally:
        """Judge (candidates, members) ensembles at once."""
        return self.chamber.tally(chosen, device)

    def diversity(self, name: DiversityName) -> Diversity:
        """Return a measure of diversity over the members."""
        if name not in self._diversities:
            self._diversities[name] = Diversity(name, self.votes.right)
        return self._diversities[name]

    @cached_property
    def _diversities(self) -> dict[DiversityName, Diversity]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # To a worker go the votes, not what they come from, which knows the test examples.
        return {"_supply": self.votes, "vote": self.vote}
