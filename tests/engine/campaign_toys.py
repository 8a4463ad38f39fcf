"""A problem of whole numbers whose set bits are counted, for the tests of the campaign.

Small enough for hundreds of campaigns in a second, with everything that a real kind has: a genetic search, fitness
functions good and bad, an examination, and a place in the registry.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from deap import tools
from pydantic import Field

from evosparse.engine.candidate import Candidate
from evosparse.engine.fitness import Fitness, as_fitness, fitness
from evosparse.engine.problem import Kind, Problem, Stage
from evosparse.engine.search import Search, State
from evosparse.engine.seeds import SeedKey
from evosparse.section import Section

BITS = 16


@dataclass(frozen=True)
class Bits:
    """A genome that is a number of 16 bits."""

    value: int

    @property
    def key(self) -> str:
        return sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        return self.value.to_bytes(2)

    @classmethod
    def from_bytes(cls, data: bytes) -> Bits:
        return cls(int.from_bytes(data))

    def describe(self) -> str:
        return f"{self.value:016b}"


@dataclass(frozen=True)
class BitsTrial(Bits):
    """A trial of the examination: a number once more."""

    arm: str = "winner"
    replicate: int = 0


@fitness(maximize="ones")
def ones(genome: Bits) -> int:
    """Count the bits that are set."""
    return genome.value.bit_count()


@fitness(minimize="zeros")
def zeros(genome: Bits) -> int:
    """Count the bits that are not set."""
    return BITS - genome.value.bit_count()


@fitness(maximize="noisy")
def noisy(genome: Bits, seed: SeedKey) -> float:
    """Count the bits that are set, with keyed noise."""
    return genome.value.bit_count() + float(seed.rng().random())


@fitness(maximize="flat")
def flat(genome: Bits) -> int:
    """Find nothing better than anything else."""
    return 0


@fitness(maximize="ones", minimize="value")
def both(genome: Bits) -> Mapping[str, float]:
    """Want many bits in a small number."""
    return {"ones": genome.value.bit_count(), "value": genome.value}


@fitness(maximize="ones")
def faulty(genome: Bits) -> float:
    """Count, but fail for a third of the numbers, and for the best among them, each in its way."""
    if genome.value % 6 == 0:
        raise RuntimeError("divisible by six")
    return float("nan") if genome.value % 6 == 3 else genome.value.bit_count()


@fitness(maximize="ones")
def hopeless(genome: Bits) -> float:
    """Fail always."""
    raise RuntimeError("no such luck")


FUNCTIONS = {function.__name__: function for function in (ones, zeros, noisy, flat, both, faulty, hopeless)}


class BitsSpec(Section):
    """Parameters of the toy: its search, its fitness, and how many generations it proposes at most."""

    population: int = Field(12, ge=2)
    elites: int = Field(2, ge=1)
    flips: float = 0.1
    function: Literal["ones", "zeros", "noisy", "flat", "both", "faulty", "hopeless"] = "noisy"
    most: int | None = None


class BitsSearch(Search):
    """A genetic algorithm that draws from keys and, through DEAP, from Python's global ``random``."""

    def __init__(self, spec: BitsSpec) -> None:
        self.spec = spec
        self.asked = 0
        self.population: list[Candidate] = []

    def ask(self, key: SeedKey) -> list[Candidate]:
        if self.asked == self.spec.most:
            return []
        rng = key.rng()
        if not self.population:
            return [Candidate(Bits(int(value))) for value in rng.integers(2**BITS, size=self.spec.population)]
        parents = tools.selTournament(self.population, self.spec.population, tournsize=2)
        return [Candidate(self._mutant(parent.genome), parents=(parent.uid,)) for parent in parents]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        self.asked += 1
        elites = tools.selBest(self.population, self.spec.elites)
        measured = [candidate for candidate in candidates if candidate.ok]
        self.population = tools.selBest([*elites, *measured], self.spec.population)

    def state(self) -> State:
        return State({"asked": self.asked}, candidates={"population": self.population})

    def restore(self, state: State) -> None:
        self.asked = int(state.values["asked"])
        self.population = list(state.candidates["population"])

    def _mutant(self, genome: Bits) -> Bits:
        flips = sum((random.random() < self.spec.flips) << bit for bit in range(BITS))
        return Bits(genome.value ^ flips)


class BitsProblem(Problem):
    """The toy.

    Args:
        spec: its parameters.
        own: a fitness that no campaign file can name.
        data: the content of the data, which a campaign knows by its hash.
    """

    kind = "bits"

    def __init__(self, spec: BitsSpec = BitsSpec(), own: Fitness | None = None, data: bytes = b"data") -> None:
        self.spec = spec
        self.search = BitsSearch(spec)
        self.stage = Stage(own or as_fitness(FUNCTIONS[spec.function]), None, Bits)
        self.examination = Stage(as_fitness(noisy), None, Bits)
        self.data_hash = sha256(data).hexdigest()
        self.notes = ("a toy",)

    def trials(self, hall_of_fame: Sequence[Candidate]) -> list[BitsTrial]:
        return [
            BitsTrial(value, arm, replicate)
            for arm, value in (("winner", hall_of_fame[0].genome.value), ("nothing", 0))
            for replicate in range(2)
        ]


class BitsKind(Kind):
    """The toy's line in the registry."""

    name = "bits"
    Spec = BitsSpec
    genomes = Bits
    suffixes = (".bits",)

    def build(self, spec: BitsSpec, base: Path | None = None) -> BitsProblem:
        return BitsProblem(spec)

    def show(self, genome: Bits) -> Mapping[str, object]:
        return {"value": genome.value}

    def export(
        self, problem: Problem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        path.write_bytes(candidate.genome.to_bytes())
        return {"file": str(path)}


class Counting(Fitness):
    """Counts bits, and how often it was asked for each genome; it may be interrupted once.

    Args:
        interrupt_at: number of the evaluation during which the user presses Ctrl-C.
    """

    objectives = {"ones": "max"}
    batched = False

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.asked: list[int] = []
        self.interrupt_at = interrupt_at

    def evaluate(self, genomes: Sequence[Bits], seeds: Sequence[SeedKey]) -> list[Mapping[str, float]]:
        self.asked += [genome.value for genome in genomes]
        if len(self.asked) == self.interrupt_at:
            raise KeyboardInterrupt
        return [{"ones": genome.value.bit_count()} for genome in genomes]
