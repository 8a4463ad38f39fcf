"""The processes of this machine as a tree, and how to end some of them and whatever they have started; for Linux."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of this machine; a later one with the same number is another.

    Args:
        pid: its number.
        parent: that of its parent.
        session: that of its session.
        started: when it started, in ticks of the system.
    """

    pid: int
    parent: int
    session: int
    started: int

    def command(self) -> str:
        """Return its command line; empty if it has gone."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return ""


def processes() -> list[Process]:
    """Return all processes of this machine that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()  # the name may have spaces in it
            if fields[0] not in "ZX":
                found.append(Process(int(path.parent.name), int(fields[1]), int(fields[3]), int(fields[19])))
    return found


def tree(roots: Iterable[int]) -> list[Process]:
    """Return the processes with these numbers, all below them, and all in the sessions that they lead."""
    everybody = processes()
    family = set(roots)
    while True:
        more = {one.pid for one in everybody if one.parent in family or one.session in family} - family
        if not more:
            return [one for one in everybody if one.pid in family]
        family |= more


def signal_all(family: Iterable[Process]) -> None:
    """Kill processes."""
    for process in family:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def end(survivors: Iterable[Process], patience: float = 15.0) -> int:
    """Wait until processes have ended by themselves, kill the rest, and return how many those were."""
    deadline = time.monotonic() + patience
    known = {(process.pid, process.started) for process in survivors}
    ended: set[int] = set()
    while True:
        left = [process for process in processes() if (process.pid, process.started) in known]
        # What they have started meanwhile, too.
        left = tree([process.pid for process in left])
        if not left:
            return len(ended)
        known |= {(process.pid, process.started) for process in left}
        if time.monotonic() > deadline:
            signal_all(left)
            ended |= {process.pid for process in left}
        time.sleep(0.2)
