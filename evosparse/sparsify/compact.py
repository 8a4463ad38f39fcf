"""A sparse network as a smaller dense one: without the units that nothing is told by, or that are told nothing.

Its outputs are those of the masked network to the rounding of its products.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from evosparse.errors import SpecError
from evosparse.nets import Connections, Network, configured
from evosparse.nets.plan import leaves
from evosparse.nets.slots import Slot
from evosparse.sparsify.units import Units, expect_chain, heard, inputs_of_unit, without

State = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Compact:
    """A smaller dense network.

    Args:
        module: in evaluation mode, an nn.Sequential without dropout layers.
        units: for each hidden layer, which of its units are left.
    """

    module: nn.Sequential
    units: Sequence[Units]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units, or channels, of each hidden layer."""
        return tuple(int(own.sum()) for own in self.units)

    def to_python(self, tensors: str) -> str:
        """Return source that builds the module from torch's own parts.

        Args:
            tensors: name of the file of its parameters, which the source looks for beside itself.
        """
        parts = "\n".join(f"            {name}=nn.{part!r}," for name, part in self.module.named_children())
        return _SOURCE.format(parts=parts, tensors=tensors)


@configured()
def compact(network: Network, connections: Connections, state: State) -> Compact:
    """Return the smaller network that answers as a masked one does.

    Units that nothing reads are removed. A unit without incoming weights says the same of every example: what it says is
    added to the biases of the next layer, where that is the same at all positions, and the unit is removed too.

    Args:
        network: the architecture, a chain of layers.
        connections: the weights that exist; None for all of a layer.
        state: parameters by name, removed weights as zeros.

    Raises:
        SpecError: it is not known which layer reads which units.
    """
    if network.plan is None:
        raise SpecError(
            "compact: expected a chain of layers (nn.Sequential of known parts), in which each reads the last, got a module of"
            " another form; export its tensors and masks instead"
        )
    expect_chain(network, "compact")
    layers, state = network.layers, {name: np.array(value) for name, value in state.items()}
    left: list[np.ndarray] = [
        np.arange(layer.size) if own is None else np.asarray(own)
        for layer, own in zip(layers, connections, strict=True)
    ]
    units = [np.ones(layer.shape[0], bool) for layer in layers[:-1]]
    while True:
        folded = _fold(network, left, state, units)
        silent = [own & ~told for own, told in zip(units, heard(layers, left), strict=True)]
        if not folded and not any(own.any() for own in silent):
            break
        units = [own & ~gone for own, gone in zip(units, silent, strict=True)]
        left = without(layers, left, [~own for own in units])
    # A layer of no units is no layer: one stays that says nothing.
    for own in units:
        own[0] |= not own.any()
    return Compact(_smaller(network, state, units), units)


def _fold(network: Network, left: list[np.ndarray], state: dict[str, np.ndarray], units: list[Units]) -> bool:
    """Add to biases what units without incoming weights say, and take their outgoing weights; whether there were any."""
    layers, module = network.layers, network.module().eval()
    told: dict[str, torch.Tensor] = {}
    for index, layer in enumerate(layers[:-1]):
        constant = units[index].copy()
        constant[np.unique(left[index] // layer.fan_in)] = False
        after = layers[index + 1]
        places = inputs_of_unit(after, layer.shape[0])
        own = left[index + 1]
        concerned = constant[own % after.fan_in // places]
        if not concerned.any():
            continue
        reader = module.get_submodule(after.name)
        hook = reader.register_forward_pre_hook(lambda _, inputs, name=after.name: told.__setitem__(name, inputs[0]))
        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        with torch.no_grad():
            functional_call(module, tensors, (torch.zeros(1, *network.input_shape),))
            hook.remove()
            said = told[after.name].clone()
            kept = torch.from_numpy(np.repeat(constant, said[0].numel() // len(constant))).view(said[0].shape)
            said = (said * kept).double()
            weight = torch.zeros(after.size, dtype=torch.float64)
            weight[own] = torch.from_numpy(state[after.parameter].reshape(-1)[own]).double()
            weight = weight.view(after.shape)
            if isinstance(reader, nn.Linear):
                sums = nn.functional.linear(said, weight)[0, :, None]
            else:
                sums = reader._conv_forward(said, weight, None)[0].flatten(1)
        if not torch.equal(sums, sums[:, :1].expand_as(sums)):
            continue  # padding: at the border it says something else
        bias = f"{after.name}.bias"
        state[bias] = (state.get(bias, np.zeros(after.shape[0], np.float32)) + sums[:, 0].numpy()).astype(np.float32)
        flat = state[after.parameter].reshape(-1)
        flat[own[concerned]] = 0
        left[index + 1] = own[~concerned]
        return True
    return False


def _smaller(network: Network, state: State, units: Sequence[Units]) -> nn.Sequential:
    """Build the module of the units that are left."""
    places = {layer.name: index for index, layer in enumerate(network.layers)}
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, part in leaves(network.module()):
        if isinstance(part, nn.Dropout):
            continue
        if name in places:
            part = _part(part, network, places[name], state, units)
        elif isinstance(part, Slot):
            part = part.function
        own = name.replace(".", "_")
        parts[own if own.isidentifier() else f"part_{own}"] = copy.deepcopy(part)
    return nn.Sequential(parts).eval()


def _part(part: nn.Module, network: Network, index: int, state: State, units: Sequence[Units]) -> nn.Module:
    """Return a layer with the rows and columns of units that are left."""
    layer = network.layers[index]
    weight = state[layer.parameter]
    if index < len(units):
        weight = weight[units[index]]
    if index:
        columns = np.repeat(
            units[index - 1], inputs_of_unit(layer, len(units[index - 1])) // int(np.prod(layer.shape[2:]))
        )
        weight = weight[:, columns]
    bias = state.get(f"{layer.name}.bias")
    if isinstance(part, nn.Linear):
        smaller: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    else:
        smaller = type(part)(
            weight.shape[1], weight.shape[0], part.kernel_size, part.stride, part.padding, part.dilation,
            bias=bias is not None, padding_mode=part.padding_mode,
        )  # fmt: skip
    with torch.no_grad():
        smaller.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if bias is not None:
            smaller.bias.copy_(torch.from_numpy(bias if index >= len(units) else bias[units[index]]))
    return smaller


_SOURCE = '''"""A network that evosparse made smaller: network() returns it with its parameters, in evaluation mode."""

from collections import OrderedDict
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

TENSORS = Path(__file__).with_name("{tensors}")


def build() -> nn.Sequential:
    """Build the module; its values are torch's own."""
    return nn.Sequential(
        OrderedDict(
{parts}
        )
    )


def network() -> nn.Sequential:
    """Return the module with its parameters."""
    module = build()
    module.load_state_dict(load_file(TENSORS))
    return module.eval()
'''
