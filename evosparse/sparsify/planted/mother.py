"""The large random network of the benchmark, and how a small known one is written into it without changing what it computes.

Fischer and Burkholz, "Plant 'n' Seek", ICLR 2022, arXiv 2111.11153, and their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError, nearest
from evosparse.sparsify.planted.network import Masks, ReluNetwork
from evosparse.sparsify.planted.targets import SHAPES, Task, Ticket, check_task

Norm = Literal["l2", "l1"]
Fallback = Literal["best_unused", "first_unused"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Planted:
    """A mother network with a ticket in it.

    Args:
        network: the mother, overwritten where the ticket lies.
        masks: the ticket's place: its weights that are not zero, and the biases of its units.
        scale_out: (n_out,) what each output of the masked network must be divided by to be the ticket's.
        units: per layer, the (units of the ticket,) units of the mother that became the ticket's. The outputs of
            ``network`` and ``masks`` already stand in the ticket's order.
    """

    network: ReluNetwork
    masks: Masks
    scale_out: Floats
    units: tuple[NDArray[np.intp], ...]

    def forward(self, x: ArrayLike) -> Floats:
        """Return the (n, n_out) outputs of the planted ticket alone, divided by `scale_out`."""
        return self.network.masked(self.masks).forward(x) / self.scale_out


def mother_widths(task: Task, depth: int, width: int) -> tuple[int, ...]:
    """Return the (depth,) units of the layers of a mother: inputs, hidden layers of equal width, outputs.

    Raises:
        SpecError: there is no such task.
    """
    check_task(task)
    inputs, outputs = SHAPES[task]
    return (inputs, *[width] * (depth - 2), outputs)


def draw_mother(widths: tuple[int, ...], key: SeedKey) -> ReluNetwork:
    """Draw a random network: weights of variance 2 / fan_in, biases of the product of 2 / fan_in over all layers so far.

    Args:
        widths: units of the input and of each layer.
        key: source of randomness.

    Source: the published code, ``init_He_scaled``.
    """
    rng = key.child("mother").rng()
    weights, biases, bias_deviation = [], [], 1.0
    for fan_in, units in zip(widths[:-1], widths[1:], strict=True):
        deviation = np.sqrt(2 / fan_in)
        bias_deviation *= deviation
        weights.append(rng.normal(0, deviation, (units, fan_in)))
        biases.append(rng.normal(0, bias_deviation, units))
    return ReluNetwork(tuple(weights), tuple(biases))


def plant(mother: ReluNetwork, ticket: Ticket, match_norm: Norm = "l2", fallback: Fallback = "best_unused") -> Planted:
    """Write a ticket into a mother network, each unit over the mother's unit that is most like a multiple of it.

    For each layer, for each unit of the ticket: wanted = (bias, weights that are not zero / scales of the units below);
    offered = the same entries of each unit of the mother; factor = <offered, wanted> / <wanted, wanted>; among the unused
    units whose offered entries have the signs of the wanted ones, take the one of least ||offered - factor wanted||;
    write factor * wanted over it; the factor is the scale of this unit for the layer above. Relu lets positive factors
    through, so the outputs are those of the ticket times ``scale_out``, exactly.

    Args:
        mother: the large network; it is not changed.
        ticket: the small one.
        match_norm: ``l2`` as in the paper, ``l1`` as in the published code.
        fallback: what happens where no unused unit has the signs, as for units of many weights. ``best_unused`` leaves
            the signs out of account. ``first_unused`` (published code) matches used units too, and takes the first
            unused one where the match is used or none has the signs. The factor of a unit without the signs is
            ||offered|| / ||wanted|| over the entries that are wanted, so that it keeps its magnitude; a projection on
            a direction unlike its own would make the planted weights small beside all others.

    Raises:
        SpecError: the ticket does not fit into the mother or has an empty unit, or an option has no such value.

    Deviations from the published code: unit 0 is not taken from the start; for the factor of a unit without the signs
    it divides two single weights, and not always those of one input.
    """
    _check(mother, ticket, match_norm, fallback)
    weights, biases, weight_masks, bias_masks, units = [], [], [], [], []
    below = np.arange(ticket.widths[0])
    scales = np.ones(len(below))
    for own_weights, own_biases, wanted_weights, wanted_biases in zip(
        mother.weights, mother.biases, ticket.weights, ticket.biases, strict=True
    ):
        layer, offsets = own_weights.copy(), own_biases.copy()
        mask, used = np.zeros(layer.shape, dtype=bool), np.zeros(len(offsets), dtype=bool)
        chosen, factors = [], []
        for row, bias in zip(wanted_weights, wanted_biases, strict=True):
            inputs = np.flatnonzero(row)
            wanted = np.concatenate([[bias], row[inputs] / scales[inputs]])
            offered = np.column_stack([offsets, layer[:, below[inputs]]])
            unit, factor = _match(wanted, offered, used, match_norm, fallback)
            offsets[unit], layer[unit, below[inputs]] = factor * wanted[0], factor * wanted[1:]
            mask[unit, below[inputs]] = used[unit] = True
            chosen.append(unit)
            factors.append(factor)
        below, scales = np.array(chosen), np.array(factors)
        weights.append(layer)
        biases.append(offsets)
        weight_masks.append(mask)
        bias_masks.append(used)
        units.append(below)
    for parts in (weights, biases, weight_masks, bias_masks):
        parts[-1] = parts[-1][below]
    return Planted(
        ReluNetwork(tuple(weights), tuple(biases)), Masks(tuple(weight_masks), tuple(bias_masks)), scales, tuple(units)
    )


def _check(mother: ReluNetwork, ticket: Ticket, match_norm: str, fallback: str) -> None:
    for name, value, valid in (
        ("match_norm", match_norm, ("l2", "l1")),
        ("fallback", fallback, ("best_unused", "first_unused")),
    ):
        if value not in valid:
            raise SpecError(f"{name} cannot be {value!r}: {nearest(value, valid)}")
    wide, narrow = mother.widths, ticket.widths
    fits = len(wide) == len(narrow) and all(have >= need for have, need in zip(wide, narrow, strict=True))
    if not fits or (wide[0], wide[-1]) != (narrow[0], narrow[-1]):
        raise SpecError(
            f"expected a mother of as many layers as the ticket, equal at inputs and outputs and at least as wide"
            f" between; the ticket has widths {narrow}, the mother {wide}: draw a wider mother, of the same depth"
        )
    for weights, biases in zip(ticket.weights, ticket.biases, strict=True):
        if not (weights.any(axis=1) | (biases != 0)).all():
            raise SpecError(
                "expected a weight or a bias in every unit of the ticket; leave units out that have neither"
            )


def _match(
    wanted: Floats, offered: Floats, used: NDArray[np.bool_], norm: Norm, fallback: Fallback
) -> tuple[int, float]:
    """Return the unit to write a target unit over, and the positive factor to write it with.

    Args:
        wanted: (entries,) the target unit.
        offered: (units, entries) the same entries of the mother's units.
        used: (units,) which of them are taken; at least one is not.
    """
    present = wanted != 0
    # Equal signs make the projection positive.
    alike = (np.sign(offered) == np.sign(wanted))[:, present].all(axis=1)
    magnitudes = np.linalg.norm(offered[:, present], axis=1) / np.linalg.norm(wanted)
    factors = np.where(alike, offered @ wanted / (wanted @ wanted), magnitudes)
    factors[factors == 0] = 1.0  # a unit without any weights takes the target as it is
    costs = np.linalg.norm(offered - factors[:, None] * wanted, ord=2 if norm == "l2" else 1, axis=1)
    if fallback == "best_unused":
        allowed = alike & ~used if (alike & ~used).any() else ~used
        unit = int(np.argmin(np.where(allowed, costs, np.inf)))
    else:
        unit = int(np.argmin(np.where(alike, costs, np.inf)))  # the first of all where none is alike
        if used[unit]:
            unit = int(np.flatnonzero(~used)[0])
    return unit, float(factors[unit])
