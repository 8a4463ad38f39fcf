"""Which kernel trains a population: the rule, fixed and written down, and how each kernel is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch

from evosparse.errors import SpecError
from evosparse.nets.architectures import Connections, MultilayerPerceptron, Network
from evosparse.nets.augmented import AugmentedKernel, AugmentedNetwork
from evosparse.nets.csr import TorchProducts
from evosparse.nets.functional import ModuleKernel
from evosparse.nets.kernel import Fill, Kernel, padded
from evosparse.nets.losses import LossName
from evosparse.nets.packed import PackedKernel
from evosparse.nets.perceptron import PerceptronKernel
from evosparse.nets.randomness import Seeds
from evosparse.nets.slots import Activations

KernelName = Literal["dense", "packed", "csr"]
"""``dense``: masked dense tensors, on any device; ``packed``: existing weights alone, in compiled loops on the CPU;
``csr``: the same with torch's own sparse products, on any device."""

Precision = Literal["float32", "bfloat16"]

_SHARE, _SHARE_OF_MODULES = 0.4, 0.8


def choose_kernel(network: Network, counts: Sequence[int], precision: Precision, device: torch.device) -> KernelName:
    """Return the kernel that ``auto`` stands for.

    ``packed``, if the network is a chain of known steps (see `plan.plan_of`), the device is a CPU, and the existing
    weights need few of the multiply-adds that the dense kernel does for each example: of a perceptron, whose widths it
    rounds up to 32, at most 40 %; of other networks, which it trains one after the other, at most 80 %. Otherwise
    ``dense``. The shares are where both were measured equally fast.

    Args:
        network: the architecture.
        counts: existing weights of each layer, in the densest network that will be trained.
        precision: of the training; ``dense`` alone knows another than float32.
        device: where.
    """
    expect_precision(precision, device)
    if network.plan is None or device.type != "cpu" or precision != "float32":
        return "dense"
    sparse = sum(count * positions for count, positions in zip(counts, network.positions, strict=True))
    if isinstance(network, MultilayerPerceptron):
        dense = sum(padded(layer.shape[0]) * padded(layer.shape[1]) for layer in network.layers)
        return "packed" if sparse <= _SHARE * dense else "dense"
    dense = sum(layer.size * positions for layer, positions in zip(network.layers, network.positions, strict=True))
    return "packed" if sparse <= _SHARE_OF_MODULES * dense else "dense"


def make_kernel(
    name: KernelName,
    network: Network,
    connections: Sequence[Connections],
    seeds: Sequence[Seeds],
    fill: Fill,
    dropout: float,
    precision: Precision,
    device: torch.device,
    activations: Activations | None = None,
    loss: LossName = "cross_entropy",
) -> Kernel:
    """Make a kernel.

    Args:
        name: which one.
        network: the architecture.
        connections: of each network.
        seeds: of each network.
        fill: gives the stacks their values.
        dropout: probability of dropping an activation.
        precision: in which the dense kernel multiplies.
        device: where to compute.
        activations: of each network, which the dense kernel alone can have.
        loss: what training minimises.

    Raises:
        SpecError: the kernel cannot train this network, or not on this device.
    """
    expect_fitting(name, precision, network, device)
    if name == "dense":
        low = precision == "bfloat16"
        if isinstance(network, MultilayerPerceptron):
            return PerceptronKernel(network, connections, seeds, fill, dropout, low, activations, loss)
        if isinstance(network, AugmentedNetwork):
            return AugmentedKernel(network, connections, seeds, fill, dropout, low, loss)
        return ModuleKernel(network, connections, seeds, fill, dropout, low, device, activations, loss)
    if activations is not None:
        raise SpecError(f"training.kernel: {name} gives all networks the same activation; use dense")
    if name == "csr":
        return PackedKernel(network, connections, seeds, fill, dropout, partial(TorchProducts, device=device), loss)
    from evosparse.nets.fused import FusedProducts  # importing numba takes half a second

    return PackedKernel(network, connections, seeds, fill, dropout, FusedProducts, loss)


def expect_fitting(name: KernelName, precision: Precision, network: Network, device: torch.device) -> None:
    """Refuse a kernel that cannot train a network.

    Raises:
        SpecError: it cannot, on this device or at this precision.
    """
    expect_precision(precision, device)
    if name != "dense" and precision != "float32":
        raise SpecError(f"training.precision: {precision} is of the dense kernel alone; use kernel dense, or float32")
    if name == "packed" and device.type != "cpu":
        raise SpecError(f"training.kernel: packed computes on a CPU, not on {device}; use dense, csr or auto")
    if name == "csr" and not isinstance(network, MultilayerPerceptron):
        raise SpecError("training.kernel: csr trains multilayer perceptrons alone; use packed, dense or auto")
    if name != "dense" and network.plan is None:
        raise SpecError(
            f"training.kernel: {name} trains nn.Sequential modules of linear and convolutional layers, activations,"
            " pooling, dropout and flattening alone; use dense or auto"
        )


def expect_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision in which this machine would be slower than in float32.

    Raises:
        SpecError: it would.
    """
    if precision == "bfloat16" and device.type == "cpu":
        if not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
            raise SpecError(
                "training.precision: bfloat16 needs a GPU, or a processor with AMX or AVX-512 BF16, and this one has"
                " neither; use float32"
            )
