"""The encodings inside the campaign database: JSON for values, npy for arrays, never pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Value = TypeVar("Value", dict, list, str)


class Damaged(Exception):
    """What stands in a database is not what evosparse writes; the message says what was expected and what came."""


def to_json(value: object) -> str:
    """Encode JSON values exactly; numpy scalars count as the Python numbers that they are.

    NaN and infinity are written as Python's ``json`` does, in which JSON proper has no word for them.

    Raises:
        TypeError: there is something else in it.
    """
    return _ENCODER.encode(value)


def from_json(text: str, kind: type[Value], what: str) -> Value:
    """Decode what `to_json` wrote.

    Args:
        text: the encoding.
        kind: the type that it must have at the top.
        what: what errors call it.

    Raises:
        Damaged: it is no such JSON.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"expected {what} in JSON, got {text!r:.60} ({error})") from None
    if not isinstance(value, kind):
        raise Damaged(f"expected a JSON {kind.__name__} for {what}, got {text!r:.60}")
    return value


def array_to_bytes(array: np.ndarray) -> bytes:
    """Encode an array in numpy's npy format, with its type, shape and order.

    Raises:
        ValueError: the array holds Python objects.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes, what: str) -> np.ndarray:
    """Decode what `array_to_bytes` wrote.

    Args:
        data: the encoding.
        what: what errors call it.

    Raises:
        Damaged: it is no such encoding.
    """
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever its parsing meets
        raise Damaged(f"expected {what} in numpy's npy format, got something else ({error})") from None


def to_text(text: str) -> str:
    """Make text storable: what UTF-8 cannot express (lone surrogates, as in odd file names) is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected JSON values, got {type(value).__name__}: {value!r:.80}; arrays belong to State.arrays")


_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"))
