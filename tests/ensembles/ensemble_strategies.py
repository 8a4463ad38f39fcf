"""What the tests of ensembles share: random pools of votes, random ensembles, and a vote counted member by member.

The slow counts are Python loops that share nothing with what is tested but the definition of a vote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from evosparse.ensembles import Votes


def pool(
    examples: int,
    members: int,
    classes: int,
    seed: int = 0,
    skill: float = 0.4,
    soft: bool = False,
    parts: int | None = None,
) -> Votes:
    """Return random votes.

    Args:
        examples: number of them.
        members: number of them.
        classes: number of classes; not all need occur.
        seed: of all randomness.
        skill: probability that a member is right beyond chance.
        soft: whether there are probabilities; members then vote for the most probable class.
        parts: makes the probabilities multiples of one over this, which floating point adds without rounding.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=examples)
    knows = rng.random((examples, members)) < skill
    labels = np.where(knows, y[:, None], rng.integers(classes, size=(examples, members)))
    shares = None
    if soft:
        leaning = np.eye(classes)[labels] + rng.exponential(size=(examples, members, classes))
        shares = leaning / leaning.sum(axis=2, keepdims=True)
        if parts is not None:
            shares = np.floor(shares * parts) / parts
        shares = shares.astype(np.float32)
        labels = shares.argmax(axis=2)
    return Votes(tuple(f"m{member}" for member in range(members)), labels.astype(np.int16), y, classes, shares)


@st.composite
def pools(draw: st.DrawFn, soft: bool = False, parts: int | None = None, members: int = 9) -> Votes:
    """Draw small pools, with many ties and with classes that nobody votes for."""
    return pool(
        draw(st.integers(1, 25)),
        draw(st.integers(1, members)),
        draw(st.integers(2, 6)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from((0.0, 0.3, 0.8))),
        soft,
        parts,
    )


@st.composite
def polled(draw: st.DrawFn, soft: bool = False, parts: int | None = None) -> tuple[Votes, NDArray[np.bool_]]:
    """Draw a pool and (candidates, members) ensembles of its members, empty ones among them."""
    votes = draw(pools(soft, parts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = rng.random((draw(st.integers(1, 8)), votes.members)) < draw(st.sampled_from((0.2, 0.5, 0.9)))
    return votes, np.vstack([chosen, np.zeros((1, votes.members), dtype=bool)])


def slow_hits(
    votes: Votes, chosen: NDArray[np.bool_], adds: Callable[[int, int], Mapping[int, float | Fraction]]
) -> list[list[int]]:
    """Count the examples of each class that each ensemble decides rightly, vote by vote.

    Args:
        votes: of the members.
        chosen: (candidates, members).
        adds: what a member adds to which classes, by example and member.
    """
    found = []
    for row in chosen:
        hits = [0] * votes.classes
        for example, true in enumerate(votes.y.tolist()):
            scores = [0] * votes.classes
            for member in np.flatnonzero(row).tolist():
                for label, share in adds(example, member).items():
                    scores[label] += share
            # The first of the greatest: ties go to the lowest class.
            hits[true] += bool(row.any()) and scores.index(max(scores)) == true
        found.append(hits)
    return found


def ballots(
    votes: Votes, weights: Sequence[float | Fraction] | None = None
) -> Callable[[int, int], Mapping[int, float | Fraction]]:
    """Return what members add to classes by their votes.

    Args:
        votes: of the members.
        weights: (members,) of the votes; None for one each.
    """
    labels = votes.labels.tolist()
    return lambda example, member: {labels[example][member]: 1 if weights is None else weights[member]}


def beliefs(votes: Votes) -> Callable[[int, int], Mapping[int, float]]:
    """Return what members add to classes by their probabilities."""
    shares = votes.probabilities.astype(np.float64).tolist()
    return lambda example, member: dict(enumerate(shares[example][member]))
