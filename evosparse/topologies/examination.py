"""The final examination: the winner, and the network that solved the task, beside networks that were not evolved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.seeds import SeedKey
from evosparse.section import Section
from evosparse.topologies.fitness import TaskFitness
from evosparse.topologies.genome import Topology

Baseline = Literal["first_generation"]


class ExaminationSpec(Section):
    """What happens after the search.

    Attributes:
        members: how many of the Hall of Fame are examined.
        seeds: number of networks of each baseline.
        baselines: ``first_generation``, networks as the search begins with, at random.
    """

    members: int = Field(1, ge=0)
    seeds: int = Field(10, ge=1)
    baselines: tuple[Baseline, ...] = ("first_generation",)


@dataclass(frozen=True)
class TopologyTrial:
    """A network under examination.

    Args:
        arm: what is examined.
        replicate: number of the repetition.
        genome: the network.
    """

    arm: str
    replicate: int
    genome: Topology

    @property
    def key(self) -> str:
        """Content hash."""
        return blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def describe(self) -> str:
        """Return the numbers of nodes and connections."""
        return self.genome.describe()

    def to_bytes(self) -> bytes:
        """Encode as a line of JSON and the genome."""
        return json.dumps([self.arm, self.replicate]).encode() + b"\n" + self.genome.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> TopologyTrial:
        """Decode what `to_bytes` returned."""
        head, _, body = data.partition(b"\n")
        return cls(*json.loads(head), Topology.from_bytes(body))


class Examiner(TaskFitness):
    """Judges trials as one batch, by the task of the examination."""

    def evaluate(self, genomes: Sequence[TopologyTrial], seeds: Sequence[SeedKey]):
        """Judge the networks of trials."""
        return self.bench.evaluate([trial.genome for trial in genomes], seeds)


def winners(
    hall_of_fame: Sequence[Candidate], solution: Candidate | None, members: int, replicates: int
) -> list[TopologyTrial]:
    """Return the trials of what was found.

    Args:
        hall_of_fame: the best candidates, best first.
        solution: the candidate that solved the task, if one did; it is examined beside a winner that is another.
        members: how many of the best are examined.
        replicates: repetitions of each.
    """
    best = list(hall_of_fame[:members])
    found = {f"winner {place}" if len(best) > 1 else "winner": member for place, member in enumerate(best, 1)}
    if solution is not None and all(solution.genome != member.genome for member in best):
        found[f"solution {solution.uid}"] = solution
    return [
        TopologyTrial(arm, replicate, candidate.genome)
        for arm, candidate in found.items()
        for replicate in range(replicates)
    ]
