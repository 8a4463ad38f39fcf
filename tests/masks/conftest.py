"""Problems over masks that are small enough for tests."""

from __future__ import annotations

import numpy as np
import pytest

from evosparse.data import DataSet, SearchData, Test, Train, Validation


@pytest.fixture(scope="session")
def blobs() -> DataSet:
    """Three noisy classes in ten dimensions, of which the first and the last are always zero."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 10))
    y = np.arange(360) % 3
    x = (centres[y] + 0.8 * rng.normal(size=(360, 10))).astype(np.float32)
    x[:, [0, 9]] = 0
    y = y.astype(np.int64)
    search = SearchData(train=Train(x[:200], y[:200]), validation=Validation(x[200:280], y[200:280]), classes=3, input_shape=(10,))
    return DataSet(name="blobs", search=search, test=Test(x[280:], y[280:]), class_names=("a", "b", "c"))
