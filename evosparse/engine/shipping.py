"""What the workers of a cluster import: the Python files of the user, and evosparse where it is not installed."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from evosparse.errors import ClusterError

_MOST_FILES = 2_000
_MOST_BYTES = 20_000_000
_MEND = "move the fitness function into a folder of its own"


def gather(sources: Sequence[Path], target: Path) -> None:
    """Copy the Python files below several folders into one, so that what can be imported from them can be from there.

    Hidden folders, caches and virtual environments are left out.

    Args:
        sources: the folders; the layout below each is kept.
        target: an existing folder.

    Raises:
        ClusterError: a folder does not exist, there is too much, or two folders hold different files of one name.
    """
    files, size = 0, 0
    for source in sources:
        if not source.is_dir():
            raise ClusterError(f"the folder {source} of the code for the workers does not exist: mend the path")
        for path in _python_files(source):
            files += 1
            size += path.stat().st_size
            if files > _MOST_FILES or size > _MOST_BYTES:
                most = f"at most {_MOST_FILES:,} Python files and {_MOST_BYTES / 1e6:g} MB"
                raise ClusterError(f"expected {most} to send to the workers, got more in {source}: {_MEND}")
            _copy(path, target / path.relative_to(source), source)


def own_paths() -> list[str]:
    """Return where evosparse is imported from, if it is not installed, and the module path of this process."""
    own = Path(__file__).resolve().parents[2]
    if own in {Path(sysconfig.get_path(key)).resolve() for key in ("purelib", "platlib")}:
        return []
    return [str(own), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _python_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _holds_code(Path(place, name)))
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".py") and Path(place, name).is_file())


def _holds_code(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name != "__pycache__" and not (folder / "pyvenv.cfg").exists()


def _copy(path: Path, copy: Path, source: Path) -> None:
    if copy.exists() and copy.read_bytes() != path.read_bytes():
        name = path.relative_to(source)
        raise ClusterError(f"two folders hold a different {name}, one is {source}: rename one, as workers see both")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
