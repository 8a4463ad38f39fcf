"""Counts the votes of many ensembles at once: one pass over the examples, with all candidates innermost and contiguous.

Adding bytes only where a member votes takes a thirtieth of the time of a matrix product with one-hot votes, most of whose
factors are zero. What one candidate is given never depends on the candidates beside it. On a GPU the product is used.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

_BLOCK = 512  # candidates at a time: counts and bits then stay in the cache of one core
_CELLS = 2**24  # scores that the product on a GPU holds at a time


def count_hits(
    labels: NDArray[np.int16],
    y: NDArray[np.int64],
    classes: int,
    chosen: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    device: str = "cpu",
) -> NDArray[np.int64]:
    """Count the examples of each class that each ensemble decides rightly by a vote; ties go to the lowest class.

    Args:
        labels: (n, members) class that each member votes for.
        y: (n,) true classes.
        classes: number of classes.
        chosen: (candidates, members) whether a member votes; an empty ensemble decides nothing rightly.
        weights: (members,) of the votes; None for one vote each.
        device: ``cpu``, or ``cuda`` for a matrix product on a GPU.

    Returns:
        (candidates, classes) hits.
    """
    if device != "cpu":
        one_hot = np.eye(classes, dtype=np.float32)[labels]
        return _product_hits(one_hot, y, chosen, weights, device)
    hits = np.zeros((classes, len(chosen)), dtype=np.int64)
    for block, bits in _blocks(chosen, weights):
        _count_hits(labels, y, bits, classes, found := np.zeros((classes, bits.shape[1]), dtype=np.int32))
        hits[:, block] = found[:, : block.stop - block.start]
    hits[:, ~chosen.any(axis=1)] = 0
    return hits.T


def count_soft(
    probabilities: NDArray[np.float32], y: NDArray[np.int64], chosen: NDArray[np.bool_], device: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Judge ensembles by the mean of their members' probabilities.

    Args:
        probabilities: (n, members, classes).
        y: (n,) true classes.
        chosen: (candidates, members) whether a member takes part; an empty ensemble decides nothing rightly.
        device: ``cpu``, or ``cuda`` for a matrix product on a GPU.

    Returns:
        (candidates, classes) examples of each class that are decided rightly, ties to the lowest class; and
        (candidates, n) the mean probability of the true class, 0 for an empty ensemble.
    """
    examples, _, classes = probabilities.shape
    size = np.maximum(chosen.sum(axis=1), 1)
    own = np.take_along_axis(probabilities, y[:, None, None], axis=2)[:, :, 0]
    if device != "cpu":
        true = chosen.astype(np.float64) @ own.T.astype(np.float64)
        return _product_hits(probabilities, y, chosen, None, device), true / size[:, None]
    hits = np.zeros((classes, len(chosen)), dtype=np.int64)
    true = np.zeros((len(chosen), examples))
    for block, bits in _blocks(chosen, np.ones(chosen.shape[1])):
        width = block.stop - block.start
        found = np.zeros((classes, bits.shape[1]), dtype=np.int32)
        sums = np.zeros((examples, bits.shape[1]))
        _count_soft(probabilities, y, bits, found, sums)
        hits[:, block], true[block] = found[:, :width], sums[:, :width].T
    hits[:, ~chosen.any(axis=1)] = 0
    return hits.T, true / size[:, None]


