"""Binary data for Boltzmann machines: bars and stripes, whose best likelihood is known, and binarised pictures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError, SpecError


def bars_and_stripes(side: int) -> NDArray[np.uint8]:
    """Return all pictures whose rows are whole, then all whose columns are.

    The black and the white picture are both, and stand there twice.

    Args:
        side: pixels a side, from 1 to 12.

    Returns:
        (2 * 2 ** side, side * side) array of 0 and 1, rows of a picture one after the other.

    Raises:
        SpecError: the side is out of range.

    Source: MacKay, "Information Theory, Inference, and Learning Algorithms", section 43.
    """
    if not 1 <= side <= 12:
        raise SpecError(f"bars and stripes: expected 1 to 12 pixels a side, got {side}")
    lines = (np.arange(2**side)[:, None] >> np.arange(side)[::-1] & 1).astype(np.uint8)
    rows = np.repeat(lines[:, :, None], side, axis=2)
    return np.concatenate([rows, rows.transpose(0, 2, 1)]).reshape(-1, side * side)


def least_nll_of_bars_and_stripes(side: int) -> float:
    """Return the least average negative log-likelihood that any model of the pictures has: their entropy, in nats.

    2 * 2 ** side equally likely samples, of which two stand there twice.
    """
    samples = 2 * 2**side
    return math.log(samples) - 4 / samples * math.log(2)


def binarise(x: NDArray[np.floating], key: SeedKey) -> NDArray[np.uint8]:
    """Draw each pixel once, on with a probability that is its brightness.

    Args:
        x: array of any shape from 0 to 1.
        key: source of randomness.

    Returns:
        Array of 0 and 1 of that shape.

    Raises:
        DataError: a value is below 0, above 1 or no number.
    """
    x = np.asarray(x)
    if not x.size or not (x.min() >= 0 and x.max() <= 1):
        came = f"{x.min()} to {x.max()}" if x.size else "none"
        raise DataError(f"binarise: expected brightness from 0 to 1, got {came}; divide pixels of 0 to 255 by 255")
    drawn = np.empty(x.shape, np.uint8)
    rng = key.rng()
    for row, own in zip(x.reshape(len(x), -1), drawn.reshape(len(x), -1), strict=True):
        own[:] = rng.random(len(row), np.float32) < row
    return drawn
