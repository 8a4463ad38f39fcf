"""Evaluates on a Ray cluster, of this machine or of many; the only file that imports Ray.

A worker that hangs is killed and one that dies is replaced; what that means for its genomes is decided by `Batches`.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import signal
import socket
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from types import TracebackType

import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.evaluate import Assessor, Batch, Batches, Evaluator, Job, Policy
from evosparse.engine.problem import Stage
from evosparse.engine.shipping import gather
from evosparse.errors import CampaignFailed, ClusterError, EvosparseError, PluginError

_PATIENCE = 60.0  # seconds without any worker before the campaign gives up
_RESUME = "what was stored is safe: resume the run when the cluster is back"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Cluster:
    """A Ray cluster with worker processes; a context manager that frees them and whatever of Ray it started.

    Args:
        workers: number of worker processes with one CPU each; None for as many as there are CPUs.
        address: ``HOST:PORT`` of a running cluster, or ``auto``; None starts a cluster on this machine, unless this
            process is connected to one already, which then stays connected.
        gpus_per_worker: a fraction 1/n or a whole number; None to share the cluster's GPUs among the workers.
        sources: folders of the user's own code, whose Python files are sent to the workers.
        gpus: number of (logical) GPUs of the cluster to start; None to detect them.

    Attributes:
        workers: the number of workers.
        gpus_per_worker: what each worker has of a GPU; 0 for none.

    Raises:
        ClusterError: the cluster cannot be reached, or has not the resources asked for.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        gpus_per_worker: float | None = None,
        sources: Sequence[Path] = (),
        gpus: int | None = None,
    ) -> None:
        self._undo = ExitStack()
        self._spare: list[ActorHandle] = []
        try:
            environment = self._connect(workers, address, sources, gpus)
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self.workers, self.gpus_per_worker = _shares(nodes, workers, gpus_per_worker)
            self._process = ray.remote(_Process).options(
                num_cpus=1, num_gpus=self.gpus_per_worker, max_restarts=0, max_task_retries=0, runtime_env=environment
            )
            # Now, because a process needs some seconds to import what it needs.
            self._spare = [self._process.remote() for _ in range(self.workers)]
        except BaseException:
            self.close()
            raise

    def evaluator(self, stage: Stage, policy: Policy) -> RayEvaluator:
        """Return an evaluator on all workers.

        Args:
            stage: what to evaluate.
            policy: batch size, time, retries and memory.

        Raises:
            PluginError: the stage cannot be sent to the workers or be imported there.
            CampaignFailed: the fitness's ``prepare`` raised.
            ClusterError: no worker can be started.
        """
        return RayEvaluator(self, stage, policy)

    def hire(self) -> ActorHandle:
        """Return a worker process, which may not have been placed on a node yet."""
        return self._spare.pop() if self._spare else self._process.remote()

    def give_back(self, process: ActorHandle) -> None:
        """Take back a worker process that is idle, for the next stage."""
        self._spare.append(process)

    def close(self) -> None:
        """End the worker processes, and Ray if it was started here."""
        for process in self._spare:
            ray.kill(process)
        self._spare = []
        self._undo.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connect(
        self, workers: int | None, address: str | None, sources: Sequence[Path], gpus: int | None
    ) -> Mapping[str, object]:
        """Connect this process, and return the runtime environment of the workers unless it is that of the connection."""
        environment: dict[str, object] = {"env_vars": dict(_ONE_THREAD)}
        paths = _own_paths()
        if sources:
            folder = tempfile.mkdtemp(prefix="evosparse-")
            self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
            gather([Path(source).resolve() for source in sources], Path(folder))
            if ray.is_initialized():
                paths.insert(0, folder)  # Ray takes a working directory only when it connects
            else:
                environment["working_dir"] = folder
        if paths:
            environment["env_vars"]["PYTHONPATH"] = os.pathsep.join(paths)
        if ray.is_initialized():
            _check_connection(address, bool(sources))
            return environment
        self._undo.enter_context(_restored())
        self._undo.callback(ray.shutdown)
        # Quiet, because standard output may be read by a machine.
        settings = {"runtime_env": environment, "log_to_driver": False, "configure_logging": False}
        if address is None:
            ray.init("local", num_cpus=workers, num_gpus=gpus, include_dashboard=False, **settings)
        else:
            _join(address, settings)
        return {}


