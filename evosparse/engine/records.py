"""What goes into the campaign database and what comes out of it, as values."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from evosparse.engine.candidate import Candidate, Objectives
from evosparse.engine.search import State

_PACKAGES = ("evosparse", "numpy", "scikit-learn", "torch", "deap", "ray")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that results may depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Header:
    """What a campaign is, apart from what it finds.

    Args:
        document: the campaign file with every default filled in, of JSON values; the seed is in it.
        data_hash: identifies the data.
        notes: what a reader of the results must know.
        base: folder to which relative paths in the document refer.
        objectives: name and direction of each objective, in order.
        versions: of Python and of the packages that the campaign began with.
        created: when it began, ISO 8601 in UTC.
    """

    document: Mapping[str, object]
    data_hash: str
    notes: tuple[str, ...]
    base: str
    objectives: Objectives
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    created: str = field(default_factory=_now)


@dataclass(frozen=True)
class Generation:
    """One generation as it is committed.

    Args:
        number: from 0.
        candidates: all of them, evaluated, in order.
        hall_of_fame: the best candidates so far, best first; they are of this generation or of an earlier one.
        state: what the search needs to go on; its candidates are of this generation or of an earlier one.
        record: the logbook's line, of JSON values. It is part of the digest, so it must depend on nothing but what was
            found: no times, and no counts that differ with the cache or the workers.
        seconds: how long the generation took.
        evaluations: number of candidates that were really evaluated, not taken from the cache.
    """

    number: int
    candidates: Sequence[Candidate]
    hall_of_fame: Sequence[Candidate]
    state: State
    record: Mapping[str, object]
    seconds: float
    evaluations: int


@dataclass(frozen=True)
class GenerationRow:
    """One generation as it is listed: its number, logbook line, seconds and real evaluations."""

    number: int
    record: Mapping[str, object]
    seconds: float
    evaluations: int


@dataclass(frozen=True)
class EncodedGenome:
    """A genome as the database holds it, for readers that do not know its kind.

    Args:
        key: its content hash.
        data: its encoding.
    """

    key: str
    data: bytes

    def to_bytes(self) -> bytes:
        """Return the encoding."""
        return self.data

    def describe(self) -> str:
        """Name the genome by the beginning of its key."""
        return f"genome {self.key[:12]} ({len(self.data)} bytes)"
