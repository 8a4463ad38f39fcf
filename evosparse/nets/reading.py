"""What the layers of a network read: how large the inputs of each weight are for given examples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from evosparse.errors import SpecError
from evosparse.nets.architectures import Network
from evosparse.nets.device import configured

_CHUNK = 512


@configured()
def mean_inputs(network: Network, state: Mapping[str, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Return, for each layer, the mean over examples of the magnitude that each of a unit's weights reads.

    Of a convolution the sum over its positions. With dropout off.

    Args:
        network: the architecture.
        state: parameters and buffers by name, removed weights as zeros.
        x: (n, *input_shape) examples.

    Returns:
        For each layer, (fan_in,) float32; the same for all units of the layer.

    Raises:
        SpecError: a convolution is grouped or of other than two dimensions.
    """
    module = network.module().eval()
    totals: dict[str, torch.Tensor] = {}

    def read(name: str, part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        own = inputs[0].detach().abs()
        if isinstance(part, nn.Conv2d):
            if part.groups != 1 or isinstance(part.padding, str) or part.padding_mode != "zeros":
                raise SpecError(
                    f"layer {name}: expected a convolution without groups, padded with zeros; take another method"
                )
            patches = functional.unfold(own, part.kernel_size, part.dilation, part.padding, part.stride)
            own = patches.sum(dim=2)
        elif not isinstance(part, nn.Linear):
            raise SpecError(
                f"layer {name}: expected a linear layer or a convolution over images, got {type(part).__name__}; take another method"
            )
        total = own.flatten(0, -2).sum(dim=0)
        totals[name] = totals[name] + total if name in totals else total

    hooks = [
        module.get_submodule(layer.name).register_forward_pre_hook(partial(read, layer.name))
        for layer in network.layers
    ]
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    with torch.no_grad():
        for start in range(0, len(x), _CHUNK):
            functional_call(module, tensors, (torch.from_numpy(np.array(x[start : start + _CHUNK])),))
    for hook in hooks:
        hook.remove()
    return [(totals[layer.name] / len(x)).numpy() for layer in network.layers]