class RayEvaluator(Evaluator):
    """Evaluates one stage on the workers of a cluster.

    Args:
        cluster: whose workers to use, all of them.
        stage: what to evaluate; its data goes into the object store once.
        policy: batch size, time, retries and memory.

    Raises:
        PluginError, CampaignFailed, ClusterError: as for `Cluster.evaluator`.
    """

    def __init__(self, cluster: Cluster, stage: Stage, policy: Policy) -> None:
        self._cluster = cluster
        self._policy = policy
        self._parts = [_put((stage.fitness, stage.genomes), "fitness"), _put(stage.data, "data")]
        self._placed = time.monotonic()  # when there was last a worker on a node
        self._false_starts = 0
        self._workers = [self._hire() for _ in range(cluster.workers)]
        try:
            while not any(worker.phase is _Phase.IDLE for worker in self._workers):
                self._step(None)
        except BaseException:
            self.close()
            raise

    def evaluate(self, jobs: Sequence[Job], progress: Callable[[int], None] = lambda done: None) -> list[Outcome]:
        """Evaluate a batch on each worker at a time."""
        batches = Batches(jobs, self._policy, progress)
        for worker in [worker for worker in self._workers if worker.phase is _Phase.BUSY]:
            self._replace(worker)  # an earlier call was interrupted
        while not batches.finished:
            for worker in self._workers:
                if worker.phase is _Phase.IDLE and (batch := batches.take()) is not None:
                    worker.attempt(batch, self._policy)
            self._step(batches)
        return batches.outcomes()

    def close(self) -> None:
        """Give idle workers back to the cluster and end the others."""
        for worker in self._workers:
            if worker.phase is _Phase.IDLE:
                self._cluster.give_back(worker.process)
            else:
                ray.kill(worker.process)
        self._workers = []

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _step(self, batches: Batches | None) -> None:
        """Wait for something to happen, and see to it."""
        now = time.monotonic()
        pending = {worker.pending: worker for worker in self._workers if worker.pending is not None}
        nearest = min((worker.deadline for worker in pending.values()), default=now)
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=min(max(nearest - now, 0.0), 1.0))
        for reference in ready:
            self._advance(pending[reference], batches)
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.deadline <= now]:
            if not ray.wait([worker.pending], timeout=0)[0]:
                message = f"did not return within {self._policy.timeout:g} s, nor heed its interruption: its process was killed"
                batches.lose(worker.batch, Outcome(Status.TIMEOUT, message=message, seconds=now - worker.since))
                self._replace(worker)
        if any(worker.phase is not _Phase.PLACING for worker in self._workers):
            self._placed = now
        elif now - self._placed > _PATIENCE:
            raise ClusterError(
                f"no worker could be started within {_PATIENCE:g} s: expected room for {self._cluster.workers} workers, each "
                f"with 1 CPU and {self._cluster.gpus_per_worker:g} GPU, free are {_free()}; {_RESUME}"
            )

    def _advance(self, worker: _Worker, batches: Batches | None) -> None:
        """Take the answer of a worker and go to its next phase."""
        reference, worker.pending = worker.pending, None
        worker.deadline = math.inf
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            self._raised(worker, error, batches)
        except LocalRayletDiedError as error:
            raise ClusterError(f"the Ray cluster has broken down; {_RESUME}") from error
        except RayError as error:
            self._lost(worker, error, batches)
        else:
            self._false_starts = 0
            if worker.phase is _Phase.PLACING:
                worker.node = answer
                worker.start(self._parts, self._policy)
                return
            if worker.phase is _Phase.BUSY:
                batches.settle(worker.batch, answer)
            worker.phase = _Phase.IDLE

    def _raised(self, worker: _Worker, error: RayTaskError, batches: Batches | None) -> None:
        """Deal with an exception in a worker that lives on."""
        cause = error.cause
        message = f"{type(cause).__name__}: {cause}".replace("\n", " ")[:500]
        if worker.phase is not _Phase.BUSY:
            raise cause if isinstance(cause, EvosparseError) else CampaignFailed(f"a worker cannot start: {message}")
        outcome = Outcome(Status.FAILED, message=message, seconds=time.monotonic() - worker.since)
        batches.settle(worker.batch, None if len(worker.batch.jobs) > 1 else [outcome])
        worker.phase = _Phase.IDLE

    def _lost(self, worker: _Worker, error: RayError, batches: Batches | None) -> None:
        """Deal with the death of a worker."""
        self._replace(worker)
        message = _cause_of_death(error)
        if worker.phase is _Phase.BUSY:
            if _has_left(worker.node):
                batches.put_back(worker.batch)
            else:
                batches.lose(worker.batch, Outcome(Status.CRASHED, message=message, seconds=time.monotonic() - worker.since))
        elif not worker.node or not _has_left(worker.node):
            self._false_starts += 1
            if self._false_starts > self._cluster.workers:
                kind, what = (CampaignFailed, "prepares the fitness") if worker.node else (ClusterError, "starts")
                raise kind(f"a worker dies as it {what}: {message}") from error

    def _hire(self) -> _Worker:
        return _Worker(self._cluster.hire())

    def _replace(self, worker: _Worker) -> None:
        ray.kill(worker.process)
        self._workers[self._workers.index(worker)] = self._hire()


