"""One number for everything that a campaign found, so that anyone can compare two runs."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping

from evosparse.engine.codec import from_json

# What depends on time, cache, attempts or machine is left out, and so is the campaign file. A genome's key stands for
# its bytes. A column that ends in _json is decoded, so that the order of its names does not count.
_FOUND = {
    "generation": "SELECT number, record AS record_json FROM generation ORDER BY number",
    "candidate": """
        SELECT uid, population, key, parents AS parents_json, contender, status, measures AS measures_json
        FROM candidate JOIN genome ON genome.id = candidate.genome ORDER BY generation, position""",
    "hall_of_fame": "SELECT rank, uid FROM hall_of_fame ORDER BY rank",
    "trial": "SELECT arm, replicate, status, measures AS measures_json FROM trial ORDER BY position",
}


def digest(connection: sqlite3.Connection) -> str:
    """Return the SHA-256, in hexadecimal digits, of what stands in a campaign database.

    It is the same for a run and for the same run killed and resumed, with any number of workers, with or without cache.

    Args:
        connection: a database with the store's tables, in one snapshot.

    Raises:
        Damaged: the database holds something that evosparse does not write.
    """
    total = hashlib.sha256(b"evosparse digest 1\n")
    for table, query in _FOUND.items():
        rows = connection.execute(query)
        names = [column[0] for column in rows.description]
        for row in rows:
            values = {name: _value(name, value) for name, value in zip(names, row, strict=True)}
            total.update(canonical([table, values]) + b"\n")
    return total.hexdigest()


def canonical(value: object) -> bytes:
    """Encode JSON values such that equal values have equal bytes, and different ones different bytes.

    Floats are written exactly, in hexadecimal; the order of names does not count.
    """
    return json.dumps(_tagged(value), sort_keys=True, separators=(",", ":")).encode()


def _value(name: str, value: object) -> object:
    if name == "parents_json":
        return from_json(value, list, "parents")
    return from_json(value, dict, name.removesuffix("_json")) if name.endswith("_json") else value


def _tagged(value: object) -> object:
    """Replace floats by text, and mark text, so that the two cannot be confused."""
    if isinstance(value, float):
        return f"float {value.hex()}"
    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, Mapping):
        return {name: _tagged(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_tagged(inner) for inner in value]
    return value
