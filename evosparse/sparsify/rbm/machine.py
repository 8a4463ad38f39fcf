"""The restricted Boltzmann machine: trained by contrastive divergence, with labels or without, on any connections.

de Oliveira and Figueiredo, "Optimizing Connectivity through Network Gradients for Restricted Boltzmann Machines",
Neural Networks 2025, arXiv 2209.06932.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from evosparse.engine.seeds import SeedKey
from evosparse.errors import DataError, SpecError
from evosparse.sparsify.rbm.connectivity import Connections
from evosparse.sparsify.rbm.divergence import contrastive_divergence
from evosparse.sparsify.rbm.likelihood import (
    AnnealingEstimate, AnnealingSpec, annealed_log_partition, average_nll, log_partition,
)  # fmt: skip
from evosparse.sparsify.rbm.parameters import Floats, Parameters, bernoulli
from evosparse.sparsify.rbm.spec import RBMSpec

_LABELS_UNKNOWN = 0.5


class RBM:
    """A machine of binary units whose connections are all there, random, or learnt (NCG).

        C = W * A, E = -x d - h b - h^T C x
        for each minibatch: G, Gb, Gd = CD-k
            W += eta G * A, b += eta Gb, d += eta Gd
            A as its connectivity says, from W before the step and G at every position
        W ~ U(-1, 1), b = d = 0 at first

    With classes, there are as many label units after the pixels; they are trained with them and answer `classify`.

    Args:
        visible: number of pixels; label units are not among them.
        spec: see `RBMSpec`.
        classes: number of classes, 0 for a machine without label units.
        key: of everything that is drawn at first and in training; an epoch's draws depend on its number alone.

    Attributes:
        weights: (H, X) array, W, frozen where there is no connection; X counts pixels, then label units.
        hidden_bias, visible_bias: (H,) and (X,) arrays.
        connections: A and its scores.
        epochs: trained so far.
        calls: of `fit` so far.

    Raises:
        SpecError: a number is out of range.

    Deviations from the published code: connections are drawn once, and label units keep all theirs, unless the spec says
    otherwise; labels are never left out silently. Ours where the source was not known: the last minibatch of an epoch is
    trained on, however small, and examples are shuffled in every epoch; in ``each_call`` the weights stay. The computation
    is by numpy on the CPU, by one thread.
    """

    def __init__(self, visible: int, spec: RBMSpec = RBMSpec(), classes: int = 0, key: SeedKey = SeedKey(0)) -> None:
        if visible < 1 or classes < 0 or classes == 1:
            raise SpecError(f"expected at least 1 visible unit, and 0 or at least 2 classes, got {visible} and {classes}")
        self.visible, self.spec, self.classes, self.key = visible, spec, classes, key
        self.epochs = self.calls = 0
        dtype, units = self.dtype, visible + classes
        draw = key.child("weights").rng().uniform(-spec.initial_weights, spec.initial_weights, (spec.hidden, units))
        self.weights: Floats = draw.astype(dtype)
        self.hidden_bias: Floats = np.zeros(spec.hidden, dtype)
        self.visible_bias: Floats = np.zeros(units, dtype)
        self.connections = self._draw()

    @property
    def dtype(self) -> np.dtype:
        """Precision of all arrays."""
        return np.dtype(self.spec.precision)

    @property
    def parameters(self) -> Parameters:
        """What the energy is made of now: the effective weights C, and the biases."""
        return Parameters(self.weights * self.connections.active, self.hidden_bias, self.visible_bias)

    @property
    def density(self) -> float:
        """Existing connections divided by all of the columns that may lose some; dense label links are not counted."""
        return self.connections.density

    def fit(
        self,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        epochs: int,
        after_epoch: Callable[[RBM], None] | None = None,
    ) -> RBM:
        """Train on; two calls do as one with all epochs, unless connections are drawn anew in each.

        Args:
            x: (n, visible) array from 0 to 1.
            labels: (n,) whole numbers from 0 to classes - 1; with classes only.
            epochs: how often to go through the examples.
            after_epoch: called with the machine after each epoch.

        Returns:
            The machine itself.

        Raises:
            DataError: inputs or labels do not fit the machine.
            SpecError: the number of epochs is negative.
        """
        x, targets = self._inputs(x), self._targets(labels, len(np.asarray(x)))
        if epochs < 0:
            raise SpecError(f"expected a number of epochs from 0 on, got {epochs}")
        if self.calls and self.spec.redraw_A == "each_call":
            self.connections = self._draw()
        self.calls += 1
        # The number of threads changes the last bits.
        with threadpool_limits(1, "blas"):
            for _ in range(epochs):
                rng = self.key.child("epoch", self.epochs).rng()
                order = rng.permutation(len(x))
                for start in range(0, len(x), self.spec.batch):
                    rows = order[start : start + self.spec.batch]
                    self._step(np.concatenate([x[rows], targets[rows]], axis=1, dtype=self.dtype, casting="unsafe"), rng)
                self.epochs += 1
                if after_epoch is not None:
                    after_epoch(self)
        return self

    def free_energy(self, x: ArrayLike, labels: ArrayLike | None = None) -> Floats:
        """Return the (n,) free energies of (n, visible) inputs, with their labels where there are label units.

        Raises:
            DataError: inputs or labels do not fit the machine.
        """
        return self.parameters.free_energy(self._joined(x, labels))

    def hidden_probabilities(self, x: ArrayLike, labels: ArrayLike | None = None) -> Floats:
        """Return the (n, H) probabilities of hidden units, given (n, visible) inputs; unknown labels are one half.

        Raises:
            DataError: inputs or labels do not fit the machine.
        """
        return self.parameters.hidden_probabilities(self._joined(x, labels, unknown=True))

    def mean_field(self, x: ArrayLike, labels: ArrayLike | None = None) -> Floats:
        """Return the (n, X) probabilities of all visible units after one pass up and down, without sampling.

        Args:
            x: (n, visible) array from 0 to 1.
            labels: (n,) classes; where they are not given, label units are one half.

        Raises:
            DataError: inputs or labels do not fit the machine.
        """
        return self.parameters.visible_probabilities(self.hidden_probabilities(x, labels))

    def label_probabilities(self, x: ArrayLike) -> Floats:
        """Return the (n, classes) mean-field probabilities of label units, each by itself: rows do not sum to one.

        Raises:
            SpecError: the machine has no label units.
            DataError: inputs do not fit the machine.
        """
        if not self.classes:
            raise SpecError("expected a machine with label units to classify with; make it as RBM(..., classes=10)")
        parameters, x = self.parameters, self._inputs(x)
        own = slice(self.visible, None)
        labels = Parameters(parameters.weights[:, own], parameters.hidden_bias, parameters.visible_bias[own])
        parts = np.array_split(x, max(1, len(x) // 1000))
        hidden = (parameters.hidden_probabilities(self._joined(part, None, unknown=True)) for part in parts)
        return np.concatenate([labels.visible_probabilities(own) for own in hidden])

    def classify(self, x: ArrayLike) -> NDArray[np.intp]:
        """Return the (n,) classes of the most probable label units after one pass up and down.

        Raises:
            SpecError: the machine has no label units.
            DataError: inputs do not fit the machine.
        """
        return self.label_probabilities(x).argmax(axis=1)

    def sample(self, count: int, steps: int, key: SeedKey, start: ArrayLike | None = None) -> Floats:
        """Draw states of all visible units by Gibbs sampling.

        Args:
            count: of independent chains.
            steps: of each, every one from visible to hidden units and back.
            key: source of randomness.
            start: (count, visible) first states; fair coins by default. Label units begin at one half.

        Returns:
            (count, X) array of 0 and 1.

        Raises:
            SpecError: a number is out of range.
            DataError: the first states do not fit the machine or the number of chains.
        """
        if count < 1 or steps < 0:
            raise SpecError(f"expected at least 1 chain and 0 steps, got {count} and {steps}")
        rng = key.rng()
        if start is None:
            state = bernoulli(np.full((count, self.visible + self.classes), 0.5, self.dtype), rng)
        else:
            state = self._joined(start, None, unknown=True)
            if len(state) != count:
                raise DataError(f"start: expected {count} first states, one for each chain, got {len(state)}")
        return self.parameters.gibbs(state, steps, rng)

    def log_partition(self) -> float:
        """Return log Z in nats, exactly; the smaller side has at most 25 units.

        Raises:
            SpecError: it has more.
        """
        return log_partition(self.parameters)

    def annealed_log_partition(
        self, key: SeedKey, annealing: AnnealingSpec = AnnealingSpec(), base: Floats | None = None
    ) -> AnnealingEstimate:
        """Estimate log Z by annealed importance sampling, see `evosparse.sparsify.rbm.annealed_log_partition`."""
        return annealed_log_partition(self.parameters, key, annealing, base)

    def average_nll(self, x: ArrayLike, labels: ArrayLike | None = None, *, log_partition: float | None = None) -> float:
        """Return the mean negative log-likelihood of inputs (and labels), in nats an example.

        Args:
            x: (n, visible) array of 0 and 1.
            labels: (n,) classes, with label units only.
            log_partition: log Z; by default it is computed exactly.

        Raises:
            DataError: inputs or labels do not fit the machine.
            SpecError: the exact log Z is out of reach.
        """
        known = self.log_partition() if log_partition is None else log_partition
        return average_nll(self.parameters.astype(np.float64), self._joined(x, labels), known)

    def save(self, path: str | Path) -> Path:
        """Write the machine to a safetensors file, from which `load` makes one that trains on as this would.

        Raises:
            SpecError: the connectivity is not in the registry.
            StoreError: the file cannot be written.
        """
        from evosparse.sparsify.rbm.files import save  # which needs this class

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> RBM:
        """Read what `save` wrote.

        Raises:
            StoreError: the file cannot be read, or is no machine of this version.
        """
        from evosparse.sparsify.rbm.files import load  # which needs this class

        return load(Path(path))

    def _step(self, x: Floats, rng: np.random.Generator) -> None:
        """Train on one (n, X) minibatch."""
        rate = self.dtype.type(self.spec.learning_rate)
        gradient = contrastive_divergence(self.parameters, x, self.spec.steps, rng)
        # Both moves are by the connections and the weights from before the step.
        moves = gradient.weights * self.connections.active
        moves *= rate
        self.spec.connectivity.update(self.connections, self.weights, gradient.weights, self.spec.learning_rate)
        self.weights += moves
        self.hidden_bias += rate * gradient.hidden_bias
        self.visible_bias += rate * gradient.visible_bias

    def _draw(self) -> Connections:
        free = self.visible + (self.classes if self.spec.label_links == "optimised" else 0)
        rng = self.key.child("connections", self.calls).rng()
        return self.spec.connectivity.draw(self.weights.shape, free, rng, self.dtype)

    def _inputs(self, x: ArrayLike) -> NDArray:
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.visible or not len(x):
            raise DataError(f"x: expected (n, {self.visible}) inputs, at least one, a row an example; got shape {x.shape}")
        if x.dtype.kind not in "biuf" or not (x.min() >= 0 and x.max() <= 1):
            came = f"{x.min()} to {x.max()}" if x.dtype.kind in "biuf" else f"type {x.dtype}"
            raise DataError(f"x: expected numbers from 0 to 1, got {came}; divide pixels of 0 to 255 by 255, or binarise")
        return x

    def _targets(self, labels: ArrayLike | None, count: int) -> NDArray[np.bool_]:
        """Return labels as (n, classes) states of the label units."""
        if labels is None:
            if self.classes:
                raise DataError(f"labels: expected ({count},) classes for a machine with label units, got none")
            return np.zeros((count, 0), bool)
        if not self.classes:
            raise DataError("labels: expected none for a machine without label units; make it as RBM(..., classes=10)")
        labels = np.asarray(labels)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise DataError(f"labels: expected ({count},) whole numbers, one an example; got {labels.dtype} of {labels.shape}")
        if labels.min() < 0 or labels.max() >= self.classes:
            raise DataError(f"labels: expected 0 to {self.classes - 1}, got {labels.min()} to {labels.max()}")
        return labels[:, None] == np.arange(self.classes)

    def _joined(self, x: ArrayLike, labels: ArrayLike | None, unknown: bool = False) -> Floats:
        """Return (n, X) states of pixels and label units; one half for labels that may be unknown and are."""
        x = self._inputs(x)
        if unknown and labels is None:
            targets = np.full((len(x), self.classes), _LABELS_UNKNOWN)
        else:
            targets = self._targets(labels, len(x))
        return np.concatenate([x, targets], axis=1, dtype=self.dtype, casting="unsafe")
