"""The types in which data travels: train, validation and test are distinct, so that no search or fitness function
can be handed the test set by accident."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from evosparse.errors import DataError


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with their classes, read-only.

    Args:
        x: (n, *input_shape) float32 array, C-contiguous and finite.
        y: (n,) int64 array of class indices from 0.

    Raises:
        DataError: a type, a shape or a value is another.
    """

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        role = type(self).__name__
        _expect_array(self.x, np.float32, f"x of {role}", "(n, *input_shape) with an example in each row")
        _expect_array(self.y, np.int64, f"y of {role}", "(n,) with the class index of each example")
        if self.x.ndim < 2 or self.y.ndim != 1 or len(self.x) != len(self.y) or self.x.size == 0:
            raise DataError(
                f"{role}: expected x of shape (n, *input_shape) and y of shape (n,) with at least one example,"
                f" got {self.x.shape} and {self.y.shape}"
            )
        if not np.isfinite(self.x).all():
            raise DataError(f"x of {role} holds a value that is not finite; check the source, or scale it otherwise")
        if self.y.min() < 0:
            raise DataError(f"y of {role}: expected class indices from 0, got {self.y.min()}")
        # Views: the caller's own arrays stay as writable as they were.
        for name in ("x", "y"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.y)


class Train(Examples):
    """What weights are fitted to."""


class Validation(Examples):
    """What candidates are compared on."""


class Test(Examples):
    """What is looked at once, after the search, for members of the Hall of Fame."""

    __test__ = False  # the name looks like a test class to pytest


@dataclass(frozen=True, eq=False)
class SearchData:
    """All of a data set that a search or a fitness function ever sees.

    Args:
        train: the training examples.
        validation: the validation examples.
        classes: number of classes.
        input_shape: shape of one input, ``(features,)`` or ``(channels, height, width)``.

    Raises:
        DataError: a part is of the wrong type (the test set above all) or does not fit the shape or the classes.
    """

    train: Train
    validation: Validation
    classes: int
    input_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise DataError(f"expected at least 2 classes, got {self.classes}")
        _expect_role(self.train, Train, self.classes, self.input_shape)
        _expect_role(self.validation, Validation, self.classes, self.input_shape)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set with its test part.

    Args:
        name: how people call it.
        search: what searches and fitness functions see.
        test: what they never see.
        class_names: one name per class index.
        spare: training examples that ``limit`` left out, for choosing the epoch of a training that takes train and
            validation both; None where there are none.

    Attributes:
        hash: SHA-256 over every array with its role, shape and type; over the spare examples only where there are some.

    Raises:
        DataError: the test part or the spare part does not fit, or the names are not one per class.
    """

    name: str
    search: SearchData
    test: Test
    class_names: tuple[str, ...]
    spare: Validation | None = None
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.search, SearchData):
            raise DataError(f"expected the search part as SearchData, got {type(self.search).__name__}")
        _expect_role(self.test, Test, self.search.classes, self.search.input_shape)
        parts: tuple[Examples, ...] = (self.search.train, self.search.validation, self.test)
        if self.spare is not None:
            _expect_role(self.spare, Validation, self.search.classes, self.search.input_shape, "Spare")
            parts += (self.spare,)
        if len(self.class_names) != self.search.classes:
            raise DataError(f"expected {self.search.classes} class names, one per class, got {len(self.class_names)}")
        object.__setattr__(self, "hash", _hash(parts))


def describe(dataset: DataSet) -> str:
    """Say in one line what a data set holds: name, sizes of its parts, input shape, classes."""
    search = dataset.search
    spare = "" if dataset.spare is None else f", {len(dataset.spare)} spare"
    return (
        f"{dataset.name}: {len(search.train)} training, {len(search.validation)} validation,"
        f" {len(dataset.test)} test{spare} examples, input {'x'.join(map(str, search.input_shape))},"
        f" {search.classes} classes"
    )


def merged(data: SearchData) -> Train:
    """Put train and validation examples one after the other, for a final training that takes them all.

    Args:
        data: what the search saw.

    Returns:
        (n_train + n_validation) examples, those of train first.
    """
    parts = (data.train, data.validation)
    return Train(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


def _expect_array(value: object, dtype: type[np.generic], what: str, meaning: str) -> None:
    if not isinstance(value, np.ndarray):
        raise DataError(f"{what}: expected a numpy array of shape {meaning}, got {type(value).__name__}")
    if value.dtype != dtype or not value.flags.c_contiguous:
        order = "contiguous" if value.flags.c_contiguous else "not contiguous"
        raise DataError(
            f"{what}: expected a C-contiguous {dtype.__name__} array of shape {meaning}, got {value.dtype}, {order};"
            f" numpy.ascontiguousarray(array, {dtype.__name__!r}) converts it"
        )


def _expect_role(
    examples: object, role: type[Examples], classes: int, input_shape: tuple[int, ...], part: str | None = None
) -> None:
    part = part or role.__name__
    if not isinstance(examples, role):
        raise DataError(f"expected the {part.lower()} part as {role.__name__}, got {type(examples).__name__}")
    if examples.x.shape[1:] != input_shape:
        raise DataError(f"{part}: expected inputs of shape {input_shape}, got {examples.x.shape[1:]}")
    if examples.y.max() >= classes:
        raise DataError(f"{part}: expected class indices below {classes}, got {examples.y.max()}")


def _hash(parts: tuple[Examples, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for name, array in (("x", part.x), ("y", part.y)):
            digest.update(f"{type(part).__name__}.{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data)
    return digest.hexdigest()
