"""A population of masked networks in training: one tensor program for all of them.

A network's result depends on its connections, its seeds, the data and the specs, never on the networks beside it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch

from evosparse.nets.architectures import Connections, Network
from evosparse.nets.choice import KernelName, choose_kernel, make_kernel
from evosparse.nets.device import choose_device, configured
from evosparse.nets.dropout import drop_inputs
from evosparse.nets.evaluation import Evaluation, judged
from evosparse.nets.expectations import expect_connections, expect_within
from evosparse.nets.initial import InitialisationSpec, initial_weights
from evosparse.nets.kernel import Fill, Kernel, minibatch, only_if_equal
from evosparse.nets.moves import Grown, Move
from evosparse.nets.optimize import TrainingSpec, make_optimizer, set_learning_rate
from evosparse.nets.randomness import Purpose, Seeds, generator
from evosparse.nets.slots import Activations
from evosparse.nets.stack import PackedStack, Stack, initialise

Batch = tuple[np.ndarray, np.ndarray]
"""The (n, *input_shape) examples of a minibatch and what is wanted of them, of one network."""

BeforeStep = Callable[[Callable[[int], Batch]], bool]
"""Called before each training step with what gives a network's minibatch; true if it takes the place of the step."""

_CHUNK = 512  # examples evaluated at a time; fixed, because last bits depend on the shape of a batch


