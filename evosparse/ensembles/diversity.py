"""How differently the members of an ensemble err: pairwise measures on who is right where, and their mean over an ensemble.

Definitions: Kuncheva and Whitaker, "Measures of diversity in classifier ensembles" (2003), not those of the published code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evosparse.ensembles.tally import count_right, sum_pairs

DiversityName = Literal["disagreement", "double_fault", "q", "correlation", "kappa", "entropy"]


@dataclass(frozen=True, eq=False)
class PairCounts:
    """On how many examples two members are right or wrong; (members, members) each.

    Args:
        both: both are right.
        second: only the second is.
        first: only the first is.
        neither: both are wrong.
    """

    both: NDArray[np.float64]
    second: NDArray[np.float64]
    first: NDArray[np.float64]
    neither: NDArray[np.float64]

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> PairCounts:
        """Count for all pairs of members.

        Args:
            right: (n, members) whether a member is right.
        """
        one = right.astype(np.float64)  # whole numbers: the products are exact
        zero = 1 - one
        return cls(one.T @ one, zero.T @ one, one.T @ zero, zero.T @ zero)


def _disagreement(counts: PairCounts) -> NDArray[np.float64]:
    return _ratio(counts.first + counts.second, counts.both + counts.first + counts.second + counts.neither)


def _double_fault(counts: PairCounts) -> NDArray[np.float64]:
    return _ratio(counts.neither, counts.both + counts.first + counts.second + counts.neither)


def _q(counts: PairCounts) -> NDArray[np.float64]:
    a, b, c, d = counts.both, counts.second, counts.first, counts.neither
    return _ratio(a * d - b * c, a * d + b * c)


def _correlation(counts: PairCounts) -> NDArray[np.float64]:
    a, b, c, d = counts.both, counts.second, counts.first, counts.neither
    return _ratio(a * d - b * c, np.sqrt((a + b) * (c + d) * (a + c) * (b + d)))


def _kappa(counts: PairCounts) -> NDArray[np.float64]:
    a, b, c, d = counts.both, counts.second, counts.first, counts.neither
    return _ratio(2 * (a * d - b * c), (a + b) * (b + d) + (a + c) * (c + d))


PAIRWISE: Mapping[str, Callable[[PairCounts], NDArray[np.float64]]] = {
    "disagreement": _disagreement,
    "double_fault": _double_fault,
    "q": _q,
    "correlation": _correlation,
    "kappa": _kappa,
}
# The less of these, the more diverse.
_DESCENDING = ("double_fault", "q", "correlation", "kappa")


@dataclass(frozen=True, eq=False)
class Diversity:
    """One measure of diversity over the members of a pool.

    Args:
        name: of the measure.
        right: (n, members) whether a member is right.
    """

    name: DiversityName
    right: NDArray[np.bool_]

    @cached_property
    def pairs(self) -> NDArray[np.float64]:
        """(members, members) the measure of each pair; NaN where it is not defined. Entropy has no pairs: its disagreement."""
        return PAIRWISE.get(self.name, _disagreement)(PairCounts.of(self.right))

    def of(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the (candidates,) measure of each ensemble: the mean over its pairs; entropy over the whole.

        Args:
            chosen: (candidates, members).

        Returns:
            NaN where the measure is not defined, as in an ensemble of one.
        """
        if self.name != "entropy":
            return sum_pairs(self.pairs, chosen)
        size = chosen.sum(axis=1)
        right = count_right(self.right, chosen)
        split = np.minimum(right, size[:, None] - right).mean(axis=1)
        return _ratio(split, (size - np.ceil(size / 2)).astype(np.float64))

    def gain(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the (candidates,) measure turned so that more is more diverse; 0 where it is not defined."""
        values = self.of(chosen)
        turned = {"double_fault": 1 - values}.get(self.name, -values if self.name in _DESCENDING else values)
        return np.where(np.isnan(values), 0.0, turned)

    def of_members(self) -> NDArray[np.float64]:
        """Return for each of the (members,) how diverse its pairs are on the average, more being more diverse."""
        pairs = np.array(-self.pairs if self.name in _DESCENDING else self.pairs)
        np.fill_diagonal(pairs, np.nan)
        known = ~np.isnan(pairs)
        return np.where(known, pairs, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
