"""What of a user's folders is sent to the workers, and what is refused."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

import evosparse
from evosparse.engine import shipping
from evosparse.engine.shipping import gather, own_paths
from evosparse.errors import ClusterError


def write(folder: Path, *names: str, text: str = "value = 1\n") -> Path:
    """Make a folder with files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names_in(folder: Path) -> set[str]:
    """Return the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_python_files_keep_their_layout_and_all_else_stays(tmp_path: Path, target: Path) -> None:
    sent = {"plugin.py", "package/__init__.py", "package/deep/module.py"}
    kept = {"data.npz", "notes.md", ".git/hook.py", "__pycache__/plugin.py", "env/pyvenv.cfg", "env/lib/site.py"}
    gather([write(tmp_path / "mine", *sent, *kept)], target)
    assert names_in(target) == sent
    assert (target / "package/deep/module.py").read_text() == "value = 1\n"


def test_several_folders_become_one_and_equal_files_agree(tmp_path: Path, target: Path) -> None:
    first = write(tmp_path / "first", "a.py", "shared.py")
    gather([first, write(tmp_path / "second", "b.py", "shared.py"), first], target)
    assert names_in(target) == {"a.py", "b.py", "shared.py"}


def test_two_different_files_of_one_name_are_refused(tmp_path: Path, target: Path) -> None:
    sources = [write(tmp_path / "first", "a.py"), write(tmp_path / "second", "a.py", text="value = 2\n")]
    with pytest.raises(ClusterError, match="two folders hold a different a.py, one is .*second: rename one"):
        gather(sources, target)


def test_a_missing_folder_is_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere of the code for the workers does not exist: mend the path"):
        gather([tmp_path / "nowhere"], target)


@pytest.mark.parametrize("limit", ["_MOST_FILES", "_MOST_BYTES"])
def test_a_folder_that_is_too_large_is_refused(
    tmp_path: Path, target: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "home", "a.py", "b.py", "c.py")
    monkeypatch.setattr(shipping, limit, 3 if limit == "_MOST_FILES" else 30)
    gather([source], target)
    monkeypatch.setattr(shipping, limit, 2 if limit == "_MOST_FILES" else 29)
    with pytest.raises(ClusterError, match="expected at most .* got more in .*home: move the fitness function"):
        gather([source], target)


def test_the_workers_import_the_same_evosparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "mine"]))
    home = Path(evosparse.__file__).resolve().parents[1]
    installed = home == Path(sysconfig.get_path("purelib")).resolve()
    assert own_paths() == ([] if installed else [str(home), "mine"])
