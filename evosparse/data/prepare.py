"""From what a source holds to train, validation and test: classes, one-hot codes, splits, sizes of images, scaling.

Numbers are converted block by block, so that no float64 copy of a whole data set is ever made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from evosparse.data.raw import Part, RawData
from evosparse.data.sets import DataSet, SearchData, Test, Train, Validation
from evosparse.data.sources import find
from evosparse.data.spec import DataSpec
from evosparse.errors import DataError

_BLOCK = 2**20  # numbers that are float64 at a time
_MOST_CODES = 1000  # a nominal column with more values is a name or a number, and one-hot codes would fill the memory
_LARGEST = np.float64(np.finfo(np.float32).max)


def load(spec: DataSpec, base: Path | None = None) -> DataSet:
    """Find a data set, split it and scale it.

    Args:
        spec: the data section of a campaign file.
        base: folder of the campaign file; relative paths are tried against it, then against the current folder.

    Returns:
        The data set; the same for the same source and spec.

    Raises:
        DataError: it is nowhere, cannot be read, or cannot be split as asked.
    """
    return prepare(find(spec, base), spec)


def prepare(raw: RawData, spec: DataSpec) -> DataSet:
    """Encode, split, resize and scale what a source holds.

    Images become (n, channels, height, width); nominal columns become one column per code that appears, a missing one
    all zeros. Where there is no official test part it is split off first, then ``limit`` applies, then the validation
    part is split off; all stratified. Of what ``limit`` left out, as many examples as the validation part has, or all
    if they are fewer, become the spare part. Scaling and the means that replace missing numbers come from the training
    examples alone, with images in their new size; a feature that is constant there becomes 0.

    Raises:
        DataError: values, labels or classes do not allow it, or ``resize`` is given for a table.
    """
    values, class_names = _classes(raw)
    for part in (raw.train, raw.test):
        if part is not None:
            _refuse_bad_values(part, raw, spec.missing)
    x, x_test = _encode(raw)
    shape = _input_shape(x, spec.resize, raw)
    y = _class_indices(raw.train, values)

    rows = np.arange(len(y))
    if raw.test is None:
        rows, test_rows = _split(rows, y, spec, "test", raw, class_names)
        x_test, y_test = x, y
    else:
        y_test = _class_indices(raw.test, values)
        test_rows = np.arange(len(y_test))
    left_out = rows[:0]
    if spec.limit is not None and spec.limit < len(rows):
        drawn = _draw(rows, y, spec.limit, spec.split_seed)
        rows, left_out = drawn, np.setdiff1d(rows, drawn)
    rows, validation_rows = _split(rows, y, spec, "validation", raw, class_names)

    scaling = _fit(x, rows, shape, spec.scale)
    search = SearchData(
        train=Train(_scaled(x, rows, shape, scaling), y[rows]),
        validation=Validation(_scaled(x, validation_rows, shape, scaling), y[validation_rows]),
        classes=len(values),
        input_shape=shape,
    )
    test = Test(_scaled(x_test, test_rows, shape, scaling), y_test[test_rows])
    spare = None
    if len(left_out) > 0:
        spare_rows = _draw(left_out, y, min(len(left_out), len(validation_rows)), spec.split_seed)
        spare = Validation(_scaled(x, spare_rows, shape, scaling), y[spare_rows])
    return DataSet(raw.name, search, test, class_names, spare)


def _classes(raw: RawData) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels that appear in the training part, sorted, and their names."""
    values, names = np.unique(raw.train.y), raw.class_names
    if len(values) < 2:
        raise DataError(f"{raw.train.y_where}: expected at least 2 classes, got only {values[0]}")
    if names is None:
        return values, tuple(map(str, values.tolist()))
    if values.dtype.kind in "biu" and values[0] >= 0 and values[-1] < len(names):
        return values, tuple(names[int(value)] for value in values)
    if len(names) == len(values):
        return values, names
    raise DataError(f"{raw.where}: class_names: expected {len(values)} names, one per class, got {len(names)}")


