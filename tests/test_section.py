"""Sections refuse what would surprise, and convert only what cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from evosparse.section import Section


class Order(StrEnum):
    UP = "up"
    DOWN = "down"


class Inner(Section):
    rate: float = 1
    sizes: tuple[int, ...] = [1]


class Outer(Section):
    whole: int = 0
    number: float = 0.0
    truth: bool = False
    text: str = ""
    either: int | float = 0
    maybe: int | None = None
    items: Sequence[int] = ()
    mapping: dict[str, float] = {}
    numbered: dict[int, float] = {}
    folder: Path = Path("here")
    order: Order = Order.UP
    mode: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    # Names that mean something else in pydantic's own schema.
    type: int = 0
    fields: int = 0
    default: int = 0
    metadata: int = 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"whole": "0"}, {"whole": True}, {"whole": 2.0}, {"number": "0.5"}, {"number": True}, {"number": float("nan")},
        {"number": float("inf")}, {"truth": 1}, {"truth": "yes"}, {"text": 3}, {"text": b"x"}, {"either": "1"},
        {"either": True}, {"maybe": "1"}, {"items": ["1"]}, {"mapping": {"a": "1"}}, {"folder": 3}, {"order": "left"},
        {"mode": "c"}, {"inner": {"rate": "1"}}, {"inner": {"sizes": [1.0]}}, {"type": "1"}, {"fields": "1"},
        {"default": "1"}, {"metadata": "1"}, {"unknown": 1},
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outer(**wrong)


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("number", 3, 3.0),
        ("either", 3, 3),
        ("either", 0.5, 0.5),
        ("maybe", None, None),
        ("items", [1, 2], [1, 2]),
        ("numbered", {"1": 2}, {1: 2.0}),
        ("folder", "a/b", Path("a/b")),
        ("order", "down", Order.DOWN),
        ("inner", {"rate": 1, "sizes": [1, 2]}, Inner(rate=1.0, sizes=(1, 2))),
    ],
)
def test_what_a_file_cannot_write_otherwise_is_converted(key: str, given: Any, value: Any) -> None:
    converted = getattr(Outer(**{key: given}), key)
    assert (type(converted), converted) == (type(value), value)


def test_defaults_are_converted_as_if_they_were_written() -> None:
    assert type(Inner().rate) is float and Inner().sizes == (1,)


def test_a_section_cannot_change() -> None:
    with pytest.raises(ValidationError):
        Inner().rate = 2.0
