"""Turns genomes into outcomes, in this process; the workers of a cluster run the same assessment.

Whatever a fitness function does to one genome, the outcomes of the others are those of a run without it.
"""

from __future__ import annotations

import math
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from types import TracebackType

import torch

from evosparse.engine.candidate import Genome, Outcome, Status, expressed
from evosparse.engine.fitness import Fitness, Invalid, Measured, Resources
from evosparse.engine.limits import TimeUp, one_thread, time_limit
from evosparse.engine.problem import Stage
from evosparse.engine.seeds import SeedKey
from evosparse.errors import CampaignFailed, EvosparseError

_TRACEBACK_TAIL = 2000
_RETRIED = (Status.FAILED, Status.TIMEOUT, Status.CRASHED)


@dataclass(frozen=True)
class Job:
    """One genome to evaluate, in the form in which it travels.

    Args:
        genome: its encoding.
        seed: the key of its evaluation.
    """

    genome: bytes
    seed: SeedKey

    @classmethod
    def of(cls, genome: Genome, seed: int) -> Job:
        """Make the job of a genome in the campaign with that seed.

        The key depends on what the genome expresses alone: so what is the same has equal results, whenever proposed.
        """
        return cls(genome.to_bytes(), SeedKey(seed).child("evaluate").child(expressed(genome)))


@dataclass(frozen=True)
class Policy:
    """How much patience an evaluation gets.

    Args:
        batch: number of genomes evaluated together.
        timeout: seconds allowed for each genome; a batch may take their sum.
        retries: further attempts for a genome that failed, alone, by an exception, its time or a crash.
        memory_gib: what an evaluation on a worker may allocate, in GiB.
    """

    batch: int = 16
    timeout: float = 300.0
    retries: int = 1
    memory_gib: float = 8.0


class Evaluator(ABC):
    """Evaluates genomes for one stage of a campaign; a context manager that frees its workers."""

    @abstractmethod
    def evaluate(self, jobs: Sequence[Job], progress: Callable[[int], None] = lambda done: None) -> list[Outcome]:
        """Evaluate genomes.

        Args:
            jobs: the genomes and their keys.
            progress: called with the number of outcomes that are new.

        Returns:
            One outcome for each job, in the order given, whatever the order of completion.
        """

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


class InProcessEvaluator(Evaluator):
    """Evaluates in the calling process: no isolation from a crash, for debugging and small problems.

    Args:
        stage: what to evaluate.
        policy: batch size, time and retries; memory is not limited here.
    """

    def __init__(self, stage: Stage, policy: Policy) -> None:
        self._policy = policy
        self._assessor = Assessor(stage, policy, "cuda" if torch.cuda.is_available() else "cpu")

    def evaluate(self, jobs: Sequence[Job], progress: Callable[[int], None] = lambda done: None) -> list[Outcome]:
        """Evaluate batch after batch."""
        batches = Batches(jobs, self._policy, progress)
        while (batch := batches.take()) is not None:
            batches.settle(batch, self._assessor.attempt(batch.jobs))
        return batches.outcomes()


@dataclass(frozen=True)
class Batch:
    """Jobs that are attempted together.

    Args:
        positions: where each job stands among all.
        jobs: the jobs.
        attempt: number of this attempt, from 1.
        whole: whether the batch is as the campaign cut it, not a part of one that went wrong.
    """

    positions: Sequence[int]
    jobs: Sequence[Job]
    attempt: int = 1
    whole: bool = True


