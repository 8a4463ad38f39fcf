"""Where networks are trained, and the settings of torch on which bits and speed depend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def configured() -> Iterator[None]:
    """Give torch one thread and let it flush denormals; afterwards the caller's settings are as they were.

    The number of threads changes the last bits of results; denormals cost up to ten times the time, and flushing them
    changes bits too. All that a population computes is computed inside.
    """
    threads = torch.get_num_threads()
    # Torch can set this, but does not tell it.
    flushed = sys.float_info.min / 2 == 0
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def choose_device(device: str | None) -> torch.device:
    """Return the device of that name; without a name, CUDA where it is available and the CPU elsewhere."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
