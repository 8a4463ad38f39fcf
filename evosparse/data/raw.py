"""What a source holds before any encoding, splitting or scaling; here every source passes the same checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evosparse.errors import DataError

# Above this a float64 is no longer sure to hold a whole number exactly.
_LARGEST_LABEL = 2.0**53


@dataclass(frozen=True, eq=False)
class Part:
    """Inputs and labels of one official part, made by `checked_part`.

    Attributes:
        x: (n, ...) array of numbers; missing = NaN.
        y: (n,) array of whole numbers or strings.
        x_where, y_where: where they come from, for messages.
    """

    x: np.ndarray
    y: np.ndarray
    x_where: str
    y_where: str


@dataclass(frozen=True, eq=False)
class RawData:
    """A data set as its source has it.

    Args:
        name: how people call it.
        where: file or service it comes from, for messages.
        train: the official training part, or everything.
        test: the official test part, where there is one.
        nominal: (d,) bool array, True for the columns of a table that hold codes without an order.
        feature_names: names of the d columns of a table.
        class_names: names of the classes, by label where labels count from 0, otherwise in the order of the labels.

    Raises:
        DataError: the parts do not fit each other.
    """

    name: str
    where: str
    train: Part
    test: Part | None = None
    nominal: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        shape = self.train.x.shape[1:]
        if self.test is not None and self.test.x.shape[1:] != shape:
            raise DataError(
                f"{self.test.x_where}: expected examples of shape {shape} as in {self.train.x_where},"
                f" got {self.test.x.shape[1:]}"
            )
        if self.nominal is not None and (self.nominal.dtype != np.bool_ or self.nominal.shape != shape):
            raise DataError(
                f"{self.where}: categorical: expected one bool per column, shape {shape},"
                f" got {self.nominal.dtype} of shape {self.nominal.shape}"
            )
        if self.feature_names is not None and (len(self.feature_names),) != shape:
            raise DataError(
                f"{self.where}: feature_names: expected one name per column, shape {shape},"
                f" got {len(self.feature_names)} names"
            )


def checked_part(x: np.ndarray, y: np.ndarray, x_where: str, y_where: str) -> Part:
    """Make a part of a data set of two arrays, or say what is wrong with them.

    Args:
        x: (n, features), (n, height, width) or (n, height, width, channels) array of numbers.
        y: (n,) array of labels, whole numbers or strings.
        x_where, y_where: file and key, for messages.

    Raises:
        DataError: shapes or types are others, or the lengths differ.
    """
    if x.dtype.kind not in "biuf":
        raise DataError(f"{x_where}: expected numbers, got {x.dtype}; encode other values as numbers")
    if not 2 <= x.ndim <= 4 or x.size == 0:
        raise DataError(
            f"{x_where}: expected at least one example in a shape (n, features), (n, height, width) or"
            f" (n, height, width, channels), got {x.shape}"
        )
    if y.ndim != 1 or len(y) != len(x):
        raise DataError(f"{y_where}: expected one label per example, shape ({len(x)},) as in {x_where}, got {y.shape}")
    return Part(x, _labels(y, y_where), x_where, y_where)


def labels_of_texts(texts: list[str]) -> np.ndarray:
    """Read labels that came as text: numbers where every one of them is a number, strings otherwise."""
    numbers = [number(text) for text in texts]
    return np.array(texts if None in numbers else numbers)


def number(text: str) -> float | None:
    """Read a number; ``1_000``, which Python takes for one, is a name in a table."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _labels(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind in "biuU":
        return y
    if y.dtype.kind != "f":
        raise DataError(f"{where}: expected class labels, whole numbers or strings, got {y.dtype}")
    wrong = ~((np.abs(y) < _LARGEST_LABEL) & (y == np.floor(y)))
    if wrong.any():
        raise DataError(
            f"{where}: expected class labels, whole numbers or strings, got {y[wrong][0]};"
            " numbers to be predicted (regression) are not classes"
        )
    return y.astype(np.int64)