class Batches:
    """The work of one call of `Evaluator.evaluate`: cuts batches, isolates the genomes that spoil them, and retries.

    It depends on what happened to each batch, not on when or where: every evaluator arrives at the same outcomes.

    Args:
        jobs: all genomes and their keys.
        policy: batch size and retries.
        progress: called with the number of outcomes that are new.
    """

    def __init__(self, jobs: Sequence[Job], policy: Policy, progress: Callable[[int], None]) -> None:
        self._policy = policy
        self._progress = progress
        self._found: dict[int, Outcome] = {}
        self._count = len(jobs)
        cuts = range(0, len(jobs), policy.batch)
        whole = [range(start, min(start + policy.batch, len(jobs))) for start in cuts]
        self._waiting = deque(Batch(positions, [jobs[position] for position in positions]) for positions in whole)

    @property
    def finished(self) -> bool:
        """Whether every job has its outcome."""
        return len(self._found) == self._count

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes in the order of the jobs, once finished."""
        return [self._found[position] for position in range(self._count)]

    def take(self) -> Batch | None:
        """Return the next batch to attempt; None while there is none."""
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, batch: Batch) -> None:
        """Take back a batch that was not attempted, through no fault of its own."""
        self._waiting.appendleft(batch)

    def settle(self, batch: Batch, outcomes: Sequence[Outcome] | None) -> None:
        """Take what an attempt returned: an outcome for each job, or None when a batch of several failed as a whole."""
        if outcomes is None:
            self._split(batch)
            return
        attempt = batch.attempt if len(batch.jobs) == 1 else 1
        new = 0
        for position, job, outcome in zip(batch.positions, batch.jobs, outcomes, strict=True):
            if outcome.status in _RETRIED and attempt <= self._policy.retries:
                self._waiting.appendleft(Batch([position], [job], attempt + 1, whole=False))
            else:
                self._found[position] = replace(outcome, attempts=attempt)
                new += 1
        self._progress(new)

    def lose(self, batch: Batch, outcome: Outcome) -> None:
        """Take the loss of the process that attempted a batch; the outcome is what a single genome would be given."""
        if len(batch.jobs) == 1:
            self.settle(batch, [outcome])
        elif outcome.status is Status.CRASHED and batch.whole and batch.attempt <= self._policy.retries:
            # It may have been an accident of the machine, and another shape of the batch would change the last bits.
            self._waiting.appendleft(replace(batch, attempt=batch.attempt + 1))
        else:
            self._split(batch)

    def _split(self, batch: Batch) -> None:
        middle = len(batch.jobs) // 2
        for part in (slice(middle, None), slice(middle)):
            self._waiting.appendleft(Batch(batch.positions[part], batch.jobs[part], whole=False))


class Assessor:
    """Runs a fitness on batches, wherever that is.

    Args:
        stage: the fitness, its data, and the class of the genomes.
        policy: the time allowed.
        device: where the fitness shall compute.

    Raises:
        CampaignFailed: the fitness's ``prepare`` raised.
    """

    def __init__(self, stage: Stage, policy: Policy, device: str) -> None:
        self._stage = stage
        self._policy = policy
        with one_thread():
            try:
                stage.fitness.prepare(Resources(stage.data, device))
            except EvosparseError:
                raise
            except Exception as error:
                raise CampaignFailed(f"the fitness cannot prepare: {one_line(error)}\n{_tail(error)}") from error

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome] | None:
        """Evaluate once: together, or one after the other if the fitness shares nothing between genomes.

        Returns:
            An outcome for each job; None when a batch of several failed as a whole.
        """
        with one_thread():
            if self._stage.fitness.batched:
                return self._attempt(jobs)
            return [self._attempt([job])[0] for job in jobs]

    def _attempt(self, jobs: Sequence[Job]) -> list[Outcome] | None:
        start = time.perf_counter()
        try:
            with time_limit(self._policy.timeout * len(jobs)):
                genomes = [self._stage.genomes.from_bytes(job.genome) for job in jobs]
                results = self._stage.fitness.evaluate(genomes, [job.seed for job in jobs])
                _check_results(results, len(jobs))
                outcomes = [check_measures(self._stage.fitness, result) for result in results]
        except TimeUp:
            failure = Outcome(Status.TIMEOUT, message=f"did not return within {self._policy.timeout:g} s")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # What the frames hold may be the very memory that ran out.
            traceback.clear_frames(error.__traceback__)
            message = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else one_line(error)
            failure = Outcome(Status.FAILED, message=message, traceback=_tail(error))
        else:
            seconds = (time.perf_counter() - start) / len(jobs)
            return [replace(outcome, seconds=seconds) for outcome in outcomes]
        return None if len(jobs) > 1 else [replace(failure, seconds=time.perf_counter() - start)]


def check_measures(fitness: Fitness, result: object) -> Outcome:
    """Return an ok outcome for measures that are complete and finite, an invalid one for an `Invalid` and all else."""
    try:
        return _checked(fitness, result)
    except Exception as error:  # whatever a user's object does when it is read
        return _invalid(f"the result cannot be read: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """Return the type and the text of an exception in one line."""
    try:
        text = str(error)
    except Exception:  # a user's exception may be broken itself
        text = "(its text cannot be read)"
    return f"{type(error).__name__}: {text}".strip().replace("\n", " ")[:500]


def _checked(fitness: Fitness, result: object) -> Outcome:
    if isinstance(result, Invalid):
        return _invalid(" ".join(str(result.reason).split())[:500])
    if isinstance(result, Measured):
        return replace(_checked(fitness, result.measures), payload=bytes(result.payload))
    if not isinstance(result, Mapping):
        return _invalid(f"expected a mapping from measure to number, got {type(result).__name__}: {result!r:.80}")
    missing = [name for name in fitness.objectives if name not in result]
    if missing:
        given = ", ".join(map(str, result)) or "nothing"
        return _invalid(f"expected the objectives {', '.join(fitness.objectives)}, got {given}")
    measures = {}
    for name, value in result.items():
        number = _number(value)
        if number is None:
            return _invalid(f"expected a number for {name!r}, got {type(value).__name__}: {value!r:.80}")
        if not math.isfinite(number):
            return _invalid(f"expected a finite number for {name!r}, got {number}")
        measures[str(name)] = number
    return Outcome(Status.OK, measures)


def _check_results(results: object, count: int) -> None:
    if isinstance(results, (str, bytes, Mapping)) or not isinstance(results, Sequence) or len(results) != count:
        length = f" of length {len(results)}" if isinstance(results, Sequence) else ""
        raise TypeError(f"evaluate must return a sequence of {count} results, got {type(results).__name__}{length}")


def _number(value: object) -> float | None:
    if isinstance(value, Real):
        return float(value)
    item = getattr(value, "item", None)  # numpy and torch scalars
    if item is None or getattr(value, "size", 1) == 0:
        return None
    try:
        return float(item())
    except (TypeError, ValueError, RuntimeError):
        return None


def _invalid(message: str) -> Outcome:
    return Outcome(Status.INVALID, message=message)


def _tail(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-_TRACEBACK_TAIL:]
