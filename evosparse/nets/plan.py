"""A network as a chain of steps, for the kernels that store existing weights alone and therefore must know every step."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.utils import parametrize

from evosparse.errors import SpecError
from evosparse.nets.geometry import Geometry, convolution, linear
from evosparse.nets.slots import Slot

_ELEMENTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
    nn.Tanh, nn.Tanhshrink,
)  # fmt: skip
_POOLING = {  # and over how many dimensions
    nn.AdaptiveAvgPool1d: 1, nn.AdaptiveAvgPool2d: 2, nn.AdaptiveAvgPool3d: 3,
    nn.AvgPool1d: 1, nn.AvgPool2d: 2, nn.AvgPool3d: 3,
    nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3,
}  # fmt: skip
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Weighted:
    """A linear or convolutional layer.

    Args:
        name: in the module.
        geometry: where its weights read the input.
        bias: whether it has one.
        rectified: whether a ReLU follows, which the layer then does itself.
    """

    name: str
    geometry: Geometry
    bias: bool
    rectified: bool = False


@dataclass(frozen=True, eq=False)
class Elementwise:
    """An activation: a module that treats every number alike."""

    module: nn.Module


@dataclass(frozen=True, eq=False)
class Pooling:
    """A module that pools positions within a channel.

    Args:
        module: torch's.
        input_shape, output_shape: (channels, *extent) of an example.
    """

    module: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dropout:
    """A place where single activations may be dropped.

    Args:
        probability: the module's own.
        shape: of an example.
    """

    probability: float
    shape: tuple[int, ...]


Step = Weighted | Elementwise | Pooling | Dropout


def perceptron_plan(widths: Sequence[int], activations: Sequence[nn.Module]) -> tuple[Step, ...]:
    """Return the steps of a multilayer perceptron, without building its dense weights.

    Args:
        widths: (layers + 1,) units of the input, the hidden layers and the output.
        activations: (hidden layers,) of each.
    """
    steps: list[Step] = []
    for number, (inputs, outputs) in enumerate(zip(widths[:-2], widths[1:-1], strict=True), start=1):
        layer = Weighted(f"hidden{number}", linear(inputs, outputs), True)
        steps += [layer, Elementwise(activations[number - 1]), Dropout(0.0, (outputs,))]
    return _rectified([*steps, Weighted("output", linear(widths[-2], widths[-1]), True)])


def plan_of(module: nn.Module, input_shape: Sequence[int]) -> tuple[Step, ...] | None:
    """Return the steps of a module that is an `nn.Sequential` of known parts, however nested; None for any other.

    Args:
        module: the module; it has been seen to take a batch of examples.
        input_shape: of one example.
    """
    parts = leaves(module)
    if parts is None or any(True for _ in module.buffers()):
        return None
    # Nothing may stand twice, neither a part nor a parameter: each place has its own values here.
    things = [id(thing) for _, part in parts for thing in (part, *part.parameters())]
    if len(set(things)) < len(things):
        return None
    steps: list[Step] = []
    shape: tuple[int, ...] = tuple(input_shape)
    for name, part in parts:
        made = part(torch.zeros(1, *shape))
        if not isinstance(made, torch.Tensor):
            return None
        output = tuple(made.shape[1:])
        if type(part) not in (nn.Flatten, nn.Unflatten):
            step = _step(name, part, shape, output)
            if step is None:
                return None
            steps.append(step)
        # Positions must stay in their order, which flattening the minibatch into them would not leave them in.
        elif math.prod(output) != math.prod(shape):
            return None
        shape = output
    return _rectified(steps)


def _rectified(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Join each layer with the ReLU behind it: applied row by row it costs next to nothing."""
    joined: list[Step] = []
    for step in steps:
        follows = isinstance(step, Elementwise) and type(step.module) is nn.ReLU
        if follows and joined and isinstance(joined[-1], Weighted) and not joined[-1].rectified:
            joined[-1] = replace(joined[-1], rectified=True)
        else:
            joined.append(step)
    return tuple(joined)


def leaves(module: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]] | None:
    """Return the parts of an `nn.Sequential`, however nested, by name and in order; None for any other module."""
    # Exactly these classes, as torch made them: a derived one may do something else.
    if type(module) is not nn.Sequential or _is_changed(module):
        return None
    found: list[tuple[str, nn.Module]] = []
    # Not named_children: of a part that stands twice it tells one.
    for name, part in module._modules.items():
        inner = leaves(part, f"{prefix}{name}.") if isinstance(part, nn.Sequential) else [(prefix + name, part)]
        if inner is None or _is_changed(part):
            return None
        found += inner
    return found


def _is_changed(module: nn.Module) -> bool:
    """Whether somebody has hung a hook on a module, or put another method in place of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or "forward" in vars(module) or parametrize.is_parametrized(module)


def _step(name: str, part: nn.Module, shape: tuple[int, ...], output: tuple[int, ...]) -> Step | None:
    """Return a part's step, or None for one that is not known or not trained."""
    if any(not parameter.requires_grad for parameter in part.parameters()):
        return None
    if type(part) is nn.Linear and len(shape) == 1:
        return Weighted(name, linear(part.in_features, part.out_features), part.bias is not None)
    if type(part) in _CONVOLUTIONS:
        geometry = convolution(part, shape)
        return None if geometry is None else Weighted(name, geometry, part.bias is not None)
    part = part.function if type(part) is Slot else part
    if type(part) in _ELEMENTWISE:
        own = copy.copy(part)
        own.inplace = False  # blocks of networks share their inputs
        return Elementwise(own)
    if type(part) is nn.Dropout:
        return Dropout(part.p, shape)
    dimensions = _POOLING.get(type(part))
    if dimensions == len(shape) - 1 and not getattr(part, "return_indices", False):
        return Pooling(part, shape, output)
    return None


def expect_places_for_dropout(places: Sequence[object], probability: float) -> None:
    """Refuse dropout where a network has no dropout layers.

    Raises:
        SpecError: it has none.
    """
    if not places:
        raise SpecError(
            f"training.dropout: expected a network with dropout layers for a dropout of {probability}, but this one has"
            " none; put nn.Dropout() into the module where activations shall be dropped"
        )


def positions(plan: Sequence[Step]) -> int:
    """Return how many numbers the steps make of one example, all in all."""
    sizes = [step.geometry.output_size for step in plan if isinstance(step, Weighted)]
    return 2 * sum(sizes) + sum(math.prod(step.output_shape) for step in plan if isinstance(step, Pooling))
