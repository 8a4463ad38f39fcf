"""What was committed survives, what was not leaves no trace; one process writes, any number read."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_runs import FILE, Blob, evaluated, generation, header, read_only, run, snapshot  # noqa: F401
from store_victim import SIZE

import evosparse
from evosparse.engine.candidate import Candidate
from evosparse.engine.lock import FolderLock
from evosparse.engine.search import State
from evosparse.engine.store import Store
from evosparse.errors import StoreError


def test_a_commit_that_fails_leaves_no_trace(run: Path) -> None:
    with Store.open(run, write=True) as store:
        before, trials = store.digest(), store.trials()
        unevaluated = Candidate(Blob(b"new"), uid="2.1", generation=2)
        bad = [
            replace(generation(2), candidates=[evaluated("2.0"), unevaluated]),
            replace(generation(2), record={"object": object()}),
            replace(generation(2), state=State(arrays={"objects": np.array([{}, ()], object)})),
            replace(generation(2), hall_of_fame=[evaluated("7.7")]),
            replace(generation(1)),
        ]
        for one in bad:
            with pytest.raises((ValueError, TypeError, sqlite3.IntegrityError)):
                store.commit(one)
            assert (store.digest(), store.trials(), store.finished) == (before, trials, True)
        store.commit(generation(2))
        assert len(store.generations()) == 3


def test_a_disk_without_room_is_reported_and_the_commit_can_be_repeated(run: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(run, write=True) as store:
        before = store.digest()
        resource.setrlimit(resource.RLIMIT_FSIZE, ((run / FILE).stat().st_size + 20_000, hard))
        try:
            with pytest.raises(StoreError, match="cannot be .*written.* resume"):
                store.commit(generation(2, size=SIZE, length=6000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.digest() == before
        store.commit(generation(2, size=SIZE, length=6000))
        assert len(store.generations()) == 3


class Victims:
    """Makes processes that write to a store, and kills them."""

    def __init__(self) -> None:
        folders = [str(Path(__file__).parent), str(Path(evosparse.__file__).parents[1])]
        folders += filter(None, [os.environ.get("PYTHONPATH")])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "store_victim"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, task: str, folder: Path) -> int:
        self.process.stdin.write(f"{task} {folder}\n")
        self.process.stdin.flush()
        word, pid = self.process.stdout.readline().split()
        assert word == "ready"
        return int(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "dead\n"


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    makes = Victims()
    with makes.process:
        yield makes
        makes.process.stdin.close()


def test_a_run_killed_at_random_moments_is_a_prefix_of_the_undisturbed_run(tmp_path: Path, victims: Victims) -> None:
    rng = np.random.default_rng()
    folder = tmp_path / "killed"
    with Store.create(tmp_path / "undisturbed", header()) as undisturbed:
        digests = [undisturbed.digest()]
        Store.create(folder, header()).close()
        kills = done = 0
        while kills < 12 or done < 3:
            victim = victims.start("commit", folder)
            time.sleep(rng.uniform(0.0, 0.02 * (kills + 1)))
            victims.kill(victim)
            kills += 1
            with Store.open(folder) as store:
                done = len(store.generations())
                while len(digests) <= done:
                    undisturbed.commit(generation(len(digests) - 1, SIZE, 6000))
                    digests.append(undisturbed.digest())
                assert store.digest() == digests[done]
                assert all(len(list(store.candidates(number, Blob))) == SIZE for number in range(done))


def test_what_a_killed_writer_left_half_done_is_undone_by_the_next_reader(run: Path, victims: Victims) -> None:
    with Store.open(run) as store:
        before = store.digest()
    victims.kill(victims.start("spill", run))
    assert (run / f"{FILE}-journal").stat().st_size > 0  # pages of an unfinished transaction are in the file
    with read_only(run), pytest.raises(StoreError, match="interrupted.*permission"):
        Store.open(run).digest()
    with Store.open(run) as store:
        assert store.digest() == before
    assert list(snapshot(run)) == [FILE]


# One writer, any number of readers.


def test_a_second_writer_is_refused_until_the_first_is_gone(run: Path, victims: Victims) -> None:
    victim = victims.start("hold", run)
    with pytest.raises(StoreError, match=rf"being written by another process \(pid {victim} on "):
        Store.open(run, write=True)
    with Store.open(run) as reader:
        assert len(reader.generations()) == 2
    victims.kill(victim)
    with Store.open(run, write=True) as store:
        with pytest.raises(StoreError, match=rf"being written .*pid {os.getpid()}"):
            Store.open(run, write=True)
        store.commit(generation(2))
    Store.open(run, write=True).close()
    assert list(snapshot(run)) == [FILE]


def test_a_refused_writer_does_not_let_go_of_the_lock(run: Path) -> None:
    with Store.open(run, write=True):
        for _ in range(3):
            with pytest.raises(StoreError, match="being written"):
                Store.open(run, write=True)


def test_a_lock_on_a_file_that_its_holder_has_just_removed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holders = [FolderLock(tmp_path)]
    lock = fcntl.flock

    def lock_too_late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        holders.pop().release()
        holders.append(FolderLock(tmp_path))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)
    with pytest.raises(StoreError, match="being written"):
        FolderLock(tmp_path)
    holders.pop().release()
    assert list(tmp_path.iterdir()) == []


def test_readers_see_whole_generations_in_the_middle_of_a_commit(run: Path) -> None:
    seen = []

    class Watcher(Blob):
        def to_bytes(self) -> bytes:
            with Store.open(run) as reader:
                seen.append((len(reader.generations()), len(list(reader.candidates())), len(reader.trials())))
            return self.data

    candidates = [evaluated("2.0", b"a"), evaluated("2.1", b"b")]
    for candidate in candidates:
        candidate.genome = Watcher(candidate.genome.data)
    with Store.open(run, write=True) as store, Store.open(run) as reader:
        iterator = reader.candidates()
        next(iterator)  # a reader that stopped half way does not hold up the writer
        store.commit(replace(generation(2), candidates=candidates, hall_of_fame=[], state=State()))
        assert seen == [(2, 6, 1), (2, 6, 1)]
        assert len(reader.generations()) == 3


def test_a_reader_cannot_write(run: Path) -> None:
    before = snapshot(run)
    with Store.open(run) as store, pytest.raises(StoreError, match="read-only"):
        store.commit(generation(2))
    assert snapshot(run) == before


def test_a_read_only_run_can_be_read_and_is_left_alone(run: Path) -> None:
    before = snapshot(run)
    with read_only(run / FILE), read_only(run):
        with Store.open(run) as store:
            assert len(store.digest()) == 64
            assert len(list(store.candidates(decode=Blob))) == 6
    assert snapshot(run) == before


@pytest.mark.parametrize("name", [".", FILE])
def test_a_read_only_run_cannot_be_continued(run: Path, name: str) -> None:
    before = snapshot(run)
    with read_only(run / name), pytest.raises(StoreError, match="read-only: change its permissions"):
        Store.open(run, write=True)
    assert snapshot(run) == before
