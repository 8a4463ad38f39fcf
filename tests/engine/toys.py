"""The smallest genome, and fitness functions good and bad, for the tests of the engine."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch

from evosparse.engine.evaluate import Job
from evosparse.engine.fitness import Fitness, Invalid, Resources, fitness
from evosparse.engine.seeds import SeedKey


@dataclass(frozen=True)
class Number:
    """A genome that is a number, and may carry a misdeed that `misbehaving` and `Misbehaving` commit."""

    value: int
    deed: str = ""

    @property
    def key(self) -> str:
        return sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        return f"{self.value}:{self.deed}".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Number:
        value, _, deed = data.decode().partition(":")
        return cls(int(value), deed)

    def describe(self) -> str:
        return f"{self.value} {self.deed}".strip()


def jobs_for(genomes: Sequence[Number], seed: int = 0) -> list[Job]:
    """Return the jobs of genomes, with keys that depend on the genome alone."""
    return [Job(genome.to_bytes(), SeedKey(seed).child("evaluate", genome.value)) for genome in genomes]


@fitness(maximize="score")
def plain(genome: Number, seed: SeedKey) -> float:
    """Measure one genome with keyed noise."""
    return genome.value + float(seed.rng().random())


@fitness(maximize="score")
def misbehaving(genome: Number, seed: SeedKey) -> object:
    """Measure one genome, or do what it is told."""
    return _measure(genome, seed)


class Matrix(Fitness):
    """Multiplies the data with all genomes at once: another shape or number of threads shows in the last bits."""

    objectives = {"score": "max", "cost": "min"}

    def prepare(self, resources: Resources) -> None:
        self._data = resources.data

    def evaluate(self, genomes: Sequence[Number], seeds: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        columns = np.stack([seed.rng().normal(size=self._data.shape[1]) for seed in seeds], axis=1)
        scores = (self._data @ columns).sum(axis=0)
        return [{"score": score, "cost": genome.value} for genome, score in zip(genomes, scores, strict=True)]


class Misbehaving(Fitness):
    """Measures a batch in one call, in which a genome may do what it is told."""

    objectives = {"score": "max"}

    def evaluate(self, genomes: Sequence[Number], seeds: Sequence[SeedKey]) -> list[object]:
        return [_measure(genome, seed) for genome, seed in zip(genomes, seeds, strict=True)]


class Unprepared(Misbehaving):
    """Cannot be prepared."""

    def prepare(self, resources: Resources) -> None:
        raise OSError("the licence server is down")


class Fatal(Misbehaving):
    """Ends the process that prepares it."""

    def prepare(self, resources: Resources) -> None:
        os._exit(1)


class Telling(Misbehaving):
    """Tells what a worker sees of its surroundings."""

    objectives = {"pid": "max"}

    def prepare(self, resources: Resources) -> None:
        self._resources = resources

    def evaluate(self, genomes: Sequence[Number], seeds: Sequence[SeedKey]) -> list[object]:
        told = {
            "pid": os.getpid(),
            "cuda": self._resources.device == "cuda",
            "writable": self._resources.data.flags.writeable,
            "threads": torch.get_num_threads() * int(os.environ["OMP_NUM_THREADS"]),
            "here": os.path.samefile(os.getcwd(), os.environ.get("PWD", "")),
        }
        return [told] * len(genomes)


def _measure(genome: Number, seed: SeedKey) -> object:
    if genome.deed:
        return _DEEDS[genome.deed]()
    return {"score": genome.value + float(seed.rng().random())}


def _raise() -> None:
    raise RuntimeError("no such luck")


def _raise_broken() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise Broken


def _raise_unusual() -> None:
    class Unusual(BaseException):
        pass

    raise Unusual("by the back door")


def _loop() -> None:
    while True:
        pass


def _swallow() -> None:
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass


def _sleep_in_native_code() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(1000)  # and holds the interpreter's lock


def _hoard() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(2**24))


def _hoard_objects() -> None:
    hoard: list = []
    while True:
        hoard.append([])


_DEEDS: Mapping[str, Callable[[], object]] = {
    "raise": _raise,
    "raise broken": _raise_broken,
    "raise unusual": _raise_unusual,
    "nan": lambda: {"score": math.nan},
    "infinity": lambda: {"score": math.inf},
    "huge": lambda: {"score": 10**400},
    "wrong key": lambda: {"points": 1.0},
    "wrong type": lambda: {"score": "three"},
    "nothing": lambda: None,
    "unfit": lambda: Invalid("no way\nfrom input to output"),
    "loop": _loop,
    "sleep": lambda: time.sleep(1000),
    "swallow": _swallow,
    "native": _sleep_in_native_code,
    "hoard": _hoard,
    "hoard objects": _hoard_objects,
    "hoard numpy": lambda: np.ones(2**34),
    "hoard torch": lambda: torch.ones(2**34),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "fault": lambda: ctypes.string_at(0),
    "sys.exit": lambda: sys.exit(4),
}
