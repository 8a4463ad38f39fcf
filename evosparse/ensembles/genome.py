"""The ensemble genome: which members of a pool vote. It knows their names and accuracies, so that it can be read anywhere."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from evosparse.engine.candidate import ByContent
from evosparse.errors import StoreError

_MAGIC = b"EVEN\x01"  # with the version of the format
_NAMED = 3  # members that a line of a table names


@dataclass(frozen=True)
class Roster:
    """What is known of a pool's members wherever an ensemble is shown.

    Args:
        names: of all members; those unknown are empty.
        accuracies: on the examples that drive the search.
    """

    names: tuple[str, ...]
    accuracies: tuple[float, ...]


class Ensemble(ByContent):
    """Some members of a pool, an immutable value.

    Args:
        chosen: (members,) whether a member votes.
        roster: names and accuracies of the pool's members.

    Attributes:
        chosen: read-only.
    """

    def __init__(self, chosen: NDArray[np.bool_], roster: Roster) -> None:
        self.chosen = np.array(chosen, dtype=bool)
        self.chosen.flags.writeable = False
        self._roster = roster
        if self.chosen.shape != (len(roster.names),):
            raise ValueError(f"expected one truth value for each of {len(roster.names)} members, got {self.chosen.shape}")

    @property
    def size(self) -> int:
        """Number of members that vote."""
        return int(self.chosen.sum())

    @property
    def pool(self) -> int:
        """Number of members of the pool."""
        return len(self.chosen)

    @cached_property
    def members(self) -> tuple[tuple[str, float], ...]:
        """Name and accuracy of each member that votes, in the order of the pool."""
        names, accuracies = self._roster.names, self._roster.accuracies
        return tuple((names[member], accuracies[member]) for member in np.flatnonzero(self.chosen))

    @cached_property
    def key(self) -> str:
        """Content hash: of who votes, by place and by name."""
        names = json.dumps([self.pool, [name for name, _ in self.members]])
        return blake2b(np.packbits(self.chosen).tobytes() + names.encode(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Return the size and the most accurate members."""
        best = sorted(self.members, key=lambda member: -member[1])
        more = ", ..." if len(best) > _NAMED else ""
        return f"{self.size} of {self.pool}: {', '.join(name for name, _ in best[:_NAMED])}{more}"

    def to_bytes(self) -> bytes:
        """Encode who votes, as bits, with the names and accuracies of these."""
        bits = np.packbits(self.chosen).tobytes()
        body = json.dumps([self.pool, bits.hex(), self.members]).encode()
        return _MAGIC + zlib.compress(body, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Ensemble:
        """Decode what `to_bytes` returned; the names of members that do not vote are not in it.

        Raises:
            StoreError: it is no such encoding.
        """
        if not data.startswith(_MAGIC):
            raise StoreError(f"expected an ensemble of format {_MAGIC!r}, got {data[:5]!r}: it is another version's or damaged")
        try:
            pool, bits, members = json.loads(zlib.decompress(data[len(_MAGIC) :]))
            chosen = np.unpackbits(np.frombuffer(bytes.fromhex(bits), dtype=np.uint8), count=pool).astype(bool)
            if len(chosen) != pool or np.packbits(chosen).tobytes().hex() != bits:
                raise ValueError(f"{bits} is not one bit for each of {pool} members")
            places = np.flatnonzero(chosen)
            names, accuracies = [""] * pool, [0.0] * pool
            for place, (name, accuracy) in zip(places, members, strict=True):
                names[place], accuracies[place] = str(name), float(accuracy)
        except (zlib.error, ValueError, TypeError) as error:
            raise StoreError(f"expected an ensemble, got bytes that cannot be read: {error}") from None
        return cls(chosen, Roster(tuple(names), tuple(accuracies)))