class _Phase(Enum):
    PLACING = auto()  # waiting for room on a node, and for the process
    STARTING = auto()  # preparing the fitness
    IDLE = auto()
    BUSY = auto()


@dataclass(eq=False)
class _Worker:
    """What the driver knows of a worker process."""

    process: ActorHandle
    phase: _Phase = _Phase.PLACING
    pending: ray.ObjectRef | None = None
    node: str = ""
    batch: Batch | None = None
    since: float = 0.0
    deadline: float = math.inf

    def __post_init__(self) -> None:
        self.pending = self.process.node.remote()

    def start(self, parts: Sequence[ray.ObjectRef], policy: Policy) -> None:
        """Have it prepare the fitness."""
        self.phase = _Phase.STARTING
        self.pending = self.process.start.remote(parts, policy, os.getcwd())

    def attempt(self, batch: Batch, policy: Policy) -> None:
        """Have it evaluate a batch, which it interrupts itself when the time is up, if it can."""
        self.phase = _Phase.BUSY
        self.batch = batch
        self.since = time.monotonic()
        grace = min(max(policy.timeout, 1.0), 10.0)
        self.deadline = self.since + policy.timeout * len(batch.jobs) + grace
        self.pending = self.process.attempt.remote(batch.jobs)


class _Process:
    """Runs in a process of its own on some node, and evaluates there; it can be started again for another stage."""

    def node(self) -> str:
        """Return the id of the node that it is on."""
        return ray.get_runtime_context().get_node_id()

    def start(self, parts: Sequence[ray.ObjectRef], policy: Policy, folder: str) -> None:
        """Fetch a stage, prepare its fitness, and limit what an evaluation may allocate."""
        self._assessor = None
        with suppress(OSError):
            os.chdir(folder)  # the driver's, if this node has it, for relative paths in the user's code
        try:
            (fitness, genomes), data = ray.get(list(parts))
        except RayError as error:
            missing = re.search(r"No module named '[^']*'", str(error))
            raise PluginError(
                f"a worker cannot load the fitness or its data: {missing.group() if missing else error}; install it on every "
                "node, or keep it in the folder of the fitness, which is sent to the workers"
            ) from None
        gpu = ray.get_runtime_context().get_accelerator_ids().get("GPU")
        self._memory_gib = policy.memory_gib
        _limit_memory(None)
        self._assessor = Assessor(Stage(fitness, data, genomes), policy, "cuda" if gpu and torch.cuda.is_available() else "cpu")
        _limit_memory(policy.memory_gib)

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome] | None:
        """Evaluate a batch once."""
        outcomes = self._assessor.attempt(jobs)
        return outcomes and [self._explained(outcome) for outcome in outcomes]

    def _explained(self, outcome: Outcome) -> Outcome:
        if outcome.status is not Status.FAILED or not _OUT_OF_MEMORY.search(outcome.message):
            return outcome
        limit = f"an evaluation may allocate {self._memory_gib:g} GiB; evaluation.memory_gib raises the limit"
        return replace(outcome, message=f"{outcome.message} ({limit})")


