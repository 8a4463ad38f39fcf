"""Numbers of many keys at once are those of numpy's own generators."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.seeds import SeedKey
from evosparse.engine.streams import integers, uniforms

KEYS = st.lists(
    st.builds(SeedKey, st.integers(0, 2**200), st.lists(st.integers(0, 2**70), max_size=6).map(tuple)), min_size=1, max_size=8
)


@given(KEYS)
def test_integers_of_many_keys_are_those_of_each(keys: list[SeedKey]) -> None:
    assert integers(keys) == [key.integer() for key in keys]


@given(KEYS, st.integers(0, 9))
def test_uniform_numbers_of_many_keys_are_those_of_each_generator(keys: list[SeedKey], count: int) -> None:
    assert np.array_equal(uniforms(keys, count), [key.rng().random(count) for key in keys])


def test_no_keys_have_no_numbers() -> None:
    assert integers([]) == [] and uniforms([], 3).shape == (0, 3)
