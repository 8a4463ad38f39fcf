"""Species: who is compatible with whom, how many children each species has, and which may have none.

Stanley and Miikkulainen (2002), section 3.3: compatibility distance, explicit fitness sharing, stagnation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evosparse.topologies.genome import Topology
from evosparse.topologies.pack import pack

SmallGenome = Literal["one_below_20", "always_n", "one"]
_SMALL = {"one_below_20": 20, "always_n": 0, "one": np.inf}  # genes below which a genome counts as small


@dataclass(frozen=True)
class Distance:
    """Compatibility distance: c1 E / N + c2 D / N + c3 W.

    E and D are the numbers of excess and disjoint genes, W the mean difference of the weights of matching genes.

    Args:
        excess, disjoint, weight: the coefficients c1, c2, c3.
        small_genome_n: N is the number of genes of the larger genome (``always_n``), or 1 if both have fewer than 20
            (``one_below_20``), or always 1 (``one``), as in the authors' own program.
    """

    excess: float
    disjoint: float
    weight: float
    small_genome_n: SmallGenome = "one_below_20"

    def between(self, first: Topology, second: Topology) -> float:
        """Return the distance of two genomes."""
        return float(_distance(pack([first, second]), 0, 1, self._numbers))

    def assign(
        self, topologies: Sequence[Topology], representatives: Sequence[Topology], threshold: float
    ) -> NDArray[np.int64]:
        """Let each genome in turn join the first species that it is compatible with, or found a new one.

        Args:
            topologies: at least one.
            representatives: of the species that exist, in order.
            threshold: genomes nearer than this are compatible.

        Returns:
            (genomes,) the place of each genome's species; those from the number of representatives on are new, each
            represented by its first member.
        """
        genes = pack([*topologies, *representatives])
        return _assign(genes, len(topologies), len(representatives), self._numbers, threshold)

    @property
    def _numbers(self) -> tuple[float, float, float, float]:
        return self.excess, self.disjoint, self.weight, float(_SMALL[self.small_genome_n])


@njit(cache=True, nogil=True)
def _distance(genes, first, second, coefficients):
    c1, c2, c3, small = coefficients
    one, one_end = genes.genes[first], genes.genes[first + 1]
    other, other_end = genes.genes[second], genes.genes[second + 1]
    size = max(one_end - one, other_end - other)
    matching, disjoint, difference = 0, 0, 0.0
    while one < one_end and other < other_end:
        ahead = genes.innovation[one] - genes.innovation[other]
        if ahead == 0:
            matching += 1
            difference += abs(genes.weight[one] - genes.weight[other])
        else:
            disjoint += 1
        one += ahead <= 0
        other += ahead >= 0
    excess = (one_end - one) + (other_end - other)
    if size == 0 or size < small:
        size = 1
    return c1 * excess / size + c2 * disjoint / size + c3 * difference / max(matching, 1)


@njit(cache=True, nogil=True)
def _assign(genes, count, represented, coefficients, threshold):
    assigned = np.empty(count, dtype=np.int64)
    representatives = np.empty(count + represented, dtype=np.int64)
    representatives[:represented] = np.arange(count, count + represented)
    species = represented
    for genome in range(count):
        place = 0
        while place < species and _distance(genes, genome, representatives[place], coefficients) >= threshold:
            place += 1
        if place == species:
            representatives[species] = genome
            species += 1
        assigned[genome] = place
    return assigned


@dataclass(frozen=True)
class Record:
    """What is remembered of a species.

    Args:
        number: its name.
        best: the best fitness that it ever had, greater is better.
        improved: the generation in which it had it first.
        tested: whether its champion has been put to a test that is meant for champions since then.
    """

    number: int
    best: float
    improved: int
    tested: bool = False


def updated(record: Record | None, number: int, best: float, generation: int) -> Record:
    """Return the record of a species after a generation.

    Args:
        record: from before; None for a new species.
        number: its name.
        best: its best fitness in this generation.
        generation: the generation.
    """
    if record is None or best > record.best:
        return Record(number, best, generation)
    return record


def may_reproduce(records: Sequence[Record], generation: int, stagnation: int, patience: float, improved: int) -> list[int]:
    """Return the places of the species that may have children.

    Unlike in the paper the best species always may: where all are on one plateau, it would be the first to go.

    Args:
        records: of the species.
        generation: the present one.
        stagnation: generations without improvement after which a species may not.
        patience: generations without improvement of the whole population after which only the two best species may.
        improved: the generation in which the population improved last.
    """
    ranked = sorted(range(len(records)), key=lambda place: (-records[place].best, records[place].number))
    if generation - improved > patience:
        return sorted(ranked[:2])
    lively = {place for place, record in enumerate(records) if generation - record.improved < stagnation}
    # Where all have stagnated, the two best go on.
    return sorted({ranked[0], *lively} if lively else ranked[:2])


def offspring(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Share out children in proportion: whole parts first, the rest to the largest remainders.

    Args:
        shares: (species,) not negative; where all are zero, they count as equal.
        total: number of children.

    Returns:
        (species,) numbers whose sum is the total.
    """
    weights = shares if shares.sum() > 0 else np.ones(len(shares))
    exact = weights / weights.sum() * total
    counts = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - counts), kind="stable")
    counts[largest[: total - counts.sum()]] += 1
    return counts
