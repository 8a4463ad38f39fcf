"""How a sparsity over a whole network becomes an exact number of connections for each layer.

Uniform, Erdos-Renyi (ER), Erdos-Renyi with kernels (ERK), or explicit per layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from evosparse.errors import SpecError, nearest
from evosparse.section import Section


class LayerShape(Protocol):
    """Anything that tells the name and the weight shape of a layer: a layer of a mask, or of a network."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class Distribution(Section):
    """How the connections are distributed over the layers.

    Args:
        distribution: ``uniform`` gives every layer the same sparsity; ``er`` and ``erk`` give small layers a higher
            density and keep the total; ``explicit`` takes the sparsities of ``layers``.
        output_floor: share of its connections that the output layer keeps at least, 0 to 1. With ``uniform`` and
            ``explicit`` it adds to the total; with ``er`` and ``erk`` the other layers give. A sparsity that
            ``layers`` states for the output layer goes before it.
        layers: sparsity by layer name, only with ``explicit``; layers without one take the sparsity of the network.
    """

    distribution: Literal["uniform", "er", "erk", "explicit"] = "uniform"
    output_floor: Annotated[float, Field(ge=0, le=1)] = 0.2
    layers: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _layers_only_if_explicit(self) -> Self:
        if bool(self.layers) != (self.distribution == "explicit"):
            raise ValueError(
                f"'layers' (sparsity by layer name) belongs to the distribution 'explicit' and to no other; "
                f"got distribution {self.distribution!r} with {len(self.layers)} layers"
            )
        return self


def counts(layers: Sequence[LayerShape], sparsity: float, distribution: Distribution) -> tuple[int, ...]:
    """Return how many connections each layer keeps.

    Every layer keeps at least one. With ``er`` and ``erk`` the sum is exactly ``round((1 - sparsity) * weights)``;
    with ``uniform`` and ``explicit`` each layer is rounded by itself.

    Args:
        layers: the layers in the order of the network, output layer last.
        sparsity: share of the network's weights that do not exist, from 0 to below 1.
        distribution: how they are distributed.

    Raises:
        SpecError: the sparsity is out of range, cannot be met, or an explicit layer does not exist.

    Source of ER and ERK: Evci et al., "Rigging the Lottery", ICML 2020, section 3(1); rounding by largest remainder.
    """
    if not 0 <= sparsity < 1:
        raise SpecError(f"expected a sparsity from 0 to below 1 (0.98 removes 98 % of the weights), got {sparsity}")
    sizes = np.array([math.prod(layer.shape) for layer in layers])
    least = np.ones(len(layers), dtype=np.int64)
    # Rounded before the ceiling, so that 0.07 * 100 = 7.000000000000001 stays 7.
    least[-1] = max(1, math.ceil(round(distribution.output_floor * int(sizes[-1]), 6)))
    if distribution.distribution in ("er", "erk"):
        return _erdos_renyi(layers, sizes, least, sparsity, distribution)

    names = [layer.name for layer in layers]
    for name in distribution.layers:
        if name not in names:
            raise SpecError(f"'layers' names {name!r}, which the network does not have: {nearest(name, names)}")
    if names[-1] in distribution.layers:
        least[-1] = 1
    return tuple(
        max(int(floor), round((1 - distribution.layers.get(name, sparsity)) * int(size)))
        for name, size, floor in zip(names, sizes, least, strict=True)
    )


def _erdos_renyi(
    layers: Sequence[LayerShape],
    sizes: NDArray[np.int64],
    least: NDArray[np.int64],
    sparsity: float,
    distribution: Distribution,
) -> tuple[int, ...]:
    """Distribute an exact total in proportion to the ER or ERK weights, between the floors and the dense layers."""
    total = round((1 - sparsity) * int(sizes.sum()))
    if total < least.sum():
        raise SpecError(
            f"sparsity {sparsity} leaves {total:,} connections, but the layers need at least {int(least.sum()):,} "
            f"({int(least[-1]):,} of them in the output layer): lower 'sparsity' or 'output_floor' "
            f"(now {distribution.output_floor})"
        )
    proportions = np.array([_proportion(layer.shape, distribution.distribution == "erk") for layer in layers])
    return tuple(int(count) for count in apportion(proportions, least, sizes, total))


def apportion(
    proportions: NDArray[np.float64], least: NDArray[np.int64], sizes: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Distribute an exact total over layers in proportion, between floors and dense layers, by largest remainder.

    Args:
        proportions: (layers,) positive.
        least, sizes: (layers,) bounds of each layer's count.
        total: between the sums of the bounds.
    """
    # The sum over layers of clip(scale * proportion, least, size) is piecewise linear and rising in the scale, with a
    # knot where a layer leaves its floor or becomes dense: so the scale that meets the total is found by interpolation.
    knots = np.sort(np.concatenate([least / proportions, sizes / proportions]))
    sums = np.clip(knots[:, None] * proportions, least, sizes).sum(axis=1)
    shares = np.clip(np.interp(total, sums, knots) * proportions, least, sizes)
    kept = np.floor(shares).astype(np.int64)
    largest_remainders = np.argsort(kept - shares, kind="stable")
    kept[largest_remainders[: total - kept.sum()]] += 1
    return kept


def _proportion(shape: tuple[int, ...], with_kernel: bool) -> float:
    """Return the number of connections, up to a common scale, that ER or ERK gives to a layer of that shape."""
    units, kernel = sum(shape[:2]), shape[2:]
    return float(units + sum(kernel)) if with_kernel else float(units * math.prod(kernel))
