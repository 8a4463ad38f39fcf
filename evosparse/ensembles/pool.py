"""The pool section of a campaign file, and the votes of its members: fitted once, judged on examples they have not seen."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from sklearn.model_selection import StratifiedKFold

from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.members import Member, MemberSpec
from evosparse.ensembles.votes import Votes
from evosparse.errors import nearest
from evosparse.section import Section

HETEROGENEOUS = (
    MemberSpec(learner="tree"),
    MemberSpec(learner="tree", settings={"max_depth": 3}),
    MemberSpec(learner="tree", settings={"min_samples_leaf": 5}),
    MemberSpec(learner="tree", settings={"criterion": "entropy"}),
    MemberSpec(learner="forest"),
    MemberSpec(learner="extra_trees"),
    MemberSpec(learner="boosting"),
    MemberSpec(learner="adaboost"),
    MemberSpec(learner="naive_bayes"),
    MemberSpec(learner="nearest_centroid"),
    *(MemberSpec(learner="knn", settings={"n_neighbors": k}) for k in (1, 3, 5, 7, 15)),
    MemberSpec(learner="linear_svm", settings={"C": 0.1}),
    MemberSpec(learner="linear_svm"),
    MemberSpec(learner="rbf_svm"),
    MemberSpec(learner="rbf_svm", settings={"C": 10}),
    MemberSpec(learner="poly_svm"),
    MemberSpec(learner="logistic"),
    MemberSpec(learner="logistic", settings={"C": 0.01}),
    MemberSpec(learner="lda"),
    MemberSpec(learner="qda"),
    MemberSpec(learner="qda", settings={"reg_param": 0.5}),
    MemberSpec(learner="mlp"),
)
POOLS: Mapping[str, tuple[MemberSpec, ...]] = {
    "hetero": HETEROGENEOUS,
    "bagged": (MemberSpec(learner="tree", bootstrap=True, copies=len(HETEROGENEOUS)),),
    "subspace": (MemberSpec(learner="tree", features=0.5, copies=len(HETEROGENEOUS)),),
}


class PredictionsSpec(Section):
    """Votes from a file, in place of classifiers; a bare string is the file.

    The keys are ``val_pred`` and ``test_pred`` (n, members) and ``val_y`` and ``test_y`` (n,) class indices from 0; and, if
    there are any, ``val_proba`` and ``test_proba`` (n, members, classes), ``names`` and ``class_names``.

    Attributes:
        file: an .npz file.
        prefix: of the keys of the votes and the true classes.
        members: the first and the last member, counted from 0, that are taken; by default all.
    """

    file: str = Field(min_length=1)
    prefix: str = ""
    members: tuple[int, int] | None = None

    @field_validator("members")
    @classmethod
    def _is_a_range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 0 <= value[0] <= value[1]:
            raise ValueError("must be the first and the last member, counted from 0, such as [0, 34]")
        return value


class PoolSpec(Section):
    """From whom ensembles are chosen; a bare string names a set of members.

    Attributes:
        members: a named set (``hetero``, ``bagged``, ``subspace``), or a list of members.
        judged_on: ``validation`` examples, all members being fitted to the training examples; or ``out_of_fold``: on the
            training examples themselves, each judged by copies of the members that have not seen it. The validation
            examples are then left for an honest comparison of campaigns.
        folds: of the out-of-fold votes.
        seed: of the members' random numbers and of the folds: the same for all seeds of a campaign, so that all of them
            choose from the same pool.
        cache: keep the votes of members by name in the user's cache (``$EVOSPARSE_CACHE``).
        predictions: votes from a file, in place of members.
    """

    members: str | tuple[MemberSpec, ...] = "hetero"
    judged_on: Literal["validation", "out_of_fold"] = "validation"
    folds: int = Field(5, ge=2)
    seed: int = Field(0, ge=0)
    cache: bool = True
    predictions: PredictionsSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"members": value}
        if isinstance(value, dict):
            value = dict(value)
            if isinstance(value.get("members"), (list, tuple)):
                value["members"] = [{"learner": one} if isinstance(one, str) else one for one in value["members"]]
            if isinstance(value.get("predictions"), str):
                value["predictions"] = {"file": value["predictions"]}
        return value

    @field_validator("members")
    @classmethod
    def _is_known(cls, value: str | tuple[MemberSpec, ...]) -> str | tuple[MemberSpec, ...]:
        if isinstance(value, str) and value not in POOLS:
            raise ValueError(f"unknown set of members {value!r}: {nearest(value, POOLS)}, or give a list")
        if not value:
            raise ValueError("expected at least one member, got an empty list: name some")
        return value

    def specs(self) -> tuple[MemberSpec, ...]:
        """Return the members that are meant."""
        return POOLS[self.members] if isinstance(self.members, str) else self.members


@dataclass(frozen=True, eq=False)
class Parts:
    """The examples that members are fitted to and asked about; only the training part has its classes here.

    Args:
        x: (n, features) training examples.
        y: (n,) their class indices.
        asked: further examples by name, on which the members vote.
        class_names: of all classes.
    """

    x: NDArray
    y: NDArray[np.int64]
    asked: Mapping[str, NDArray]
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MemberVotes:
    """What one member says: by the name of the part, (n,) labels and (n, classes) probabilities."""

    labels: Mapping[str, NDArray[np.int16]]
    probabilities: Mapping[str, NDArray[np.float32]]

    def to_bytes(self) -> bytes:
        """Encode as an .npz file without pickle."""
        buffer = io.BytesIO()
        arrays = {f"labels {part}": values for part, values in self.labels.items()}
        arrays |= {f"probabilities {part}": values for part, values in self.probabilities.items()}
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> MemberVotes:
        """Decode what `to_bytes` returned."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            found: dict[str, dict[str, np.ndarray]] = {"labels": {}, "probabilities": {}}
            for key in file.files:
                what, _, part = key.partition(" ")
                found[what][part] = file[key]
        return cls(found["labels"], found["probabilities"])


