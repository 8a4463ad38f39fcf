"""Turns pydantic's errors into sentences: which key, what was expected there, what came, and how to mend it.

Pydantic reports where it was in its own schema, with tags and branches of unions between the keys, and every branch. So
the schema is walked along with the errors, to tell keys from branches and to describe what may stand at a key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from evosparse.engine.document import Key, show
from evosparse.errors import nearest

_Schema = Mapping[str, Any]
_UNKNOWN: _Schema = {"type": "unknown"}
# The validator's author says in the message what is wrong.
_OWN_WORDS = frozenset({"value_error", "assertion_error"})
# The value is of the right type for a branch of a union, although something is wrong at the branch itself.
_OF_THIS_BRANCH = _OWN_WORDS | {"union_tag_invalid", "union_tag_not_found"}
_OF_ANOTHER_BRANCH = frozenset({"missing", "extra_forbidden", "literal_error", "enum"})
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}


@dataclass(frozen=True)
class Complaint:
    """What is wrong with one key.

    Args:
        key: the way to it from the top; empty for the whole.
        text: ``expected ..., got ...; mend``.
    """

    key: Key
    text: str


def explain(error: ValidationError, model: type[BaseModel], beside: Collection[str] = ()) -> list[Complaint]:
    """Say what is wrong with each key.

    Args:
        error: what pydantic raised.
        model: what the input was validated against.
        beside: keys that are valid at the top although the model does not have them.
    """
    faults = [_Fault(details["loc"], details) for details in error.errors(include_url=False)]
    return list(_Explainer().explain(model.__pydantic_core_schema__, faults, (), beside))


def suggest(word: object, valid: Collection[str], otherwise: str) -> str:
    """Say which valid name was probably meant, or what to do if that cannot be told, and list them all."""
    text = nearest(word if isinstance(word, str) else "", valid)
    return f"{otherwise} {text}" if text.startswith("(") else text


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's errors, and what is left of the way to it."""

    way: tuple[str | int, ...]
    details: Mapping[str, Any]

    @property
    def type(self) -> str:
        return self.details["type"]


