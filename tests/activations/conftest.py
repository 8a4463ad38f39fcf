"""A small data set with a test part, and spare examples, for tests of the activations room."""

from __future__ import annotations

import numpy as np
import pytest

from evosparse.data import DataSet, SearchData, Test, Train, Validation


@pytest.fixture(scope="session")
def moons() -> DataSet:
    """Two interleaved arcs with noise, in two dimensions: no line divides them."""

    def part(kind: type, count: int, seed: int) -> Train | Validation | Test:
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, count)
        angle = np.pi * rng.random(count)
        x = np.stack([np.cos(angle) * (1 - 2 * y) + y, np.sin(angle) * (1 - 2 * y) + 0.5 * y], axis=1)
        return kind((x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32), y.astype(np.int64))

    search = SearchData(part(Train, 200, 0), part(Validation, 100, 1), 2, (2,))
    return DataSet("moons", search, part(Test, 100, 2), ("upper", "lower"), part(Validation, 100, 3))
