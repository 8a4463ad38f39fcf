"""Where data comes from: a file, a folder of the user's, scikit-learn's bundled sets, OpenML and its local cache."""

from __future__ import annotations

import os
import warnings
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.utils import Bunch

from evosparse.data.files import read_csv, read_npz
from evosparse.data.raw import RawData, checked_part, labels_of_texts
from evosparse.data.spec import DataSpec
from evosparse.errors import DataError, nearest

FOLDER_VARIABLE = "EVOSPARSE_DATA"
_BUNDLED = ("breast_cancer", "digits", "iris", "wine")
_OPENML_NAMES = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST", "kmnist": "Kuzushiji-MNIST", "usps": "USPS"}
# OpenML has these as tables: name, shape of the table, pixels a side, and how many rows come first as the official training
# part; those of USPS are in no official order.
_OPENML_IMAGES = {
    "mnist_784": ((70000, 784), 28, 60000),
    "fashion-mnist": ((70000, 784), 28, 60000),
    "kuzushiji-mnist": ((70000, 784), 28, 60000),
    "usps": ((9298, 256), 16, None),
}


def find(spec: DataSpec, base: Path | None = None) -> RawData:
    """Find and read a data set by its name.

    A name with a path separator, or that ends in .npz or .csv, is a file; ``openml:...`` goes to OpenML; any other is
    looked up as ``$EVOSPARSE_DATA/NAME.npz``, among scikit-learn's bundled sets, and on OpenML (its cache first).

    Args:
        spec: the data section of a campaign file.
        base: folder of the campaign file; relative paths are tried against it, then against the current folder.

    Raises:
        DataError: it is nowhere, or cannot be read.
    """
    if spec.name.startswith("openml:"):
        name = spec.name.removeprefix("openml:")
        return _read_openml(name, _fetch_openml(name, spec.target))
    if "/" in spec.name or os.sep in spec.name or Path(spec.name).suffix.lower() in (".npz", ".csv"):
        return _read_file(_resolve(spec.name, base), spec.target)
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and os.path.isfile(path := _path(folder) / f"{spec.name}.npz"):
        return _read_file(path, spec.target)
    if spec.name in _BUNDLED:
        _refuse_target(spec.target, spec.name)
        return _read_bundled(spec.name)
    name = _OPENML_NAMES.get(spec.name, spec.name)
    try:
        bunch = _fetch_openml(name, spec.target)
    except DataError as error:
        raise DataError(_nowhere(spec.name, folder, error)) from error
    return _read_openml(name, bunch)


def _resolve(name: str, base: Path | None) -> Path:
    path = _path(name)
    tried = list(dict.fromkeys(((base or Path()) / path, path)))
    for candidate in tried:
        if os.path.isfile(candidate):
            return candidate
    if any(os.path.isdir(candidate) for candidate in tried):
        raise DataError(f"data: {name} is a folder; expected a .npz or .csv file in it")
    places = " and ".join(str(candidate.absolute()) for candidate in tried)
    raise DataError(
        f"data: there is no file {name} (looked for {places}); a relative path starts at the folder of the campaign"
        " file or at the current folder"
    )


def _path(name: str) -> Path:
    # Unlike those of pathlib, the questions of os.path never raise: not for an unknown ~user, a name too long or a
    # folder that may not be entered.
    return Path(os.path.expanduser(name))


def _read_file(path: Path, target: str | None) -> RawData:
    match path.suffix.lower():
        case ".csv":
            return read_csv(path, target)
        case ".npz":
            _refuse_target(target, str(path))
            return read_npz(path)
        case _:
            raise DataError(f"{path}: expected a .npz or .csv file, got {path.suffix or 'no suffix'!r}")


def _refuse_target(target: str | None, where: str) -> None:
    if target is not None:
        raise DataError(f"{where}: target: only .csv files and OpenML have columns to choose from; remove {target!r}")


def _read_bundled(name: str) -> RawData:
    bunch = getattr(datasets, f"load_{name}")()
    where = f"scikit-learn's {name}"
    return RawData(
        name=name,
        where=where,
        train=checked_part(bunch.get("images", bunch.data), bunch.target, where, where),
        class_names=tuple(map(str, bunch.target_names)),
    )


def _fetch_openml(name: str, target: str | None) -> Bunch:
    query = _openml_query(name)
    # fetch_openml asks its cache (data_home) before the network. It fails in many ways: no network, a server error,
    # an unknown name, text columns, a damaged download; the user needs the reason and a way out.
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A network error occurred")
            return datasets.fetch_openml(
                **query,
                target_column=target or "default-target",
                data_home=None,
                as_frame=False,
                parser="liac-arff",
                n_retries=1,
            )
    except Exception as error:
        raise DataError(
            f"openml:{name}: OpenML gave no data ({type(error).__name__}: {error}); check the name at openml.org, and"
            " the network if the set is not in scikit-learn's cache"
        ) from error


def _openml_query(name: str) -> dict[str, str | int]:
    plain, at, version = name.partition("@")
    if not plain or (at and not version.isdecimal()):
        raise DataError(f"openml:{name}: expected openml:NAME, openml:NAME@VERSION or openml:ID")
    if plain.isdecimal() and not at:
        return {"data_id": int(plain)}
    return {"name": plain, "version": int(version) if at else "active"}


def _nowhere(name: str, folder: str | None, openml: DataError) -> str:
    there = [path.stem for path in _path(folder).glob("*.npz")] if folder else []
    known = {*_BUNDLED, *get_close_matches(name, there)}
    return (
        f"data: there is no data set {name!r}; {nearest(name, known)}. Ways to give one: a path to a .npz or .csv file;"
        f" {name}.npz in the folder that {FOLDER_VARIABLE} names ({folder or 'not set'}); openml:NAME with a network."
        f" {openml}"
    )


def _read_openml(name: str, bunch: Bunch) -> RawData:
    where = f"openml:{name}"
    x, y = bunch.data, bunch.target
    if y is None:
        raise DataError(f"{where}: OpenML names no class column; name it by target")
    if not isinstance(x, np.ndarray):
        x = x.toarray()
    if y.dtype == object and y.ndim == 1:
        y = labels_of_texts([str(label) for label in y])
    shape, side, official = _OPENML_IMAGES.get(name.partition("@")[0].lower(), (None, 0, None))
    if x.shape == shape:
        x = x.reshape(-1, side, side)
        if official is None:
            return RawData(name=where, where=where, train=checked_part(x, y, where, where))
        train, test = (checked_part(x[rows], y[rows], where, where) for rows in (slice(official), slice(official, None)))
        return RawData(name=where, where=where, train=train, test=test)
    return RawData(
        name=where,
        where=where,
        train=checked_part(x, y, where, where),
        nominal=np.array([feature in bunch.categories for feature in bunch.feature_names]),
        feature_names=tuple(map(str, bunch.feature_names)),
    )