def count_right(right: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count how many members of each ensemble are right on each example.

    Args:
        right: (n, members) whether a member is right.
        chosen: (candidates, members).

    Returns:
        (candidates, n) counts.
    """
    counts = np.zeros((len(chosen), len(right)), dtype=np.int64)
    for block, bits in _blocks(chosen, None):
        found = np.zeros((len(right), bits.shape[1]), dtype=bits.dtype)
        _count_right(right, bits, found)
        counts[block] = found[:, : block.stop - block.start].T
    return counts


def sum_pairs(matrix: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each ensemble the mean over its pairs of members of a symmetric matrix.

    Args:
        matrix: (members, members); a pair with NaN is left out.
        chosen: (candidates, members).

    Returns:
        (candidates,) means; NaN where there is no pair to count.
    """
    total, pairs = np.zeros(len(chosen)), np.zeros(len(chosen))
    _sum_pairs(matrix, chosen, total, pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / pairs


def _blocks(chosen: NDArray[np.bool_], weights: NDArray[np.float64] | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of candidates, and what each of their members adds to a class: (members, width) with width padded."""
    members = chosen.shape[1]
    # A byte holds every count of up to 255 members.
    kind = np.float64 if weights is not None else np.uint8 if members < 256 else np.uint32
    for start in range(0, len(chosen), _BLOCK):
        part = chosen[start : start + _BLOCK]
        bits = np.zeros((members, -(-len(part) // 64) * 64), dtype=kind)
        bits[:, : len(part)] = part.T if weights is None else part.T * weights[:, None]
        yield slice(start, start + len(part)), bits


@njit(nogil=True, cache=True)
def _count_hits(labels, y, bits, classes, hits):
    examples, members = labels.shape
    width = bits.shape[1]
    counts = np.empty((classes, width), bits.dtype)
    right = np.empty(width, np.uint8)
    seen = np.empty(classes, np.int64)
    voted = np.zeros(classes, np.uint8)
    for example in range(examples):
        different = 0
        for member in range(members):
            label = labels[example, member]
            row, add = counts[label], bits[member]
            if voted[label]:
                for p in range(width):
                    row[p] += add[p]
            else:
                voted[label] = 1
                seen[different] = label
                different += 1
                for p in range(width):
                    row[p] = add[p]
        true = y[example]
        if voted[true]:  # else nobody can be right
            own = counts[true]
            for p in range(width):
                right[p] = 1
            for place in range(different):
                label = seen[place]
                row = counts[label]
                if label < true:
                    for p in range(width):
                        right[p] &= own[p] > row[p]
                elif label > true:
                    for p in range(width):
                        right[p] &= own[p] >= row[p]
            total = hits[true]
            for p in range(width):
                total[p] += right[p]
        for place in range(different):
            voted[seen[place]] = 0


@njit(nogil=True, cache=True)
def _count_soft(probabilities, y, bits, hits, own_sums):
    examples, members, classes = probabilities.shape
    width = bits.shape[1]
    sums = np.empty((classes, width), np.float64)
    right = np.empty(width, np.uint8)
    for example in range(examples):
        for label in range(classes):
            row = sums[label]
            for p in range(width):
                row[p] = 0.0
        for member in range(members):
            add = bits[member]
            for label in range(classes):
                share = np.float64(probabilities[example, member, label])
                if share != 0.0:
                    row = sums[label]
                    for p in range(width):
                        row[p] += share * add[p]
        true = y[example]
        own = sums[true]
        for p in range(width):
            right[p] = 1
            own_sums[example, p] = own[p]
        for label in range(classes):
            row = sums[label]
            if label < true:
                for p in range(width):
                    right[p] &= own[p] > row[p]
            elif label > true:
                for p in range(width):
                    right[p] &= own[p] >= row[p]
        for p in range(width):
            hits[true, p] += right[p]


@njit(nogil=True, cache=True)
def _count_right(right, bits, counts):
    for example in range(right.shape[0]):
        row = counts[example]
        for member in range(right.shape[1]):
            if right[example, member]:
                add = bits[member]
                for p in range(len(row)):
                    row[p] += add[p]


@njit(nogil=True, cache=True)
def _sum_pairs(matrix, chosen, total, pairs):
    for candidate in range(chosen.shape[0]):
        members = np.flatnonzero(chosen[candidate])
        for second in range(len(members)):
            for first in range(second):
                value = matrix[members[first], members[second]]
                if not np.isnan(value):
                    total[candidate] += value
                    pairs[candidate] += 1


def _product_hits(
    shares: NDArray[np.float32],
    y: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    device: str,
) -> NDArray[np.int64]:
    """Count hits by products with (n, members, classes) shares of the members in the classes."""
    examples, members, classes = shares.shape
    # Counts of up to 256 members are exact in bfloat16, for which processors and GPUs have the fastest products.
    whole = weights is None and members <= 256 and bool(np.isin(shares, (0, 1)).all())
    kind = torch.bfloat16 if whole else torch.float64
    left = torch.from_numpy(chosen * (1.0 if weights is None else weights)).to(device, kind)
    hits = torch.zeros(len(chosen), classes, dtype=torch.int64, device=device)
    lower = torch.arange(classes, device=device)
    step = max(1, _CELLS // max(1, len(chosen) * classes))
    for start in range(0, examples, step):
        true = torch.from_numpy(y[start : start + step]).to(device)
        right = torch.from_numpy(np.ascontiguousarray(shares[start : start + step].swapaxes(0, 1))).to(device, kind)
        scores = (left @ right.reshape(members, -1)).reshape(len(chosen), len(true), classes)
        own = scores.gather(2, true.expand(len(chosen), -1)[:, :, None])
        beaten = torch.where(lower < true[:, None], scores >= own, scores > own).any(dim=2)
        hits.index_add_(1, true, (~beaten).long())
    found = hits.cpu().numpy()
    found[~chosen.any(axis=1)] = 0
    return found
