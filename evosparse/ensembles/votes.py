"""What the members of a pool say of some examples, and the rules by which an ensemble of them decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from evosparse.ensembles.tally import count_hits, count_soft
from evosparse.errors import BadInput
from evosparse.section import Section

_LEAST_WEIGHT = 1e-6  # of members no better than guessing: among themselves they vote, against others they do not count
_LEAST = 1e-15  # a probability of 0 counts as this in a logarithm, as in scikit-learn


class BadVotes(BadInput):
    """Votes do not fit each other, their examples, or the rule that they shall be counted by."""


@dataclass(frozen=True, eq=False)
class Votes:
    """The votes of a pool's members on some examples, read-only.

    Args:
        names: of the members, all different.
        labels: (n, members) int16 array of the class indices that the members vote for.
        y: (n,) int64 array of the true class indices.
        classes: number of classes.
        probabilities: (n, members, classes) float32 array; None where members only vote.

    Raises:
        BadVotes: shapes or values do not fit.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int16]
    y: NDArray[np.int64]
    classes: int
    probabilities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise BadVotes(f"expected at least one member, and a name of its own for each, got {len(self.names)} names")
        shape = (len(self.y), len(self.names))
        if self.labels.shape != shape or len(self.y) == 0:
            raise BadVotes(f"expected votes of shape (examples, members) = {shape}, got {self.labels.shape}")
        for what, values in (("votes", self.labels), ("true classes", self.y)):
            if values.min() < 0 or values.max() >= self.classes:
                raise BadVotes(f"expected {what} from 0 to {self.classes - 1}, got {values.min()} to {values.max()}")
        if self.probabilities is not None and self.probabilities.shape != (*shape, self.classes):
            raise BadVotes(
                f"expected probabilities of shape (examples, members, classes) = {(*shape, self.classes)}, "
                f"got {self.probabilities.shape}"
            )
        object.__setattr__(self, "labels", np.ascontiguousarray(self.labels, dtype=np.int16))
        object.__setattr__(self, "y", np.ascontiguousarray(self.y, dtype=np.int64))

    @property
    def members(self) -> int:
        """Number of members."""
        return len(self.names)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(n, members) whether a member is right."""
        return self.labels == self.y[:, None]

    @cached_property
    def accuracies(self) -> NDArray[np.float64]:
        """(members,) share of the examples on which each member is right."""
        return self.right.mean(axis=0)

    @cached_property
    def examples_of_class(self) -> NDArray[np.int64]:
        """(classes,) number of examples."""
        return np.bincount(self.y, minlength=self.classes)

    def only(self, members: Sequence[int]) -> Votes:
        """Return the votes of some members."""
        chosen = list(members)
        names = tuple(self.names[member] for member in chosen)
        shares = None if self.probabilities is None else self.probabilities[:, chosen]
        return Votes(names, self.labels[:, chosen], self.y, self.classes, shares)


class VoteSpec(Section):
    """How an ensemble decides; whatever is still equal goes to the lowest class.

    Attributes:
        rule: ``majority`` of the votes; ``weighted`` votes; or ``soft``, the mean of the members' probabilities.
        ties: ``lowest`` class, or ``accuracy_weighted``: the class whose voters have the greater sum of accuracies.
        weights: of a weighted vote: the ``log_odds`` of a member's accuracy, or its ``accuracy``.
    """

    rule: Literal["majority", "weighted", "soft"] = "majority"
    ties: Literal["lowest", "accuracy_weighted"] = "lowest"
    weights: Literal["log_odds", "accuracy"] = "log_odds"

    @model_validator(mode="after")
    def _fits_together(self) -> VoteSpec:
        if self.ties != "lowest" and self.rule != "majority":
            raise ValueError(f"ties: {self.ties} breaks those of a majority, rule {self.rule} has its own weights: remove it")
        return self

    def member_weights(self, accuracies: NDArray[np.float64], examples: int, classes: int) -> NDArray[np.float64] | None:
        """Return the (members,) weights of the votes; None for one vote each.

        Args:
            accuracies: (members,) on the examples that the search is driven by.
            examples: number of these.
            classes: number of classes.
        """
        if self.rule == "majority" and self.ties == "accuracy_weighted":
            # All hits together are less than one vote: they decide ties and nothing else. Whole numbers add without
            # rounding, so that what is equal stays equal.
            return examples * (len(accuracies) + 1) + np.round(accuracies * examples)
        if self.rule != "weighted":
            return None
        if self.weights == "accuracy":
            return np.maximum(accuracies, _LEAST_WEIGHT)
        # As if each member had been right once and wrong once more, so that no weight is infinite; Kuncheva, Combining
        # Pattern Classifiers (2004), section 4.3.2, where errors are spread evenly over the other classes.
        share = (accuracies * examples + 1) / (examples + 2)
        return np.maximum(np.log(share / (1 - share)) + np.log(classes - 1), _LEAST_WEIGHT)


@dataclass(frozen=True)
class Tally:
    """How right some ensembles are.

    Args:
        hits: (candidates, classes) examples of each class that are decided rightly.
        examples_of_class: (classes,) number of examples.
        log_loss: (candidates,) mean of -ln of the true class's mean probability; None unless the rule is soft.
    """

    hits: NDArray[np.int64]
    examples_of_class: NDArray[np.int64]
    log_loss: NDArray[np.float64] | None = None

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(candidates,) share of the examples that are decided rightly."""
        return self.hits.sum(axis=1) / self.examples_of_class.sum()

    @property
    def balanced_accuracy(self) -> NDArray[np.float64]:
        """(candidates,) mean over the classes that have examples of the share that is decided rightly."""
        there = self.examples_of_class > 0
        return (self.hits[:, there] / self.examples_of_class[there]).mean(axis=1)


