"""Campaigns that the tests of the store share: a genome, candidates, generations, and a run directory."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.results import TrialResult
from evosparse.engine.search import State
from evosparse.engine.store import Generation, Header, Store

OBJECTIVES = {"accuracy": "max", "loss": "min"}
FILE = "campaign.sqlite"


@dataclass(frozen=True)
class Blob:
    """The simplest genome: some bytes."""

    data: bytes

    @property
    def key(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def to_bytes(self) -> bytes:
        return self.data

    def describe(self) -> str:
        return f"{len(self.data)} bytes"


def header(**changes: object) -> Header:
    document = {"name": "test", "seed": 3, "search": {"rate": 0.1, "sizes": [1, 2]}}
    return replace(Header(document, data_hash="d" * 64, notes=("a note",), base="/b", objectives=OBJECTIVES), **changes)


def evaluated(uid: str, data: bytes = b"genome", outcome: Outcome | None = None, **fields: object) -> Candidate:
    candidate = Candidate(Blob(data), uid=uid, generation=int(uid.split(".")[0]), **fields)
    candidate.judge(outcome or Outcome(Status.OK, {"accuracy": 0.5, "loss": 1.0}), OBJECTIVES)
    return candidate


def generation(number: int, size: int = 3, length: int = 100) -> Generation:
    """Return generation `number` of one certain run; it depends on nothing else."""
    rng = np.random.default_rng(number)
    candidates = [
        evaluated(
            f"{number}.{index}",
            rng.bytes(length),
            Outcome(Status.OK, {"accuracy": rng.random(), "loss": rng.random()}, seconds=0.1),
            parents=(f"{number - 1}.{index}",) if number else (),
        )
        for index in range(size)
    ]
    state = State({"number": number}, {"weights": rng.random(5)}, {"population": candidates})
    record = {"generation": number, "best": rng.random()}
    return Generation(number, candidates, candidates[:2], state, record, seconds=0.5, evaluations=size)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        path.chmod(mode)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A closed run directory with two generations and an examination."""
    folder = tmp_path / "run"
    with Store.create(folder, header()) as store:
        store.commit(generation(0))
        store.commit(generation(1))
        store.finish([TrialResult("winner", 0, "a net", Outcome(Status.OK, {"accuracy": 0.75}))], "generations")
    return folder