def _class_indices(part: Part, values: np.ndarray) -> np.ndarray:
    same_kind = (part.y.dtype.kind == "U") == (values.dtype.kind == "U")
    unknown = ~np.isin(part.y, values) if same_kind else np.ones(len(part.y), dtype=bool)
    if unknown.any():
        raise DataError(
            f"{part.y_where}: label {part.y[unknown][0]!s} of the test part does not appear in the training part"
            f" (there: {', '.join(map(str, values[:20].tolist()))}); remove these examples or add some for training"
        )
    return np.searchsorted(values, part.y).astype(np.int64)


def _refuse_bad_values(part: Part, raw: RawData, missing: Literal["error", "mean"]) -> None:
    x = part.x
    if x.dtype.kind != "f":
        return
    if max(np.fmax.reduce(x, axis=None), -np.fmin.reduce(x, axis=None)) > _LARGEST:
        where = np.argwhere(np.abs(x) > _LARGEST)[0]
        raise DataError(
            f"{part.x_where}: {_feature(raw, where[1:])}: expected finite numbers below {_LARGEST:.2g} in size,"
            f" got {x[tuple(where)]} in example {where[0] + 1}"
        )
    if missing == "mean" and x.ndim == 2:
        return
    unknown = np.isnan(x)
    if raw.nominal is not None:
        unknown[:, raw.nominal] = False
    by_feature = unknown.any(axis=0)
    if by_feature.any():
        first = np.argwhere(by_feature)[0]
        count = int(unknown[(slice(None), *first)].sum())
        mend = "set missing: mean to put the mean of the training examples there"
        raise DataError(
            f"{part.x_where}: {_feature(raw, first)} is missing (NaN) in {count} of {len(x)} examples;"
            f" {mend if x.ndim == 2 else 'the pixels of an image need numbers'}"
        )


def _feature(raw: RawData, index: np.ndarray) -> str:
    if raw.feature_names is not None:
        return f"feature {raw.feature_names[index[0]]!r}"
    return f"feature x[:, {', '.join(map(str, index))}]"


def _encode(raw: RawData) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs of the training and the test part: channels first, nominal columns one-hot."""
    arrays = [part.x for part in (raw.train, raw.test) if part is not None]
    if raw.nominal is not None and raw.nominal.any():
        arrays = _one_hot(arrays, raw)
    elif arrays[0].ndim == 3:
        arrays = [x[:, np.newaxis] for x in arrays]
    elif arrays[0].ndim == 4 and arrays[0].shape[-1] in (1, 3):
        arrays = [np.moveaxis(x, -1, 1) for x in arrays]
    return arrays[0], arrays[1] if raw.test is not None else None


def _input_shape(x: np.ndarray, resize: int | None, raw: RawData) -> tuple[int, ...]:
    """The shape that each input is brought to."""
    if resize is None:
        return x.shape[1:]
    if x.ndim == 2:
        raise DataError(
            f"{raw.train.x_where}: data.resize: expected images of shape (n, height, width) or (n, height, width,"
            f" channels), got a table of shape {raw.train.x.shape}; remove resize, or store the pixels as images"
        )
    return (x.shape[1], resize, resize)


def _one_hot(arrays: list[np.ndarray], raw: RawData) -> list[np.ndarray]:
    # The codes of both parts: the number of inputs must not depend on how a source is split.
    pieces: list[list[np.ndarray]] = [[] for _ in arrays]
    for column in range(arrays[0].shape[1]):
        values = [x[:, column, np.newaxis] for x in arrays]
        if raw.nominal[column]:
            codes = np.unique(np.concatenate(values))
            codes = codes[~np.isnan(codes)]
            if len(codes) > _MOST_CODES:
                raise DataError(
                    f"{raw.train.x_where}: {_feature(raw, np.array([column]))} is nominal with {len(codes)} different"
                    f" values, the most are {_MOST_CODES}; remove the column or make it numeric"
                )
            values = [value == codes for value in values]
        for piece, value in zip(pieces, values):
            piece.append(value)
    encoded = [np.concatenate(piece, axis=1, dtype=arrays[0].dtype) for piece in pieces]
    if encoded[0].shape[1] == 0:
        raise DataError(f"{raw.train.x_where}: every value of every column is missing")
    return encoded


def _draw(rows: np.ndarray, y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """So many of the rows, every class in proportion as far as whole numbers allow."""
    return resample(rows, replace=False, n_samples=count, stratify=y[rows], random_state=seed)


def _split(
    rows: np.ndarray,
    y: np.ndarray,
    spec: DataSpec,
    part: Literal["validation", "test"],
    raw: RawData,
    class_names: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those that stay for training and those of a part, every class in proportion."""
    size = getattr(spec, part)
    where = f"{raw.train.y_where}: cannot split off the {part} part ({part}: {size})"
    counts = np.bincount(y[rows], minlength=len(class_names))
    rare = int(counts.argmin())
    if counts[rare] < 2:
        limit = "" if spec.limit is None else " or raise limit"
        raise DataError(
            f"{where}: class {class_names[rare]!r} has {counts[rare]} of {len(rows)} examples, at least 2 are needed;"
            f" remove the class, merge it with another{limit}"
        )
    try:
        kept, taken = train_test_split(rows, test_size=size, stratify=y[rows], random_state=spec.split_seed)
    except ValueError as error:
        raise DataError(f"{where} of {len(rows)} examples in {len(class_names)} classes: {error}") from error
    absent = np.bincount(y[kept], minlength=len(class_names)) == 0
    if absent.any():
        name = class_names[int(absent.argmax())]
        raise DataError(f"{where}: no example of class {name!r} would stay for training; choose a smaller {part}")
    return kept, taken


