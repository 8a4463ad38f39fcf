"""Networks that one method makes sparse together: all seeds and sparsities are one population.

A cohort holds what does not depend on the method: data, seeds, the population in training, the choice of the best epoch on
validation examples, and the costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evosparse.data import Test
from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError
from evosparse.nets import (
    Connections,
    InitialisationSpec,
    MultilayerPerceptron,
    Network,
    Population,
    Seeds,
    TrainingSpec,
)
from evosparse.sparsify.alive import alive_units

State = Mapping[str, np.ndarray]
"""Parameters and buffers of one network by name."""


@dataclass(frozen=True)
class Replicate:
    """Which network of a cohort this is.

    Args:
        number: of the repetition; equal numbers share initial weights, order of examples and noise in all methods.
        sparsity: share of the weights that shall not exist.
        seed: of the whole campaign.
        worker: which of those that train it together; the first one's randomness is that of who trains alone.
    """

    number: int
    sparsity: float
    seed: int = 0
    worker: int = 0

    @property
    def key(self) -> SeedKey:
        """The key of all randomness of the method, as far as `seeds` is not meant."""
        return SeedKey(self.seed).child("sparsify", self.number, *self._worker)

    @property
    def seeds(self) -> Seeds:
        """Initial weights, order and noise, as those of a campaign over masks with the same seed."""
        root, own = SeedKey(self.seed), {"weights": (), "order": self._worker, "noise": self._worker}
        return Seeds(*(root.child(part, self.number, *worker).integer() for part, worker in own.items()))

    @property
    def _worker(self) -> tuple[int, ...]:
        return (self.worker,) if self.worker else ()


@dataclass(frozen=True, eq=False)
class Sparsified:
    """A network after its training.

    Args:
        connections: its weights at the end.
        state: its parameters and buffers at the end.
        selected: those of the epoch that was best on the validation examples, counted from where the sparsity is reached.
        measures: validation figures, sizes and costs.
    """

    connections: Connections
    state: State
    selected: State
    measures: Mapping[str, float]


class Cohort:
    """Some networks of one architecture in the hands of one method.

    Args:
        network: the architecture.
        train: examples ``x`` and ``y`` to fit weights to.
        validation: examples to choose an epoch by.
        replicates: which networks.
        training: optimizer, schedule, batch size.
        initialisation: how initial weights are drawn.
        epochs: length of a training; methods that train several times say how long each is.
        device: where to compute.
        masks_alone: of the networks only the masks are wanted: training that changes none of them is left out.

    Attributes:
        population: the networks in training.
        costs: (networks,) multiply-adds of training so far; forward and backward count as three times forward.
        epochs_trained: so far.
        allowed: for each network and layer, the flat indices at which weights may exist; None for all.
        further: for each network, what a method measures beside what all of them do.
        selected: of each network, the state of the best of the epochs from which one is chosen.

    Raises:
        DataError: the examples are a test set.
    """

    def __init__(
        self,
        network: Network,
        train: object,
        validation: object,
        replicates: Sequence[Replicate],
        training: TrainingSpec,
        initialisation: InitialisationSpec,
        epochs: int,
        device: str | None = None,
        masks_alone: bool = False,
    ) -> None:
        if isinstance(train, Test) or isinstance(validation, Test):
            raise DataError("a method is given train and validation examples; the test set is for the end alone")
        self.network, self.train, self.validation = network, train, validation
        self.replicates = list(replicates)
        self.training, self.initialisation, self.epochs = training, initialisation, epochs
        self.device = device
        self.masks_alone = masks_alone
        self.costs = np.zeros(len(self.replicates))
        self.population: Population
        self.allowed: list[list[np.ndarray]] | None = None
        self.epochs_trained = 0
        self.further: list[dict[str, float]] = [{} for _ in self.replicates]
        self.forget_choice()

    def __len__(self) -> int:
        return len(self.replicates)

    @property
    def dense(self) -> list[Connections]:
        """The connections of dense networks."""
        return [[None] * len(self.network.layers)] * len(self)

    @property
    def size(self) -> int:
        """Number of weights of the dense network, in the layers that masks can thin."""
        return sum(layer.size for layer in self.network.layers)

    @property
    def connections(self) -> list[Connections]:
        """The weights that exist now, as arrays of flat indices."""
        return [
            [np.arange(layer.size) if own is None else own for layer, own in zip(self.network.layers, every, strict=True)]
            for every in (self.population.connections(number) for number in range(len(self)))
        ]

    def begin(
        self,
        connections: Sequence[Connections],
        epochs: int,
        training: TrainingSpec | None = None,
        redraw: bool = False,
        states: Sequence[State] | None = None,
        kind: Callable[..., Population] = Population,
    ) -> None:
        """Begin a training with a fresh optimizer, from the initial weights or from given ones.

        Args:
            connections: the weights that exist, for each network.
            epochs: length of this training.
            training: in place of the cohort's.
            redraw: draw other initial weights than the first.
            states: what the networks begin with, in place of initial weights.
            kind: makes the population of what `Population` takes.
        """
        seeds = [replicate.seeds for replicate in self.replicates]
        if redraw:
            weights = [replicate.key.child("redrawn weights").integer() for replicate in self.replicates]
            seeds = [Seeds(own, seed.order, seed.noise) for own, seed in zip(weights, seeds, strict=True)]
        training = training or self.training
        self.population = kind(
            self.network, connections, seeds, training, self.initialisation, max(1, epochs), self.device
        )
        for number, state in enumerate(states or ()):
            self.population.load(number, state)

    def advance(
        self,
        epochs: int,
        final: bool = False,
        before_step: Callable | None = None,
        after_epoch: Callable[[int], None] | None = None,
        train: Callable[[int], None] | None = None,
    ) -> None:
        """Train, epoch by epoch.

        Args:
            epochs: how many.
            final: the networks have the sparsity they shall have: the best epoch is chosen among these.
            before_step: see `nets.population.BeforeStep`.
            after_epoch: called with the number of each epoch but the last, after it.
            train: what trains an epoch, whose number it is given, in place of the population itself.
        """
        for epoch in range(epochs):
            self.charge([3 * self._multiply_adds(number) * len(self.train.x) for number in range(len(self))], epochs=1)
            if train is None:
                self.population.train(self.train.x, self.train.y, 1, before_step=before_step)
            else:
                train(epoch)
            if final:
                self._choose()
            if after_epoch is not None and epoch < epochs - 1:
                after_epoch(epoch)

    def cut(self, connections: Sequence[Connections]) -> None:
        """Remove connections in the middle of a training; if any go, the best epoch is chosen among those to come."""
        if any(len(after) < len(before) for own, new in zip(self.connections, connections) for before, after in zip(own, new)):
            self.population.cut(connections)
            self.forget_choice()

    def charge(self, multiply_adds: Sequence[float], epochs: int = 0) -> None:
        """Add to the costs of each network's training, and to the epochs that all were trained."""
        self.costs += multiply_adds
        self.epochs_trained += epochs

    def charge_dense(self, numbers: Sequence[int], examples: int, passes: float = 3) -> None:
        """Add the costs of so many dense passes, of which a gradient takes three."""
        self.costs[list(numbers)] += passes * self.network.multiply_adds([None] * len(self.network.layers)) * examples

    def charge_sparse(self, numbers: Sequence[int], examples: int, passes: float = 1) -> None:
        """Add the costs of so many passes over the weights that exist now."""
        for number in numbers:
            self.costs[number] += passes * self._multiply_adds(number) * examples

    def sample(self, number: int, examples: int, *purpose: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw training examples for a score, the same for equal replicates.

        Args:
            number: of the network.
            examples: how many; all if there are fewer.
            purpose: numbers that tell one draw from another.
        """
        rng = self.replicates[number].key.child("sample", *purpose).rng()
        rows = rng.permutation(len(self.train.x))[:examples]
        return np.ascontiguousarray(self.train.x[rows]), np.ascontiguousarray(self.train.y[rows])

    def results(self) -> list[Sparsified]:
        """Return the networks as they stand."""
        if not self._chosen:
            self._choose()
        evaluation = self.population.evaluate(self.validation.x, self.validation.y)
        return [
            Sparsified(
                self.connections[number],
                self.population.state(number),
                self.selected[number],
                self._measures(number, float(evaluation.accuracy[number]), float(evaluation.loss[number])),
            )
            for number in range(len(self))
        ]

    def qualities(self, number: int) -> np.ndarray:
        """Return the (epochs,) validation accuracies that a network had, or negative losses where there are none.

        Of the epochs from which the best one is chosen.
        """
        return np.array([quality[number] for quality in self._qualities])

    def forget_choice(self) -> None:
        """Choose the best epoch anew from here on: those before were of networks with more weights."""
        self._qualities: list[np.ndarray] = []
        self._best = np.full(len(self), -np.inf)
        self.selected: list[State] = [{}] * len(self)
        self._chosen = False

    def _choose(self) -> None:
        """Remember the networks that are better than ever on the validation examples; of equals the first."""
        evaluation = self.population.evaluate(self.validation.x, self.validation.y)
        quality = -evaluation.loss if np.isnan(evaluation.accuracy).all() else evaluation.accuracy
        quality = np.where(np.isnan(quality), -np.inf, quality)
        self._qualities.append(quality)
        for number in np.flatnonzero((quality > self._best) | (not self._chosen)):
            self.selected[number] = self.population.state(int(number))
        self._best = np.maximum(self._best, quality)
        self._chosen = True

    def _multiply_adds(self, number: int) -> int:
        return self.network.multiply_adds(self.population.connections(number))

    def _measures(self, number: int, accuracy: float, loss: float) -> Mapping[str, float]:
        connections = self.connections[number]
        kept = sum(map(len, connections))
        biases = sum(int(np.prod(shape)) for shape in self.network.unmasked.values())
        measures = {"validation_accuracy": accuracy, "validation_loss": loss}
        if np.isnan(accuracy):
            del measures["validation_accuracy"]
        measures |= {
            "selected_validation": float(self._best[number]),
            "weights": kept,
            "density": kept / self.size,
            "density_with_biases": (kept + biases) / (self.size + biases),
            "multiply_adds": self.network.multiply_adds(connections),
            "training_multiply_adds": float(self.costs[number]),
            "epochs": self.epochs_trained,
        }
        if isinstance(self.network, MultilayerPerceptron):
            alive = alive_units(self.network.layers, connections)[:-1]
            names = ("inputs", *(layer.name for layer in self.network.layers[:-1]))
            measures |= {f"alive_{name}": int(own.sum()) for name, own in zip(names, alive, strict=True)}
        return measures | self.further[number]