@dataclass(frozen=True, eq=False)
class Chamber:
    """Votes with a rule: decides for ensembles of their members.

    Args:
        votes: of the members.
        rule: how an ensemble decides.
        weights: (members,) of the votes, from the accuracies on the examples that drive the search; None for one each.

    Raises:
        BadVotes: the rule needs probabilities and there are none.
    """

    votes: Votes
    rule: VoteSpec
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, votes: Votes, rule: VoteSpec) -> Chamber:
        """Make the one in which the search is driven: the weights come from these votes."""
        return cls(votes, rule, rule.member_weights(votes.accuracies, len(votes.y), votes.classes))

    def __post_init__(self) -> None:
        if self.rule.rule == "soft" and self.votes.probabilities is None:
            raise BadVotes("vote.rule: soft needs probabilities, and this pool has only votes: use majority or weighted")

    def elsewhere(self, votes: Votes) -> Chamber:
        """Return the same members with the same weights on other examples."""
        return Chamber(votes, self.rule, self.weights)

    def tally(self, chosen: NDArray[np.bool_], device: str = "cpu") -> Tally:
        """Judge (candidates, members) ensembles at once."""
        votes = self.votes
        if self.rule.rule != "soft":
            hits = count_hits(votes.labels, votes.y, votes.classes, chosen, self.weights, device)
            return Tally(hits, votes.examples_of_class)
        hits, true = count_soft(votes.probabilities, votes.y, chosen, device)
        return Tally(hits, votes.examples_of_class, -np.log(np.clip(true, _LEAST, 1)).mean(axis=1))

    def shares(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the (n, classes) shares of one ensemble's votes, or its mean probabilities; each row sums to 1.

        Args:
            chosen: (members,) whether a member votes, at least one.
        """
        scores = self._scores(chosen)
        return scores / scores.sum(axis=1, keepdims=True)

    def decide(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the (n,) classes for which one ensemble decides, ties to the lowest."""
        return self._scores(chosen).argmax(axis=1)

    def _scores(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        votes = self.votes
        weights = np.ones(votes.members) if self.weights is None else self.weights
        scores = np.zeros((len(votes.y), votes.classes))
        rows = np.arange(len(votes.y))
        # Member by member in their order, as the tally adds, so that what is equal there is equal here.
        for member in np.flatnonzero(chosen):
            if self.rule.rule == "soft":
                scores += votes.probabilities[:, member]
            else:
                scores[rows, votes.labels[:, member]] += weights[member]
        return scores
