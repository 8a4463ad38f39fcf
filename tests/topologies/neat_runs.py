"""What the tests of the NEAT search share: interfaces, worths that are cheap to tell, and runs without a campaign.

Where a worth is NaN, the evaluation counts as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from evosparse.engine.candidate import Candidate, Outcome, Status
from evosparse.engine.search import drive
from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.methods.neat import NEAT, NEATSearch
from evosparse.topologies.start import Start

Worth = Callable[[Topology], float]
FACE = Interface(("a", "b"), ("y",))
LOOPS = Interface(("a", "b"), ("y", "z"), bias=False, recurrent=True)
# All that can happen, often: with it a thousand networks meet what others meet in a million.
BUSY = NEAT(
    population=100, generations=10, start=Start(form="random", hidden=4), stagnation=4, patience=6, mate_only=0.2,
    average=0.4, add_node=0.2, add_connection=0.3, toggle=0.1, delete_node=0.1, delete_connection=0.1,
    mutate_function=0.1, hidden_function=("tanh", "sin", "relu"), interspecies=0.0,
)  # fmt: skip


def hashed(genome: Topology) -> float:
    """A worth without any order; a seventh cannot be measured."""
    number = int(genome.key[:8], 16)
    return np.nan if number % 7 == 0 else number / 2**32


def hard_to_please(genome: Topology) -> float:
    """A worth that is never positive: at best ten connections whose weights add up to 20."""
    return -abs(genome.size - 10) - abs(genome.weight[genome.enabled].sum() - 20)


def constant(genome: Topology) -> float:
    return 0.0


def hopeless(genome: Topology) -> float:
    return np.nan


def judge(candidates: list[Candidate], worth: Worth, direction: str = "max") -> None:
    for candidate in candidates:
        value = worth(candidate.genome)
        failed = np.isnan(value)
        outcome = Outcome(Status.FAILED, message="no") if failed else Outcome(Status.OK, {"worth": value})
        candidate.judge(outcome, {"worth": direction})


def run(
    method: NEAT, worth: Worth = hashed, seed: int = 0, face: Interface = FACE, search: NEATSearch | None = None
) -> Iterator[list[Candidate]]:
    """Yield the judged generations, before the search learns what they are worth."""
    for candidates in drive(search or method.search(face), seed):
        judge(candidates, worth)
        yield candidates


def keys(candidates: list[Candidate]) -> list[str]:
    return [candidate.genome.key for candidate in candidates]


def changed(method: NEAT, **settings: object) -> NEAT:
    return NEAT(**(method.model_dump() | settings))


def fitness_of(candidate: Candidate) -> float:
    """A measured candidate's fitness, greater is better."""
    return candidate.fitness.wvalues[0]


def by_species(candidates: list[Candidate]) -> dict[str, list[Candidate]]:
    """The members of each species that could be measured, best first; those of none are left out."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in sorted((one for one in candidates if one.ok), key=fitness_of, reverse=True):
        groups.setdefault(candidate.population, []).append(candidate)
    return groups
