"""Ito et al., "Scaling Private Deep Learning with Low-Rank and Sparse Gradients", arXiv 2207.02699, reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from evosparse.nets import Network, TrainingSpec, choose_device, configured
from evosparse.nets.dropout import drop_inputs
from evosparse.nets.randomness import Purpose, Seeds, generator, torch_seed
from evosparse.nets.shared import SharedPopulation
from evosparse.sparsify.base import Sparsifier, method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.private.accountant import (
    accountant_is_there,
    epsilon_of,
    expect_accountant,
    noise_multiplier_for,
)
from evosparse.sparsify.private.carriers import Carriers, carriers, full_rank
from evosparse.sparsify.private.gradients import LEFT, RIGHT, Parts, PerSampleGradients, expect_separable, trained
from evosparse.sparsify.private.mechanism import clipped_sum, noisy_mean
from evosparse.sparsify.private.sampling import Sampling, SamplingName
from evosparse.sparsify.private.support import Support, previous_support, random_support

_RAW = ("raw_topk", "raw_top_k", "topk", "top_k")


@method
class LSG(Sparsifier):
    """Differentially private training by gradients that are low-rank and sparse; all weights stay.

        in each step:
            of each layer but the last: R random, L = orthonormal(W R^T), R = orthonormal(L^T W), rest = W - L R
            support = some positions of the carriers' gradients and of the last layer's weights; all biases
            minibatch: each example with probability q = batch / examples
            of each example: the gradient on the support, scaled down to the norm C, all parts together
            mean = (sum + sigma C N(0, 1) on the support) / batch
            the optimizer's step by (dL) R, or (dL) R + L (dR) - L L^T (dL) R; by the others' gradients as they are

    This is a reconstruction: only the abstract could be read. The low-rank part is RGP (Yu et al., ICML 2021); the
    sparse part is a stand-in. Agreement with the paper is not claimed.

    Attributes:
        carrier: what stands for a layer's gradient: ``none``, itself (plain DP-SGD); ``left``, that of L; or ``both``.
        rank: of the carriers, at most that at which they lose nothing: n_in of ``left``, min(n_in, n_out) of ``both``.
        support: where a gradient is not zero: ``full``; ``random_k``, drawn in each step; or ``previous_noisy``, where
            the previous noisy update was greatest. Gradients are cut to it before they are clipped.
        support_density: share of each weight matrix, or of each carrier, that is in the support; biases always are.
        carried: with previous_noisy, the share of a support that the previous update chooses. The others are drawn:
            an update is zero off its support, which would never change else.
        clip: C; None for no bound, without noise.
        noise_multiplier: sigma; 1 if neither it nor epsilon is given.
        epsilon: what the whole training may cost at most, where neighbouring data sets differ by one example that is
            there or not; the accountant finds sigma.
        delta: of the guarantee; choose it below 1 / examples.
        sampling: of minibatches of ``training.batch`` expected examples, see `private.sampling.Sampling`. The
            accountant assumes ``poisson``; ``shuffle`` is for comparisons without noise.

    An epoch has as many steps as have all examples in expectation. The measures ``epsilon``, ``delta`` and
    ``noise_multiplier`` say what was spent, on the training examples alone; ``training_multiply_adds`` are those of
    dense training, ``carrier_multiply_adds`` come on top: 4 times rank, n_in and n_out in each step.
    """

    dense: ClassVar[bool] = True

    method: Literal["lsg"] = "lsg"
    carrier: Literal["none", "left", "both"] = "left"
    rank: int = Field(16, ge=1)
    support: Literal["full", "random_k", "previous_noisy"] = "random_k"
    support_density: float = Field(0.5, gt=0, le=1)
    carried: float = Field(0.5, ge=0, le=1)
    clip: float | None = Field(1.0, gt=0)
    noise_multiplier: float | None = Field(None, ge=0)
    epsilon: float | None = Field(None, gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)
    sampling: SamplingName = "poisson"

    @field_validator("support", mode="before")
    @classmethod
    def _not_by_raw_gradients(cls, value: Any) -> Any:
        if value in _RAW:
            raise ValueError(
                f"expected a support that keeps privacy, got {value!r}: which entries of the raw gradient are greatest"
                " tells of the examples without any noise; choose random_k, or previous_noisy, which looks at noisy"
                " updates alone"
            )
        return value

    @model_validator(mode="after")
    def _keeps_its_promise(self) -> LSG:
        if self.epsilon is not None and self.noise_multiplier is not None:
            raise ValueError(
                f"expected epsilon or noise_multiplier, of which one follows from the other, got {self.epsilon:g} and"
                f" {self.noise_multiplier:g}; leave one out"
            )
        if self.clip is None and not self.public:
            raise ValueError(
                "expected clip, the bound of an example's contribution, beside noise, got none: noise without a bound"
                " guarantees nothing; give clip, or noise_multiplier: 0"
            )
        if self.sampling == "shuffle" and not self.public:
            raise ValueError(
                "expected sampling: poisson where epsilon or noise is asked for, got 'shuffle': accountants assume that"
                " each example is drawn by itself; give poisson, or noise_multiplier: 0 and no privacy"
            )
        return self

    @property
    def public(self) -> bool:
        """Whether there is no noise, and no privacy."""
        return self.epsilon is None and self.noise_multiplier == 0

    @property
    def notes(self) -> tuple[str, ...]:
        told = [
            "reconstruction: only the abstract could be read, the sparse part is a stand-in; no agreement is claimed"
        ]
        if self.public:
            told.append("trained without noise: nothing is private")
        else:
            told.append(
                "epsilon is of the training examples alone: what is chosen by validation examples, such as an epoch, is"
                " not in it, and who knows the seed knows the noise"
            )
            if not accountant_is_there():
                told.append("no epsilon is reported, for want of an accountant: pip install 'evosparse[private]'")
        return tuple(told)

    def expect_fitting(self, network: Network, sparsity: float) -> None:
        expect_separable(network.module())
        if self.epsilon is not None:
            expect_accountant()

    def sparsify(self, cohort: Cohort) -> None:
        """Train with noisy gradients of minibatches that are each network's own."""
        self.expect_fitting(cohort.network, 0)
        sampling = Sampling(self.sampling, len(cohort.train.x), cohort.training.batch)
        steps = cohort.epochs * sampling.steps
        spent = self.spent(sampling, steps)
        cohort.begin(cohort.dense, cohort.epochs, kind=SharedPopulation)
        population = cohort.population
        assert isinstance(population, SharedPopulation)
        noise, examples = spent["noise_multiplier"], _examples(cohort)
        gradients = [
            PrivateGradients(self, cohort, number, examples, sampling, noise) for number in range(len(cohort))
        ]

        @configured()
        def train(epoch: int) -> None:
            for number in range(sampling.steps):
                values = population.values()
                told = [
                    own({name: every[place] for name, every in values.items()}, epoch * sampling.steps + number)
                    for place, own in enumerate(gradients)
                ]
                merged = {name: [one[name] for one in told] for name in values}
                population.pull(merged, epoch + number / sampling.steps)

        cohort.advance(cohort.epochs, final=True, train=train)
        for further in cohort.further:
            further |= spent
            if self.carrier != "none":
                further["carrier_multiply_adds"] = float(steps * self.carrier_multiply_adds(cohort.network))

    def spent(self, sampling: Sampling, steps: int) -> dict[str, float]:
        """Return the noise multiplier; and epsilon and delta, if there is an accountant and anything is private.

        Args:
            sampling: of the minibatches.
            steps: of the whole training.

        Raises:
            SpecError: there is no accountant for the epsilon that is asked for, or no noise is enough.
        """
        noise = 1.0 if self.noise_multiplier is None else self.noise_multiplier
        if self.epsilon is not None:
            noise = noise_multiplier_for(self.epsilon, sampling.rate, steps, self.delta)
        spent = {"noise_multiplier": noise}
        if noise and accountant_is_there():
            spent |= {"epsilon": epsilon_of(sampling.rate, noise, steps, self.delta), "delta": self.delta}
        return spent

    def ranks(self, network: Network) -> dict[str, int]:
        """Return the rank of each layer's carriers, by the name of its weights; the last layer has none."""
        if self.carrier == "none":
            return {}
        both = self.carrier == "both"
        return {
            layer.parameter: min(self.rank, full_rank((layer.shape[0], layer.fan_in), both))
            for layer in network.layers[:-1]
        }

    def carrier_multiply_adds(self, network: Network) -> int:
        """Return what splitting weights and rebuilding gradients take in a step: two products, L R and (dL) R."""
        ranks = self.ranks(network)
        return sum(4 * ranks.get(layer.parameter, 0) * layer.size for layer in network.layers)


