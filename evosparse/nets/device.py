"""Where networks are trained, and the settings of torch on which bits and speed depend."""

from __future__ import annotations

import torch


def configure() -> None:
    """Set torch to one thread and to flushing denormals, in this process.

    The number of threads changes the last bits of results, and denormals cost up to ten times the time.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def choose_device(device: str | None) -> torch.device:
    """Return the device of that name; without a name, CUDA where it is available and the CPU elsewhere."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
