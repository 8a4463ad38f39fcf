"""Where the weights of a linear or convolutional layer meet its input: what turns both into one sparse matrix product.

Each column of a layer's weight matrix reads the input at a place of its own, and each output position shifts all
columns alike. A linear layer is the case of a single output position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn


@dataclass(frozen=True, eq=False)
class Geometry:
    """How one layer reads an example; positions count elements of it in C order, padding included.

    Args:
        input_shape: (channels, *extent) or (features,) of an example, before padding.
        padding: zeros put before and after each dimension of the extent.
        output_shape: (channels, *extent) or (features,) of what comes out.
        columns: number of columns of the weight matrix.
        sources: (columns,) int32 position that a column reads for the first output position.
        shifts: (runs,) int32 position by which a run of output positions shifts every column.
        starts: (runs,) int32 output position at which the run begins.
        length: output positions in a run, which follow one another in input and output.
        group_rows, group_columns: rows and columns of one group; a row has the columns of its own group alone.
    """

    input_shape: tuple[int, ...]
    padding: tuple[int, ...]
    output_shape: tuple[int, ...]
    columns: int
    sources: np.ndarray
    shifts: np.ndarray
    starts: np.ndarray
    length: int
    group_rows: int
    group_columns: int

    @property
    def rows(self) -> int:
        """Number of rows of the weight matrix: output features or channels."""
        return self.output_shape[0]

    @property
    def input_size(self) -> int:
        """Positions of an example, padding included."""
        return math.prod(self.padded_shape)

    @property
    def output_size(self) -> int:
        """Positions of what comes out."""
        return math.prod(self.output_shape)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """The input shape with its padding."""
        channels, *extent = self.input_shape
        return (channels, *(size + 2 * pad for size, pad in zip(extent, self.padding, strict=True)))

    def matrix(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column in the weight matrix of weights given by their flat indices, both int32."""
        rows, within = np.divmod(indices, self.group_columns)
        columns = (
            within if self.columns == self.group_columns else within + rows // self.group_rows * self.group_columns
        )
        return rows.astype(np.int32), columns.astype(np.int32)


def linear(inputs: int, outputs: int) -> Geometry:
    """Return the geometry of a fully connected layer.

    Args:
        inputs: features of the input.
        outputs: features of the output.
    """
    zero = np.zeros(1, np.int32)
    sources = np.arange(inputs, dtype=np.int32)
    return Geometry((inputs,), (), (outputs,), inputs, sources, zero, zero, 1, outputs, inputs)


def convolution(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, input_shape: Sequence[int]) -> Geometry | None:
    """Return the geometry of a convolution, or None for one that pads with something else than as many zeros all round.

    Args:
        module: the convolution; any stride, dilation and groups.
        input_shape: (channels, *extent) of an example.
    """
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None
    channels, *extent = input_shape
    padded = [size + 2 * pad for size, pad in zip(extent, module.padding, strict=True)]
    reach = [dilation * (side - 1) + 1 for dilation, side in zip(module.dilation, module.kernel_size, strict=True)]
    outputs = [(size - own) // stride + 1 for size, own, stride in zip(padded, reach, module.stride, strict=True)]
    # Positions of one channel, as a grid over which kernels and outputs move.
    grid = np.arange(math.prod(padded), dtype=np.int32).reshape(padded)
    kernel = grid[tuple(slice(0, own, dilation) for own, dilation in zip(reach, module.dilation, strict=True))]
    sources = (np.arange(channels, dtype=np.int32)[:, None] * grid.size + kernel.ravel()).ravel()
    every = tuple(slice(0, count * stride, stride) for count, stride in zip(outputs, module.stride, strict=True))
    shifts = grid[every].reshape(-1, outputs[-1])
    length = outputs[-1] if module.stride[-1] == 1 else 1
    shifts = shifts[:, :1] if length > 1 else shifts
    starts = np.arange(math.prod(outputs), dtype=np.int32).reshape(-1, length)[:, 0]
    return Geometry(
        input_shape=tuple(input_shape),
        padding=tuple(module.padding),
        output_shape=(module.out_channels, *outputs),
        columns=len(sources),
        sources=sources,
        shifts=np.ascontiguousarray(shifts.ravel()),
        starts=np.ascontiguousarray(starts),
        length=length,
        group_rows=module.out_channels // module.groups,
        group_columns=len(sources) // module.groups,
    )
