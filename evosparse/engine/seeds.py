"""Keyed randomness: every draw belongs to a key, so no random state is ever carried, saved or shared.

A result then depends on the campaign's seed alone, not on how often it was interrupted or on how many workers there were.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import crc32

import numpy as np


@dataclass(frozen=True)
class SeedKey:
    """A place in the tree of random numbers of one campaign.

    Args:
        seed: the campaign's seed, not negative.
        path: the way from the root to this key, the ``spawn_key`` of numpy's ``SeedSequence``.
    """

    seed: int
    path: tuple[int, ...] = ()

    def child(self, purpose: str, *indices: int) -> SeedKey:
        """Return the key of one purpose below this one, such as ``child("ask", generation)``."""
        # crc32, because Python's own hash of a string differs between processes.
        return SeedKey(self.seed, (*self.path, crc32(purpose.encode()), *indices))

    @property
    def root(self) -> SeedKey:
        """The campaign's own key: what hangs below it is common to all candidates."""
        return SeedKey(self.seed)

    def rng(self) -> np.random.Generator:
        """Return a fresh generator; the same key always gives the same numbers."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=self.path))

    def integer(self) -> int:
        """Return one integer in [0, 2**63), for libraries that are seeded by a number."""
        return int(np.random.SeedSequence(self.seed, spawn_key=self.path).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def global_random(key: SeedKey) -> Iterator[None]:
    """Seed Python's global ``random``, which DEAP draws from, for the length of a block, and restore it after."""
    before = random.getstate()
    random.seed(key.integer())
    try:
        yield
    finally:
        random.setstate(before)
