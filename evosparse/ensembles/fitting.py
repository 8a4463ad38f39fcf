"""Fits the members of a pool on the campaign's own evaluators, each apart, and remembers what they said.

A member that raises, hangs or dies costs itself and no other: it is left out of the pool.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import sklearn

from evosparse.data import DataSet
from evosparse.engine.candidate import Objectives, Outcome
from evosparse.engine.evaluate import Evaluator, Job
from evosparse.engine.fitness import Fitness, Measured, Resources
from evosparse.engine.problem import Stage
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles.members import LEARNERS, Fitted, Member
from evosparse.ensembles.pool import OUT_OF_FOLD, MemberVotes, Parts, PoolSpec, ask_member, collect, member_key
from evosparse.ensembles.votes import Votes
from evosparse.errors import CampaignFailed

_FORMAT = 1  # of what is remembered


@dataclass(frozen=True)
class FitTask:
    """Which member of a pool to fit, in the form of a genome.

    Args:
        member: its place among all members that are asked for.
    """

    member: int

    @property
    def key(self) -> str:
        """Content hash."""
        return f"fit {self.member}"

    def describe(self) -> str:
        """Say which."""
        return self.key

    def to_bytes(self) -> bytes:
        """Encode as JSON."""
        return json.dumps(self.member).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> FitTask:
        """Decode what `to_bytes` returned."""
        return cls(json.loads(data))


@dataclass(frozen=True, eq=False)
class FittingBench:
    """What is needed to fit members.

    Args:
        members: all of them.
        parts: the examples; of the test part the inputs alone.
        seed: of the pool.
        folds: of out-of-fold votes; None to leave these out.
    """

    members: tuple[Member, ...]
    parts: Parts
    seed: int
    folds: int | None


class Fitter(Fitness):
    """Fits members, and hands back how they vote."""

    objectives: Objectives = {"examples": "max"}
    batched = False

    def prepare(self, resources: Resources) -> None:
        """Keep what is needed."""
        self.bench: FittingBench = resources.data

    def evaluate(self, genomes: Sequence[FitTask], seeds: Sequence[SeedKey]) -> Sequence[Measured]:
        """Fit each, seeded by its name in the pool."""
        return [self._fit(self.bench.members[task.member]) for task in genomes]

    def _fit(self, member: Member) -> Measured:
        answer = ask_member(member, self.bench.parts, self.bench.seed, self.bench.folds)
        return Measured({"examples": float(len(self.bench.parts.y))}, answer.to_bytes())


@dataclass(frozen=True, eq=False)
class Polls:
    """The votes of a pool's members on each part of the data.

    Args:
        selection: drives the search.
        validation: the validation examples, if they do not drive the search; else None.
        test: the test examples.
        failed: members that were left out, and why.
    """

    selection: Votes
    validation: Votes | None
    test: Votes
    failed: Mapping[str, str]


class Pool:
    """Members and the data they are fitted to; their votes are found once, when they are first asked for.

    Args:
        spec: of the pool.
        members: all of them.
        data: as train, validation and test.

    Attributes:
        bench: what is needed to fit members.
    """

    def __init__(self, spec: PoolSpec, members: Sequence[Member], data: DataSet) -> None:
        self.spec = spec
        self.data = data
        search = data.search
        parts = Parts(
            _table(search.train.x), search.train.y,
            {"validation": _table(search.validation.x), "test": _table(data.test.x)}, data.class_names,
        )  # fmt: skip
        folds = spec.folds if spec.judged_on == OUT_OF_FOLD else None
        self.bench = FittingBench(tuple(members), parts, spec.seed, folds)
        self.stage = Stage(Fitter(), self.bench, FitTask)
        self._answers: list[MemberVotes | str | None] = [None] * len(self.bench.members)
        self._polls: Polls | None = None

    def find(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None]) -> None:
        """Fit the members that are not remembered.

        Args:
            make: gives the evaluator to do it on.
            progress: is told how many of how many are done.
        """
        paths = [self._path(member) for member in self.bench.members]
        for place, path in enumerate(paths):
            if self._answers[place] is None and path is not None:
                self._answers[place] = _remembered(path, self._lengths)
        missing = [place for place, answer in enumerate(self._answers) if answer is None]
        if not missing:
            return
        done = 0

        def report(new: int) -> None:
            nonlocal done
            done += new
            progress(done, len(missing))

        progress(0, len(missing))
        jobs = [Job(FitTask(place).to_bytes(), SeedKey(self.spec.seed).child("fit", place)) for place in missing]
        with make(self.stage) as evaluator:
            outcomes = evaluator.evaluate(jobs, report)
        for place, outcome in zip(missing, outcomes, strict=True):
            self._answers[place] = _answer(outcome)
            if outcome.ok and paths[place] is not None:
                _remember(paths[place], outcome.payload)

    def polls(self, make: Callable[[Stage], Evaluator]) -> Polls:
        """Return the votes, fitting with the evaluator what has not been fitted yet.

        Raises:
            CampaignFailed: no member could be fitted.
        """
        if self._polls is None:
            self.find(make, lambda done, total: None)
            self._polls = self._collected()
        return self._polls

    def fit(self, names: Sequence[str]) -> list[Fitted]:
        """Fit members by name again, as they were when they voted on the test examples."""
        by_name = {member.name: member for member in self.bench.members}
        parts = self.bench.parts
        return [
            by_name[name].fit(parts.x, parts.y, member_key(self.spec.seed, name), parts.class_names) for name in names
        ]

    def _collected(self) -> Polls:
        found = [(member.name, answer) for member, answer in zip(self.bench.members, self._answers, strict=True)]
        good = [(name, answer) for name, answer in found if isinstance(answer, MemberVotes)]
        failed = {name: answer for name, answer in found if isinstance(answer, str)}
        if not good:
            name, reason = next(iter(failed.items()))
            raise CampaignFailed(f"none of the {len(found)} members of the pool could be fitted; {name}: {reason}")
        search, classes = self.data.search, self.data.search.classes
        votes = {
            part: collect(*zip(*good, strict=True), part, y, classes)
            for part, y in (("validation", search.validation.y), ("test", self.data.test.y))
        }
        if self.bench.folds is None:
            return Polls(votes["validation"], None, votes["test"], failed)
        selection = collect(*zip(*good, strict=True), OUT_OF_FOLD, search.train.y, classes)
        return Polls(selection, votes["validation"], votes["test"], failed)

    @property
    def _lengths(self) -> dict[str, int]:
        """Number of examples of each part that members vote on."""
        parts = self.bench.parts
        own = {} if self.bench.folds is None else {OUT_OF_FOLD: len(parts.y)}
        return own | {name: len(x) for name, x in parts.asked.items()}

    def _path(self, member: Member) -> Path | None:
        """Return where a member's votes are remembered; None for a user's own, whose code may change at any time."""
        if not self.spec.cache or ":" in member.spec.learner:
            return None
        what = [
            _FORMAT, member.name, member.spec.model_dump(mode="json"), dict(LEARNERS[member.spec.learner].settings),
            self.spec.seed, self.bench.folds, self.data.hash, sklearn.__version__, np.__version__,
        ]  # fmt: skip
        name = blake2b(json.dumps(what, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()
        return cache_folder() / f"{name}.npz"


def cache_folder() -> Path:
    """Return the folder of remembered votes: ``$EVOSPARSE_CACHE``, or ``evosparse`` in the user's cache."""
    own = os.environ.get("EVOSPARSE_CACHE")
    if own:
        return Path(own) / "votes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evosparse" / "votes"


def _table(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def _answer(outcome: Outcome) -> MemberVotes | str:
    return MemberVotes.from_bytes(outcome.payload) if outcome.ok else f"{outcome.status}: {outcome.message}"


def _remembered(path: Path, lengths: Mapping[str, int]) -> MemberVotes | None:
    try:
        found = MemberVotes.from_bytes(path.read_bytes())
    except Exception:  # missing, or damaged in one of the dozen ways of a zip file: it is found again
        return None
    whole = all({part: len(votes) for part, votes in each.items()} == lengths for each in (found.labels, found.probabilities))
    return found if whole else None


def _remember(path: Path, data: bytes) -> None:
    # A cache that cannot be written to costs time and nothing else.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
