"""Readers of .npz and .csv files; whatever is wrong with a file becomes one DataError with file and key or line."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from evosparse.data.raw import Part, RawData, checked_part, labels_of_texts, number
from evosparse.errors import DataError, nearest

_MISSING = ("", "?")
_KEYS = ("x_train", "y_train", "x_test", "y_test", "x", "y", "n_train", "categorical", "feature_names", "class_names")


def read_npz(path: Path) -> RawData:
    """Read an .npz file with the keys ``x_train, y_train[, x_test, y_test]`` or ``x, y[, n_train]``.

    With ``n_train``, the first so many rows are the official training part and the rest is the test part. Either
    layout may bring ``categorical``, ``feature_names`` and ``class_names``; other keys are ignored.

    Raises:
        DataError: the file is damaged, holds pickled objects, or its arrays do not fit.
    """
    arrays = _read_arrays(path)
    test = None
    if "x_train" in arrays or "y_train" in arrays:
        train = _npz_part(path, arrays, "x_train", "y_train")
        if "x_test" in arrays or "y_test" in arrays:
            test = _npz_part(path, arrays, "x_test", "y_test")
    else:
        train = _npz_part(path, arrays, "x", "y")
        if "n_train" in arrays:
            train, test = _official_parts(train, arrays["n_train"], f"{path}: n_train")
    return RawData(
        name=path.stem,
        where=str(path),
        train=train,
        test=test,
        nominal=arrays.get("categorical"),
        feature_names=_names(path, arrays, "feature_names"),
        class_names=_names(path, arrays, "class_names"),
    )


def read_csv(path: Path, target: str | None) -> RawData:
    """Read a .csv file: a header line, one class column, and columns that are numeric or nominal.

    A column with a cell that is neither a number nor missing (empty or ``?``) is nominal. In files separated by
    semicolons a decimal comma is understood.

    Args:
        path: the file, UTF-8, separated by commas, semicolons or tabs.
        target: the column that holds the class; the last one by default.

    Raises:
        DataError: the file is damaged, or has no such column.
    """
    text = _decode(path)
    first_line = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = ((f"{path}, line {reader.line_num}", row) for row in reader if row)
    try:
        header, index = _header(*next(rows, (str(path), [])), target)
        texts, codes = _factorise(rows, len(header), index)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a .csv file: {error}") from error
    if not codes[index]:
        raise DataError(f"{path}: there is no line below the header; expected one line per example")

    features = [column for column in range(len(header)) if column != index]
    x = np.empty((len(codes[index]), len(features)))
    nominal = np.zeros(len(features), dtype=bool)
    for place, column in enumerate(features):
        values, nominal[place] = _values(texts[column], decimal_comma=delimiter == ";")
        x[:, place] = values[np.asarray(codes[column])]
    y = labels_of_texts(texts[index])[np.asarray(codes[index])]
    return RawData(
        name=path.stem,
        where=str(path),
        train=checked_part(x, y, str(path), f"{path}: column {header[index]!r}"),
        nominal=nominal,
        feature_names=tuple(header[column] for column in features),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    key = ""
    # A damaged file fails in a dozen ways inside zipfile, zlib and numpy; all of them mean the same to the user.
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a key")
        with file:
            found, arrays = file.files, {}
            for key in [key for key in _KEYS if key in found]:
                arrays[key] = file[key]
    except Exception as error:
        raise DataError(
            f"{path}{f': {key}' if key else ''}: not a readable .npz file of plain arrays ({type(error).__name__}:"
            f" {error}); write it with numpy.savez_compressed(path, x_train=..., y_train=...), without objects"
        ) from error
    if {"x_train", "y_train"} <= arrays.keys() and {"x", "y"} & arrays.keys():
        raise DataError(f"{path}: expected either x_train, y_train or x, y; got both: {_listed(found)}")
    if not {"x_train", "y_train", "x", "y"} & arrays.keys():
        raise DataError(f"{path}: expected the keys x_train, y_train or x, y; got {_listed(found)}")
    return arrays


def _npz_part(path: Path, arrays: dict[str, np.ndarray], x_key: str, y_key: str) -> Part:
    for key in (x_key, y_key):
        if key not in arrays:
            raise DataError(
                f"{path}: {key} is missing; expected {x_key} and {y_key} together, got {_listed(arrays)}"
            )
    return checked_part(arrays[x_key], arrays[y_key], f"{path}: {x_key}", f"{path}: {y_key}")


def _listed(keys: Collection[str]) -> str:
    more = f" and {len(keys) - 10} more" if len(keys) > 10 else ""
    return ", ".join(sorted(keys)[:10]) + more if keys else "no keys"


def _official_parts(everything: Part, n_train: np.ndarray, where: str) -> tuple[Part, Part]:
    rows = len(everything.y)
    if n_train.ndim != 0 or n_train.dtype.kind not in "iu" or not 0 < n_train < rows:
        raise DataError(f"{where}: expected one whole number between 1 and {rows - 1}, got {n_train!r}")
    x, y, border = everything.x, everything.y, int(n_train)
    train = Part(x[:border], y[:border], everything.x_where, everything.y_where)
    return train, Part(x[border:], y[border:], everything.x_where, everything.y_where)


def _names(path: Path, arrays: dict[str, np.ndarray], key: str) -> tuple[str, ...] | None:
    if key not in arrays:
        return None
    if arrays[key].dtype.kind not in "U" or arrays[key].ndim != 1:
        raise DataError(f"{path}: {key}: expected a list of strings, got {arrays[key].dtype} {arrays[key].shape}")
    return tuple(arrays[key].tolist())


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error


def _header(where: str, cells: list[str], target: str | None) -> tuple[list[str], int]:
    """The names of the columns and the index of the class column."""
    header = [cell.strip() for cell in cells]
    if not header:
        raise DataError(f"{where}: the file is empty; expected a header line and one line per example")
    if all(number(cell) is not None for cell in header):
        raise DataError(f"{where}: expected a header line with the names of the columns, got only numbers")
    for index, name in enumerate(header):
        if not name:
            raise DataError(f"{where}: column {index + 1} has no name; name it, or remove it if it only counts rows")
        if name in header[:index]:
            raise DataError(f"{where}: two columns are called {name!r}; give each its own name")
    if len(header) < 2:
        raise DataError(f"{where}: expected a class column and at least one feature, got only {header[0]!r}")
    if target is not None and target not in header:
        raise DataError(f"{where}: target: there is no column {target!r}; {nearest(target, header)}")
    return header, len(header) - 1 if target is None else header.index(target)


def _factorise(
    rows: Iterable[tuple[str, list[str]]], width: int, target: int
) -> tuple[list[list[str]], list[array[int]]]:
    """The distinct texts of each column and, row by row, the index of its text; so each text is kept and parsed once,
    and a file of millions of cells needs four bytes for each."""
    texts: list[dict[str, int]] = [{} for _ in range(width)]
    codes = [array("i") for _ in range(width)]
    for where, row in rows:
        if len(row) != width:
            raise DataError(
                f"{where}: expected {width} cells as in the header, got {len(row)};"
                " a cell that holds the separator needs quotes"
            )
        if row[target].strip() in _MISSING:
            raise DataError(f"{where}: the class is missing; fill it in or remove the line")
        for seen, column, cell in zip(texts, codes, row):
            column.append(seen.setdefault(cell.strip(), len(seen)))
    return [list(seen) for seen in texts], codes


def _values(texts: list[str], decimal_comma: bool) -> tuple[np.ndarray, bool]:
    """The value of each distinct text, NaN where missing, and whether the column is nominal."""
    known = sorted(text for text in texts if text not in _MISSING)
    numbers = [number(text.replace(",", ".") if decimal_comma else text) for text in known]
    nominal = None in numbers
    values = dict(zip(known, range(len(known)) if nominal else numbers))
    return np.array([values.get(text, np.nan) for text in texts], dtype=np.float64), nominal
