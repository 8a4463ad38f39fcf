"""How well a search found the planted ticket: its mask against the planted one, and what its network computes.

Fischer and Burkholz, "Plant 'n' Seek", ICLR 2022, arXiv 2111.11153. Deviation: strong outputs are divided by
the scale of planting before anything is measured, which the published code leaves out for classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosparse.errors import SpecError
from evosparse.sparsify.planted.network import Masks
from evosparse.sparsify.planted.targets import Task, check_task


@dataclass(frozen=True)
class MaskScore:
    """A found mask beside the planted one; precision is NaN where nothing was kept.

    Args:
        precision: share of the kept weights that are planted.
        recall: share of the planted weights that are kept.
        precision_with_biases, recall_with_biases: the same over weights and biases together. A planted bias counts even
            where its value is zero.
        size: number of kept weights.
        size_with_biases: number of kept weights and biases.
        survivors: per layer, the number of kept weights.
        hits: per layer, the number of kept weights that are planted.
        collapsed: no path leads from any input to any output, so that the network is constant.
    """

    precision: float
    recall: float
    precision_with_biases: float
    recall_with_biases: float
    size: int
    size_with_biases: int
    survivors: tuple[int, ...]
    hits: tuple[int, ...]
    collapsed: bool


def score_masks(found: Masks, planted: Masks) -> MaskScore:
    """Compare a found mask with the planted one.

    Args:
        found: masks over the mother network.
        planted: the ticket's masks over the same network.

    Raises:
        SpecError: the masks are over different networks.
    """
    shapes = [[mask.shape for mask in (*masks.weights, *masks.biases)] for masks in (found, planted)]
    if shapes[0] != shapes[1]:
        raise SpecError(f"expected masks over the planted network, of shapes {shapes[1]}; got {shapes[0]}")
    weights = [_counts(one, other) for one, other in zip(found.weights, planted.weights, strict=True)]
    biases = [_counts(one, other) for one, other in zip(found.biases, planted.biases, strict=True)]
    kept, planned, hits = np.sum(weights, axis=0).tolist()
    all_kept, all_planned, all_hits = np.sum(weights + biases, axis=0).tolist()
    return MaskScore(
        precision=_share(hits, kept),
        recall=_share(hits, planned),
        precision_with_biases=_share(all_hits, all_kept),
        recall_with_biases=_share(all_hits, all_planned),
        size=kept,
        size_with_biases=all_kept,
        survivors=tuple(layer[0] for layer in weights),
        hits=tuple(layer[2] for layer in weights),
        collapsed=not paths(found),
    )


def paths(masks: Masks) -> bool:
    """Return whether any input reaches any output over existing weights."""
    reached = np.ones(masks.weights[0].shape[1], dtype=bool)
    for mask in masks.weights:
        reached = mask[:, reached].any(axis=1)
    return bool(reached.any())


def score_outputs(
    task: Task, outputs: ArrayLike, targets: ArrayLike, scale_out: NDArray[np.float64] | None
) -> dict[str, float]:
    """Return the measures of a network on a task.

    Args:
        task: which.
        outputs: (n, n_out) of the network.
        targets: (n,) classes for Circle, (n, n_out) values for the others.
        scale_out: (n_out,) scale of planting, for a network at its planted weights (strong ticket); None for one that
            was trained to the targets as they are (weak ticket).

    Returns:
        ``accuracy`` for Circle; for the others ``mse`` and ``mse_least_squares``, which is optimistic: nothing may be
        selected by it.

    Raises:
        SpecError: there is no such task, or outputs and targets do not fit.
    """
    check_task(task)
    if task == "circle":
        return {"accuracy": accuracy(outputs, targets, scale_out)}
    return {
        "mse": squared_error(outputs, targets, scale_out),
        "mse_least_squares": least_squares_error(outputs, targets),
    }


def accuracy(outputs: ArrayLike, labels: ArrayLike, scale_out: NDArray[np.float64] | None) -> float:
    """Return the share of right classes; NaN where an output is not finite. Equal outputs are answers for the first class.

    Args:
        outputs: (n, classes) of the network.
        labels: (n,) classes.
        scale_out: see `score_outputs`.

    Raises:
        SpecError: outputs and labels do not fit.
    """
    scaled = _scaled(outputs, scale_out)
    if scaled.ndim != 2 or np.shape(labels) != scaled.shape[:1]:
        raise SpecError(f"expected (n, classes) outputs and (n,) labels, got {scaled.shape} and {np.shape(labels)}")
    if not np.isfinite(scaled).all():
        return float("nan")
    return float((scaled.argmax(axis=1) == np.asarray(labels)).mean())


def squared_error(outputs: ArrayLike, targets: ArrayLike, scale_out: NDArray[np.float64] | None) -> float:
    """Return the mean squared error over samples and outputs.

    Args:
        outputs: (n, n_out) of the network.
        targets: (n, n_out).
        scale_out: see `score_outputs`.

    Raises:
        SpecError: outputs and targets differ in shape.
    """
    scaled, wanted = _scaled(outputs, scale_out), np.asarray(targets, dtype=np.float64)
    if scaled.shape != wanted.shape:  # arrays of (n,) and (n, 1) would be compared pair by pair
        raise SpecError(f"expected outputs and targets of one shape, got {scaled.shape} and {wanted.shape}")
    return float(np.square(scaled - wanted).mean())


def least_squares_error(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean squared error after the best factor for each output, found on these very targets (published code).

    Args:
        outputs: (n, n_out) of the network.
        targets: (n, n_out).

    Raises:
        SpecError: outputs and targets differ in shape.
    """
    values, wanted = np.asarray(outputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    squared_error(values, wanted, None)
    norms = np.square(values).sum(axis=0)
    factors = np.divide((values * wanted).sum(axis=0), norms, out=np.ones_like(norms), where=norms != 0)
    return squared_error(values * factors, wanted, None)


def _counts(found: NDArray[np.bool_], planted: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return how many are kept, planted, and both."""
    return int(found.sum()), int(planted.sum()), int((found & planted).sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _scaled(outputs: ArrayLike, scale_out: NDArray[np.float64] | None) -> NDArray[np.float64]:
    values = np.asarray(outputs, dtype=np.float64)
    return values if scale_out is None else values / scale_out
