"""Exact budgets: which weights are kept, whatever their scores tie at, and how many in each layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import EvosparseError

Positions = NDArray[np.signedinteger]


class ScoreError(EvosparseError):
    """A score by which weights are kept is no number."""


def best(scores: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Return the places of the greatest scores, ascending; of equal scores the first places.

    Args:
        scores: (n,) one score for each place.
        count: how many, at most n.

    Raises:
        ScoreError: a score is NaN.
    """
    if np.isnan(scores).any():
        raise ScoreError("expected scores that can be ordered, got NaN: the network has diverged, lower the learning rate")
    if count >= len(scores):
        return np.arange(len(scores))
    if count <= 0:
        return np.empty(0, np.intp)
    cut = np.partition(scores, len(scores) - count)[len(scores) - count]
    # All above the cut, and of those at it as many as there is room for: a threshold would keep too many or too few.
    kept = scores > cut
    ties = np.flatnonzero(scores == cut)
    kept[ties[: count - int(kept.sum())]] = True
    return np.flatnonzero(kept)


def best_of_all(
    scores: Sequence[NDArray[np.floating]], count: int, existing: Sequence[Positions]
) -> list[Positions]:
    """Return, for each layer, the positions whose scores are among the greatest of all layers together (see `best`).

    Args:
        scores: for each layer, one score for each of its positions.
        count: how many in all.
        existing: for each layer, its positions.
    """
    kept = best(np.concatenate(scores), count)
    starts = np.cumsum([0, *(len(own) for own in scores)])
    bounds = np.searchsorted(kept, starts)
    parts = zip(existing, bounds[:-1], bounds[1:], starts[:-1], strict=True)
    return [own[kept[first:last] - start] for own, first, last, start in parts]


def free(existing: Positions, size: int, allowed: Positions | None = None) -> Positions:
    """Return the flat indices of a layer of so many weights at which none exists, of all or of those that are allowed."""
    empty = np.ones(size, dtype=bool)
    empty[existing] = False
    return np.flatnonzero(empty) if allowed is None else allowed[empty[allowed]]


def random_positions(size: int, count: int, rng: np.random.Generator) -> Positions:
    """Draw sorted flat indices of a layer, each set of that many equally likely."""
    # Not the head of a permutation, which takes as long as the layer is large, and most of the time of a sparse exchange.
    return np.sort(rng.choice(size, count, replace=False, shuffle=False)) if count < size else np.arange(size)
