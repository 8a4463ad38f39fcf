"""Products with packed sparse weights, compiled for this processor: row after row, the batch innermost and contiguous.

Every number is computed from one network's weights and activations alone, in a fixed order, so it has the same bits
whatever stands beside it. The compiler may fuse multiply-adds (`contract`) and add in lanes (`reassoc`): in an order
that the compiled code fixes. Four connections are taken at a time, so that a sum is loaded and stored once for four.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import njit

from evosparse.nets.pattern import Pattern

_EXACT = {"contract"}
_SUMS = {"contract", "reassoc", "nsz"}


def _compiled(fastmath: set[str]) -> Callable[[Callable], Callable]:
    def decorate(function: Callable) -> Callable:
        try:
            return njit(cache=True, fastmath=fastmath)(function)
        except RuntimeError:  # there is no folder that numba may write to: compile in each process
            return njit(fastmath=fastmath)(function)

    return decorate


class FusedProducts:
    """The products of one layer of all networks, by compiled loops over existing weights (see `packed.Products`).

    Args:
        pattern: the connections.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        geometry = pattern.geometry
        self._runs = (geometry.shifts, geometry.starts, geometry.length)
        # Where there is one run, compiled code without the loop over runs is a fifth faster; not so for sums.
        self._fewer_runs = (None, None, geometry.length) if len(geometry.shifts) == 1 else self._runs
        self._no_bias = torch.zeros(len(pattern.connections), geometry.rows)

    def forward(
        self, values: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor, rectified: bool, networks: range
    ) -> torch.Tensor:
        pattern, bias = self._pattern, self._no_bias if bias is None else bias
        out = torch.empty(len(networks), pattern.geometry.output_size, x.shape[-1])
        _forward(
            networks.start, pattern.offsets, pattern.row_starts, pattern.sources, *self._fewer_runs,
            values.numpy(), bias.numpy(), x.numpy(), rectified, out.numpy(),
        )  # fmt: skip
        return out

    def weight_gradient(
        self,
        x: torch.Tensor,
        out: torch.Tensor | None,
        error: torch.Tensor,
        gradient: torch.Tensor,
        bias_gradient: torch.Tensor | None,
        networks: range,
    ) -> None:
        pattern = self._pattern
        bias_gradient = torch.empty_like(self._no_bias) if bias_gradient is None else bias_gradient
        _weight_gradient(
            networks.start, pattern.offsets, pattern.row_starts, pattern.sources, *self._runs,
            x.numpy(), (error if out is None else out).numpy(), out is not None, error.numpy(),
            gradient.numpy(), bias_gradient.numpy(),
        )  # fmt: skip

    def input_gradient(self, values: torch.Tensor, error: torch.Tensor, networks: range) -> torch.Tensor:
        pattern = self._pattern
        out = torch.empty(len(networks), pattern.geometry.input_size, error.shape[-1])
        _input_gradient(
            networks.start, pattern.geometry.rows, pattern.offsets, *pattern.by_column, pattern.geometry.sources,
            *self._fewer_runs, values.numpy(), error.numpy(), out.numpy(),
        )  # fmt: skip
        return out


@_compiled(_EXACT)
def _forward(
    first: int,
    offsets: np.ndarray,
    row_starts: np.ndarray,
    sources: np.ndarray,
    shifts: np.ndarray | None,
    starts: np.ndarray | None,
    length: int,
    values: np.ndarray,
    bias: np.ndarray,
    x: np.ndarray,
    rectified: bool,
    out: np.ndarray,
) -> None:
    """out[row, position] = bias[row] + sum over connections of values * x[source + shift]."""
    networks, positions, batch = out.shape
    rows = row_starts.shape[1] - 1
    positions //= rows
    lanes = length * batch
    for network in range(networks):
        inputs = x[network if len(x) > 1 else 0].reshape(-1)
        outputs = out[network].reshape(rows, positions * batch)
        offset = offsets[first + network]
        for row in range(rows):
            sums = outputs[row]
            sums[:] = bias[first + network, row]
            place = offset + row_starts[first + network, row]
            end = offset + row_starts[first + network, row + 1]
            while place + 4 <= end:
                v0, v1, v2, v3 = values[place], values[place + 1], values[place + 2], values[place + 3]
                for run in range(1 if shifts is None else len(shifts)):
                    shift, start = (0, 0) if shifts is None else (shifts[run], starts[run])
                    y = sums[start * batch :]
                    x0 = inputs[(sources[place] + shift) * batch :]
                    x1 = inputs[(sources[place + 1] + shift) * batch :]
                    x2 = inputs[(sources[place + 2] + shift) * batch :]
                    x3 = inputs[(sources[place + 3] + shift) * batch :]
                    for lane in range(lanes):
                        y[lane] += v0 * x0[lane] + v1 * x1[lane] + v2 * x2[lane] + v3 * x3[lane]
                place += 4
            for place in range(place, end):
                v0 = values[place]
                for run in range(1 if shifts is None else len(shifts)):
                    shift, start = (0, 0) if shifts is None else (shifts[run], starts[run])
                    y = sums[start * batch :]
                    x0 = inputs[(sources[place] + shift) * batch :]
                    for lane in range(lanes):
                        y[lane] += v0 * x0[lane]
            if rectified:
                for lane in range(len(sums)):
                    if sums[lane] < 0:  # NaN is not: a network that diverges must be seen to
                        sums[lane] = 0


