"""Finds what a user names in a campaign file: ``module:name``, ``path/to/file.py:name`` or an entry point.

Also makes what was found with its parameters, and tells which folder of the user's own code the workers of a cluster
need.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from evosparse.errors import EvosparseError, PluginError, nearest

_T = TypeVar("_T")
_FORMS = "'module:name' or 'path/to/file.py:name'"


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
    folders = list(dict.fromkeys(folder.resolve() for folder in (base, Path.cwd()) if folder is not None))
    module = _import_file(place, folders) if place.endswith(".py") else _import_module(place, folders)
    try:
        return getattr(module, name)
    except AttributeError:
        raise PluginError(f"{place} has no {name!r}: {nearest(name, _own_names(module))}") from None


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
    roots = [Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed = any(root == folder or root in folder.parents for root in roots)
    own = folder == Path(__file__).resolve().parent.parent
    return None if installed or own else folder


def local_folders(things: Iterable[object]) -> tuple[Path, ...]:
    """Return the folders to ship for several objects, each once, see `local_folder`."""
    return tuple(dict.fromkeys(folder for thing in things if (folder := local_folder(thing)) is not None))


def check_parameters(
    function: Callable, parameters: Mapping[str, object], what: str = "", injected: Sequence[str] = ()
) -> None:
    """Refuse parameters that a call of a user's function or class would refuse, before anything runs.

    Args:
        function: it.
        parameters: keyword arguments from the campaign file.
        what: it is called with one argument before these, such as ``one genome``; empty for none.
        injected: names of keyword arguments that it is given where it accepts them.

    Raises:
        PluginError: the parameters do not fit.
    """
    name, signature = reference_to(function), inspect.signature(function)
    accepted = signature.parameters
    added = {word: None for word in injected if word in accepted and word not in parameters}
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        for unknown in parameters.keys() - accepted.keys():
            raise PluginError(f"{name} takes no parameter {unknown!r}: {nearest(unknown, accepted)}")
    try:
        signature.bind(*((what,) if what else ()), **added, **parameters)
    except TypeError as error:
        expected = f"a call with {f'{what} and ' if what else ''}the parameters {sorted(parameters)}"
        raise PluginError(f"{name}{signature} does not accept {expected}: {error}") from None


def make(kind: type[_T], parameters: Mapping[str, object], noun: str) -> _T:
    """Make an instance of a user's class, and turn whatever that raises into an error about it.

    Args:
        kind: the class.
        parameters: keyword arguments from the campaign file.
        noun: what it is to be, such as ``fitness``.

    Raises:
        PluginError: methods are missing, or it cannot be made with these parameters.
    """
    name = reference_to(kind)
    if kind.__abstractmethods__:
        raise PluginError(f"{name} is no whole {noun}: define {', '.join(sorted(kind.__abstractmethods__))}")
    check_parameters(kind, parameters)
    try:
        return kind(**parameters)
    except EvosparseError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise PluginError(f"{name} cannot be made with the parameters {dict(parameters)}: {what}; mend them") from error


def _entry_point(name: str, group: str) -> object:
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        installed = nearest(name, found) if found else "none is installed; write where it is, a colon and its name"
        raise PluginError(f"expected {_FORMS}, or an entry point of {group!r}, got {name!r}: {installed}")
    return _guarded(found[name].load, f"entry point {name!r}")


def _import_file(place: str, folders: Sequence[Path]) -> ModuleType:
    path = next((folder / place for folder in folders if _is_file(folder / place)), None)
    if path is None:
        looked = ", ".join(str(folder / place) for folder in folders)
        raise PluginError(f"plug-in file {place!r} not found (looked for {looked}): mend the path")
    path = path.resolve()
    if not path.stem.isidentifier():
        raise PluginError(f"plug-in file {path.name!r} cannot be imported: rename it to letters, digits and '_'")
    _make_importable(path.parent)
    _refuse_double(path)
    return _guarded(lambda: importlib.import_module(path.stem), f"plug-in file {path}")


def _import_module(name: str, folders: Sequence[Path]) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        mend = "a file's name ends in .py, a module's has only dots"
        raise PluginError(f"expected {_FORMS}, got the place {name!r}: {mend}")
    for folder in folders:
        _make_importable(folder)
    return _guarded(lambda: importlib.import_module(name), f"module {name!r}")


def _make_importable(folder: Path) -> None:
    # Behind everything installed, so that a user's file never replaces a library.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    # The file may be newer than what Python knows of the folder.
    importlib.invalidate_caches()


def _refuse_double(path: Path) -> None:
    """Refuse a file whose name already means another module, because the workers import it by that name."""
    try:
        spec = importlib.util.find_spec(path.stem)
        origin = None if spec is None else spec.origin
    except ValueError:  # a module that was made without a file
        origin = None
    if origin is None or not Path(origin).exists() or not path.samefile(origin):
        other = origin if origin is not None and Path(origin).exists() else "a part of Python"
        raise PluginError(f"plug-in file {path} has the name of another module ({other}): rename the file")


def _own_names(module: ModuleType) -> list[str]:
    """Return what a user may have meant: what the module itself defines; if nothing, all of its public names."""
    public = [name for name in vars(module) if not name.startswith("_")]
    own = [name for name in public if getattr(vars(module)[name], "__module__", None) == module.__name__]
    return own or public


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, for instance
        return False


def _guarded(load: Callable[[], _T], what: str) -> _T:
    try:
        return load()
    except ModuleNotFoundError as error:
        missing = f"no module named {error.name!r}"
        raise PluginError(f"{what} cannot be imported: {missing}; install it or mend the name") from error
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise PluginError(f"{what} fails on import: {text}; mend it") from error
