"""What the search methods over masks share: their parameters' base, and the search's extra duty to tell phases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from pydantic import Field

from evosparse.engine.fitness import Fitness
from evosparse.engine.search import Search
from evosparse.masks.genome import Mask
from evosparse.nets.sparsity import Distribution, LayerShape, counts
from evosparse.masks.starts import Starts
from evosparse.masks.workbench import Phase, Workbench
from evosparse.section import Section

RECONSTRUCTION = (
    "reconstruction: {method} follows the abstract of arXiv 2209.02201 alone; its details are ours, and no agreement with "
    "the paper is claimed"
)


class MaskSearch(Search):
    """A search over masks; it knows how a network comes from its initial weights to one of its masks.

    Attributes:
        starts: masks of published methods that are its generation zero; None where it has none.
    """

    starts: Starts | None = None

    @abstractmethod
    def phases(self, mask: Mask, epochs: int) -> Sequence[Phase]:
        """Return the whole training of the network of a mask that this search has found.

        Args:
            mask: a candidate's genome.
            epochs: length of the whole training, epochs before the mask was cut included.
        """


class Method(Section):
    """Parameters of one search method; each method is one file with this class and its search.

    Attributes:
        distribution: how the sparsity is distributed over the layers.
    """

    distribution: Distribution = Field(default_factory=Distribution)

    def counts(self, layers: Sequence[LayerShape], sparsity: float) -> tuple[int, ...]:
        """Return how many connections each layer has at that sparsity of the whole network."""
        return counts(layers, sparsity, self.distribution)

    @abstractmethod
    def densest(self, layers: Sequence[LayerShape]) -> tuple[int, ...]:
        """Return how many connections each layer has at the most in a mask under which this method trains networks."""

    @property
    def freezes(self) -> bool:
        """Whether weights that a cut removes keep their initial value instead of becoming zero."""
        return False

    @abstractmethod
    def search(self, bench: Workbench) -> MaskSearch:
        """Make the search."""

    @abstractmethod
    def fitness(self, bench: Workbench, epochs: int) -> Fitness:
        """Make the fitness that drives the search unless the user brings another.

        Args:
            bench: data, network and training.
            epochs: length of the final training, for learning-rate schedules that go on after the search.
        """

    def check_fitness(self, fitness: Fitness) -> None:
        """Refuse a user's fitness that this method cannot be driven by (SpecError)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know."""
        return ()


def within(mask: Mask, epochs: int, *before: Phase) -> tuple[Phase, ...]:
    """Return the phases before, and the rest of the epochs under the mask."""
    return (*before, Phase(mask, max(0, epochs - sum(phase.epochs for phase in before))))