OUT_OF_FOLD = "out_of_fold"


def ask_member(member: Member, parts: Parts, seed: int, folds: int | None) -> MemberVotes:
    """Fit a member and let it vote.

    Args:
        member: which.
        parts: the examples.
        seed: of the pool.
        folds: also vote out of fold on the training examples, under the name `OUT_OF_FOLD`; None to leave that out.
    """
    labels: dict[str, NDArray] = {}
    shares: dict[str, NDArray] = {}
    key = member_key(seed, member.name)
    if folds is not None:
        labels[OUT_OF_FOLD] = np.empty(len(parts.y), dtype=np.int16)
        shares[OUT_OF_FOLD] = np.empty((len(parts.y), len(parts.class_names)), dtype=np.float32)
        for fold, (kept, left) in enumerate(fold_rows(parts.y.tobytes(), folds, seed)):
            fitted = member.fit(parts.x[kept], parts.y[kept], key.child("fold", fold), parts.class_names)
            labels[OUT_OF_FOLD][left] = fitted.labels(parts.x[left])
            shares[OUT_OF_FOLD][left] = fitted.probabilities(parts.x[left], labels[OUT_OF_FOLD][left])
    if parts.asked:
        fitted = member.fit(parts.x, parts.y, key, parts.class_names)
        for name, x in parts.asked.items():
            labels[name] = fitted.labels(x)
            shares[name] = fitted.probabilities(x, labels[name])
    return MemberVotes(labels, shares)


def member_key(seed: int, name: str) -> SeedKey:
    """Return the key of a member's random numbers."""
    return SeedKey(seed).child("member").child(name)


@lru_cache(maxsize=8)
def fold_rows(y: bytes, folds: int, seed: int) -> Sequence[tuple[NDArray, NDArray]]:
    """Divide training examples into folds, every class in proportion as far as it goes; the same for all members.

    Args:
        y: the bytes of the int64 class indices.
        folds: at most so many, fewer where every class has fewer examples.
        seed: of the shuffle.

    Returns:
        The rows that stay for fitting, and those that are left out, of each fold.
    """
    classes = np.frombuffer(y, dtype=np.int64)
    possible = max(2, min(folds, int(np.bincount(classes).max())))
    splitter = StratifiedKFold(possible, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes rarer than the folds are missing in some, which members can bear
        return tuple(splitter.split(np.zeros(len(classes)), classes))


def collect(
    names: Sequence[str], answers: Sequence[MemberVotes], part: str, y: NDArray[np.int64], classes: int
) -> Votes:
    """Put the answers of all members on one part side by side.

    Args:
        names: of the members.
        answers: of the members, in the same order.
        part: which.
        y: (n,) true classes.
        classes: number of classes.
    """
    labels = np.stack([answer.labels[part] for answer in answers], axis=1)
    shares = np.stack([answer.probabilities[part] for answer in answers], axis=1)
    return Votes(tuple(names), labels, y, classes, shares)
