"""The functions of a whole population as tensor operations, on any device, with any user's primitives.

Each distinct sub-expression is evaluated once for a slot, over all networks that share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from evosparse.activations.expression import Expression
from evosparse.activations.noise import MEAN_SLOPE, slopes
from evosparse.activations.primitives import RANDOM, PrimitiveSet
from evosparse.nets.kernel import only_if_equal


@dataclass(frozen=True)
class Part:
    """A sub-expression, and the networks that need it.

    Args:
        expression: what it is.
        rows: ascending numbers of the networks.
        gathers: for each argument, where these networks stand among those of the argument; None if they are the same.
    """

    expression: Expression
    rows: tuple[int, ...]
    gathers: tuple[tuple[int, ...] | None, ...]


def shared_parts(functions: Sequence[Expression]) -> list[Part]:
    """Return the distinct sub-expressions of functions, arguments before what they are arguments of.

    Args:
        functions: of each network.
    """
    rows: dict[Expression, list[int]] = {}
    for number, function in enumerate(functions):
        for part in function.parts():
            rows.setdefault(part, []).append(number)
    # Arguments are lower than what they are arguments of. The formula settles the rest: gradients are added in the
    # order of the parts, which must not depend on the other networks.
    ordered = sorted(rows.items(), key=lambda item: (_height(item[0]), str(item[0])))
    return [Part(part, tuple(own), _gathers(part, own, rows)) for part, own in ordered]


def _gathers(
    part: Expression, own: Sequence[int], rows: Mapping[Expression, Sequence[int]]
) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(
        None if rows[argument] == own else tuple(map(rows[argument].index, own)) for argument in part.arguments
    )


def _height(expression: Expression) -> int:
    return 1 + max(map(_height, expression.arguments), default=-1)


class TensorActivations:
    """Activation functions of a population, by torch's operations (see `nets.Activations`).

    Args:
        functions: for each slot, the function of each network.
        primitives: of which they are made.
        seeds: of each network, for random slopes.
        always_random: draw random slopes in evaluation too.
    """

    def __init__(
        self,
        functions: Sequence[Sequence[Expression]],
        primitives: PrimitiveSet,
        seeds: Sequence[int],
        always_random: bool,
    ) -> None:
        self._functions = [tuple(own) for own in functions]
        self._primitives = primitives
        self._seeds = list(seeds)
        self._always_random = always_random
        self._parts: dict[tuple[int, int, int], list[Part]] = {}

    def apply(self, place: int, x: torch.Tensor, networks: slice, step: int | None) -> torch.Tensor:
        """Apply each network's own function (see `nets.Activations`)."""
        functions = self._functions[place][networks]
        where = (place, networks.start, networks.stop)
        if where not in self._parts:
            self._parts[where] = shared_parts(functions)
        slope = self._slopes(place, x, networks, step)
        values: dict[Expression, torch.Tensor] = {}
        for part in self._parts[where]:
            values[part.expression] = self._value(part, values, x, slope)
        if len(set(functions)) == 1:
            return values[functions[0]]
        return self._in_order(functions, values, {part.expression: part.rows for part in self._parts[where]})

    def differentiate(
        self, place: int, x: torch.Tensor, networks: slice, step: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values and derivatives of each network's own function (see `nets.Activations`)."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            out = self.apply(place, leaf, networks, step)
            if not out.requires_grad:  # constants alone
                return out, torch.zeros_like(x)
            # Every number of the result depends on one of x alone, so its derivative is that of the sum.
            (derivative,) = torch.autograd.grad(out, leaf, torch.ones_like(out), materialize_grads=True)
        return out.detach(), derivative

    def _value(
        self, part: Part, values: Mapping[Expression, torch.Tensor], x: torch.Tensor, slope: torch.Tensor | float
    ) -> torch.Tensor:
        expression = part.expression
        if not expression.arguments:
            own = x if len(part.rows) == len(x) else x[list(part.rows)]
            return own if expression.value is None else torch.full_like(own, expression.value)
        # A view where nothing is gathered: either way autograd sums what an argument gets here before it adds the rest.
        arguments = [
            values[argument].view_as(values[argument]) if places is None else values[argument][list(places)]
            for argument, places in zip(expression.arguments, part.gathers, strict=True)
        ]
        if expression.name != RANDOM:
            return self._primitives.named(expression.name).function(*arguments)
        (argument,) = arguments
        own = slope[list(part.rows)] if isinstance(slope, torch.Tensor) and len(slope) > 1 else slope
        return torch.where(argument > 0, argument, argument * own)

    def _slopes(self, place: int, x: torch.Tensor, networks: slice, step: int | None) -> torch.Tensor | float:
        """Return the slopes of ``rrelu``: their mean, or a tensor of one draw for all networks or for each."""
        used = any(part.expression.name == RANDOM for part in self._parts[place, networks.start, networks.stop])
        if not used or step is None and not self._always_random:
            return MEAN_SLOPE
        return slopes(only_if_equal(self._seeds[networks]), place, x.shape[1:], step).to(x.device)

    @staticmethod
    def _in_order(
        functions: Sequence[Expression],
        values: Mapping[Expression, torch.Tensor],
        rows: Mapping[Expression, Sequence[int]],
    ) -> torch.Tensor:
        """Put the networks' results, of which each distinct function holds some, in the networks' order."""
        distinct = list(dict.fromkeys(functions))
        starts, joined = {}, 0
        for function in distinct:
            starts[function] = joined
            joined += len(rows[function])
        order = [starts[function] + rows[function].index(number) for number, function in enumerate(functions)]
        return torch.cat([values[function] for function in distinct])[order]
