"""Evaluates on a Ray cluster, of this machine or of many; with `ray_crew` the only file that imports Ray.

A worker that hangs is killed and one that dies is replaced; what that means for its genomes is decided by `Batches`.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
import torch
from ray._private.ray_logging import stdout_deduplicator
from ray.actor import ActorHandle
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError

from evosparse.engine.candidate import Outcome, Status
from evosparse.engine.ray_crew import cause_of_death, put
from evosparse.engine.evaluate import Assessor, Batch, Batches, Evaluator, Job, Policy, one_line
from evosparse.engine.limits import explain_memory, limit_memory
from evosparse.engine.nodes import answers, has_left, share_out
from evosparse.engine.problem import Stage
from evosparse.engine.shipping import gather, own_paths
from evosparse.errors import CampaignFailed, ClusterError, EvosparseError, PluginError

_PATIENCE = 120.0  # seconds without any worker before the campaign gives up; a busy machine needs 60 to start some
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
        process: what runs in the worker processes; None for what `RayEvaluator` needs.

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
        process: type | None = None,
    ) -> None:
        self._undo = ExitStack()
        self._spare: list[ActorHandle] = []
        try:
            environment = self._connect(address, sources, {"num_cpus": workers, "num_gpus": gpus})
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self.workers, self.gpus_per_worker = share_out(nodes, workers, gpus_per_worker)
            self._process = ray.remote(process or _Process).options(
                num_cpus=1, num_gpus=self.gpus_per_worker, max_restarts=0, max_task_retries=0, runtime_env=environment
            )
            # Now, because a process needs some seconds to import what it needs.
            self._spare = [self._process.remote() for _ in range(self.workers)]
        except BaseException:
            self.close()
            raise

    def evaluator(self, stage: Stage, policy: Policy) -> RayEvaluator:
        """Return an evaluator of a stage, which uses all workers; raises what `RayEvaluator` does."""
        return RayEvaluator(self, stage, policy)

    def hire(self) -> ActorHandle:
        """Return a worker process, which may not have been placed on a node yet."""
        return self._spare.pop() if self._spare else self._process.remote()

    def give_back(self, process: ActorHandle) -> None:
        """Take back a worker process that does nothing, for the next stage."""
        self._spare.append(process)

    def close(self) -> None:
        """End the worker processes, and Ray if it was started here."""
        while self._spare:
            ray.kill(self._spare.pop())
        self._undo.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connect(self, address: str | None, sources: Sequence[Path], local: Mapping[str, Any]) -> Mapping[str, Any]:
        """Connect this process, and return the runtime environment of the workers where it is not the connection's."""
        environment: dict[str, Any] = {"env_vars": dict(_ONE_THREAD)}
        paths = own_paths()
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
        self._undo.enter_context(_contained())
        self._undo.callback(ray.shutdown)
        settings = {"runtime_env": environment, "log_to_driver": False, "configure_logging": False}
        if address is None:
            ray.init("local", include_dashboard=False, **local, **settings)
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
        PluginError: the stage cannot be sent to the workers or be imported there.
        CampaignFailed: the fitness's ``prepare`` raised, or its process died.
        ClusterError: no worker can be started.
    """

    def __init__(self, cluster: Cluster, stage: Stage, policy: Policy) -> None:
        self._cluster = cluster
        self._policy = policy
        self._parts = [put((stage.fitness, stage.genomes), "fitness"), put(stage.data, "data")]
        self._placed = time.monotonic()  # when there was last a worker on a node
        self._false_starts = 0
        self._workers = [_Worker(cluster.hire()) for _ in range(cluster.workers)]
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
        """Give the workers that do nothing back to the cluster and end the others."""
        for worker in self._workers:
            if worker.phase in (_Phase.IDLE, _Phase.PLACING):
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
                message = f"did not return within {self._policy.timeout:g} s and was deaf to it: its process was killed"
                batches.lose(worker.batch, Outcome(Status.TIMEOUT, message=message, seconds=worker.seconds))
                self._replace(worker)
        if any(worker.phase is not _Phase.PLACING for worker in self._workers):
            self._placed = now
        elif now - self._placed > _PATIENCE:
            need = f"each needs 1 CPU and {self._cluster.gpus_per_worker:g} GPU"
            free = ", ".join(f"{ray.available_resources().get(name, 0):g} {name}" for name in ("CPU", "GPU"))
            raise ClusterError(f"no worker could be started in {_PATIENCE:g} s: {need}, free are {free}; {_RESUME}")

    def _advance(self, worker: _Worker, batches: Batches | None) -> None:
        """Take the answer of a worker and go to its next phase."""
        reference, worker.pending, worker.deadline = worker.pending, None, math.inf
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            self._raised(worker, error, batches)
        except LocalRayletDiedError as error:
            raise ClusterError(f"the Ray cluster has broken down; {_RESUME}") from error
        except RayError as error:
            self._lost(worker, error, batches)
        else:
            if worker.phase is _Phase.PLACING:
                worker.node = answer
                worker.start(self._parts, self._policy)
                return
            if worker.phase is _Phase.BUSY:
                batches.settle(worker.batch, answer)
            worker.phase = _Phase.IDLE
            self._false_starts = 0

    def _raised(self, worker: _Worker, error: RayTaskError, batches: Batches | None) -> None:
        """Deal with an exception in a worker that lives on."""
        if worker.phase is not _Phase.BUSY:
            if isinstance(error.cause, EvosparseError):
                raise error.cause from None
            raise CampaignFailed(f"a worker cannot start: {one_line(error.cause)}") from None
        outcome = Outcome(Status.FAILED, message=one_line(error.cause), seconds=worker.seconds)
        batches.settle(worker.batch, None if len(worker.batch.jobs) > 1 else [outcome])
        worker.phase = _Phase.IDLE

    def _lost(self, worker: _Worker, error: RayError, batches: Batches | None) -> None:
        """Deal with the death of a worker."""
        self._replace(worker)
        message = cause_of_death(error)
        time.sleep(0.1)  # the processes of a node do not all die in the same instant
        left = worker.node != "" and has_left(worker.node, ray.nodes())
        if worker.phase is _Phase.BUSY and left:
            batches.put_back(worker.batch)
        elif worker.phase is _Phase.BUSY:
            batches.lose(worker.batch, Outcome(Status.CRASHED, message=message, seconds=worker.seconds))
        elif not left:
            self._false_starts += 1
            if self._false_starts > self._cluster.workers:
                kind, what = (CampaignFailed, "prepares the fitness") if worker.node else (ClusterError, "starts")
                raise kind(f"a worker dies as it {what}: {message}") from error

    def _replace(self, worker: _Worker) -> None:
        ray.kill(worker.process)
        self._workers[self._workers.index(worker)] = _Worker(self._cluster.hire())


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

    @property
    def seconds(self) -> float:
        """How long it has been at its batch."""
        return time.monotonic() - self.since

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
                f"a worker cannot load the fitness or its data: {missing.group() if missing else error}; install it on "
                "every node, or keep it in the folder of the fitness, which is sent to the workers"
            ) from None
        gpu = ray.get_runtime_context().get_accelerator_ids().get("GPU") and torch.cuda.is_available()
        self._gib = policy.memory_gib
        limit_memory(None)
        self._assessor = Assessor(Stage(fitness, data, genomes), policy, "cuda" if gpu else "cpu")
        limit_memory(policy.memory_gib)

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome] | None:
        """Evaluate a batch once, as `Assessor.attempt` does."""
        outcomes = self._assessor.attempt(jobs)
        return outcomes and [replace(each, message=explain_memory(each.message, self._gib)) for each in outcomes]


def _join(address: str, settings: Mapping[str, Any]) -> None:
    """Connect to a running cluster, or say at once why not."""
    host, _, port = address.rpartition(":")
    if address != "auto" and ("://" in address or not host or not port.isdigit()):
        raise ClusterError(
            f"expected the address of a Ray cluster as HOST:PORT or 'auto', got {address!r}: run on a machine of the "
            "cluster and give what 'ray start' printed there, or use 'ray job submit'"
        )
    if address != "auto" and not answers(host.strip("[]"), int(port)):
        raise ClusterError(f"no Ray cluster answers at {address}: start it with 'ray start --head' or mend the address")
    try:
        ray.init(address, **settings)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(
            f"cannot join the Ray cluster at {address}: {' '.join(str(error).split())}; expected the Python and "
            "Ray that its nodes have and, if it has a token, the same RAY_AUTH_MODE and RAY_AUTH_TOKEN here"
        ) from error


def _check_connection(address: str | None, sources: bool) -> None:
    """Refuse what a connection that was made before cannot give."""
    here = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", here):
        raise ClusterError(f"this process is in the cluster at {here}: call ray.shutdown() to join {address}")
    if sources and len({node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}) > 1:
        raise ClusterError("code travels to other machines on joining only: call ray.shutdown() and give the address")


@contextmanager
def _contained() -> Iterator[None]:
    """Keep Ray from writing to the terminal, and undo what it does to this process."""
    logger = logging.getLogger("ray")
    level, environment, handler = logger.level, dict(os.environ), signal.getsignal(signal.SIGTERM)
    logger.setLevel(logging.CRITICAL)
    # The death of a worker is told on standard output, whatever the settings, unless this pattern skips it.
    skipped, stdout_deduplicator.skip_re = stdout_deduplicator.skip_re, re.compile("")
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # under 'ray job submit' both the job and the campaign have one
    try:
        yield
    finally:
        stdout_deduplicator.skip_re = skipped
        logger.setLevel(level)
        for name in [name for name in os.environ if name.startswith("RAY_") or name == "PYTHONBREAKPOINT"]:
            del os.environ[name]
            os.environ.update({name: environment[name]} if name in environment else {})
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
