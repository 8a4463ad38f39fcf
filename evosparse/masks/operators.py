"""Variation of masks: random, sub-mask, crossover, mutation, layer exchange, resizing, composition.

Pure functions of masks and a generator. Counts are met exactly, and the work and memory of a layer grow with its
connections, never with its dense size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import SpecError
from evosparse.masks.genome import Mask, MaskLayer, MaskMismatch, index_dtype
from evosparse.nets.sparsity import LayerShape, apportion

Positions = NDArray[np.signedinteger]
_NEXT_TO_NOTHING = 1e-9


def random_mask(layers: Sequence[LayerShape], counts: Sequence[int], rng: np.random.Generator) -> Mask:
    """Draw a mask with exactly these counts, every such mask equally likely.

    Args:
        layers: names and shapes of the layers (a mask's layers will do).
        counts: (layers,) connections per layer.
        rng: source of randomness.

    Raises:
        MaskMismatch: the counts do not fit the layers.
    """
    empty = Mask(tuple(MaskLayer(layer.name, layer.shape, np.empty(0, dtype=np.int32)) for layer in layers))
    return resize(empty, counts, rng)


def random_submask(mask: Mask, counts: Sequence[int], rng: np.random.Generator) -> Mask:
    """Draw a mask with exactly these counts among the connections of another, every such mask equally likely.

    Args:
        mask: the mask to take from.
        counts: (layers,) connections per layer, at most those of the mask.
        rng: source of randomness.

    Raises:
        MaskMismatch: the counts do not fit the mask.
    """
    _check_counts(counts, mask.layers)
    if any(count > layer.count for count, layer in zip(counts, mask.layers, strict=True)):
        raise MaskMismatch(f"a sub-mask of {mask.counts} connections per layer cannot have {tuple(counts)}")
    return resize(mask, counts, rng)


def resize(mask: Mask, counts: Sequence[int], rng: np.random.Generator) -> Mask:
    """Drop or grow connections uniformly until each layer has exactly these counts.

    Args:
        mask: the mask to change.
        counts: (layers,) connections per layer.
        rng: source of randomness.

    Raises:
        MaskMismatch: the counts do not fit the layers.
    """
    _check_counts(counts, mask.layers)
    return Mask(
        tuple(
            layer if count == layer.count else _with(layer, _resized(layer.indices, layer.size, count, rng))
            for layer, count in zip(mask.layers, counts, strict=True)
        )
    )


def crossover(first: Mask, second: Mask, rng: np.random.Generator, counts: Sequence[int] | None = None) -> Mask:
    """Keep what both parents share and draw the rest from where they differ.

    Each layer of the child has exactly the asked number of connections. Where the parents share more than that, the
    child draws from the shared ones; where they have fewer in all, it takes them all and grows the rest uniformly
    (both happen only with ``counts``).

    Args:
        first, second: masks over the same layers.
        rng: source of randomness.
        counts: (layers,) connections per layer of the child; by default those of the parents, which must be equal.

    Raises:
        MaskMismatch: the parents differ in layers, or in counts and none were given, or the counts do not fit.
    """
    _check_same_layers((first, second))
    if counts is None:
        if first.counts != second.counts:
            raise MaskMismatch(
                f"the parents have {first.counts} and {second.counts} connections per layer: state the child's 'counts'"
            )
        counts = first.counts
    _check_counts(counts, first.layers)
    return Mask(
        tuple(
            _with(one, _crossed(one.indices, other.indices, one.size, count, rng))
            for one, other, count in zip(first.layers, second.layers, counts, strict=True)
        )
    )


def between(first: Mask, second: Mask, share: float, total: int | None = None) -> tuple[int, ...]:
    """Return counts of each layer that lie between those of two masks, with an exact total.

    Args:
        first, second: masks over the same layers.
        share: of the second, 0 to 1.
        total: connections in all, at most those of a dense mask; by default those of the first mask. Where it is not what
            lies between the masks' own, all layers change in proportion, as far as they have room.

    Raises:
        MaskMismatch: the masks differ in layers.
    """
    _check_same_layers((first, second))
    total = first.count if total is None else total
    shares = (1 - share) * np.array(first.counts, float) + share * np.array(second.counts, float)
    sizes = np.array([layer.size for layer in first.layers])
    # A layer that neither mask has stays empty as long as the others have room.
    proportions = np.maximum(shares, _NEXT_TO_NOTHING)
    return tuple(int(count) for count in apportion(proportions, np.zeros_like(sizes), sizes, total))


def swap_mutation(mask: Mask, rate: float, rng: np.random.Generator) -> Mask:
    """Move connections to positions that were empty, each with a given probability; the counts stay.

    The number of moves of a layer is binomial, at most its number of empty positions. Where the rate is positive and
    no layer drew a move, one connection is moved, so that a mutant differs from its parent whenever it can.

    Args:
        mask: the parent.
        rate: probability that a connection moves, 0 to 1.
        rng: source of randomness.

    Raises:
        SpecError: the rate is not a probability.
    """
    if not 0 <= rate <= 1:
        raise SpecError(f"expected a mutation rate from 0 to 1, got {rate}")
    counts = np.array(mask.counts)
    empties = np.array([layer.size for layer in mask.layers]) - counts
    moves = np.minimum(rng.binomial(counts, rate), empties)
    movable = np.cumsum(np.where(empties > 0, counts, 0))
    if rate > 0 and not moves.any() and movable[-1]:
        moves[np.searchsorted(movable, rng.integers(movable[-1]), side="right")] = 1
    return Mask(
        tuple(
            _with(layer, _swapped(layer.indices, layer.size, int(count), rng)) if count else layer
            for layer, count in zip(mask.layers, moves, strict=True)
        )
    )


def exchange_layers(first: Mask, second: Mask, rng: np.random.Generator) -> Mask:
    """Take each layer whole from one of the two parents, and at least one from each where there are two layers.

    Args:
        first, second: masks over the same layers; their counts may differ.
        rng: source of randomness.

    Raises:
        MaskMismatch: the parents differ in layers.
    """
    _check_same_layers((first, second))
    parents = (first, second)
    sources = rng.integers(2, size=len(first.layers))
    while len(sources) > 1 and sources.min() == sources.max():
        sources = rng.integers(2, size=len(first.layers))
    return compose([parents[source] for source in sources])


def compose(masks: Sequence[Mask]) -> Mask:
    """Take the first layer from the first mask, the second from the second, and so on.

    Args:
        masks: one mask per layer, all over the same layers.

    Raises:
        MaskMismatch: the masks differ in layers, or there is not one for each layer.
    """
    _check_same_layers(masks)
    if not masks or len(masks) != len(masks[0].layers):
        layers = len(masks[0].layers) if masks else "at least one"
        raise MaskMismatch(f"expected one mask per layer ({layers}), got {len(masks)}")
    return Mask(tuple(mask.layers[position] for position, mask in enumerate(masks)))


@dataclass(frozen=True)
class AdaptiveRate:
    """A mutation rate that follows the success of the children: the 1/5 rule, applied once per generation.

    Args:
        rate: the present rate, between the bounds.
        minimum, maximum: bounds of the rate, above 0 and at most 1.
        factor: what the rate is divided by after more than a fifth of successes, and multiplied by after less.

    Raises:
        SpecError: bounds, rate or factor are out of order.

    Source: Rechenberg, "Evolutionsstrategie", 1973; factor of Schwefel, "Numerical Optimization of Computer Models",
    1981. Deviation: applied to a probability, hence the bounds.
    """

    rate: float
    minimum: float = 1e-4
    maximum: float = 0.5
    factor: float = 0.85

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.rate <= self.maximum <= 1:
            raise SpecError(
                f"expected 0 < minimum <= rate <= maximum <= 1, got minimum {self.minimum}, rate {self.rate}, "
                f"maximum {self.maximum}"
            )
        if not 0 < self.factor < 1:
            raise SpecError(f"expected a factor between 0 and 1, got {self.factor}")

    def updated(self, successes: int, trials: int) -> AdaptiveRate:
        """Return the rate for the next generation.

        Args:
            successes: children of this generation that beat their parent.
            trials: children of this generation; with none the rate stays.
        """
        if 5 * successes == trials:
            return self
        rate = self.rate / self.factor if 5 * successes > trials else self.rate * self.factor
        return replace(self, rate=min(max(rate, self.minimum), self.maximum))


def _check_same_layers(masks: Sequence[Mask]) -> None:
    layers = {tuple((layer.name, layer.shape) for layer in mask.layers) for mask in masks}
    if len(layers) > 1:
        described = " and ".join(sorted(", ".join(f"{name} {shape}" for name, shape in each) for each in layers))
        raise MaskMismatch(f"expected masks over the same layers, got {described}")


def _check_counts(counts: Sequence[int], layers: Sequence[MaskLayer]) -> None:
    sizes = [layer.size for layer in layers]
    if len(counts) != len(sizes) or any(not 0 <= count <= size for count, size in zip(counts, sizes, strict=True)):
        raise MaskMismatch(f"expected one count per layer, from 0 to {sizes}, got {list(counts)}")


def _with(layer: MaskLayer, indices: Positions) -> MaskLayer:
    return MaskLayer(layer.name, layer.shape, indices)


def _crossed(one: Positions, other: Positions, size: int, count: int, rng: np.random.Generator) -> Positions:
    """Return the crossover of one layer."""
    both = _merged(one, other)
    # Of a connection that both parents have, the first of its two entries stands for it.
    shared = np.zeros(len(both), dtype=bool)
    np.equal(both[1:], both[:-1], out=shared[:-1])
    differs = ~shared
    differs[1:] &= ~shared[:-1]
    missing = count - np.count_nonzero(shared)
    candidates = np.flatnonzero(differs)
    if missing <= 0:
        return _resized(both[shared], size, count, rng)
    if missing >= len(candidates):
        return _resized(both[shared | differs], size, count, rng)
    shared[candidates[_choice(len(candidates), missing, rng)]] = True
    return both[np.flatnonzero(shared)]  # three times as fast as a boolean index of no pattern


def _swapped(indices: Positions, size: int, moves: int, rng: np.random.Generator) -> Positions:
    """Return the positions of one layer after that many moves."""
    kept = _resized(indices, size, len(indices) - moves, rng)
    return _merged(kept, _empty_positions(indices, _sample(size - len(indices), moves, rng)))


def _resized(indices: Positions, size: int, count: int, rng: np.random.Generator) -> Positions:
    """Return that many positions: a uniform subset of the given ones, or all of them and uniform others."""
    if count <= len(indices):
        return indices[_choice(len(indices), count, rng)]
    added = _sample(size - len(indices), count - len(indices), rng)
    return _merged(indices, _empty_positions(indices, added))


def _choice(size: int, count: int, rng: np.random.Generator) -> Positions:
    """Draw distinct integers below ``size``, sorted, every set equally likely, in memory of the order of ``size``."""
    few = min(count, size - count)
    chosen = np.zeros(size, dtype=bool)
    chosen[rng.choice(size, few, replace=False, shuffle=False)] = True
    return np.flatnonzero(chosen if few == count else ~chosen)


def _sample(size: int, count: int, rng: np.random.Generator) -> Positions:
    """Draw as ``_choice`` does, in memory of the order of ``count``.

    Numpy's ``choice`` holds all ``size`` integers as soon as a twentieth of them is asked for. Drawing with replacement
    and discarding repeats until there are enough does not, and favours no integer over another either.
    """
    if size < 4 * count:
        return _choice(size, count, rng)
    drawn = np.empty(0, dtype=index_dtype(size))
    while len(drawn) < count:
        more = np.sort(rng.integers(size, size=count - len(drawn), dtype=drawn.dtype))
        drawn = _merged(drawn, more)
        is_new = np.ones(len(drawn), dtype=bool)
        np.not_equal(drawn[1:], drawn[:-1], out=is_new[1:])
        drawn = drawn[is_new]
    return drawn


def _empty_positions(indices: Positions, ranks: Positions) -> Positions:
    """Return the positions of the empty places with these ranks, the first empty place having rank 0.

    The j-th empty place lies behind those connections that have at most j empty places before them.
    """
    ranks = ranks.astype(indices.dtype, copy=False)
    empties_before = indices - np.arange(len(indices), dtype=indices.dtype)
    return ranks + np.searchsorted(empties_before, ranks, side="right").astype(indices.dtype)


def _merged(one: Positions, other: Positions) -> Positions:
    """Merge two sorted arrays."""
    # The stable sort recognises the two sorted runs and only merges them.
    return np.sort(np.concatenate([one, other]), kind="stable")
