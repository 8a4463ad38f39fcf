"""The database of a campaign: one SQLite file, one transaction for each generation.

What was committed survives a killed process and a power failure; what was not leaves no trace. Reading builds and
imports nothing of the campaign's, so anybody's run directory can be opened: genomes stay bytes unless decoded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evosparse.engine import database
from evosparse.engine.candidate import Candidate, Outcome, expressed
from evosparse.engine.codec import Damaged, array_from_bytes, array_to_bytes, from_json, to_json, to_text
from evosparse.engine.digest import digest
from evosparse.engine.lock import FolderLock
from evosparse.engine.records import EncodedGenome, Generation, GenerationRow, Header
from evosparse.engine.results import TrialResult
from evosparse.engine.rows import (
    CANDIDATE,
    HEADER,
    OUTCOME,
    Decode,
    candidate_row,
    decoded,
    header_row,
    outcome_row,
    read_candidate,
    read_header,
    read_outcome,
)
from evosparse.engine.search import State
from evosparse.errors import StoreError

__all__ = ["Decode", "EncodedGenome", "Generation", "GenerationRow", "Header", "Store", "free_folder"]

_WITH_GENOMES = "FROM candidate JOIN genome ON genome.id = candidate.genome"
_SETTLED = "WHERE status IN ('ok', 'invalid')"


class Store:
    """The results of one campaign; a context manager that lets go of the run directory.

    Made by `create` or `open`, not directly.

    Attributes:
        folder: the run directory.
        header: what the campaign is.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: FolderLock | None) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self.header = self._read_header()

    @classmethod
    def create(cls, folder: Path, header: Header) -> Store:
        """Begin a campaign; if that fails, nothing is left behind.

        Args:
            folder: the run directory, which does not exist or is empty.
            header: what the campaign is.

        Raises:
            StoreError: the folder is taken, or cannot be made.
        """
        folder = Path(folder)
        with database.guard(folder), database.new_folder(folder):
            lock = FolderLock(folder)
            try:
                database.build(folder, HEADER, header_row(header))
                return cls._connect(folder, lock)
            except BaseException:
                lock.release()
                raise

    @classmethod
    def open(cls, folder: Path, write: bool = False) -> Store:
        """Open the campaign in a run directory.

        Args:
            folder: the run directory.
            write: whether to continue it, which one process may do at a time; any number may read meanwhile.

        Raises:
            StoreError: there is no campaign, this version cannot read it, or it cannot be written now.
        """
        folder = Path(folder)
        with database.guard(folder):
            database.require_run(folder, write)
            lock = FolderLock(folder) if write else None
            try:
                return cls._connect(folder, lock)
            except BaseException:
                if lock is not None:
                    lock.release()
                raise

    @property
    def finished(self) -> bool:
        """Whether the examination took place after the last generation."""
        return self._rows("SELECT status FROM campaign")[0][0] == "finished"

    @property
    def reason(self) -> str:
        """Why the search ended; empty while it goes on."""
        return self._rows("SELECT reason FROM campaign")[0][0]

    def commit(self, generation: Generation) -> None:
        """Keep a generation, all of it or nothing; an examination of what was found before it is dropped.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        candidates, state = generation.candidates, generation.state
        groups = {name: [member.uid for member in group] for name, group in state.candidates.items()}
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM trial")
            connection.execute("UPDATE campaign SET status = 'running', reason = ''")
            connection.execute(
                "INSERT INTO generation VALUES (?, ?, ?, ?)",
                (generation.number, to_json(generation.record), generation.seconds, generation.evaluations),
            )
            connection.executemany(
                "INSERT INTO genome (key, data) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                ((candidate.genome.key, candidate.genome.to_bytes()) for candidate in candidates),
            )
            connection.executemany(
                f"INSERT INTO candidate (position, {CANDIDATE}, genome)"
                f" VALUES ({_places(13)}, (SELECT id FROM genome WHERE key = ?))",
                ((position, *candidate_row(candidate)) for position, candidate in enumerate(candidates)),
            )
            connection.execute("DELETE FROM hall_of_fame")
            connection.executemany(
                "INSERT INTO hall_of_fame VALUES (?, ?)",
                ((rank, member.uid) for rank, member in enumerate(generation.hall_of_fame)),
            )
            values = (to_json(state.values), to_json(groups))
            connection.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", values)
            connection.execute("DELETE FROM state_array")
            connection.executemany(
                "INSERT INTO state_array VALUES (?, ?)",
                ((name, array_to_bytes(array)) for name, array in state.arrays.items()),
            )

    def finish(self, trials: Sequence[TrialResult], reason: str) -> None:
        """Keep the examination in place of an earlier one, and mark the campaign as finished.

        Args:
            trials: its results, in order.
            reason: why the search ended.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM trial")
            connection.executemany(
                f"INSERT INTO trial (position, arm, replicate, description, {OUTCOME}) VALUES ({_places(10)})",
                (
                    (position, trial.arm, trial.replicate, to_text(trial.description), *outcome_row(trial.outcome))
                    for position, trial in enumerate(trials)
                ),
            )
            connection.execute("UPDATE campaign SET status = 'finished', reason = ?", (reason,))

    def update_document(self, document: Mapping[str, object]) -> None:
        """Replace the campaign's document, after a change that is allowed when it is continued."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("UPDATE campaign SET document = ?", (to_json(document),))
        self.header = replace(self.header, document=dict(document))

    def generations(self) -> list[GenerationRow]:
        """Return every generation, in order."""
        with database.guard(self.folder):
            rows = self._rows("SELECT number, record, seconds, evaluations FROM generation ORDER BY number")
            return [GenerationRow(number, from_json(record, dict, "a record"), *cost) for number, record, *cost in rows]

    def evaluations(self) -> int:
        """Return the number of candidates that were really evaluated."""
        return self._rows("SELECT COALESCE(SUM(evaluations), 0) FROM generation")[0][0]

    def seconds(self) -> float:
        """Return the time that all generations took."""
        return self._rows("SELECT COALESCE(SUM(seconds), 0.0) FROM generation")[0][0]

    def candidate(self, uid: str, decode: Decode | None = None) -> Candidate:
        """Return one candidate, with its outcome and fitness.

        Args:
            uid: of the candidate.
            decode: reads its genome; by default that stays an `EncodedGenome`.

        Raises:
            StoreError: there is none, or its genome cannot be read.
        """
        found = self._candidates("WHERE uid = ?", uid, decode=decode)
        if not found:
            raise StoreError(f"{self.folder}: expected the uid of a candidate, got {uid!r}: {self._valid_uids()}")
        return found[0]

    def candidates(self, generation: int | None = None, decode: Decode | None = None) -> Iterator[Candidate]:
        """Yield the candidates of one generation, or of all, in order; see `candidate`."""
        numbers = [row.number for row in self.generations()] if generation is None else [generation]
        for number in numbers:
            # A generation at a time: a reader that pauses must not hold up the next commit.
            yield from self._candidates("WHERE generation = ? ORDER BY position", number, decode=decode)

    def lineage(self, uid: str, decode: Decode | None = None) -> list[Candidate]:
        """Return the ancestors of a candidate, each once, parents before grandparents; see `candidate`."""
        family = {uid: self.candidate(uid, decode)}
        level = [uid]
        while level:
            parents = (parent for child in level for parent in family[child].parents)
            level = [parent for parent in dict.fromkeys(parents) if parent not in family]
            family |= {parent: self.candidate(parent, decode) for parent in level}
        return list(family.values())[1:]

    def hall_of_fame(self, decode: Decode | None = None) -> list[Candidate]:
        """Return the best candidates, best first; see `candidate`."""
        return self._candidates("JOIN hall_of_fame USING (uid) ORDER BY rank", decode=decode)

    def state(self, decode: Decode | None = None) -> State:
        """Return what the search needs to go on after the last generation; see `candidate`.

        A candidate that is in several groups, or several times in one, is one object.

        Raises:
            StoreError: there is no generation yet, or a genome cannot be read.
        """
        with self._transaction("BEGIN"):
            rows = self._rows("SELECT data, candidates FROM state")
            if not rows:
                raise StoreError(f"{self.folder}: has no search to go on with, no generation was committed yet: run it")
            values = from_json(rows[0][0], dict, "the search's state")
            groups = from_json(rows[0][1], dict, "the search's groups of candidates")
            arrays = self._rows("SELECT name, data FROM state_array ORDER BY rowid")
            uids = dict.fromkeys(uid for group in groups.values() for uid in group)
            members = {uid: self.candidate(uid, decode) for uid in uids}
            return State(
                values,
                {name: array_from_bytes(data, f"the search's array {name!r}") for name, data in arrays},
                {name: [members[uid] for uid in group] for name, group in groups.items()},
            )

    def outcomes(self, decode: Decode | None = None) -> dict[str, Outcome]:
        """Return the outcome of every genome that need not be evaluated again: measured, or found invalid.

        Args:
            decode: reads the genomes, to give their outcomes by what they express; by default they are given by key.

        Raises:
            StoreError: an outcome or a genome cannot be read.
        """
        with database.guard(self.folder):
            names = {}
            if decode is not None:
                genomes = self._rows(f"SELECT MIN(uid), key, data {_WITH_GENOMES} {_SETTLED} GROUP BY genome.id")
                names = {key: expressed(decoded(uid, key, data, decode)) for uid, key, data in genomes}
            # Backwards, so that the first of equal genomes is kept: it was evaluated, the others may be from the cache.
            order = "ORDER BY generation DESC, position DESC"
            rows = self._rows(f"SELECT key, {OUTCOME} {_WITH_GENOMES} {_SETTLED} {order}")
            return {names.get(key, key): read_outcome(row) for key, *row in rows}

    def trials(self) -> list[TrialResult]:
        """Return the results of the examination, in order; empty before it took place."""
        with database.guard(self.folder):
            rows = self._rows(f"SELECT arm, replicate, description, {OUTCOME} FROM trial ORDER BY position")
            return [TrialResult(arm, replicate, text, read_outcome(row)) for arm, replicate, text, *row in rows]

    def digest(self) -> str:
        """Return the SHA-256 of everything that was found; see `evosparse.engine.digest`."""
        with self._transaction("BEGIN") as connection:
            return digest(connection)

    def close(self) -> None:
        """Let go of the run directory; nothing but the database is left in it."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @classmethod
    def _connect(cls, folder: Path, lock: FolderLock | None) -> Store:
        connection = database.connect(folder, write=lock is not None)
        try:
            return cls(folder, connection, lock)
        except BaseException:
            connection.close()
            raise

    def _read_header(self) -> Header:
        rows = self._rows(f"SELECT {HEADER} FROM campaign")
        if not rows:
            raise Damaged("expected a row in the table 'campaign', got none")
        return read_header(rows[0])

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Write everything in a block or nothing; or read one state of the database throughout it."""
        with database.guard(self.folder):
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _candidates(self, condition: str, *values: object, decode: Decode | None) -> list[Candidate]:
        with database.guard(self.folder):
            rows = self._rows(f"SELECT {CANDIDATE}, key, data {_WITH_GENOMES} {condition}", *values)
            return [read_candidate(row, self.header.objectives, decode) for row in rows]

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with database.guard(self.folder):
            return self._connection.execute(query, values).fetchall()

    def _valid_uids(self) -> str:
        order = "SELECT uid FROM candidate ORDER BY generation {0}, position {0} LIMIT 1"
        rows = self._rows(order.format("ASC")) + self._rows(order.format("DESC"))
        return f"name one from {rows[0][0]} to {rows[-1][0]}" if rows else "no generation was committed yet"


def _places(count: int) -> str:
    return ", ".join("?" * count)


def free_folder(folder: Path) -> Path:
    """Return the folder, or the first of ``folder-2``, ``folder-3``, ... that does not exist."""
    number, free = 2, folder
    while free.exists():
        number, free = number + 1, folder.with_name(f"{folder.name}-{number}")
    return free
