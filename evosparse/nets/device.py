"""Where networks are trained, and the settings of torch on which bits and speed depend."""

from __future__ import annotations

import torch


def configure() -> None:
    """Set torch to one thread and to flushing denormals, in the calling thread.

    The number of threads changes the last bits of results; denormals cost up to ten times the time, and flushing them
    changes bits too. Every method of a population that computes calls this, as another thread may have other settings.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def choose_device(device: str | None) -> torch.device:
    """Return the device of that name; without a name, CUDA where it is available and the CPU elsewhere."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
