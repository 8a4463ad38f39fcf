"""One thread for torch, because the plain loops beside which populations stand are slow with more on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for what the tests themselves compute; populations see to their own number of threads."""
    before = torch.get_num_threads()
    # Two would wait for each other in every small matrix product: four times the processor time where others compute.
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
