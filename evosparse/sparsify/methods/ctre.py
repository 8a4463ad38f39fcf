"""Atashgahi et al., "A Brain-inspired Algorithm for Training Highly Sparse Neural Networks", Machine Learning 2022.

arXiv 1903.07138. Connections grow between units whose activities resemble each other: "fire together, wire together".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from evosparse.nets.activity import unit_activities
from evosparse.nets.device import configured
from evosparse.sparsify.base import method
from evosparse.sparsify.budget import Positions, best, random_positions
from evosparse.sparsify.dynamic import Dynamic, Exchange, initial_like


@dataclass(frozen=True, eq=False)
class UnitVectors:
    """What the units of a layer do, without the silent ones, of which sparse networks have many.

    Args:
        units: how many there are.
        active: those that are not silent for all examples.
        vectors: (active, examples), of norm 1.
    """

    units: int
    active: torch.Tensor
    vectors: torch.Tensor


class CTRE(Dynamic):
    """What both forms share: after each epoch the smallest weights are dropped in every layer.

    Attributes:
        score_samples: training examples of a score; None for all.
        zero_score_ties: which of the positions whose score is zero grow where no others are left: the first ones by
            ``index`` (the published code) or ``random`` ones.

    Deviations: magnitudes are compared without noise, counts are rounded and not cut off, and positions that were dropped
    and grow at once begin anew (``regrow: keep`` is the published code).
    """

    fraction: float = Field(0.2, ge=0, lt=1)
    score_samples: int | None = Field(None, ge=1)
    zero_score_ties: Literal["index", "random"] = "random"

    def values(self, exchange: Exchange, number: int, layer: int, count: int) -> np.ndarray:
        return initial_like(exchange, number, layer, count)

    def most_similar(
        self, exchange: Exchange, number: int, layer: int, candidates: Positions, count: int
    ) -> Positions:
        """Return the candidates that join the most similar units; for the arguments see `Dynamic.grown`."""
        units = exchange.once(number, lambda: [unit_vectors(own) for own in self._activities(exchange, number)])
        scores = similarities(units[layer], units[layer + 1]).reshape(-1)[candidates]
        found = np.flatnonzero(scores)  # NaN among them, at which `best` complains
        if len(found) >= count:
            return candidates[found[best(scores[found], count)]]
        if self.zero_score_ties == "index":
            return candidates[best(scores, count)]
        others = np.flatnonzero(scores == 0)
        drawn = random_positions(len(others), count - len(found), exchange.rng(number, layer, "ties"))
        return candidates[np.concatenate([found, others[drawn]])]

    def _activities(self, exchange: Exchange, number: int) -> list[np.ndarray]:
        cohort, x = exchange.cohort, exchange.cohort.train.x
        if self.score_samples is not None:
            x, _ = cohort.sample(number, self.score_samples, exchange.time)
        # Forward through existing weights; each similarity is a product over all examples.
        sizes = np.zeros(len(cohort))
        sizes[number] = len(x) * (cohort.network.multiply_adds(cohort.population.connections(number)) + cohort.size)
        cohort.charge(sizes)
        connections = cohort.population.connections(number)
        return unit_activities(cohort.network, connections, cohort.population.state(number), x)


@method
class CTREsim(CTRE):
    """The k best of the positions that are not kept; those just dropped among them give way to random free positions.

    The random positions may be some that were just dropped. Deviation: they are none of those that were chosen by
    similarity, with which the published code lets them collide.
    """

    method: Literal["ctre_sim"] = "ctre_sim"

    def grown(self, exchange: Exchange, number: int, layer: int, candidates: Positions, count: int) -> Positions:
        chosen = self.most_similar(exchange, number, layer, candidates, count)
        existing = exchange.cohort.connections[number][layer]
        fresh = chosen[~np.isin(chosen, existing, assume_unique=True)]
        rest = np.delete(candidates, np.searchsorted(candidates, fresh))
        return np.concatenate([fresh, super().grown(exchange, number, layer, rest, count - len(fresh))])


@method
class CTREseq(CTRE):
    """By similarity until the validation accuracy has not improved for some epochs, then at random to the end.

    Attributes:
        patience: how many epochs.
    """

    method: Literal["ctre_seq"] = "ctre_seq"
    patience: int = Field(40, ge=1)

    def grown(self, exchange: Exchange, number: int, layer: int, candidates: Positions, count: int) -> Positions:
        grow = super().grown if stalled(exchange.cohort.qualities(number), self.patience) else self.most_similar
        return grow(exchange, number, layer, candidates, count)


def stalled(qualities: np.ndarray, patience: int) -> bool:
    """Return whether no quality was better than all before it for so many epochs, now or at any time before.

    Args:
        qualities: (epochs,) of each epoch so far.
        patience: how many epochs.
    """
    before = np.concatenate([[-np.inf], np.maximum.accumulate(qualities)])[:-1]
    improved = np.flatnonzero(qualities > before)
    return bool((np.diff([*improved, len(qualities)]) > patience).any())


@configured()
def unit_vectors(activities: np.ndarray) -> UnitVectors:
    """Scale the activities of each unit to norm 1.

    Args:
        activities: (units, examples).
    """
    tensor = torch.from_numpy(activities)
    norms = torch.linalg.vector_norm(tensor, dim=1, dtype=torch.float64)
    active = torch.nonzero(norms)[:, 0]
    return UnitVectors(len(tensor), active, tensor[active] / norms[active, None].float())


@configured()
def similarities(before: UnitVectors, after: UnitVectors) -> np.ndarray:
    """Return |cosine similarity| of the activities of the units of two layers.

    Args:
        before: of the n_in units that the later layer reads.
        after: of its n_out units.

    Returns:
        (n_out, n_in) float32 from 0 to 1; 0 where a unit is never active.
    """
    out = torch.zeros(after.units, before.units)
    out[after.active[:, None], before.active] = (after.vectors @ before.vectors.T).abs_().clamp_(max=1)
    return out.numpy()