class _Explainer:
    """Walks a core schema of pydantic."""

    def __init__(self) -> None:
        self._definitions: dict[str, _Schema] = {}

    def explain(
        self, schema: _Schema, faults: Sequence[_Fault], key: Key, beside: Collection[str] = (), where: str = ""
    ) -> Iterator[Complaint]:
        """Explain the faults at a key and below.

        Args:
            schema: what was expected at the key.
            faults: their ways begin at the key.
            key: the key.
            beside: further keys that are possible in this section.
            where: what makes this section other than its alternatives, such as ``for method 'a'``.
        """
        node = self._structure(schema)
        steps = _by_first_step(faults)
        # Pydantic counts an item that is wrong as none, and calls the list too short besides.
        own = [fault for fault in faults if not fault.way and not (steps and fault.type == "too_short")]
        yield from (self._complaint(fault, schema, key) for fault in own)
        if node["type"] == "union":
            if steps:
                yield from self._explain_union(schema, node, steps, key)
            return
        for step, below in steps.items():
            if node["type"] == "tagged-union":
                tag = f" for {node['discriminator']} {step!r}" if isinstance(node["discriminator"], str) else ""
                yield from self.explain(node["choices"].get(step, _UNKNOWN), below, key, beside, tag)
            elif below[0].type == "extra_forbidden" and not below[0].way:
                valid = {*self._fields(node), *beside}
                yield Complaint((*key, step), f"unknown key{where}; {suggest(step, valid, 'remove it')}")
            else:
                yield from self.explain(self._child(node, step), below, (*key, step))

    def _explain_union(
        self, schema: _Schema, node: _Schema, branches: Mapping[str | int, Sequence[_Fault]], key: Key
    ) -> Iterator[Complaint]:
        """Explain the faults of the branch that fits the value best; of all, if it fits none of them at all."""
        best = min(branches, key=lambda branch: _misfit(branches[branch]))
        if _wrong_type(branches[best]):
            yield self._complaint(branches[best][0], schema, key)
            return
        choices = [choice[0] if isinstance(choice, tuple) else choice for choice in node["choices"]]
        # Every branch reports at least one fault, in the order of the choices, under a name of pydantic's own making.
        by_branch = dict(zip(branches, choices)) if len(branches) == len(choices) else {}
        beside = {field for choice in choices for field in self._fields(self._structure(choice))}
        yield from self.explain(by_branch.get(best, _UNKNOWN), branches[best], key, beside)

    def _complaint(self, fault: _Fault, schema: _Schema, key: Key) -> Complaint:
        """Explain a fault at this very key."""
        value, context = fault.details["input"], fault.details.get("ctx", {})
        if fault.type in ("union_tag_invalid", "union_tag_not_found"):
            node = self._structure(schema)
            discriminator = node.get("discriminator")
            if isinstance(discriminator, str):
                return _wrong_tag((*key, discriminator), list(map(str, node["choices"])), value)
        if fault.type in _OWN_WORDS or fault.type not in (*get_args(ErrorType), "path_type"):
            text = str(context.get("error", fault.details["msg"]))
            told = "got" in text or isinstance(value, Mapping)
            return Complaint(key, text if told else f"{text}, got {show(value)}")
        expected = self._describe(schema) or fault.details["msg"].removeprefix("Input should be ")
        if fault.type == "missing":
            return Complaint(key, f"expected {expected}, got nothing; add it")
        return Complaint(key, f"expected {expected}, got {show(value)}; {self._mend(schema, value)}")

    def _describe(self, schema: _Schema) -> str:
        """Say in plain words what may stand at a key; nothing if that is not known."""
        words = [self._describe_one(node) for node in self._alternatives(schema)]
        if "a number" in words:
            words = [word for word in words if word != "a whole number"]
        return " or ".join(dict.fromkeys(words)) if all(words) else ""

    def _describe_one(self, node: _Schema) -> str:
        bounds = " and ".join(f"{sign} {node[name]}" for name, sign in _BOUNDS.items() if node.get(name) is not None)
        match node["type"]:
            case "int" | "float":
                number = "a whole number" if node["type"] == "int" else "a number"
                return f"{number} {bounds}".rstrip()
            case "bool":
                return "true or false"
            case "str":
                form = f" of the form {node['pattern']}" if node.get("pattern") else ""
                return "text" + _length(node, "character") + form
            case "none":
                return "null"
            case "literal" | "enum":
                return _one_of(_names(node))
            case "tuple" if "variadic_item_index" not in node:
                items = node["items_schema"]
                return f"a list of {len(items)} items: {', '.join(map(self._describe, items))}"
            case "list" | "tuple" | "set" | "frozenset":
                items = self._describe(self._child(node, 0))
                return "a list" + _length(node, "item") + (f", each {items}" if items else "")
            case "dict":
                values = self._describe(node.get("values_schema", _UNKNOWN))
                return "a section" + _length(node, "key") + (f", each with {values}" if values else "")
            case "model-fields":
                return f"a section with the keys {', '.join(self._fields(node))}"
            case "tagged-union":
                discriminator = node["discriminator"]
                return f"a section with the key {discriminator}" if isinstance(discriminator, str) else "a section"
            case "any":
                return "any value"
        return ""

    def _mend(self, schema: _Schema, value: object) -> str:
        nodes = list(self._alternatives(schema))
        types = {node["type"] for node in nodes}
        names = [name for node in nodes for name in _names(node) if isinstance(name, str)]
        close = get_close_matches(value, names, n=1, cutoff=0.5) if isinstance(value, str) else []
        if close:
            return f"did you mean {close[0]!r}?"
        if isinstance(value, str) and types & {"int", "float"} and _is_number(value):
            return "write a plain number, without quotes"
        if isinstance(value, float) and value.is_integer() and "int" in types and "float" not in types:
            return f"write {show(int(value))}"
        if not isinstance(value, str | list | dict) and "str" in types:
            return "put it in quotes"
        if not isinstance(value, list | dict) and types & {"list", "tuple", "set", "frozenset"}:
            return f"write [{value}]"
        if schema["type"] == "default" and _is_short(schema.get("default", ...)):
            return f"change it, or leave the key out for {show(schema['default'])}"
        return "change it" if value is not None else "fill it in, or remove the key if it is optional"

    def _alternatives(self, schema: _Schema) -> Iterator[_Schema]:
        """Yield the structures of everything that may stand at a key."""
        node = self._structure(schema, through_nullable=False)
        if node["type"] == "nullable":
            yield from self._alternatives(node["schema"])
            yield {"type": "none"}
        elif node["type"] == "union":
            for choice in node["choices"]:
                yield from self._alternatives(choice[0] if isinstance(choice, tuple) else choice)
        else:
            yield node

    def _structure(self, schema: _Schema, through_nullable: bool = True) -> _Schema:
        """Go through references, defaults, validators and models to what has keys, items, branches or a value."""
        while True:
            if schema["type"] == "definitions":
                self._definitions.update({definition["ref"]: definition for definition in schema["definitions"]})
            if schema["type"] == "definition-ref":
                schema = self._definitions.get(schema["schema_ref"], _UNKNOWN)
            elif schema["type"] == "lax-or-strict":
                schema = schema["strict_schema"]
            elif schema["type"] == "json-or-python":
                schema = schema["json_schema"]
            elif "schema" in schema and (through_nullable or schema["type"] != "nullable"):
                schema = schema["schema"]
            else:
                return schema

    def _fields(self, node: _Schema) -> Collection[str]:
        return node["fields"] if node["type"] == "model-fields" else ()

    def _child(self, node: _Schema, step: str | int) -> _Schema:
        """Return what was expected one step below."""
        if node["type"] == "model-fields":
            return node["fields"].get(step, _UNKNOWN).get("schema", _UNKNOWN)
        items = node.get("values_schema" if node["type"] == "dict" else "items_schema", _UNKNOWN)
        if not isinstance(items, list):
            return items
        last = node.get("variadic_item_index", len(items) - 1)
        return items[min(step, last)] if isinstance(step, int) and items else _UNKNOWN


