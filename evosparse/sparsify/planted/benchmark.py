"""The planted-ticket benchmark: what methods and given masks find in mothers whose ticket is known.

Fischer and Burkholz, "Plant 'n' Seek", ICLR 2022, arXiv 2111.11153. A mask is judged as a strong ticket (the masked mother
at its planted weights), as a weak one (after training), and against the planted mask. Deviations: a share of the training
examples is for validation, so that searches may choose by it; masked weights are not revived; weights and biases are
pruned together, and the density is a share of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError, nearest
from evosparse.nets import Connections, Network, TrainingSpec
from evosparse.sparsify.base import Sparsifier, as_method, find_method
from evosparse.sparsify.cohort import Cohort, Replicate, Sparsified
from evosparse.sparsify.planted.data import PlantedData, draw_data
from evosparse.sparsify.planted.module import INITIALISATION, masks_of, planted_network, values_of
from evosparse.sparsify.planted.mother import Planted
from evosparse.sparsify.planted.score import MaskScore, score_masks, score_outputs
from evosparse.sparsify.planted.targets import Task, make_ticket
from evosparse.sparsify.pruning import Pruning

Protocol = Literal["singleshot", "multishot"]
PROTOCOLS: Mapping[Protocol, Mapping[str, Any]] = {
    "singleshot": {"rounds": 1, "round_epochs": 0, "reset": "init", "scope": "global"},
    "multishot": {"rounds": 10, "round_epochs": 5, "reset": "init", "scope": "global"},
}
"""How a method of the family `Pruning` comes to its mask; both train at the end from the planted weights."""

TRAINING = TrainingSpec(optimizer="adam", learning_rate=1e-3, batch=32)


@dataclass(frozen=True)
class Verdict:
    """What a mask is worth.

    Args:
        density: share of weights and biases that was asked for; NaN for a given mask.
        strong: measures on test examples of the masked mother at its planted weights, divided by the scale of planting.
        strong_undivided: the same of its outputs as they are, which is what edge-popup learns its scores by.
        weak: measures after training, at the last epoch.
        selected: those of the epoch that was best on validation examples.
        mask: precision, recall, survivors of each layer, and whether no input reaches an output.
        costs: ``weights``, ``multiply_adds``, ``training_multiply_adds`` and ``epochs`` of all training.
    """

    density: float
    strong: Mapping[str, float]
    strong_undivided: Mapping[str, float]
    weak: Mapping[str, float]
    selected: Mapping[str, float]
    mask: MaskScore
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Benchmark:
    """One mother with its data.

    Args:
        task: ``circle``, ``relu`` or ``helix``.
        depth: layers of the mother, the input counted, from 3.
        width: units of its hidden layers.
        seed: of mother, data and training.
        epochs: of the final training.
        samples: of the data, test examples included.
        validation: share of the training examples that methods choose by.

    Raises:
        SpecError: there is no such task, or a number is out of range.
    """

    task: Task
    depth: int = 5
    width: int = 100
    seed: int = 0
    epochs: int = 10
    samples: int = 10_000
    validation: float = 0.1

    @cached_property
    def network(self) -> Network:
        """The mother's architecture; biases are weights (see `planted.module`)."""
        return planted_network(self.task, self.depth, self.width)

    @cached_property
    def planted(self) -> Planted:
        """The mother of this seed."""
        return self.network.module(Replicate(0, 0.0, self.seed).seeds.weights).planted

    @cached_property
    def data(self) -> PlantedData:
        """The data of this seed."""
        return draw_data(self.task, SeedKey(self.seed).child("planted data"), self.samples, validation=self.validation)

    @property
    def training(self) -> TrainingSpec:
        """Adam at 0.001 in minibatches of 32."""
        return TRAINING.model_copy(update={"loss": "cross_entropy" if self.task == "circle" else "squared_error"})

    def planted_density(self, published: bool = False) -> float:
        """Return the ticket's share of the mother's weights, biases counted in neither.

        Args:
            published: count what the released code counts, in Helix also rounding noise.
        """
        size = make_ticket(self.task, self.depth, 0.0 if published else 1e-9).size
        return size / sum(weights.size for weights in self.planted.network.weights)

    def run(self, method: Sparsifier | Mapping[str, Any] | str, densities: Sequence[float]) -> list[Verdict]:
        """Let a method sparsify the mother, once for each density, and judge what it found.

        Args:
            method: from the registry, or anything that `as_method` takes; see `by_protocol`.
            densities: shares of weights and biases that are kept.
        """
        cohort = self._cohort([1 - density for density in densities])
        as_method(method).sparsify(cohort)
        return [
            self._verdict(density, found) for density, found in zip(densities, cohort.results(), strict=True)
        ]

    def judge(self, masks: Sequence[Connections]) -> list[Verdict]:
        """Train the mother under given masks, evolved ones for example, and judge them.

        Args:
            masks: for each, the existing weights of the layers of `network`.
        """
        cohort = self._cohort([0.0] * len(masks))
        cohort.begin(masks, self.epochs)
        cohort.advance(self.epochs, final=True)
        return [self._verdict(float("nan"), found) for found in cohort.results()]

    def _cohort(self, sparsities: Sequence[float]) -> Cohort:
        replicates = [Replicate(0, sparsity, self.seed) for sparsity in sparsities]
        data = self.data
        if data.validation is None:
            raise SpecError("validation: expected a share above 0, for methods choose an epoch by these examples; got 0")
        return Cohort(
            self.network, data.train, data.validation, replicates, self.training, INITIALISATION, self.epochs, "cpu"
        )

    def _verdict(self, density: float, found: Sparsified) -> Verdict:
        masks = masks_of(self.network, found.connections)
        test = self.data.test
        at_planting = self.planted.network.masked(masks).forward(test.x)
        weak, selected = (
            score_outputs(self.task, values_of(self.network, state).forward(test.x), test.y, None)
            for state in (found.state, found.selected)
        )
        costs = ("weights", "multiply_adds", "training_multiply_adds", "epochs")
        return Verdict(
            density,
            score_outputs(self.task, at_planting, test.y, self.planted.scale_out),
            score_outputs(self.task, at_planting, test.y, None),
            weak,
            selected,
            score_masks(masks, self.planted.masks),
            {name: found.measures[name] for name in costs},
        )


def by_protocol(name: str, protocol: Protocol, **changes: Any) -> Sparsifier:
    """Return a pruning method as a protocol of the benchmark uses it.

    Args:
        name: of a method of the family `Pruning`; ``magnitude`` by ``multishot`` is iterative magnitude pruning.
        protocol: ``singleshot``: score at the planted weights, cut once. ``multishot``: ten rounds, in each train five
            epochs, cut to density ** (round / 10), set back; the ``lottery`` has rounds of its own rate instead.
        changes: further parameters of the method.

    Raises:
        SpecError: there is no such protocol, or the method is no pruning method.
    """
    if protocol not in PROTOCOLS:
        raise SpecError(f"there is no protocol {protocol!r}: {nearest(protocol, PROTOCOLS)}")
    kind = find_method(name)
    if not issubclass(kind, Pruning):
        raise SpecError(f"protocols are of methods that score weights and cut; {name} has one of its own: run it as it is")
    return as_method({"method": name} | dict(PROTOCOLS[protocol]) | changes)
