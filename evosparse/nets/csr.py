"""Products with packed sparse weights by torch's own compressed sparse rows: slower on a CPU, but for any device."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from evosparse.nets.pattern import Pattern


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Some networks' weights as one sparse matrix, block by block, or all over the same inputs.

    Args:
        rows: (rows + 1,) int32 starts of the rows.
        columns: (connections,) int32 column of each.
        places: (connections,) int64 place of its value in the pattern.
        shape: of the matrix.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    places: torch.Tensor
    shape: tuple[int, int]

    def filled(self, values: torch.Tensor) -> torch.Tensor:
        """Return the matrix with the values of a pattern."""
        return self.of(values[self.places])

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Return the matrix with one value for each connection."""
        return torch.sparse_csr_tensor(self.rows, self.columns, values, self.shape, check_invariants=False)


class TorchProducts:
    """The products of one linear layer of all networks (see `products.Products`).

    Args:
        pattern: the connections.
        device: where to compute.
    """

    def __init__(self, pattern: Pattern, device: torch.device) -> None:
        self._pattern = pattern
        self._device = device
        self._matrix = cache(self._make)
        with warnings.catch_warnings():
            # Torch says once in each process that the format is in beta.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)

    def forward(
        self, values: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor, rectified: bool, networks: range
    ) -> torch.Tensor:
        matrix = self._matrix(networks, len(x) == 1)
        out = (matrix.filled(values) @ x.flatten(0, 1)).view(len(networks), -1, x.shape[-1])
        if bias is not None:
            out += bias[networks.start : networks.stop, : out.shape[1], None]
        return out.relu_() if rectified else out

    def weight_gradient(
        self,
        x: torch.Tensor,
        out: torch.Tensor | None,
        error: torch.Tensor,
        gradient: torch.Tensor,
        bias_gradient: torch.Tensor | None,
        networks: range,
    ) -> None:
        matrix = self._matrix(networks, len(x) == 1)
        if out is not None:
            error[out <= 0] = 0
        zeros = matrix.of(torch.zeros(len(matrix.places), device=self._device))
        sums = torch.sparse.sampled_addmm(zeros, error.flatten(0, 1), x.flatten(0, 1).t(), beta=0.0)
        gradient[matrix.places] = sums.values()
        if bias_gradient is not None:
            bias_gradient[networks.start : networks.stop, : error.shape[1]] = error.sum(dim=2)

    def input_gradient(self, values: torch.Tensor, error: torch.Tensor, networks: range) -> torch.Tensor:
        matrix = self._matrix(networks, False, True)
        return (matrix.filled(values) @ error.flatten(0, 1)).view(len(networks), -1, error.shape[-1])

    def _make(self, networks: range, shared: bool, transposed: bool = False) -> _Matrix:
        geometry, pattern = self._pattern.geometry, self._pattern
        height, width = (geometry.columns, geometry.rows) if transposed else (geometry.rows, geometry.columns)
        starts, columns, places = [np.zeros(1, np.int32)], [], []
        before = 0
        for block, number in enumerate(networks):
            span = pattern.span(number)
            if transposed:
                own_starts, own_columns, own_places = (
                    array[part] for array, part in zip(pattern.by_column, (number, span, span), strict=True)
                )
            else:
                own_starts, own_columns = pattern.row_starts[number], pattern.sources[span]
                own_places = np.arange(len(own_columns))
            starts.append(before + own_starts[1:])
            columns.append(own_columns + (0 if shared else block * width))
            places.append(own_places + np.int64(span.start))
            before += len(own_columns)
        shape = (len(networks) * height, width * (1 if shared else len(networks)))
        arrays = (np.concatenate(starts), np.concatenate(columns).astype(np.int32), np.concatenate(places))
        return _Matrix(*(torch.from_numpy(array).to(self._device) for array in arrays), shape)
