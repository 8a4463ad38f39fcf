"""What every judge of a mask works with: the data, the network, and how networks are trained under masks.

A user's fitness function receives it as ``data``; the test set is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evosparse.data import SearchData, Train, Validation
from evosparse.engine.seeds import SeedKey
from evosparse.masks.genome import Mask
from evosparse.nets import InitialisationSpec, Network, Population, Seeds, TrainingSpec


@dataclass(frozen=True)
class Phase:
    """A part of a training: so many epochs under a mask.

    Args:
        mask: the connections that exist; None for the dense network.
        epochs: how long.
    """

    mask: Mask | None
    epochs: int


@dataclass(frozen=True)
class Workbench:
    """Data, network and training of one campaign.

    Args:
        data: train and validation examples.
        network: the architecture, bound to the shape of the data.
        training: optimizer, batch size and schedule.
        initialisation: how initial weights are drawn and scaled.
        individual_weights: draw initial weights for each mask apart, instead of the same for all.
        freeze_removed: weights that a cut removes keep their initial value and are no longer trained, instead of
            becoming zero.
    """

    data: SearchData
    network: Network
    training: TrainingSpec
    initialisation: InitialisationSpec
    individual_weights: bool = False
    freeze_removed: bool = False

    @property
    def train(self) -> Train:
        """The examples to train on."""
        return self.data.train

    @property
    def validation(self) -> Validation:
        """The examples to judge by."""
        return self.data.validation

    def seeds(self, key: SeedKey, replicate: int = 0) -> Seeds:
        """Return the seeds of one network's training.

        Args:
            key: the key of a genome's evaluation; only its root counts unless weights are individual.
            replicate: 0 for everything in a search; the examination counts on from there.
        """
        weights = key if self.individual_weights else key.root
        return Seeds(
            weights=weights.child("weights", replicate).integer(),
            order=key.root.child("order", replicate).integer(),
            noise=key.root.child("noise", replicate).integer(),
        )

    def population(
        self, masks: Sequence[Mask | None], seeds: Sequence[Seeds], epochs: int, dropout: float = 0.0
    ) -> Population:
        """Initialise networks, one for each mask, that will be trained together.

        Dense networks are trained by the dense kernel, and so are all where one of them is dense.

        Args:
            masks: the masks; None for a dense network.
            seeds: of each network.
            epochs: how many epochs there will be in all, for the learning-rate schedule.
            dropout: probability of dropping a hidden activation.
        """
        return Population(
            self.network,
            [connections_of(mask, self.network) for mask in masks],
            seeds,
            self.training,
            self.initialisation,
            total_epochs=epochs,
            dropout=dropout,
            kernel="dense" if any(mask is None for mask in masks) else None,
        )

    def train_networks(self, masks: Sequence[Mask], keys: Sequence[SeedKey], epochs: int) -> Population:
        """Train networks under their masks from their initial weights on.

        Args:
            masks: the masks.
            keys: the key of each mask's evaluation.
            epochs: how long.

        Returns:
            The trained networks, one for each mask.
        """
        population = self.population(masks, [self.seeds(key) for key in keys], epochs)
        population.train(self.train.x, self.train.y, epochs)
        return population

    def cut(self, population: Population, masks: Sequence[Mask | None]) -> None:
        """Remove the connections that the masks do not have from networks in training."""
        population.cut([connections_of(mask, self.network) for mask in masks], freeze=self.freeze_removed)


def connections_of(mask: Mask | None, network: Network) -> list:
    """Return the existing weights of each layer as nets takes them: flat indices, or None for a dense layer."""
    return [None] * len(network.layers) if mask is None else list(mask.connections)
