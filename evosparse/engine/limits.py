"""What keeps an evaluation within bounds: its time, its threads and its memory."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from threadpoolctl import ThreadpoolController

_OUT_OF_MEMORY = re.compile("MemoryError|can't allocate memory|bad_alloc")


class TimeUp(BaseException):
    """Raised inside an evaluation whose time is up; no ``except Exception`` of a user's can swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in a block that runs longer than that.

    It interrupts Python code in the main thread; a block that hangs inside a C function is ended by the driver, which
    kills its worker.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: the number of threads changes the last bits of a matrix product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries(len(sys.modules)).limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Find the loaded libraries that have threads: anew when modules have been imported, since it takes milliseconds."""
    return ThreadpoolController()


def limit_memory(gib: float | None) -> None:
    """Make allocations fail beyond what this process has now and that much more, where the system can.

    Args:
        gib: GiB on top of the present memory; None lifts the limit.
    """
    if sys.platform != "linux":
        return
    import resource  # does not exist everywhere

    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    limit = highest
    if gib is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + int(gib * 2**30)
        limit = limit if highest == resource.RLIM_INFINITY else min(limit, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, highest))


def explain_memory(message: str, gib: float) -> str:
    """Add to the message of an error how much may be allocated, if that is what the error is about."""
    if not _OUT_OF_MEMORY.search(message):
        return message
    return f"{message} (an evaluation may allocate {gib:g} GiB; evaluation.memory_gib raises the limit)"
