"""The base of every section of a campaign file: frozen, closed to unknown keys, and strict about scalars."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator

_SCALARS = frozenset({"int", "float", "bool", "str"})
# Parts of a schema that validate no value of the file, or only the keys of a mapping, which are always text.
_SKIPPED = frozenset({"metadata", "serialization", "default", "keys_schema"})


def _make_scalars_strict(schema: dict[str, Any]) -> None:
    """Set pydantic's strict mode for every scalar of a core schema, in place."""
    if schema["type"] in _SCALARS:
        schema["strict"] = True
    for key, part in schema.items():
        if key in _SKIPPED:
            continue
        named = key in ("fields", "choices") and isinstance(part, dict)
        children = part.values() if named else part if isinstance(part, list) else [part]
        for child in children:
            child = child[0] if isinstance(child, tuple) else child  # a choice of a union with its label
            if isinstance(child, dict) and "type" in child:
                _make_scalars_strict(child)


def bare_string(key: str) -> Any:
    """Let a bare string stand for a section with one key: ``_bare = bare_string("name")`` in the class.

    Args:
        key: what the string is the value of.
    """

    def accept(cls: type[Section], value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return model_validator(mode="before")(classmethod(accept))


class Section(BaseModel):
    """One section of a campaign file; unknown keys are refused and values cannot change afterwards.

    Numbers, truth values and text must be written as such: ``"0"``, ``true`` and ``2.0`` are no whole numbers. A whole
    number will do for a number, and lists become tuples, text paths and enumerations.
    """

    # Defaults are validated too, so that 300 for a float is 300.0 whether it is written in the file or not.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        schema = handler(source)
        # Pydantic's own strict mode would refuse a list for a tuple as well, and text for a path.
        _make_scalars_strict(handler.resolve_ref_schema(schema))
        return schema