class Population:
    """The training state of networks of one architecture, each under its own mask.

    Weights that do not exist have no value, no gradient and no optimizer state: all are exactly 0.

    Args:
        network: the architecture.
        connections: for each network, the weights that exist in each layer.
        seeds: of each network.
        training: optimizer, schedule, batch size, dropout.
        initialisation: how initial weights are drawn.
        total_epochs: length of the whole training, for the learning-rate schedule.
        device: where to compute; CUDA where it is available if not given.
        dropout: instead of the one in ``training``.
        kernel: instead of the one in ``training``. Where that is ``auto``, the network with most weights decides (see
            `choose_kernel`), and with it the last bits of all: name a kernel where populations are to be compared.
        activations: of each network, in place of the architecture's; the kernel must be dense.

    Attributes:
        kernel: the kernel that trains.
        steps: training steps done.
        epochs_done: epochs done.

    Raises:
        SpecError: dropout is asked of a module without dropout layers.
        ValueError: no network, or not as many seeds or layers as are needed, or indices outside a layer.
    """

    @configured()
    def __init__(
        self,
        network: Network,
        connections: Sequence[Connections],
        seeds: Sequence[Seeds],
        training: TrainingSpec,
        initialisation: InitialisationSpec,
        total_epochs: int,
        device: str | None = None,
        dropout: float | None = None,
        kernel: KernelName | None = None,
        activations: Activations | None = None,
    ) -> None:
        expect_connections(network, connections, len(seeds))
        self.network = network
        self.steps = 0
        self.epochs_done = 0
        self._training = training
        self._initialisation = initialisation
        self._total_epochs = total_epochs
        self._device = choose_device(device)
        self._seeds = list(seeds)
        self._initial_connections = list(connections)
        self._dropout = training.dropout if dropout is None else dropout
        self._activations = activations

        def fill(stacks: Mapping[str, Stack | PackedStack]) -> None:
            initialise(stacks, network, connections, seeds, initialisation, self._device)

        self._use(kernel or self._choose(connections), connections, fill)

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self._seeds)

    @configured()
    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        epochs: int,
        gradients: Literal["none", "signed", "absolute"] = "none",
        before_step: BeforeStep | None = None,
    ) -> None:
        """Go on training from where it stands.

        Args:
            x: (n, *input_shape) training examples.
            y: (n,) their classes, or (n, outputs) values where the loss is a squared error.
            epochs: how many more.
            gradients: what to accumulate over the steps of the last of these epochs, for `gradients`: nothing, the
                gradients of the loss (without weight decay), or their absolute values.
            before_step: see `BeforeStep`; it may call `rewire`.

        Raises:
            SpecError: the module cannot train on what the batch size leaves for the last minibatch.
            ValueError: the schedule has not so many epochs left.
        """
        if self.epochs_done + epochs > self._total_epochs:
            raise ValueError(
                f"expected at most {self._total_epochs - self.epochs_done} more epochs of the {self._total_epochs} in"
                f" all, got {epochs}; give a larger total_epochs"
            )
        examples, labels = self._tensor(x, np.float32), self._targets(y)
        for epoch in range(epochs):
            wanted = gradients != "none" and epoch == epochs - 1
            self._gradients = [torch.zeros_like(stack.values) for stack in self._layers] if wanted else None
            self._train_epoch(examples, labels, gradients == "absolute", before_step)

    @configured()
    def cut(self, connections: Sequence[Connections], freeze: bool = False, kernel: KernelName | None = None) -> None:
        """Remove connections; training goes on under those that stay, from the values and moments that they have.

        Args:
            connections: for each network, the weights that stay, among those that exist.
            freeze: removed weights go on contributing their initial value, never trained, instead of being zero; the
                kernel must be dense, and stays it.
            kernel: which kernel goes on; by default that of the training.

        Raises:
            ValueError: a connection does not exist, or the kernel cannot freeze.
        """
        expect_connections(self.network, connections, len(self))
        expect_within(self.network, self._connections, connections)
        frozen = freeze or any(stack.frozen is not None for stack in self._layers)
        if frozen and (self.kernel != "dense" or kernel not in (None, "dense")):
            raise ValueError(
                f"expected the dense kernel where removed weights are frozen, got {self.kernel}, then {kernel}"
            )
        kernel = kernel or self._choose(connections)
        if frozen or self.kernel == kernel == "dense":
            self._cut_in_place(connections, freeze)
        else:
            self._move(kernel, connections)

    @configured()
    def rewire(self, connections: Sequence[Connections], grown: Grown) -> None:
        """Change which weights exist; those that stay keep their values and moments.

        Args:
            connections: for each network, the weights that exist from now on.
            grown: those of them that begin anew, with these values and without moments. All others must exist already.

        Raises:
            ValueError: a connection neither exists nor begins anew.
        """
        expect_connections(self.network, connections, len(self))
        after = [
            [every if every is None else np.setdiff1d(every, new, assume_unique=True) for every, (new, _) in zip(own, fresh)]
            for own, fresh in zip(connections, grown, strict=True)
        ]
        expect_within(self.network, self._connections, after, "name those that begin anew as grown")
        if self.kernel == "dense":
            self._cut_in_place(connections, freeze=False, grown=grown)
        else:
            self._move(self.kernel, connections, grown)

    @configured()
    def load(self, number: int, state: Mapping[str, np.ndarray]) -> None:
        """Give one network the values of its existing weights, its other parameters and its buffers.

        Args:
            number: which network.
            state: as `state` returns it, of a network of the same architecture.
        """
        existing = {layer.parameter: own for layer, own in zip(self.network.layers, self._connections[number])}
        for name, stack in self._kernel.stacks.items():
            indices = existing.get(name)
            values = state[name].reshape(-1)
            if indices is None and not isinstance(stack, Stack):
                indices = np.arange(len(values))
            stack.write(stack.values, number, indices, values if indices is None else values[indices])
        for name, buffer in self._kernel.buffers(number).items():
            buffer.copy_(torch.from_numpy(np.asarray(state[name])))

    @configured()
    def evaluate(self, x: np.ndarray, y: np.ndarray) -> Evaluation:
        """Return accuracy and loss of each network.

        Args:
            x: (n, *input_shape) examples.
            y: (n,) their classes, or (n, outputs) values where the loss is a squared error.
        """
        examples, labels = self._tensor(x, np.float32), self._targets(y)
        starts = range(0, len(examples), _CHUNK)
        chunks = ((self._chunk(examples, start), labels[start : start + _CHUNK]) for start in starts)
        return judged(chunks, self._training.loss)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the (population,) float64 accuracies; see `evaluate`."""
        return self.evaluate(x, y).accuracy

    def loss(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the (population,) float64 mean losses; see `evaluate`."""
        return self.evaluate(x, y).loss

    @configured()
    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the (population, n, classes) float32 logits of (n, *input_shape) examples."""
        examples = self._tensor(x, np.float32)
        chunks = [self._chunk(examples, start) for start in range(0, len(examples), _CHUNK)]
        return torch.cat(chunks, dim=1).cpu().numpy()

    def connections(self, number: int) -> Connections:
        """Return the weights of a network that exist now, layer by layer."""
        return self._connections[number]

    def weights(self, layer: int, number: int) -> np.ndarray:
        """Return a copy of the weights of a network's existing connections, those that are frozen not among them.

        Args:
            layer: index of the layer.
            number: which network.

        Returns:
            (connections,) float32, in the order of their flat indices; (size,) where all exist.
        """
        stack = self._layers[layer]
        return stack.read(stack.values, number)

    @configured()
    def initial_weights(self, layer: int, number: int) -> np.ndarray:
        """Return the values that existing connections began with, drawn once more from the seed (see `weights`)."""
        first, now = self._initial_connections[number][layer], self._connections[number][layer]
        seed = self._seeds[number].weights
        ((_, values),) = initial_weights(self.network, layer, [first], [seed], self._initialisation)
        if now is None:
            return values
        return values[now if first is None else np.searchsorted(first, now)]

    def gradients(self, layer: int, number: int) -> np.ndarray:
        """Return the gradients of existing connections, summed as the last `train` was told (see `weights`).

        Raises:
            ValueError: it was not told to.
        """
        if self._gradients is None:
            raise ValueError("no gradients were accumulated: call train(..., gradients='signed') or 'absolute' before")
        return self._layers[layer].read(self._gradients[layer], number)

    def state(self, number: int) -> dict[str, np.ndarray]:
        """Return one network's parameters and buffers, as the state dict of `Network.module`.

        Args:
            number: which network.
        """
        stacks = {name: stack.expand(stack.current(), number) for name, stack in self._kernel.stacks.items()}
        return {name: _numpy(value) for name, value in {**stacks, **self._kernel.buffers(number)}.items()}

    def _choose(self, connections: Sequence[Connections]) -> KernelName:
        """Return the kernel of the training, or what its ``auto`` stands for with these connections."""
        if self._training.kernel != "auto" or self._training.max_norm is not None:
            return "dense" if self._training.max_norm is not None else self._training.kernel
        layers = self.network.layers
        most = max(
            sum(layer.size if own is None else len(own) for layer, own in zip(layers, every, strict=True))
            for every in connections
        )
        # As if spread evenly: where budgets are of the whole network, each mask has other counts in its layers, and which
        # kernel trains one, and with it the last bits, must not depend on the masks beside it.
        size = sum(layer.size for layer in layers)
        counts = [math.ceil(layer.size * most / size) for layer in layers]
        return choose_kernel(self.network, counts, self._training.precision, self._device)

    def _use(self, kernel: KernelName, connections: Sequence[Connections], fill: Fill) -> None:
        """Begin to train with a new kernel."""
        made: Kernel = make_kernel(
            kernel, self.network, connections, self._seeds, fill, self._dropout, self._training.precision, self._device,
            self._activations, self._training.loss,
        )  # fmt: skip
        # Only now, so that a kernel that is refused leaves everything as it was.
        self.kernel, self._kernel, self._connections = kernel, made, list(connections)
        self._layers = [self._kernel.stacks[layer.parameter] for layer in self.network.layers]
        self._optimizer = make_optimizer(self._training, [stack.values for stack in self._kernel.stacks.values()])
        self._gradients: list[torch.Tensor] | None = None

    def _cut_in_place(self, connections: Sequence[Connections], freeze: bool, grown: Grown | None = None) -> None:
        masks = [stack.masked([own[index] for own in connections]) for index, stack in enumerate(self._layers)]
        for index, (stack, mask) in enumerate(zip(self._layers, masks, strict=True)):
            if freeze:
                stack.freeze(self._initial(index), stack.mask & ~mask)
            stack.mask = mask
            for tensor in (stack.values, stack.values.grad, *self._optimizer.state[stack.values].values()):
                if isinstance(tensor, torch.Tensor) and tensor.shape == stack.values.shape:
                    stack.clear(tensor)
                    for number, own in enumerate(grown or ()):
                        indices, values = own[index]
                        new = values if tensor is stack.values else np.zeros(len(indices), np.float32)
                        stack.write(tensor, number, indices, new)
        self._connections = list(connections)

    def _move(self, kernel: KernelName, connections: Sequence[Connections], grown: Grown | None = None) -> None:
        """Go on with another kernel, or with other connections in one that cannot be changed in place."""
        optimizer, move = self._optimizer, Move(self.network, self._kernel.stacks, connections, grown)
        self._use(kernel, connections, partial(move.fill, device=self._device))
        move.carry(optimizer, self._optimizer, self._kernel.stacks)

    def _train_epoch(
        self, x: torch.Tensor, y: torch.Tensor, absolute: bool, before_step: BeforeStep | None
    ) -> None:
        order, batch = self._order(len(x), self.epochs_done), self._training.batch
        starts = range(0, len(x), batch)
        for number, start in enumerate(starts):
            rows = order[..., start : start + batch]
            if before_step is not None and before_step(partial(minibatch, x, y, rows)):
                self.steps += 1
                continue
            self._backward(x, y, rows, self.steps)
            for total, stack in zip(self._gradients or (), self._layers):
                total += stack.values.grad.abs() if absolute else stack.values.grad
            self._update(self.epochs_done + number / len(starts))
        self.epochs_done += 1

    def _backward(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> None:
        """Set the gradient of every parameter on a minibatch, zero where no weight exists."""
        if self._training.input_dropout:
            noise = only_if_equal([seed.noise for seed in self._seeds])
            x, y, rows = drop_inputs(x, y, rows, noise, self._training.input_dropout, step)
        self._kernel.backward(x, y, rows, step)
        for stack in self._layers:
            stack.clear(stack.values.grad)

    def _update(self, epochs: float, factor: float = 1.0) -> None:
        """Let the optimizer step, at so many times the learning rate that it has after so many epochs."""
        share = self._training.schedule.share(epochs, self._total_epochs)
        set_learning_rate(self._optimizer, self._training.learning_rate * share * factor)
        if self._training.unscaled_decay:
            for stack in self._kernel.stacks.values():
                stack.values.detach().mul_(1 - self._training.unscaled_decay)
        self._optimizer.step()
        if self._training.max_norm is not None:
            for stack in self._layers:
                stack.limit(self._training.max_norm)
        self.steps += 1

    def _order(self, examples: int, epoch: int) -> torch.Tensor:
        """Return an epoch's permutation of the examples, (n,) or one for each network."""
        seeds = only_if_equal([seed.order for seed in self._seeds])
        drawn = {seed: generator(seed, Purpose.ORDER, epoch).permutation(examples) for seed in set(seeds)}
        order = np.stack([drawn[seed] for seed in seeds])
        return torch.from_numpy(order[0] if len(seeds) == 1 else order).to(self._device)

    def _chunk(self, examples: torch.Tensor, start: int) -> torch.Tensor:
        # Cloned into memory of its own: last bits depend on how the caller's array is aligned.
        return self._kernel.logits(examples[start : start + _CHUNK].clone())

    def _initial(self, layer: int) -> torch.Tensor:
        """Return the initial values of a layer in a tensor like its stack's values, on the CPU."""
        connections = [own[layer] for own in self._initial_connections]
        seeds = [seed.weights for seed in self._seeds]
        stack = self._layers[layer].empty()
        for number, values in initial_weights(self.network, layer, connections, seeds, self._initialisation):
            stack.put(number, connections[number], values)
        return stack.values

    def _targets(self, y: np.ndarray) -> torch.Tensor:
        return self._tensor(y, np.float32 if np.asarray(y).dtype.kind == "f" else np.int64)

    def _tensor(self, array: np.ndarray, dtype: type[np.generic]) -> torch.Tensor:
        with warnings.catch_warnings():
            # Data sets are read-only arrays, and are not written to here.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(array, dtype)).to(self._device)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().clone().numpy()
