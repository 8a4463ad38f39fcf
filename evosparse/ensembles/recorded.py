"""A pool whose votes stand in a file: what others' classifiers said of validation and test examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evosparse.engine.evaluate import Evaluator
from evosparse.engine.problem import Stage
from evosparse.ensembles.fitting import Polls
from evosparse.ensembles.members import Fitted
from evosparse.ensembles.pool import PredictionsSpec
from evosparse.ensembles.votes import BadVotes, Votes
from evosparse.errors import SpecError

_PARTS = ("val", "test")


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
    tried = list(dict.fromkeys([(base or Path()) / Path(name).expanduser(), Path(name).expanduser()]))
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        places = " and ".join(str(path.absolute()) for path in tried)
        raise BadVotes(f"pool.predictions: there is no file {name} (looked for {places}): mend the path")
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
        for what in ("pred", "y"):
            if arrays[f"{part}_{what}"].dtype.kind not in "iu":
                kind = arrays[f"{part}_{what}"].dtype
                raise BadVotes(f"{path}: {prefix}{part}_{what}: expected class indices as whole numbers, got {kind}")
        if arrays[f"{part}_pred"].ndim != 2:
            shape = arrays[f"{part}_pred"].shape
            raise BadVotes(f"{path}: {prefix}{part}_pred: expected the shape (examples, members), got {shape}")
    return arrays


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
