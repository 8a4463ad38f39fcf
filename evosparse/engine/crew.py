"""Workers that each keep a part of something and do one task after the other: in this process, or as Ray actors.

For work whose steps depend on each other, which a batch of independent evaluations (see `evaluate`) is not.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import ray
from ray.exceptions import RayError, RayTaskError

from evosparse.engine.evaluate import one_line
from evosparse.errors import CampaignFailed, ClusterError, EvosparseError, PluginError

if TYPE_CHECKING:
    from evosparse.engine.cluster import Cluster

_PATIENCE = 120.0  # seconds until a worker must have started; a busy machine needs 60
_DEATHS = 3  # of one worker over one task, until it is not the processes' fault


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


class RayCrew:
    """Workers in processes of a cluster; one that dies is replaced by a fresh one, which does the task that was lost.

    Args:
        cluster: one whose processes are `Member`.
        make: of workers.
        parts: one for each worker.

    Raises:
        PluginError: a part cannot be sent.
        ClusterError: a worker dies again and again, or there is no room for it.
        CampaignFailed: a worker raised an error.
    """

    def __init__(self, cluster: Cluster, make: Make, parts: Sequence[object]) -> None:
        self._cluster = cluster
        self._make, self._parts = put(make, "work"), [put(part, "data") for part in parts]
        self._tasks: dict[int, object] = {}
        self._deaths = [0] * len(parts)
        self._pending: dict[ray.ObjectRef, int] = {}
        self._members: list[ray.actor.ActorHandle] = []
        self._started: dict[int, ray.ObjectRef] = {}
        self._hired: dict[int, float] = {}
        for number in range(len(parts)):
            self._members.append(cluster.hire())
            self._start(number)

    def submit(self, number: int, task: object) -> None:
        """See `Crew`."""
        self._tasks[number] = task
        self._pending[self._members[number].work.remote(task)] = number

    def next(self) -> tuple[int, object]:
        """See `Crew`."""
        while True:
            # Those that wait longest stand first, so that none is passed over.
            ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=1)
            if not ready:
                self._expect_started()
                continue
            [reference] = ready
            number = self._pending.pop(reference)
            try:
                ray.get(self._started[number])
                answer = ray.get(reference)
            except RayTaskError as error:
                if isinstance(error.cause, EvosparseError):
                    raise error.cause from None
                raise CampaignFailed(f"worker {number} cannot go on: {one_line(error.cause)}") from None
            except RayError as error:
                self._replace(number, error)
            else:
                self._deaths[number] = 0
                return number, answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        busy = set(self._pending.values())
        for number, member in enumerate(self._members):
            if number in busy:
                ray.kill(member)
            else:
                self._cluster.give_back(member)

    def _replace(self, number: int, error: RayError) -> None:
        self._deaths[number] += 1
        if self._deaths[number] > _DEATHS:
            raise ClusterError(f"worker {number} died {_DEATHS + 1} times at one task: {cause_of_death(error)}") from error
        ray.kill(self._members[number])
        self._members[number] = self._cluster.hire()
        self._start(number)
        self.submit(number, self._tasks[number])

    def _start(self, number: int) -> None:
        self._hired[number] = time.monotonic()
        self._started[number] = self._members[number].start.remote(self._make, self._parts[number])

    def _expect_started(self) -> None:
        """Complain of a worker for which there is no room, instead of waiting for ever."""
        for number in self._pending.values():
            late = time.monotonic() - self._hired[number] > _PATIENCE
            if late and not ray.wait([self._started[number]], timeout=0)[0]:
                raise ClusterError(
                    f"worker {number} of {len(self._members)} could not be started in {_PATIENCE:g} s: each needs 1 CPU; ask for"
                    " fewer workers, or free some CPUs of the cluster"
                )


class Member:
    """Runs in a process of its own on some node, and holds a worker there; it can be started again for another crew."""

    def start(self, make: Make, part: object) -> None:
        """Make the worker."""
        self._worker = make(part)

    def work(self, task: object) -> object:
        """Have it do a task."""
        return self._worker.work(task)


def put(part: object, what: str) -> ray.ObjectRef:
    """Put something where all workers can fetch it.

    Args:
        part: anything that can be pickled.
        what: it is, for the message.

    Raises:
        PluginError: it cannot be pickled.
    """
    try:
        return ray.put(part)
    except Exception as error:
        # Ray's own error says only that something cannot be serialized; its cause says what.
        reason = one_line(error.__cause__ or error)
        raise PluginError(f"the {what} cannot be sent to workers: {reason}; make what resists in prepare()") from None


def cause_of_death(error: RayError) -> str:
    """Return what Ray knows of the end of a process, without its advice."""
    detail = re.search(r"exit detail: (.*?)(?: Some common causes.*)?$", str(error), re.DOTALL)
    text = detail.group(1).strip() if detail else one_line(error)
    if "End of file" in text:
        return "its process died without a word, as by os._exit, a signal, a fault in native code or a lack of memory"
    return f"its process died: {text}"