@dataclass(frozen=True)
class _Scaling:
    """(x - shift) / span, where missing numbers are first replaced by fill; arrays (d,) for tables, () for images."""

    fill: np.ndarray
    shift: np.ndarray
    span: np.ndarray


def _fit(
    x: np.ndarray, rows: np.ndarray, shape: tuple[int, ...], scale: Literal["unit", "standard", "none"]
) -> _Scaling:
    axes = (0,) if x.ndim == 2 else tuple(range(x.ndim))
    features = shape if x.ndim == 2 else ()
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    total, known = np.zeros(features), np.zeros(features)
    for _, block in _blocks(x, rows, shape):
        low = np.fmin(low, np.fmin.reduce(block, axis=axes))
        high = np.fmax(high, np.fmax.reduce(block, axis=axes))
        total = total + np.nansum(block, axis=axes)
        known = known + np.count_nonzero(~np.isnan(block), axis=axes)
    # A feature that is missing in every training example says nothing: it is filled with 0 and counts as constant.
    fill = total / np.maximum(known, 1)
    if scale == "none":
        return _Scaling(fill, np.zeros(features), np.ones(features))
    if scale == "unit":
        shift, span = np.where(known > 0, low, 0.0), high - low
    else:
        squares = np.zeros(features)
        for _, block in _blocks(x, rows, shape):
            squares = squares + np.nansum(np.square(block - fill), axis=axes)
        shift, span = fill, np.sqrt(squares / (len(rows) * (1 if x.ndim == 2 else math.prod(shape))))
    # Division by infinity gives the 0 that constant features are promised, in validation and test too.
    return _Scaling(fill, shift, np.where((low < high) & (span > 0), span, np.inf))


def _scaled(x: np.ndarray, rows: np.ndarray, shape: tuple[int, ...], scaling: _Scaling) -> np.ndarray:
    scaled = np.empty((len(rows), *shape), dtype=np.float32)
    for start, block in _blocks(x, rows, shape):
        np.copyto(block, scaling.fill, where=np.isnan(block))
        # What overflows float32 here is refused by Examples.
        with np.errstate(over="ignore"):
            scaled[start : start + len(block)] = (block - scaling.shift) / scaling.span
    return scaled


def _blocks(x: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    # Images are resized here, so that those of other rows cost nothing and none are kept in both sizes.
    size = max(1, _BLOCK // max(x[0].size, math.prod(shape)))
    for start in range(0, len(rows), size):
        block = x[rows[start : start + size]].astype(np.float64)
        yield start, block if block.shape[1:] == shape else _resized(block, shape)


def _resized(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    import torch  # slow to import, and nothing else about data needs it

    pixels = torch.from_numpy(images)
    resized = torch.nn.functional.interpolate(pixels, size=shape[1:], mode="bilinear", align_corners=False)
    return resized.numpy()
