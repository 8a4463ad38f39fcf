"""One writer for each run directory: a lock that the operating system releases by itself, even after SIGKILL."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from evosparse.errors import StoreError

LOCK_FILE = "lock"


class FolderLock:
    """Holds a run directory for writing until it is released or the process ends.

    The file tells who holds the lock; it goes away with a clean release. One left by a killed process is free.

    Args:
        folder: the run directory.

    Raises:
        StoreError: another process, or another store of this process, holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._descriptor = self._acquire(folder)
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let another process write."""
        # Removed while it is still held: whoever opened it meanwhile finds out in `_is_current`.
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def _acquire(self, folder: Path) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current(descriptor):
                    return descriptor
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "pid unknown"
                os.close(descriptor)
                raise StoreError(
                    f"{folder}: is being written by another process ({holder}): wait until it ends, or stop it"
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file that was locked still is the one in the folder, not one that its last holder removed."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False
