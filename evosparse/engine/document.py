"""Campaign files as text: YAML, and ``--set`` overrides, to plain mappings of JSON values.

What YAML could smuggle in (tags, repeated keys, exploding aliases) is refused here, so that only plain values go on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evosparse.errors import SpecError

Key = tuple[str | int, ...]

_MOST_BYTES = 2**18
_MOST_VALUES = 100_000
_DEEPEST = 50


@dataclass(frozen=True)
class Override:
    """One ``--set a.b=value``.

    Args:
        text: as the user wrote it, without ``--set``.
        key: where the value goes.
        value: the value, read as YAML.
    """

    text: str
    key: tuple[str, ...]
    value: object

    @property
    def source(self) -> str:
        """What an error about this value names in place of the file."""
        return f"--set {self.text}"


def read_text(path: Path) -> str:
    """Return the text of a campaign file.

    Raises:
        SpecError: there is no such file, it cannot be read, or it is no text.
    """
    try:
        if path.is_dir():
            raise SpecError(f"{path}: expected a campaign file, got a directory; name the YAML file in it")
        if not path.exists():
            raise SpecError(f"{path}: expected a campaign file, got a path where nothing is; check the path")
        if not path.is_file():
            raise SpecError(f"{path}: expected a campaign file, got a device or a pipe; save the campaign first")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        got = error.strerror
        raise SpecError(f"{path}: expected a readable file, got: {got}; check the path and its permissions") from None
    if len(content) > _MOST_BYTES:
        raise SpecError(f"{path}: expected at most {_MOST_BYTES:,} bytes, got more; is it a campaign file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"byte 0x{content[error.start]:02x} at position {error.start}"
        raise SpecError(f"{path}: expected UTF-8 text, got {place}; save the file as UTF-8, or name another") from None


def load_yaml(text: str, source: str, key: Key = ()) -> Any:
    """Return the plain value that YAML text describes; None if there is none.

    Scalars are those of YAML 1.2: ``1e-3`` is a number, ``no`` and ``2024-01-01`` are text.

    Args:
        text: one YAML document.
        source: what errors name as the place.
        key: where in the campaign the value belongs.

    Raises:
        SpecError: it is no valid YAML, or has more in it than sections, lists, numbers, text, true, false and null.
    """
    try:
        return plain(yaml.load(text, _Loader), source, key)
    except _Refused as error:
        raise SpecError(f"{source}: {_place(error.problem_mark)}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        problem, mark = error.problem or error.context, error.problem_mark or error.context_mark
    except yaml.reader.ReaderError as error:
        problem = f"{error.reason} (#x{error.character:04x})"
        mark = yaml.Mark("", error.position, *_line_and_column(text, error.position), None, 0)
    except RecursionError:
        raise SpecError(f"{source}: expected at most {_DEEPEST} levels of nesting, got more; flatten it") from None
    raise SpecError(
        f"{source}: {_place(mark)}: expected valid YAML, got: {problem}; check indentation, quotes and brackets there"
    )


def plain(value: object, source: str, key: Key = ()) -> Any:
    """Copy a value, and make sure that it has nothing in it but finite JSON values with text as keys.

    Args:
        value: what YAML or a caller supplied.
        source: what errors name as the place.
        key: where in the campaign the value belongs.

    Raises:
        SpecError: something else is in it, or it is too large or too deep.
    """
    return _plain(value, source, key, iter(range(_MOST_VALUES)))


def parse_override(text: str) -> Override:
    """Read the part of an override behind ``--set``.

    Raises:
        SpecError: it is not ``a.b=value`` with a value in YAML.
    """
    left, equals, right = text.partition("=")
    key = tuple(part.strip() for part in left.split("."))
    if not equals or not all(key):
        raise SpecError(f"--set {text}: expected KEY=VALUE, got {text!r}; write for instance --set stop.generations=20")
    return Override(text, key, load_yaml(right, f"--set {text}", key))


def apply(overrides: Sequence[Override], document: dict[str, Any]) -> None:
    """Write overrides into a document, in order; sections that are missing are made.

    Raises:
        SpecError: the way to a key leads through something that is no section.
    """
    for override in overrides:
        section = document
        for depth, step in enumerate(override.key[:-1], start=1):
            if section.get(step) is None:
                section[step] = {}
            section = section[step]
            if not isinstance(section, dict):
                where, got = dotted(override.key[:depth]), show(section)
                raise SpecError(f"{override.source}: {where}: expected a section, got {got}; set {where} as a whole")
        # Copied, because a later override may write into the value of this one.
        section[override.key[-1]] = plain(override.value, override.source, override.key)


def dotted(key: Key) -> str:
    """Write a key as the user knows it: ``network.hidden[1]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key).removeprefix(".")


def show(value: object) -> str:
    """Write a value in a message: as in YAML, and not longer than a line can bear."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "a huge number"
    return text if len(text) <= 60 else f"{text[:56]} ..."


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a campaign file must not contain."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, without tags, merge keys and repeated keys."""

    # A leading zero makes text: YAML 1.1 would read 010 as 8. So do more digits than a float can hold.
    yaml_implicit_resolvers = {
        None: [
            ("tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$")),
            ("tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$")),
            ("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]{0,307})$")),
            ("tag:yaml.org,2002:float", re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$")),
            ("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$")),
            ("tag:yaml.org,2002:float", re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")),
        ]
    }

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        tag = getattr(event, "tag", None)
        if tag is not None:
            problem = f"expected plain values, got the tag {tag!r}; remove it"
            raise _Refused(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"expected each key once, got {key.value!r} again; remove one of the two"
                raise _Refused(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _place(mark: yaml.Mark | None) -> str:
    return "somewhere" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n"), position - (before.rfind("\n") + 1)


def _plain(value: object, source: str, key: Key, budget: Iterator[int]) -> Any:
    if next(budget, None) is None:
        raise SpecError(f"{source}: expected at most {_MOST_VALUES:,} values, got more; use fewer aliases (*name)")
    if len(key) > _DEEPEST:
        raise SpecError(f"{source}: expected at most {_DEEPEST} levels of nesting, got more; flatten it")
    where = f"{source}: {dotted(key)}" if key else source
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise SpecError(f"{where}: expected text as a key, got {show(name)}; put it in quotes")
        return {str(name): _plain(inner, source, (*key, name), budget) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, source, (*key, index), budget) for index, inner in enumerate(value)]
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise SpecError(f"{where}: expected a finite number, got {value}; write one, or null for none")
    if value is None or isinstance(value, bool | int | str):
        return value
    got = f"{type(value).__name__}: {show(value)}"
    raise SpecError(f"{where}: expected a plain value, got {got}; write it as text or as a number")
