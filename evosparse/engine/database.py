"""The file of a campaign: its tables, how it is made, opened and checked, and what its errors mean to a user.

SQLite's rollback journal is used instead of its write-ahead log: a generation is written once and not twice, it works
on the network file systems of clusters, where the log's shared memory does not, and a reader never leaves files behind.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evosparse.engine.codec import Damaged, from_json
from evosparse.engine.lock import LOCK_FILE
from evosparse.errors import StoreError

FILE = "campaign.sqlite"
SCHEMA = 1

_NEW_FILE = "campaign.sqlite.new"
_APPLICATION = int.from_bytes(b"evsp")
_RUN_FORM = "name a directory that 'evosparse run' has written; 'evosparse list' shows those below a directory"
# Readers wait for a commit; a commit waits long for readers, because it has much to lose.
_PATIENCE = {True: 600.0, False: 60.0}

_TABLES = {
    "campaign": """
        id INTEGER PRIMARY KEY CHECK (id = 1), document TEXT NOT NULL, data_hash TEXT NOT NULL, notes TEXT NOT NULL,
        base TEXT NOT NULL, objectives TEXT NOT NULL, versions TEXT NOT NULL, created TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'running', reason TEXT NOT NULL DEFAULT ''""",
    "generation": """
        number INTEGER PRIMARY KEY, record TEXT NOT NULL, seconds REAL NOT NULL, evaluations INTEGER NOT NULL""",
    "genome": """
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL""",
    "candidate": """
        generation INTEGER NOT NULL REFERENCES generation (number), position INTEGER NOT NULL, uid TEXT NOT NULL UNIQUE,
        population TEXT NOT NULL, genome INTEGER NOT NULL REFERENCES genome (id), parents TEXT NOT NULL,
        contender INTEGER NOT NULL, status TEXT NOT NULL, measures TEXT NOT NULL, message TEXT NOT NULL,
        traceback TEXT NOT NULL, seconds REAL NOT NULL, attempts INTEGER NOT NULL, cached INTEGER NOT NULL,
        PRIMARY KEY (generation, position)""",
    "hall_of_fame": """
        rank INTEGER PRIMARY KEY, uid TEXT NOT NULL REFERENCES candidate (uid)""",
    "state": """
        id INTEGER PRIMARY KEY CHECK (id = 1), data TEXT NOT NULL, candidates TEXT NOT NULL""",
    "state_array": """
        name TEXT PRIMARY KEY, data BLOB NOT NULL""",
    "trial": """
        position INTEGER PRIMARY KEY, arm TEXT NOT NULL, replicate INTEGER NOT NULL, description TEXT NOT NULL,
        status TEXT NOT NULL, measures TEXT NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL,
        seconds REAL NOT NULL, attempts INTEGER NOT NULL""",
}


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a run directory; if the block fails, what was made is removed again.

    Raises:
        StoreError: there is something in its place, or its place is read-only.
    """
    _require_empty(folder)
    line = (folder.absolute(), *folder.absolute().parents)
    _require_writable(folder, next(path for path in line if path.exists()))
    missing = [path for path in line if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


def build(folder: Path, columns: str, values: Sequence[str]) -> None:
    """Make the file of a new campaign; it appears under its name when it is complete.

    Args:
        folder: the run directory, held by the caller.
        columns: the columns of the table ``campaign`` that the caller knows, with commas between.
        values: one for each.

    Raises:
        StoreError: another process has made one meanwhile.
    """
    _require_empty(folder)
    path = folder / _NEW_FILE
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # No journal beside a file that nobody knows yet.
        connection.executescript("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; BEGIN")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        strict = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
        for table, definition in _TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({definition}) {strict}")
        places = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO campaign (id, {columns}) VALUES (1, {places})", values)
        connection.execute("COMMIT")
        connection.close()
        _flush_entries(folder.absolute().parent)
        path.rename(folder / FILE)
        _flush_entries(folder)
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise


def require_run(folder: Path, write: bool) -> None:
    """Refuse what is no run directory, or none that can be written.

    Raises:
        StoreError: it is not.
    """
    path = folder / FILE
    if not folder.exists():
        raise StoreError(f"{folder}: expected a run directory, got a path where nothing is: {_RUN_FORM}")
    if not folder.is_dir():
        raise StoreError(f"{folder}: expected a run directory, got a file: {_RUN_FORM}")
    if not path.is_file():
        raise StoreError(f"{folder}: expected a run directory, got a folder without {FILE}: {_RUN_FORM}")
    if write:
        _require_writable(folder, folder)
        _require_writable(folder, path)


def connect(folder: Path, write: bool) -> sqlite3.Connection:
    """Open the file of a campaign and make sure that this version can read it.

    Args:
        folder: the run directory.
        write: whether the connection may change anything; the caller then holds the folder.

    Raises:
        StoreError: there is no such file, it is none of a campaign, it is damaged, or another version wrote it.
    """
    require_run(folder, write)
    # A reader opens for writing where it may: so SQLite can undo what a killed writer left half done.
    mode = "rw" if _writable(folder) and _writable(folder / FILE) else "ro"
    uri = f"{(folder / FILE).resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE[write])
    try:
        connection.executescript(
            # The file may be a stranger's: nothing that its schema names may run.
            "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;"
            # EXTRA: a commit is on the disk, and its journal gone from the folder, when it returns.
            "PRAGMA synchronous = EXTRA; PRAGMA cache_size = -65536;"
            # A half-written generation stays in memory, so that readers wait for nothing but its commit.
            f"PRAGMA cache_spill = OFF; PRAGMA query_only = {'OFF' if write else 'ON'}"
        )
        _check(connection, folder)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def guard(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the file system report in a block, and what is damaged, into errors that a user can act on.

    Raises:
        StoreError: in place of these.
    """
    try:
        yield
    except Damaged as error:
        raise StoreError(f"{folder}: {FILE} is damaged: {error}; {_RESTORE}") from None
    except OSError as error:
        mend = "check the path, its permissions and the disk"
        raise StoreError(f"{folder}: cannot be opened or made: {error.strerror}; {mend}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, _OWN_MISTAKES):
            raise
        meaning = _MEANINGS.get(code) or _MEANINGS.get((code or 0) & 0xFF, f"{FILE} is damaged: {{}}; {_RESTORE}")
        raise StoreError(f"{folder}: {meaning.format(error)}") from error


_RESTORE = "restore it from a copy, or run the campaign again"
_GO_ON = "then 'evosparse resume' goes on from the last whole generation"
_OWN_MISTAKES = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
_MEANINGS = {
    sqlite3.SQLITE_NOTADB: f"expected the database of a campaign in {FILE}, got a file that is no database; {_RESTORE}",
    sqlite3.SQLITE_FULL: f"cannot be written, the disk is full: make room, {_GO_ON}",
    sqlite3.SQLITE_IOERR: f"cannot be read or written ({{}}): mend the disk, or make room on it, {_GO_ON}",
    sqlite3.SQLITE_CANTOPEN: f"cannot open {FILE} or its journal ({{}}): check their and the folder's permissions",
    sqlite3.SQLITE_READONLY: "cannot be written, it is read-only: change its permissions, or work on a copy",
    sqlite3.SQLITE_READONLY_ROLLBACK: (
        "its last commit was interrupted, and undoing it needs permission to write: change the permissions, or copy it"
    ),
    sqlite3.SQLITE_BUSY: "has been in use by another process for too long ({}): end that process, or try again",
}


def _require_empty(folder: Path) -> None:
    """Refuse a folder with anything in it, except for what a killed attempt to create a campaign leaves behind.

    Raises:
        StoreError: the place is taken.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise StoreError(f"{folder}: expected a place for a run directory, got a file: name another place")
    taken = {path.name for path in folder.iterdir()} - {LOCK_FILE, _NEW_FILE}
    if FILE in taken:
        raise StoreError(f"{folder}: holds a campaign already: 'evosparse resume' it, or name another place")
    if taken:
        raise StoreError(f"{folder}: expected an empty folder, got one with {min(taken)!r} in it: name another place")


def _check(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse a database that is empty, something else's, another version's, or incomplete."""
    ((application,),) = connection.execute("PRAGMA application_id")
    ((schema,),) = connection.execute("PRAGMA user_version")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != _APPLICATION:
        got = f"one of another program (with {', '.join(sorted(tables)[:3])})" if tables else "an empty one"
        raise StoreError(f"{folder}: expected the database of a campaign in {FILE}, got {got}: {_RUN_FORM}")
    if schema != SCHEMA:
        mend = "upgrade evosparse to read it" if schema > SCHEMA else "read it with that version"
        raise StoreError(
            f"{folder}: expected a database of schema {SCHEMA}, got schema {schema}, "
            f"written by evosparse {_writer(connection)}: {mend}"
        )
    missing = [table for table in _TABLES if table not in tables]
    if missing:
        raise Damaged(f"expected a table {missing[0]!r}, got {', '.join(sorted(tables)) or 'none'}")


def _writer(connection: sqlite3.Connection) -> str:
    try:
        ((versions,),) = connection.execute("SELECT versions FROM campaign")
        return str(from_json(versions, dict, "versions")["evosparse"])
    except (sqlite3.Error, Damaged, KeyError, ValueError):
        return "of an unknown version"


def _require_writable(folder: Path, path: Path) -> None:
    if not _writable(path):
        mend = "change its permissions, or name another place"
        raise StoreError(f"{folder}: cannot be written, {path} is read-only: {mend}")


def _writable(path: Path) -> bool:
    # The mode counts even for root, who may write anyway: whoever took the permission away meant it.
    return os.access(path, os.W_OK) and bool(path.stat().st_mode & 0o222)


def _flush_entries(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