@_compiled(_SUMS)
def _weight_gradient(
    first: int,
    offsets: np.ndarray,
    row_starts: np.ndarray,
    sources: np.ndarray,
    shifts: np.ndarray | None,
    starts: np.ndarray | None,
    length: int,
    x: np.ndarray,
    out: np.ndarray,
    rectified: bool,
    error: np.ndarray,
    gradient: np.ndarray,
    bias_gradient: np.ndarray,
) -> None:
    """gradient[connection] = sum over positions and batch of error[row] * x[source + shift]; of the bias, of error."""
    networks, positions, batch = error.shape
    rows = row_starts.shape[1] - 1
    positions //= rows
    lanes = length * batch
    zero = np.float32(0)
    for network in range(networks):
        inputs = x[network if len(x) > 1 else 0].reshape(-1)
        errors = error[network].reshape(rows, positions * batch)
        outputs = out[network].reshape(rows, positions * batch)
        offset = offsets[first + network]
        for row in range(rows):
            own = errors[row]
            if rectified:
                mine = outputs[row]
                for lane in range(positions * batch):
                    own[lane] = zero if mine[lane] <= 0 else own[lane]
            s0 = zero
            for lane in range(positions * batch):
                s0 += own[lane]
            bias_gradient[first + network, row] = s0
            place = offset + row_starts[first + network, row]
            end = offset + row_starts[first + network, row + 1]
            while place + 4 <= end:
                s0, s1, s2, s3 = zero, zero, zero, zero
                for run in range(len(shifts)):
                    e = own[starts[run] * batch :]
                    x0 = inputs[(sources[place] + shifts[run]) * batch :]
                    x1 = inputs[(sources[place + 1] + shifts[run]) * batch :]
                    x2 = inputs[(sources[place + 2] + shifts[run]) * batch :]
                    x3 = inputs[(sources[place + 3] + shifts[run]) * batch :]
                    for lane in range(lanes):
                        s0 += e[lane] * x0[lane]
                        s1 += e[lane] * x1[lane]
                        s2 += e[lane] * x2[lane]
                        s3 += e[lane] * x3[lane]
                gradient[place], gradient[place + 1], gradient[place + 2], gradient[place + 3] = s0, s1, s2, s3
                place += 4
            for place in range(place, end):
                s0 = zero
                for run in range(len(shifts)):
                    e = own[starts[run] * batch :]
                    x0 = inputs[(sources[place] + shifts[run]) * batch :]
                    for lane in range(lanes):
                        s0 += e[lane] * x0[lane]
                gradient[place] = s0


@_compiled(_EXACT)
def _input_gradient(
    first: int,
    rows: int,
    offsets: np.ndarray,
    column_starts: np.ndarray,
    connection_rows: np.ndarray,
    places: np.ndarray,
    sources: np.ndarray,
    shifts: np.ndarray | None,
    starts: np.ndarray | None,
    length: int,
    values: np.ndarray,
    error: np.ndarray,
    out: np.ndarray,
) -> None:
    """out[source + shift] += values * error[row], column by column, so that what is added to stays in the cache."""
    networks, positions, batch = error.shape
    lanes = length * batch
    for network in range(networks):
        outputs = out[network].reshape(-1)
        outputs[:] = 0
        errors = error[network].reshape(rows, positions // rows * batch)
        offset = offsets[first + network]
        for column in range(column_starts.shape[1] - 1):
            place = offset + column_starts[first + network, column]
            end = offset + column_starts[first + network, column + 1]
            while place + 4 <= end:
                v0, v1 = values[offset + places[place]], values[offset + places[place + 1]]
                v2, v3 = values[offset + places[place + 2]], values[offset + places[place + 3]]
                own0, own1 = errors[connection_rows[place]], errors[connection_rows[place + 1]]
                own2, own3 = errors[connection_rows[place + 2]], errors[connection_rows[place + 3]]
                for run in range(1 if shifts is None else len(shifts)):
                    shift, start = (0, 0) if shifts is None else (shifts[run], starts[run])
                    y = outputs[(sources[column] + shift) * batch :]
                    e0, e1 = own0[start * batch :], own1[start * batch :]
                    e2, e3 = own2[start * batch :], own3[start * batch :]
                    for lane in range(lanes):
                        y[lane] += v0 * e0[lane] + v1 * e1[lane] + v2 * e2[lane] + v3 * e3[lane]
                place += 4
            for place in range(place, end):
                v0 = values[offset + places[place]]
                own0 = errors[connection_rows[place]]
                for run in range(1 if shifts is None else len(shifts)):
                    shift, start = (0, 0) if shifts is None else (shifts[run], starts[run])
                    y = outputs[(sources[column] + shift) * batch :]
                    e0 = own0[start * batch :]
                    for lane in range(lanes):
                        y[lane] += v0 * e0[lane]
