"""The numbers of many keys at once: what numpy's own generators would give, without making a generator for each.

A generator is made from a key in 20 microseconds, as long as a short episode takes. numpy promises that its
``SeedSequence`` and ``PCG64`` will never change, so that both can be computed for all keys side by side:
Melissa O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number Generation"
(2014), and her ``randutils``, whose ``seed_seq_fe`` is numpy's ``SeedSequence``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evosparse.engine.seeds import SeedKey

_POOL = 4  # words in which the key is gathered
_FIRST, _FIRST_STEP = 0x43B0D7E5, 0x931E8875  # constants of gathering, and of what each is multiplied by for the next
_LAST, _LAST_STEP = 0x8B51F9DD, 0x58F38DED  # of giving out
_LEFT, _RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF = np.uint32(16)
_WORD = 2**32 - 1

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_LONG, _SHORT = 2**128 - 1, 2**64 - 1


def integers(keys: Sequence[SeedKey]) -> list[int]:
    """Return ``key.integer()`` of each key: integers in [0, 2**63)."""
    return (_states(keys, 1)[:, 0] >> np.uint64(1)).tolist()


def uniforms(keys: Sequence[SeedKey], count: int) -> NDArray[np.float64]:
    """Return the first numbers of ``key.rng().random()`` of each key.

    Args:
        keys: of the streams.
        count: of numbers in each.

    Returns:
        (keys, count) numbers in [0, 1).
    """
    # Python's own integers, as long as they need to be: PCG64 counts in 128 bits.
    first, second, third, fourth = _states(keys, 4).astype(object).T
    increment = ((third << 64 | fourth) << 1 | 1) & _LONG
    state = ((increment + (first << 64 | second)) * _MULTIPLIER + increment) & _LONG
    numbers = np.empty((len(keys), count))
    for place in range(count):
        state = (state * _MULTIPLIER + increment) & _LONG
        folded, turn = ((state >> 64 ^ state) & _SHORT).astype(np.uint64), (state >> 122).astype(np.uint64)
        turned = folded >> turn | folded << ((np.uint64(64) - turn) & np.uint64(63))
        numbers[:, place] = (turned >> np.uint64(11)) * 2.0**-53
    return numbers


def _states(keys: Sequence[SeedKey], count: int) -> NDArray[np.uint64]:
    """Return the (keys, count) words that the ``SeedSequence`` of each key gives out."""
    alike = defaultdict(list)  # places of keys of as many words
    words = [_words(key) for key in keys]
    for place, own in enumerate(words):
        alike[len(own)].append(place)
    states = np.empty((len(keys), count), dtype=np.uint64)
    for places in alike.values():
        pool = _gathered(np.array([words[place] for place in places], dtype=np.uint32).T)
        states[places] = _given(pool, 2 * count)
    return states


def _words(key: SeedKey) -> list[int]:
    """Return a key in words of 32 bits, the lowest first, and the path behind at least a pool's worth of the seed."""
    seed = _split(key.seed)
    if not key.path:
        return seed
    return seed + [0] * (_POOL - len(seed)) + [word for number in key.path for word in _split(number)]


def _split(number: int) -> list[int]:
    words = [number & _WORD]
    while number := number >> 32:
        words.append(number & _WORD)
    return words


def _gathered(words: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Return the pool of each key, whose words are a (words, keys) array."""
    constant = _FIRST

    def hashed(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
        nonlocal constant
        value = value ^ np.uint32(constant)
        constant = constant * _FIRST_STEP & _WORD
        value = value * np.uint32(constant)
        return value ^ value >> _HALF

    def mixed(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint32]:
        value = _LEFT * one - _RIGHT * other
        return value ^ value >> _HALF

    nothing = np.zeros_like(words[0])
    pool = [hashed(words[place] if place < len(words) else nothing) for place in range(_POOL)]
    for source in range(_POOL):
        for place in range(_POOL):
            if place != source:
                pool[place] = mixed(pool[place], hashed(pool[source]))
    for further in words[_POOL:]:
        for place in range(_POOL):
            pool[place] = mixed(pool[place], hashed(further))
    return pool


def _given(pool: list[NDArray[np.uint32]], count: int) -> NDArray[np.uint64]:
    """Return (keys, count / 2) words of 64 bits from the pool of each key."""
    constant = _LAST
    given = []
    for place in range(count):
        value = pool[place % _POOL] ^ np.uint32(constant)
        constant = constant * _LAST_STEP & _WORD
        value = value * np.uint32(constant)
        given.append((value ^ value >> _HALF).astype(np.uint64))
    low, high = np.stack(given[::2], axis=1), np.stack(given[1::2], axis=1)
    return low | high << np.uint64(32)
