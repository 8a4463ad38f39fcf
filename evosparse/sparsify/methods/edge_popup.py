"""Ramanujan et al., "What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020, arXiv 1911.13299 (edge-popup).

Annealing: Fischer and Burkholz, "Plant 'n' Seek", ICLR 2022, arXiv 2111.11153.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.func import functional_call

from evosparse.nets import Layer, TrainingSpec
from evosparse.nets.device import configured
from evosparse.nets.losses import total_loss
from evosparse.nets.optimize import set_learning_rate
from evosparse.nets.sparsity import Distribution, counts
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.budget import best
from evosparse.sparsify.cohort import Cohort, State
from evosparse.sparsify.learning import minibatches, without_dropout


@method
class EdgePopup(Sparsifier):
    """Weights are never trained: each has a score, and a layer keeps those of the greatest |score|, in every step anew.

        mask = the top share of |score| in each layer
        score -= rate * momentum of (gradient by the masked weight * weight * sign(score) + weight_decay * score)

    The gradient goes straight through the choice, as if each masked weight were weight * |score| (section 3).

    Attributes:
        distribution: of the sparsity over the layers.
        anneal: the density falls as density ** (epoch / epochs), instead of being the last from the start.
        output: what the loss is given: the outputs as they are (``linear``), or their ``softmax``, as in the code of
            the planted tickets, also before cross-entropy.
        learning_rate, momentum, weight_decay: of the scores' stochastic gradient descent, by a half cosine.

    Deviations: biases are neither scored nor cut. (Scores of biases that start at zero, as in the code of the planted
    tickets, have no gradient through |score| and stay zero.) The last epoch's scores count, none is chosen.
    """

    method: Literal["edge_popup"] = "edge_popup"
    distribution: Distribution = Distribution(output_floor=0)
    anneal: bool = True
    output: Literal["linear", "softmax"] = "linear"
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)

    def sparsify(self, cohort: Cohort) -> None:
        """Learn scores, network by network, and leave each with the weights of its best scores, as they were drawn."""
        cohort.begin(cohort.dense, cohort.epochs)
        states = [cohort.population.state(number) for number in range(len(cohort))]
        connections = []
        for number, state in enumerate(states):
            scores = self._learn(cohort, number, state)
            kept = self._counts(cohort, number, 1)
            connections.append([best(np.abs(own), count) for own, count in zip(scores, kept, strict=True)])
        cost = 3 * cohort.epochs * len(cohort.train.x) * cohort.network.multiply_adds(cohort.dense[0])
        cohort.charge([cost] * len(cohort), cohort.epochs)
        cohort.begin(connections, cohort.epochs, states=states)

    def _counts(self, cohort: Cohort, number: int, progress: float) -> tuple[int, ...]:
        """Return how many weights each layer keeps, at a share of the training that is not zero."""
        density = (1 - cohort.replicates[number].sparsity) ** (progress if self.anneal else 1)
        return counts(cohort.network.layers, 1 - density, self.distribution)

    @configured()
    def _learn(self, cohort: Cohort, number: int, state: State) -> list[np.ndarray]:
        """Return the learnt (size,) scores of each layer; buffers of the state are changed in place."""
        network = cohort.network
        module = without_dropout(network)
        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        weights = [tensors[layer.parameter] for layer in network.layers]
        scores = [
            initial_scores(layer, cohort.replicates[number].key.child("popup scores", index).rng())
            for index, layer in enumerate(network.layers)
        ]
        schedule = TrainingSpec(schedule="cosine").schedule
        optimizer = torch.optim.SGD(scores, self.learning_rate, self.momentum, weight_decay=self.weight_decay)
        for epoch in range(cohort.epochs):
            kept = self._counts(cohort, number, (epoch + 1) / cohort.epochs)
            for x, y, epochs in minibatches(cohort, number, epoch):
                set_learning_rate(optimizer, self.learning_rate * schedule.share(epochs, cohort.epochs))
                effective = [masked(w, s, n) for w, s, n in zip(weights, scores, kept, strict=True)]
                named = {layer.parameter: own for layer, own in zip(network.layers, effective, strict=True)}
                outputs = functional_call(module, tensors | named, (x,))
                if self.output == "softmax":
                    outputs = outputs.softmax(dim=1)
                slopes = torch.autograd.grad(total_loss(cohort.training.loss, outputs[None], y), effective)
                for score, weight, slope in zip(scores, weights, slopes, strict=True):
                    score.grad = straight_through(slope, weight, score)
                optimizer.step()
        return [score.numpy().reshape(-1) for score in scores]


def initial_scores(layer: Layer, rng: np.random.Generator) -> torch.Tensor:
    """Draw scores of the layer's shape uniformly within 1 / sqrt(fan_in), which is kaiming_uniform with a = sqrt(5)."""
    bound = 1 / math.sqrt(layer.fan_in)
    return torch.from_numpy(rng.uniform(-bound, bound, layer.shape).astype(np.float32))


def masked(weights: torch.Tensor, scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return the weights of the so many greatest |scores|, and zeros, as a leaf of which gradients can be asked."""
    places = torch.from_numpy(best(np.abs(scores.numpy().reshape(-1)), count))
    kept = torch.zeros_like(weights).view(-1)
    kept[places] = weights.reshape(-1)[places]
    return kept.view(weights.shape).requires_grad_()


def straight_through(slopes: torch.Tensor, weights: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the scores' gradient: of weights * |scores|, by the gradient at the masked weights."""
    return slopes * weights * scores.sign()
