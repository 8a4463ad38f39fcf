"""Finds what a user names in a campaign file: ``module:name``, ``path/to/file.py:name`` or an entry point.

Also tells which folder of the user's own code the workers of a cluster need.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from evosparse.errors import PluginError, nearest

_FORMS = "'module:name', 'path/to/file.py:name'"


def resolve(reference: str, base: Path | None = None, group: str | None = None) -> object:
    """Import what a reference names.

    Args:
        reference: ``module:name``, ``path/to/file.py:name``, or the name of an entry point of ``group``.
        base: folder that relative file paths and modules are looked for in first; then the current folder.
        group: entry-point group for references without a colon; None when these are not allowed.

    Returns:
        The object of that name.

    Raises:
        PluginError: the reference is malformed, or the file, module or name is missing or fails to import.
    """
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        if group is not None and not colon:
            return _entry_point(reference, group)
        raise PluginError(f"expected {_FORMS}, got {reference!r}: write the place, a colon and the name to import")
    folders = [folder.resolve() for folder in (base, Path.cwd()) if folder is not None]
    module = _import_file(place, folders) if place.endswith(".py") else _import_module(place, folders)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [other for other in vars(module) if not other.startswith("_")]
        raise PluginError(f"{place} has no {name!r}: {nearest(name, public)}") from None


def reference_to(thing: object) -> str:
    """Name an object as ``module:name``, the form in which a campaign records it."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def local_folder(thing: object) -> Path | None:
    """Return the folder to ship so that other machines can import the object's module.

    Args:
        thing: a function, a class or an instance of the user's.

    Returns:
        The folder that holds its top-level module or package; None for installed code and for interactive code,
        which travels by value.
    """
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    top = sys.modules.get(named.__module__.partition(".")[0])
    path = getattr(top, "__file__", None)
    if path is None or named.__module__ == "__main__":
        return None
    folder = Path(path).resolve().parent
    if hasattr(top, "__path__"):
        folder = folder.parent
    installed = [Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed.append(Path(__file__).resolve().parent.parent)
    return None if any(root == folder or root in folder.parents for root in installed[:-1]) or folder == installed[-1] else folder


def _entry_point(name: str, group: str) -> object:
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise PluginError(f"expected {_FORMS} or an entry point of {group!r}, got {name!r}: {nearest(name, found)}")
    return _guarded(found[name].load, f"entry point {name!r}")


def _import_file(place: str, folders: list[Path]) -> ModuleType:
    path = next((folder / place for folder in folders if (folder / place).is_file()), None)
    if path is None:
        looked = ", ".join(str(folder / place) for folder in folders)
        raise PluginError(f"plug-in file {place!r} not found (looked for {looked}): mend the path")
    path = path.resolve()
    if not path.stem.isidentifier():
        raise PluginError(f"plug-in file {path.name!r} cannot be imported: rename it to a Python identifier")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or ".").resolve() == path:
        return loaded
    if loaded is not None or importlib.util.find_spec(path.stem) is not None:
        _refuse_shadow(path)
    sys.path.insert(0, str(path.parent))
    return _guarded(lambda: importlib.import_module(path.stem), f"plug-in file {path}")


def _refuse_shadow(path: Path) -> None:
    # The workers import the file by its stem, so that name must not mean another module there.
    spec = importlib.util.find_spec(path.stem)
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != path:
        raise PluginError(f"plug-in file {path.name!r} has the name of another module: rename the file")


def _import_module(name: str, folders: list[Path]) -> ModuleType:
    for folder in folders:
        # Behind everything installed, so that a user's file never replaces a library.
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return _guarded(lambda: importlib.import_module(name), f"module {name!r}")


def _guarded(load, what: str):
    try:
        return load()
    except ModuleNotFoundError as error:
        raise PluginError(f"{what} cannot be imported: no module named {error.name!r}; install it or mend the name") from error
    except Exception as error:
        raise PluginError(f"{what} fails on import: {type(error).__name__}: {error}") from error
