"""Workers that each keep a part of something and do one task after the other, and those that are this very process.

For work whose steps depend on each other, which a batch of independent evaluations (see `evaluate`) is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self


class Worker(Protocol):
    """What does the tasks; all that an answer depends on is the worker's part and the task."""

    def work(self, task: object) -> object:
        """Return the answer to a task."""
        ...


Make = Callable[[object], Worker]
"""Makes a worker of its part."""


class Crew(Protocol):
    """Some workers, each with at most one task at a time; a context manager that frees them."""

    def submit(self, number: int, task: object) -> None:
        """Give a worker that has no task one."""
        ...

    def next(self) -> tuple[int, object]:
        """Wait for the next answer, and return the number of its worker and the answer."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class LocalCrew:
    """Workers in this process: tasks are done in the order in which they were submitted, so that results repeat.

    Args:
        make: of workers.
        parts: one for each worker.
    """

    def __init__(self, make: Make, parts: Sequence[object]) -> None:
        self._workers = [make(part) for part in parts]
        self._tasks: deque[tuple[int, object]] = deque()

    def submit(self, number: int, task: object) -> None:
        """See `Crew`."""
        self._tasks.append((number, task))

    def next(self) -> tuple[int, object]:
        """See `Crew`."""
        number, task = self._tasks.popleft()
        return number, self._workers[number].work(task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass
