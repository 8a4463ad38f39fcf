"""Greedy selection, the strongest simple rival of an evolutionary search.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models" (2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evosparse.ensembles.votes import Votes


def greedy_selection(votes: Votes, steps: int = 50, replacement: bool = True) -> NDArray[np.int64]:
    """Add the member with which the majority is most often right, step by step, and return the best step.

        begin with nobody
        each step: add the member that makes the accuracy of the majority the greatest, the first of equals
        return the ensemble of the first step with the greatest accuracy of all, not that of the last

    Args:
        votes: of the members, on the examples that drive the selection.
        steps: how many members are added.
        replacement: whether a member may be added again, which gives it more votes.

    Returns:
        (members,) number of votes of each member.
    """
    rows = np.arange(len(votes.y))
    counts = np.zeros((len(rows), votes.classes))
    taken = np.zeros(votes.members, dtype=np.int64)
    best, best_taken = -1, taken
    for _ in range(steps if replacement else min(steps, votes.members)):
        hits = _hits_with_one_more(counts, votes)
        if not replacement:
            hits[taken > 0] = -1
        member = int(hits.argmax())
        taken = taken + (np.arange(votes.members) == member)
        counts[rows, votes.labels[:, member]] += 1
        if hits[member] > best:
            best, best_taken = int(hits[member]), taken
    return best_taken


def _hits_with_one_more(counts: NDArray[np.float64], votes: Votes) -> NDArray[np.int64]:
    """Return for each member how often the majority is right when that member votes as well; ties to the lowest class."""
    rows = np.arange(len(votes.y))
    # Half a vote less for each class further up: the lowest of equals has the most.
    scores = counts - np.arange(votes.classes) / (2 * votes.classes)
    winner = scores.argmax(axis=1)
    lead = scores[rows, winner]
    # One more vote changes the decision where its class overtakes the leader, or leads already.
    overtakes = scores[rows[:, None], votes.labels] + 1 > lead[:, None]
    decided = np.where(overtakes, votes.labels, winner[:, None])
    return (decided == votes.y[:, None]).sum(axis=0)
