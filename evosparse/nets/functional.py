"""The general kernel, for any torch module: `torch.func.functional_call` for one network after another.

Not `vmap`: measured on a CPU, the loop is faster for convolutions (LeNet-5), and under `vmap` a network's last bits
depend on its place among the others wherever sizes are odd. One after another they cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from evosparse.errors import SpecError
from evosparse.nets.architectures import Connections, Network
from evosparse.nets.kernel import Fill, padded
from evosparse.nets.losses import LossName, total_loss
from evosparse.nets.plan import expect_places_for_dropout
from evosparse.nets.randomness import Purpose, Seeds, torch_seed
from evosparse.nets.slots import Activations, Slot
from evosparse.nets.stack import Stack


class ModuleKernel:
    """Networks as one module that is called with each network's own parameters and buffers.

    The module may hold anything, batch normalisation and dropout too; its buffers must be changed in place, as torch's
    own modules do. Each network's parameters are one slice of a stack, so that one optimizer step serves all networks.

    Args:
        network: the architecture.
        connections: of each network.
        seeds: of each network.
        fill: gives the stacks their values.
        dropout: probability for the module's dropout layers; 0 leaves them as they are.
        low_precision: multiply in bfloat16, by torch's autocast.
        device: where to compute.
        activations: of each network, for the module's slots.
        loss: what training minimises.

    Raises:
        SpecError: dropout is asked of a module without dropout layers.
    """

    def __init__(
        self,
        network: Network,
        connections: Sequence[Connections],
        seeds: Sequence[Seeds],
        fill: Fill,
        dropout: float,
        low_precision: bool,
        device: torch.device,
        activations: Activations | None = None,
        loss: LossName = "cross_entropy",
    ) -> None:
        self._loss = loss
        self._low_precision = torch.autocast(device.type, torch.bfloat16, enabled=low_precision)
        self._noise = [seed.noise for seed in seeds]
        shapes = {layer.parameter: layer.shape for layer in network.layers}
        self.stacks: dict[str, Stack] = {}
        for name, shape in (shapes | dict(network.unmasked)).items():
            size = math.prod(shape)
            self.stacks[name] = Stack(shape, (size,), (padded(size),), len(seeds), masked=name in shapes)
        fill(self.stacks)
        # Views, so that the optimizer moves them and gradients are written where it looks for them.
        values = {name: stack.window(stack.values.detach()) for name, stack in self.stacks.items()}
        gradients = {name: stack.window(stack.values.grad) for name, stack in self.stacks.items()}
        self._leaves = [
            {name: value[number].requires_grad_() for name, value in values.items()} for number in range(len(seeds))
        ]
        self._gradients = [[value[number] for value in gradients.values()] for number in range(len(seeds))]

        modules = {seed: network.module(seed) for seed in dict.fromkeys(own.weights for own in seeds)}
        self._buffers = [_constants(modules[seed.weights], self.stacks, device) for seed in seeds]
        self._module = modules[seeds[0].weights].to(device)
        _set_dropout(self._module, dropout)
        self._slots = [part for part in self._module.modules() if isinstance(part, Slot)]
        self._own = activations

    def backward(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> None:
        """Set the gradient of every stack (see `Kernel`).

        Raises:
            SpecError: the minibatch has one example and the module normalises over the minibatch.
        """
        self._module.train()
        if rows.shape[-1] == 1 and any(isinstance(part, _BatchNorm) for part in self._module.modules()):
            raise SpecError(
                "training.batch: the last minibatch of an epoch has a single example, which batch normalisation cannot"
                f" work with; choose a batch size that does not leave one of {len(x)} training examples"
            )
        with torch.random.fork_rng(devices=_cuda_indices(x.device)):
            for number, noise in enumerate(self._noise):
                # Gathered for each network apart: alike in memory for all, and a module may change its input in place.
                own = rows if rows.ndim == 1 else rows[number]
                _seed_torch(torch_seed(noise, Purpose.NOISE, step), x.device)
                leaves = self._leaves[number]
                loss = total_loss(self._loss, self._call(number, leaves, x[own], step)[None], y[own])
                gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
                for gradient, place in zip(gradients, self._gradients[number], strict=True):
                    place.copy_(gradient)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (population, batch, classes) logits of a batch (see `Kernel`)."""
        self._module.eval()
        with torch.no_grad():
            return torch.stack([self._call(number, leaves, x.clone(), None) for number, leaves in enumerate(self._leaves)])

    def buffers(self, number: int) -> Mapping[str, torch.Tensor]:
        """Return a network's buffers and untrained parameters (see `Kernel`)."""
        names = self._module.state_dict()
        return {name: value for name, value in self._buffers[number].items() if name in names}

    def _call(
        self, number: int, leaves: Mapping[str, torch.Tensor], x: torch.Tensor, step: int | None
    ) -> torch.Tensor:
        if self._own is not None:
            self._fill_slots(number, step)
        frozen = {name: stack.frozen for name, stack in self.stacks.items() if stack.frozen is not None}
        parts = {name: leaves[name] + self.stacks[name].window(frozen[name])[number] for name in frozen}
        with self._low_precision:
            out = functional_call(self._module, (dict(leaves) | parts, self._buffers[number]), (x,))
        return out.float()

    def _fill_slots(self, number: int, step: int | None) -> None:
        networks = slice(number, number + 1)
        for place, slot in enumerate(self._slots):
            slot.function = partial(_alone, self._own, place, networks, step)


def _alone(
    activations: Activations, place: int, networks: slice, step: int | None, x: torch.Tensor
) -> torch.Tensor:
    return activations.apply(place, x.contiguous()[None], networks, step)[0]


def _constants(module: nn.Module, trained: Mapping[str, object], device: torch.device) -> dict[str, torch.Tensor]:
    everything = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: value.detach().clone().to(device) for name, value in everything.items() if name not in trained}


def _set_dropout(module: nn.Module, probability: float) -> None:
    layers = [part for part in module.modules() if isinstance(part, _DropoutNd)]
    if probability:
        expect_places_for_dropout(layers, probability)
    for layer in layers if probability else ():
        layer.p = probability


def _seed_torch(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed: it asks for every kind of device, and takes a hundred times as long.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _cuda_indices(device: torch.device) -> list[int]:
    return [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
