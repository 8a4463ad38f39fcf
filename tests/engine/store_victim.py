"""A process that makes children for the tests to kill: one for each line "TASK FOLDER" that it reads.

It answers "ready PID" when the child is at work, and "dead" when it is no more. Children are forked, because a fresh
process would spend seconds on its imports.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

from store_runs import FILE, generation

from evosparse.engine.store import Store

SIZE = 300  # candidates in a generation


def commit(folder: Path) -> None:
    """Commit generations without end."""
    with Store.open(folder, write=True) as store:
        ready()
        for number in range(len(store.generations()), 10_000):
            store.commit(generation(number, SIZE, 6000))


def spill(folder: Path) -> None:
    """Write pages of a transaction that never ends into the file, as a kill in the middle of a commit leaves them."""
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.executescript("PRAGMA cache_size = 1; BEGIN")
    connection.execute("UPDATE candidate SET message = 'half done'")
    connection.execute("DELETE FROM hall_of_fame")
    connection.executemany("INSERT INTO genome (key, data) VALUES (?, ?)", ((str(n), bytes(6000)) for n in range(100)))
    ready()
    time.sleep(60)


def hold(folder: Path) -> None:
    """Hold a campaign for writing."""
    with Store.open(folder, write=True):
        ready()
        time.sleep(60)


def ready() -> None:
    print(f"ready {os.getpid()}", flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        task, folder = line.rstrip("\n").split(" ", 1)
        child = os.fork()
        if child == 0:
            {"commit": commit, "spill": spill, "hold": hold}[task](Path(folder))
            os._exit(0)
        os.waitpid(child, 0)
        print("dead", flush=True)
