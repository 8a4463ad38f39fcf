"""The doors between the rooms, as the design draws them, read from the source text of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import evosparse

PACKAGE = Path(evosparse.__file__).resolve().parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {"masks", "activations", "ensembles", "topologies"}
HELPERS = {"errors", "section", "plugins", "pictures"}
# What each part of the house may import of evosparse besides itself; `UNRESTRICTED` ones may import everything.
ALLOWED = {
    "errors": set(),
    "section": HELPERS,
    "plugins": HELPERS,
    "pictures": HELPERS,
    "nets": HELPERS,
    "data": HELPERS,
    "engine": HELPERS,
    "sparsify": HELPERS | {"engine", "nets", "data"},
} | {room: HELPERS | {"engine", "nets", "data"} for room in ROOMS}
ALLOWED["masks"] |= {"sparsify"}  # a search over masks may begin with those of published methods

UNRESTRICTED = {"__init__", "__main__", "cli", "tables", "report"}


def part_of(path: Path) -> str:
    """Return the part of the house that a file belongs to: a folder, or a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Yield every module that a source text imports, wherever in it, and every name that may be one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which door they go through"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_imported(path: Path) -> set[str]:
    """Return the parts of evosparse that a file imports, besides its own."""
    names = [name.split(".") for name in imported(path.read_text())]
    return {name[1] for name in names if name[0] == "evosparse" and len(name) > 1} - {part_of(path)}


def test_imports_are_seen_wherever_they_stand() -> None:
    source = "import ray.util\nfrom evosparse import cli\ndef f():\n    from evosparse.masks.genome import Mask\n"
    seen = {"ray.util", "evosparse", "evosparse.cli", "evosparse.masks.genome", "evosparse.masks.genome.Mask"}
    assert set(imported(source)) == seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_through_the_doors_of_its_room(path: Path) -> None:
    part = part_of(path)
    assert parts_imported(path) <= ALLOWED.get(part, parts_imported(path))
    assert "cli" not in parts_imported(path) or path.name == "__main__.py"


def test_every_part_of_the_house_has_doors() -> None:
    assert {part_of(path) for path in FILES} <= ALLOWED.keys() | UNRESTRICTED


def test_only_the_cluster_and_its_crews_import_ray() -> None:
    users = {path for path in FILES if any(name.split(".")[0] == "ray" for name in imported(path.read_text()))}
    assert users == {PACKAGE / "engine" / "cluster.py", PACKAGE / "engine" / "ray_crew.py"}


def test_only_the_command_line_prints() -> None:
    printing = {
        path
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {part_of(path) for path in printing} == {"cli"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_the_engine_has_no_word_of_a_kind_of_genome(room: str) -> None:
    word = room.removesuffix("s") if room in ("masks", "ensembles") else room
    assert [path.name for path in (PACKAGE / "engine").rglob("*.py") if word in path.read_text().lower()] == []
