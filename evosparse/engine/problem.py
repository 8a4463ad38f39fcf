"""The door between the engine and a kind of genome: what a problem supplies, and the registry of kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from evosparse.engine.candidate import Candidate, Genome
from evosparse.engine.fitness import Fitness
from evosparse.engine.search import Search
from evosparse.errors import SpecError, nearest
from evosparse.section import Section

if TYPE_CHECKING:
    from evosparse.engine.evaluate import Evaluator

ENTRY_POINTS = "evosparse.kinds"


class Trial(Genome, Protocol):
    """One run of the final examination: it is evaluated like a genome, but with the test set.

    Attributes:
        arm: what is examined: the winner, or a baseline beside it.
        replicate: number of the repetition; equal numbers in different arms share their seeds.
    """

    arm: str
    replicate: int


@dataclass(frozen=True)
class Stage:
    """What an evaluator needs to know: a fitness, its data, and how genomes are read.

    Args:
        fitness: judges the genomes; its ``prepare`` runs once on each worker.
        data: handed to ``prepare``; it goes to each machine once.
        genomes: class of the genomes, with a class method ``from_bytes``.
    """

    fitness: Fitness
    data: object
    genomes: type


class Problem(ABC):
    """A search, the fitness that drives it, and the examination of what it found.

    Attributes:
        kind: name of its kind in the registry.
        spec: the validated sections of the campaign file that it was made from.
        search: proposes candidates.
        stage: the fitness of the search, its data (without the test set), and the class of its genomes.
        examination: the same for the trials of the final examination, which alone sees the test set.
        sources: folders of the user's own code that the workers need.
        data_hash: identifies the data; a campaign is continued only on equal data.
        notes: what a reader of the results must know, such as that a method is a reconstruction.
    """

    kind: ClassVar[str]
    spec: Section
    search: Search
    stage: Stage
    examination: Stage
    sources: Sequence[Path] = ()
    data_hash: str = ""
    notes: Sequence[str] = ()

    def prepare(self, make: Callable[[Stage], Evaluator], progress: Callable[[int, int], None], seed: int) -> None:
        """Do on the campaign's evaluators what the search needs before it can begin or go on; by default nothing.

        A problem that is not prepared, as by someone who only looks at it, does this where and when it is needed.

        Args:
            make: gives an evaluator of a stage, a context manager; each genome is a batch of its own.
            progress: is told how many of how many evaluations are done.
            seed: of the campaign.
        """

    @abstractmethod
    def trials(self, hall_of_fame: Sequence[Candidate]) -> Sequence[Trial]:
        """Return the trials that examine the best candidates, beside their baselines.

        Args:
            hall_of_fame: the best candidates, best first.
        """


class Kind(ABC):
    """A kind of genome: the one line of the registry by which the engine, the command line and the report know it.

    Attributes:
        name: as in ``kind:`` of a campaign file.
        Spec: model of the sections of a campaign file that belong to it.
        genomes: class of its genomes, with a class method ``from_bytes``.
        suffixes: of the names of the files that ``export`` can write, such as ``.csv``, the default first.
    """

    name: ClassVar[str]
    Spec: ClassVar[type[Section]]
    genomes: ClassVar[type]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def build(self, spec: Section, base: Path | None = None) -> Problem:
        """Make the problem that the sections describe.

        Args:
            spec: an instance of ``Spec``.
            base: folder of the campaign file, for relative paths.
        """

    @abstractmethod
    def show(self, genome: Genome) -> Mapping[str, object]:
        """Return what a person wants to know of a genome, as JSON values by name."""

    @abstractmethod
    def export(
        self, problem: Problem, candidate: Candidate, path: Path, seed: int, metadata: Mapping[str, str]
    ) -> Mapping[str, object]:
        """Write a candidate to a file that other programs read.

        Args:
            problem: the problem of its campaign.
            candidate: what to export.
            path: the file to write; its suffix is one of ``suffixes``.
            seed: the campaign's seed, to train it as the examination did.
            metadata: goes into the file.

        Returns:
            What was written, as JSON values by name.
        """


def kinds() -> Mapping[str, Kind]:
    """Return every installed kind by name.

    Raises:
        SpecError: two packages claim the same name.
    """
    found: dict[str, Kind] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in found:
            raise SpecError(f"two installed packages register the kind {point.name!r}: uninstall one of them")
        found[point.name] = point.load()()
    return found


def kind(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        SpecError: there is none.
    """
    installed = kinds()
    if name not in installed:
        raise SpecError(f"unknown kind {name!r}: {nearest(name, installed)}")
    return installed[name]