def _limit_memory(gib: float | None) -> None:
    """Make allocations fail beyond what the process has now and that much more, on systems that can; None to lift it."""
    if sys.platform != "linux":
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = most
    if gib is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + int(gib * 2**30)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _put(part: object, what: str) -> ray.ObjectRef:
    try:
        return ray.put(part)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise PluginError(
            f"the {what} cannot be sent to the workers: {reason[0]}; build what holds locks, files or connections in prepare()"
        ) from None


def _cause_of_death(error: RayError) -> str:
    """Return what Ray knows of the end of a process, without its advice."""
    detail = re.search(r"exit detail: (.*?)(?: Some common causes.*)?$", str(error), re.DOTALL)
    if detail is None:
        return f"its process died: {type(error).__name__}: {error}".replace("\n", " ")[:500]
    if "End of file" in detail.group(1):
        return "its process died without a word, as by os._exit, a signal, a fault in native code or a lack of memory"
    return f"its process died: {detail.group(1).strip()}"


def _has_left(node: str) -> bool:
    """Whether a node is no longer part of the cluster."""
    time.sleep(0.1)  # the processes of a node do not die in one instant
    found = next((entry for entry in ray.nodes() if entry["NodeID"] == node), None)
    if found is None or not found["Alive"]:
        return True
    # Ray itself notices only after some seconds.
    return not _answers(found["NodeManagerAddress"], found["NodeManagerPort"])


def _answers(host: str, port: int, seconds: float = 2.0) -> bool:
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError:
        return False
    return True


def _free() -> str:
    free = ray.available_resources()
    return f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU"


def _shares(
    nodes: Sequence[Mapping[str, float]], workers: int | None, share: float | None
) -> tuple[int, float]:
    """Return the number of workers and the GPUs of each.

    Args:
        nodes: the resources of each node.
        workers: the number asked for; None for a worker on each CPU (of the nodes with GPUs, if there are any).
        share: GPUs of each, as asked for; None for the largest fraction 1/n that leaves room for all.

    Raises:
        ClusterError: there is no room.
    """
    if share is not None and share != 0 and not (share >= 1 and share == int(share) or 0 < share < 1 and _is_fraction(share)):
        raise ClusterError(f"expected gpus_per_worker to be a fraction 1/n or a whole number, got {share:g}")
    with_gpus = [node for node in nodes if node.get("GPU")]
    if share is None and with_gpus:
        count = workers or sum(int(node.get("CPU", 0)) for node in with_gpus)
        fitting = (1 / divisor for divisor in range(1, count + 1) if _room(nodes, 1 / divisor) >= count)
        share = next(fitting, 1 / max(count, 1))
    share = share or 0.0
    room = _room(nodes, share)
    count = workers or room
    if count > room or count == 0:
        listed = "; ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes)
        raise ClusterError(
            f"expected room for {count or 'some'} workers, each with 1 CPU and {share:g} GPU, but the cluster has room for "
            f"{room} (its nodes: {listed}): ask for fewer workers or a smaller gpus_per_worker"
        )
    return count, share


def _room(nodes: Sequence[Mapping[str, float]], share: float) -> int:
    """Return how many workers fit on the nodes; each GPU is shared by whole numbers of workers."""
    def on(node: Mapping[str, float]) -> int:
        cpus, gpus = int(node.get("CPU", 0)), int(node.get("GPU", 0))
        if share == 0:
            return cpus
        return min(cpus, gpus * round(1 / share) if share < 1 else int(gpus / share))

    return sum(map(on, nodes))


def _is_fraction(share: float) -> bool:
    return abs(1 / share - round(1 / share)) < 0.01
