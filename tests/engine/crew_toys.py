"""A worker for the tests of crews: it counts, tells of its process, dies, or complains."""

from __future__ import annotations

import os
import signal

from evosparse.errors import SpecError


class Adder:
    """Adds its part to each task.

    Args:
        part: a number.
    """

    def __init__(self, part: object) -> None:
        self.part, self.done = part, 0

    def work(self, task: object) -> object:
        """Return the sum, how many tasks this process has done, and its number."""
        if task == "complain":
            raise SpecError("no such task")
        if task == "divide":
            return 1 / 0
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self.done += 1
        return self.part + task, self.done, os.getpid()


def refuse(part: object) -> Adder:
    """Make no worker."""
    raise SpecError(f"no worker for {part}")
