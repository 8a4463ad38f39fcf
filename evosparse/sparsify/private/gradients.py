"""Gradients of single examples by the parts of a network, for any module: vmap of grad of functional_call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from evosparse.errors import SpecError
from evosparse.nets import Network
from evosparse.nets.losses import LossName, each_loss
from evosparse.sparsify.private.carriers import Carriers
from evosparse.sparsify.private.outer import Outer, PerSample, Whole

Parts = Mapping[str, Carriers | torch.Tensor]
"""By name of the parameter, its carriers; or its values, if its own gradient is wanted."""

LEFT, RIGHT = "|left", "|right"  # no module's parameter has a bar in its name
_Found = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
_NUMBERS = 2**23
"""Numbers that the gradients of examples have together at most; those of more examples are had one after another."""


def expect_separable(module: nn.Module) -> None:
    """Refuse a module in which what an example does depends on others.

    Raises:
        SpecError: it normalises over minibatches, or keeps running statistics.
    """
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) or (isinstance(part, _NormBase) and part.track_running_stats):
            raise SpecError(
                f"expected a network whose examples do not depend on each other, got {type(part).__name__} at {name!r}:"
                " with statistics of minibatches a single example has no gradient to bound; use nn.GroupNorm or"
                " nn.LayerNorm"
            )


class PerSampleGradients:
    """One network, as what gives gradients of single examples.

    In a chain of known layers, those by a linear layer's weights are outer products of its inputs and of the gradient
    by its outputs, and the gradient by L is had without the one by W: the layer answers rest x + L (R x). Elsewhere
    weights are put together first, which gives the same and takes more memory.

    Args:
        network: the architecture.
        module: of its own, in training mode; it gets hooks.
        constants: buffers and parameters that are not trained.
        loss: of which gradients are taken.
        dropout: probability for the module's dropout layers; 0 leaves them as they are.

    Raises:
        SpecError: examples depend on each other (see `expect_separable`).
    """

    def __init__(
        self,
        network: Network,
        module: nn.Module,
        constants: Mapping[str, torch.Tensor],
        loss: LossName,
        dropout: float = 0.0,
    ) -> None:
        expect_separable(module)
        self._module, self._constants = module.train(), dict(constants)
        self._loss, self._classes = loss, network.classes
        self._random = False
        for part in module.modules():
            if isinstance(part, _DropoutNd):
                part.p = dropout or part.p
                self._random |= part.p > 0
        self._linear: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._shifts: dict[str, torch.Tensor] = {}
        self._inputs: dict[str, torch.Tensor] = {}
        self._hooked, self._once = set(), set()
        for layer, positions in zip(network.layers, network.positions, strict=True):
            part = module.get_submodule(layer.name)
            if network.plan is not None and type(part) is nn.Linear:
                self._hooked.add(layer.parameter)
                if positions == 1:
                    self._once.add(layer.parameter)
                part.register_forward_hook(self._adding(layer.parameter))

    def chunks(
        self, parts: Parts, both: bool, x: torch.Tensor, y: torch.Tensor, seed: int
    ) -> Iterator[dict[str, PerSample]]:
        """Yield gradients of some examples after others.

        Args:
            parts: of the parameters.
            both: of carriers also the right ones' gradients.
            x: (batch, *input_shape) examples; there may be none.
            y: (batch,) classes or (batch, outputs) values.
            seed: of dropout, which is drawn for each example by itself.

        Yields:
            By part: of carriers under the parameter's name with ``|left`` and ``|right``.

        Raises:
            SpecError: the module does what cannot be done for many examples apart.
        """
        # Of an outer product the gradient by the outputs is asked for, as that by a shift of them.
        variables = {
            name: part.new_zeros(len(part)) if name in self._once else part
            for name, part in trained(parts, both).items()
        }
        if self._loss != "cross_entropy" and not y.is_floating_point():
            y = functional.one_hot(y, self._classes).float()
        each = vmap(grad(self._function(parts), has_aux=True), in_dims=(None, 0, 0), randomness="different")
        size = max(1, _NUMBERS // sum(self._numbers(name, part, both) for name, part in parts.items()))
        with torch.random.fork_rng(devices=[], enabled=self._random):
            if self._random:
                torch.default_generator.manual_seed(seed)
            for start in range(0, len(x), size):
                found, inputs = _apart(each, variables, x[start : start + size], y[start : start + size])
                yield {
                    name: Outer(own, inputs[name]) if name in inputs else Whole(own) for name, own in found.items()
                }

    def _function(self, parts: Parts) -> Callable[..., tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """Return the loss of one example, and inputs of layers, as a function of the parts that have gradients."""

        def loss(
            variables: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            values = dict(self._constants)
            for name, part in parts.items():
                if not isinstance(part, Carriers):
                    values[name] = variables[name]
                    if name in self._once:
                        values[name], self._shifts[name] = part, variables[name]
                    continue
                left, right = variables[name + LEFT], variables.get(name + RIGHT, part.right)
                if name in self._hooked:
                    values[name], self._linear[name] = part.rest, (left, right)
                else:
                    shape = self._module.get_parameter(name).shape
                    values[name] = (part.rest + left @ right).view(shape)
            outputs = functional_call(self._module, values, (x[None],))
            inputs, self._inputs, self._shifts, self._linear = self._inputs, {}, {}, {}
            return each_loss(self._loss, outputs[None], y[None])[0, 0], inputs

        return loss

    def _adding(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor | None]:
        def hook(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            if name in self._shifts:
                self._inputs[name] = inputs[0].reshape(-1)
                return output + self._shifts[name]
            if name not in self._linear:
                return None
            left, right = self._linear[name]
            return output + functional.linear(functional.linear(inputs[0], right), left)

        return hook

    def _numbers(self, name: str, part: Carriers | torch.Tensor, both: bool) -> int:
        """Return how many numbers one example's gradient by a parameter takes on its way."""
        if not isinstance(part, Carriers):
            return sum(part.shape) if name in self._once else part.numel()
        carried = part.left.numel() + both * part.right.numel()
        return carried if name in self._hooked else carried + part.rest.numel()


def _apart(each: Callable[..., _Found], *arguments: object) -> _Found:
    try:
        return each(*arguments)
    except RuntimeError as error:
        if "vmap" not in str(error) and "transform" not in str(error):
            raise
        raise SpecError(
            "expected a network that torch.func.vmap can ask for one example's gradient, which it can not where a"
            f" module changes a buffer or looks at a number; mend the module: {error}"
        ) from error


def trained(parts: Parts, both: bool) -> dict[str, torch.Tensor]:
    """Return what of the parts has gradients, by the names that `PerSampleGradients.chunks` gives them."""
    variables: dict[str, torch.Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, Carriers):
            variables[name + LEFT] = part.left
            if both:
                variables[name + RIGHT] = part.right
        else:
            variables[name] = part
    return variables