def _by_first_step(faults: Iterable[_Fault]) -> dict[str | int, list[_Fault]]:
    groups: dict[str | int, list[_Fault]] = defaultdict(list)
    for fault in faults:
        if fault.way:
            groups[fault.way[0]].append(_Fault(fault.way[1:], fault.details))
    return groups


def _wrong_type(faults: Sequence[_Fault]) -> bool:
    return all(not fault.way and fault.type not in _OF_THIS_BRANCH for fault in faults)


def _misfit(faults: Sequence[_Fault]) -> tuple[bool, int, int]:
    foreign = sum(fault.type in _OF_ANOTHER_BRANCH for fault in faults)
    return _wrong_type(faults), foreign, len(faults)


def _wrong_tag(key: Key, valid: Sequence[str], section: object) -> Complaint:
    given = isinstance(section, Mapping) and key[-1] in section
    tag = section[key[-1]] if given else ""
    mend = suggest(tag, valid, "choose one")
    return Complaint(key, f"expected a valid {key[-1]}, got {show(tag) if given else 'nothing'}; {mend}")


def _names(node: _Schema) -> list[Hashable]:
    if node["type"] == "enum":
        return [member.value for member in node["members"]]
    return list(node["expected"]) if node["type"] == "literal" else []


def _one_of(names: Sequence[object]) -> str:
    *most, last = map(show, names)
    return f"{', '.join(most)} or {last}" if most else last


def _length(node: _Schema, unit: str) -> str:
    shortest, longest = node.get("min_length"), node.get("max_length")
    bounds = [f"at least {shortest}"] if shortest else []
    bounds += [f"at most {longest}"] if longest is not None else []
    plural = "" if (longest or shortest) == 1 else "s"
    return f" of {' and '.join(bounds)} {unit}{plural}" if bounds else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_short(default: object) -> bool:
    return default is None or isinstance(default, bool | int | float | str)
