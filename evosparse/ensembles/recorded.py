"""A pool whose votes stand in a file: what others' classifiers said of validation and test examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from evosparse.data import FOLDER_VARIABLE
from evosparse.engine.evaluate import Evaluator
from evosparse.engine.problem import Stage
from evosparse.ensembles.fitting import Polls
from evosparse.ensembles.members import Fitted
from evosparse.ensembles.pool import PredictionsSpec
from evosparse.ensembles.votes import BadVotes, Votes
from evosparse.errors import SpecError

_PARTS = ("val", "test")
_MOST = np.iinfo(np.int16).max  # as which votes are kept


class RecordedPool:
    """The votes of a file.

    Args:
        spec: which file, and what of it.
        base: folder that a relative path starts at.

    Attributes:
        class_names: of all classes; their numbers, where the file does not name them.

    Raises:
        BadVotes: the file is missing or damaged, or its arrays do not fit.
    """

    def __init__(self, spec: PredictionsSpec, base: Path | None = None) -> None:
        path = _found(spec.file, base)
        arrays = _arrays(path, spec.prefix)
        classes = 1 + max(int(arrays[f"{part}_{what}"].max(initial=0)) for part in _PARTS for what in ("pred", "y"))
        given = arrays.get("class_names")
        self.class_names = tuple(map(str, range(classes) if given is None else given.tolist()))
        if len(self.class_names) < classes:
            raise BadVotes(f"{path}: expected a name for each of {classes} classes, class_names has {len(self.class_names)}")
        _check_fit(path, spec.prefix, arrays, len(self.class_names))
        votes = [_votes(path, spec, arrays, part, len(self.class_names)) for part in _PARTS]
        self._polls = Polls(votes[0], None, votes[1], {})
        digest = hashlib.sha256("\n".join(votes[0].names).encode())
        for vote in votes:
            for array in (vote.labels, vote.y, vote.probabilities):
                digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        self.hash = digest.hexdigest()

    def find(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None]) -> None:
        """There is nothing to fit."""

    def polls(self, make: Callable[[Stage], Evaluator]) -> Polls:
        """Return the votes."""
        return self._polls

    def fit(self, names: Sequence[str]) -> list[Fitted]:
        """Refuse, because a file of votes holds no classifiers.

        Raises:
            SpecError: always.
        """
        raise SpecError("this pool is a file of votes, without classifiers to fit: export to .json, which names the members")


def _found(name: str, base: Path | None) -> Path:
    """Find a file by its path, or by a bare name in the folder of the user's data sets."""
    folder = os.environ.get(FOLDER_VARIABLE)
    bare = not Path(name).suffix and len(Path(name).parts) == 1
    if bare:
        tried = [Path(folder).expanduser() / f"{name}.npz"] if folder else []
    else:
        tried = list(dict.fromkeys([(base or Path()) / Path(name).expanduser(), Path(name).expanduser()]))
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        places = " and ".join(str(path.absolute()) for path in tried) or f"nowhere, because {FOLDER_VARIABLE} is not set"
        mend = f"mend the path, or let {FOLDER_VARIABLE} name the folder that holds {name}.npz" if bare else "mend the path"
        raise BadVotes(f"pool.predictions: there is no file {name} (looked for {places}): {mend}")
    return path


def _arrays(path: Path, prefix: str) -> dict[str, np.ndarray]:
    """Read the arrays under their names without prefix; names of members and classes may stand without one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            keys = {key: key.removeprefix(prefix) for key in file.files if key.startswith(prefix)}
            if "class_names" not in keys.values():
                # One set of names may serve several prefixes: the longest that begins alike.
                shared = [key for key in file.files if key.endswith("class_names") and prefix.startswith(key[: -len("class_names")])]
                keys |= {max(shared, key=len): "class_names"} if shared else {}
            if "names" in file.files:
                keys["names"] = "names"
            arrays = {name: file[key] for key, name in keys.items()}
            listed = ", ".join(file.files[:8])
    except Exception as error:  # a damaged file fails in a dozen ways inside zipfile and numpy
        raise BadVotes(f"{path}: not a readable .npz file of plain arrays ({type(error).__name__}: {error})") from error
    missing = [f"{prefix}{part}_{what}" for part in _PARTS for what in ("pred", "y") if f"{part}_{what}" not in arrays]
    if missing:
        raise BadVotes(f"{path}: expected the key {missing[0]}, got {listed}, ...: mend pool.predictions.prefix or the file")
    for part in _PARTS:
        for what, shape in (("pred", ("examples", "members")), ("y", ("examples",))):
            key, values = f"{prefix}{part}_{what}", arrays[f"{part}_{what}"]
            if values.dtype.kind not in "iu":
                raise BadVotes(f"{path}: {key}: expected class indices as whole numbers, got {values.dtype}: convert them")
            if values.ndim != len(shape) or values.size == 0:
                raise BadVotes(f"{path}: {key}: expected the shape ({', '.join(shape)}), got {values.shape}: mend the file")
            if values.min() < 0 or values.max() > _MOST:
                got = f"{values.min()} to {values.max()}"
                raise BadVotes(f"{path}: {key}: expected class indices from 0 to {_MOST} at most, got {got}: mend the file")
    return arrays


def _check_fit(path: Path, prefix: str, arrays: Mapping[str, np.ndarray], classes: int) -> None:
    """Refuse arrays that are fine each for itself and do not fit each other."""
    members = arrays["val_pred"].shape[1]
    shapes = {f"{part}_pred": (len(arrays[f"{part}_y"]), members) for part in _PARTS}
    if any(f"{part}_proba" in arrays for part in _PARTS):
        shapes |= {f"{part}_proba": (*shapes[f"{part}_pred"], classes) for part in _PARTS}
    if "names" in arrays:
        shapes["names"] = (members,)
        if len(np.unique(arrays["names"])) < arrays["names"].size:
            raise BadVotes(f"{path}: names: expected a name of its own for each member, got one twice: mend the file")
    for name, shape in shapes.items():
        got = arrays[name].shape if name in arrays else "nothing"
        if got != shape:
            key = name if name == "names" else f"{prefix}{name}"
            raise BadVotes(f"{path}: {key}: expected the shape {shape} by the other arrays, got {got}: mend the file")
        if name.endswith("proba") and not (arrays[name].dtype.kind == "f" and np.isfinite(arrays[name]).all()):
            raise BadVotes(f"{path}: {prefix}{name}: expected finite numbers, got others: mend the file")


def _votes(path: Path, spec: PredictionsSpec, arrays: dict[str, np.ndarray], part: str, classes: int) -> Votes:
    labels, shares = arrays[f"{part}_pred"], arrays.get(f"{part}_proba")
    members = labels.shape[1]
    first, last = (0, members - 1) if spec.members is None else spec.members
    if last >= members:
        raise BadVotes(f"{path}: pool.predictions.members: expected members from 0 to {members - 1}, got {last}")
    digits = len(str(members - 1))
    names = arrays["names"].tolist() if "names" in arrays else [f"c{number:0{digits}d}" for number in range(members)]
    taken = slice(first, last + 1)
    shares = None if shares is None else np.asarray(shares[:, taken], dtype=np.float32)
    return Votes(tuple(map(str, names[taken])), labels[:, taken], arrays[f"{part}_y"], classes, shares)