class PrivateGradients:
    """One network's noisy gradients, step after step.

    Args:
        method: with its parameters.
        cohort: of which the network is; its training has begun.
        number: of the network.
        examples: x (n, *input_shape) and y (n,) or (n, outputs), where they are computed with.
        sampling: of minibatches.
        noise_multiplier: sigma.
    """

    def __init__(
        self,
        method: LSG,
        cohort: Cohort,
        number: int,
        examples: tuple[torch.Tensor, torch.Tensor],
        sampling: Sampling,
        noise_multiplier: float,
    ) -> None:
        network = cohort.network
        self._method, self._sampling = method, sampling
        self._x, self._y = examples
        self._device = self._x.device
        self._seeds: Seeds = cohort.replicates[number].seeds
        self._training: TrainingSpec = cohort.training
        self._deviation = noise_multiplier * (method.clip or 0.0)
        self._both = method.carrier == "both"
        self._shapes = {layer.parameter: layer.shape for layer in network.layers} | dict(network.unmasked)
        self._ranks = method.ranks(network)
        self._thinned = {layer.parameter for layer in network.layers}
        state = cohort.population.state(number)
        constants = {
            name: torch.from_numpy(value).to(self._device) for name, value in state.items() if name not in self._shapes
        }
        module = network.module(self._seeds.weights).to(self._device)
        training = self._training
        self._gradients = PerSampleGradients(network, module, constants, training.loss, training.dropout)
        self._previous: dict[str, torch.Tensor] = {}

    def __call__(self, values: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
        """Return the noisy gradient of a step.

        Args:
            values: by name of the parameter, (size,).
            step: its number, from 0.

        Returns:
            By name of the parameter, (size,).
        """
        parts = self._split(values, step)
        variables = trained(parts, self._both)
        support = self._support(parts, variables, step)
        rows = self._sampling.rows(self._seeds.order, step)
        total: dict[str, torch.Tensor] = {}
        for name, part in variables.items():
            positions = support[name]
            total[name] = part.new_zeros(part.numel() if positions is None else len(positions))
        x, y = self._minibatch(rows, step)
        dropout = torch_seed(self._seeds.noise, Purpose.NOISE, step)
        for chunk in self._gradients.chunks(parts, self._both, x, y, dropout):
            for name, own in clipped_sum(chunk, support, self._method.clip).items():
                total[name] += own
        shapes = {name: part.shape for name, part in variables.items()}
        rng = generator(self._seeds.noise, Purpose.PRIVACY, step)
        means = noisy_mean(total, support, shapes, self._sampling.divisor(rows), self._deviation, rng)
        self._previous = {
            name: part.rebuild(means[name + LEFT], means.get(name + RIGHT))
            if isinstance(part, Carriers)
            else means[name]
            for name, part in parts.items()
        }
        return {name: value.detach().cpu().numpy().reshape(-1) for name, value in self._previous.items()}

    def _split(self, values: Mapping[str, np.ndarray], step: int) -> Parts:
        rng = generator(self._seeds.noise, Purpose.CARRIERS, step)
        parts: dict[str, Carriers | torch.Tensor] = {}
        for name, shape in self._shapes.items():
            value = torch.from_numpy(values[name]).to(self._device).view(shape)
            rank = self._ranks.get(name)
            parts[name] = value if rank is None else carriers(value.flatten(1), rank, rng)
        return parts

    def _support(self, parts: Parts, variables: Mapping[str, torch.Tensor], step: int) -> Support:
        rng, density = generator(self._seeds.noise, Purpose.SUPPORT, step), self._method.support_density
        support: dict[str, torch.Tensor | None] = dict.fromkeys(variables)
        if self._method.support == "full":
            return support
        previous = self._seen(parts) if self._method.support == "previous_noisy" else {}
        for name, part in variables.items():
            if name.partition("|")[0] not in self._thinned:
                continue
            if name in previous:
                chosen = previous_support(previous[name], density, self._method.carried, rng)
            else:
                chosen = random_support(part.numel(), density, rng)
            support[name] = chosen.to(part.device)
        return support

    def _seen(self, parts: Parts) -> dict[str, torch.Tensor]:
        """Return the previous noisy update as the carriers of now would see it: theirs then had other directions."""
        seen = {}
        for name, update in self._previous.items():
            part = parts[name]
            if isinstance(part, Carriers):
                seen[name + LEFT], seen[name + RIGHT] = part.project(update)
            else:
                seen[name] = update
        return seen

    def _minibatch(self, rows: np.ndarray, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.from_numpy(rows).to(self._device)
        x, y = self._x, self._y
        if self._training.input_dropout and len(rows):
            x, y, chosen = drop_inputs(x, y, chosen, [self._seeds.noise], self._training.input_dropout, step)
        return x[chosen], y[chosen]


def _examples(cohort: Cohort) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the training examples as tensors, once for all networks."""
    device, labels = choose_device(cohort.device), np.asarray(cohort.train.y)
    kind = np.float32 if labels.dtype.kind == "f" else np.int64
    arrays = np.array(cohort.train.x, np.float32), np.array(labels, kind)
    x, y = (torch.from_numpy(array).to(device) for array in arrays)
    return x, y
