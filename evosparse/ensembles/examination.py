"""The final examination: the winner beside the best single classifier and every other simple way to use the same pool.

The only place of this room that sees the test set's classes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from evosparse.engine.candidate import Objectives
from evosparse.engine.fitness import Fitness, Invalid, Resources, Result
from evosparse.engine.seeds import SeedKey
from evosparse.ensembles import dynamic
from evosparse.ensembles.diversity import Diversity
from evosparse.ensembles.fitting import Polls
from evosparse.ensembles.greedy import greedy_selection
from evosparse.ensembles.votes import Chamber, Votes, VoteSpec
from evosparse.section import Section

LEFT_OUT = "left out: "
Baseline = Literal["best_single", "all", "greedy", "random", "stacking", "dynamic", "oracle"]


class ExaminationSpec(Section):
    """What happens after the search.

    Attributes:
        members: how many of the Hall of Fame are examined.
        seeds: number of random subsets.
        baselines: ``best_single`` classifier on the examples that drive the search; ``all`` classifiers; ``greedy``
            selection; ``random`` subsets as large as the winner; ``stacking``, logistic regression on all members'
            probabilities; ``dynamic`` selection by DESlib, where it is installed; and the ``oracle``, which is right where
            any member is: no method, but the bound of all.
    """

    members: int = Field(1, ge=0)
    seeds: int = Field(10, ge=1)
    baselines: tuple[Baseline, ...] = ("best_single", "all", "greedy", "random", "stacking", "dynamic", "oracle")


@dataclass(frozen=True)
class EnsembleTrial:
    """One way to use a pool.

    Args:
        arm: what is examined.
        replicate: number of the repetition.
        way: ``vote`` of the members by the campaign's rule; ``counts``, a majority in which members have several votes, as
            greedy selection gives them; a vote of ``random`` members; ``stacking``, ``oracle`` or a key of `DYNAMIC`; or `LEFT_OUT`
            with the reason, of a member that could not be fitted.
        votes: of each member of the pool; for ``random`` alone the number of ones counts.
    """

    arm: str
    replicate: int
    way: str
    votes: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Say how it decides."""
        return f"{self.way} of {sum(self.votes)}" if self.votes else self.way

    def to_bytes(self) -> bytes:
        """Encode as JSON."""
        return json.dumps([self.arm, self.replicate, self.way, self.votes]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> EnsembleTrial:
        """Decode what `to_bytes` returned."""
        arm, replicate, way, votes = json.loads(data)
        return cls(arm, replicate, way, tuple(votes))


class ExaminationBench:
    """What the examiner alone is given.

    Args:
        supply: returns the votes on all parts.
        vote: how an ensemble decides.
        inputs: (n, features) examples of the parts ``selection`` and ``test``; empty where there are none.
    """

    def __init__(
        self, supply: Callable[[], Polls], vote: VoteSpec, inputs: Mapping[str, NDArray]
    ) -> None:
        self._supply = supply
        self.vote = vote
        self.inputs = inputs

    @property
    def polls(self) -> Polls:
        """The votes on all parts."""
        return self._supply()

    def __getstate__(self) -> dict[str, Any]:
        return {"polls_": self.polls, "vote": self.vote, "inputs": self.inputs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        polls = state.pop("polls_")
        self.__dict__.update(state)
        self._supply = lambda: polls


class Examiner(Fitness):
    """Measures on the test set, each way once."""

    objectives: Objectives = {"test_accuracy": "max"}
    batched = False

    def prepare(self, resources: Resources) -> None:
        """Keep the votes."""
        self.bench: ExaminationBench = resources.data

    def evaluate(self, genomes: Sequence[EnsembleTrial], seeds: Sequence[SeedKey]) -> Sequence[Result]:
        """Examine each."""
        return [self._examine(trial, key) for trial, key in zip(genomes, seeds, strict=True)]

    def _examine(self, trial: EnsembleTrial, key: SeedKey) -> Result:
        polls = self.bench.polls
        if trial.way.startswith(LEFT_OUT):
            return Invalid(trial.way)
        if trial.way == "oracle":
            return {"test_accuracy": float(polls.test.right.any(axis=1).mean())}
        if trial.way in ("stacking", *dynamic.DYNAMIC):
            return _measures(polls.test, self._decided(trial.way, key))
        votes = np.array(trial.votes)
        if trial.way == "random":
            votes = key.child("members").rng().permutation(votes)
        if trial.way == "counts":
            chamber = Chamber(polls.selection, VoteSpec(), votes.astype(np.float64))
        else:
            chamber = Chamber.of(polls.selection, self.bench.vote)
        return self._measures_of_vote(chamber, votes > 0)

    def _measures_of_vote(self, chamber: Chamber, chosen: NDArray[np.bool_]) -> dict[str, float]:
        polls = self.bench.polls
        measures = _measures(polls.test, chamber.elsewhere(polls.test).decide(chosen))
        if polls.validation is not None:
            decided = chamber.elsewhere(polls.validation).decide(chosen)
            measures["validation_accuracy"] = float((decided == polls.validation.y).mean())
        measures["selection_accuracy"] = float((chamber.decide(chosen) == polls.selection.y).mean())
        measures["size"] = float(chosen.sum())
        if chosen.sum() > 1:
            measures["disagreement"] = float(Diversity("disagreement", polls.test.right).of(chosen[None])[0])
        return measures

    def _decided(self, way: str, key: SeedKey) -> NDArray[np.int64]:
        polls, inputs = self.bench.polls, self.bench.inputs
        if way == "stacking":
            return stacked(polls.selection, polls.test)
        return dynamic.decide(way, polls.selection, inputs["selection"], polls.test, inputs["test"], key.integer())


def stacked(votes: Votes, test: Votes) -> NDArray[np.int64]:
    """Decide test examples by logistic regression on what all members say.

    Wolpert, "Stacked generalization" (1992), with the members' probabilities as in Ting and Witten (1999).

    Args:
        votes: on the examples that it is fitted to.
        test: on the test examples; their true classes are not looked at.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(max_iter=1000).fit(_said(votes), votes.y).predict(_said(test))


def baselines(
    names: Sequence[Baseline], polls: Polls, winner: NDArray[np.bool_] | None, seeds: int, features: bool
) -> list[EnsembleTrial]:
    """Return the trials that stand beside the winner, and one without measures for each member that was left out.

    Args:
        names: which.
        polls: the votes.
        winner: (members,) whether a member votes; None without a winner.
        seeds: number of random subsets.
        features: whether there are examples besides their votes, as dynamic selection needs.
    """
    trials = [trial for name in names for trial in _baseline(name, polls.selection, winner, seeds, features)]
    return trials + [EnsembleTrial(f"{LEFT_OUT}{name}", 0, f"{LEFT_OUT}{why}") for name, why in polls.failed.items()]


def _baseline(
    name: Baseline, votes: Votes, winner: NDArray[np.bool_] | None, seeds: int, features: bool
) -> list[EnsembleTrial]:
    match name:
        case "best_single":
            best = np.arange(votes.members) == votes.accuracies.argmax()
            return [EnsembleTrial("best single", 0, "vote", tuple(best.astype(int).tolist()))]
        case "all":
            return [EnsembleTrial("all classifiers", 0, "vote", (1,) * votes.members)]
        case "greedy":
            return [EnsembleTrial("greedy selection", 0, "counts", tuple(greedy_selection(votes).tolist()))]
        case "random" if winner is not None:
            as_many = tuple(winner.astype(int).tolist())
            return [EnsembleTrial("random subset", replicate, "random", as_many) for replicate in range(seeds)]
        case "stacking":
            return [EnsembleTrial("stacking", 0, "stacking")]
        case "dynamic" if features and dynamic.installed():
            return [EnsembleTrial(method, 0, method) for method in dynamic.DYNAMIC]
        case "oracle":
            return [EnsembleTrial("oracle (bound)", 0, "oracle")]
    return []


def _measures(test: Votes, decided: NDArray[np.int64]) -> dict[str, float]:
    return {
        "test_accuracy": float((decided == test.y).mean()),
        "test_balanced_accuracy": float(balanced_accuracy_score(test.y, decided)),
    }


def _said(votes: Votes) -> NDArray[np.float64]:
    shares = votes.probabilities if votes.probabilities is not None else np.eye(votes.classes)[votes.labels]
    return shares.reshape(len(votes.y), -1).astype(np.float64)
