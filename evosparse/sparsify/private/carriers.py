"""Low-rank carriers of gradients: W = L R + rest, where gradients by the small L and R stand for the one by W.

Yu, Zhang, Chen, Yin and Liu, "Large Scale Private Learning via Low-rank Reparametrization", ICML 2021 (RGP).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Carriers:
    """A weight matrix in three parts, W = left right + rest.

    Args:
        left: (n_out, rank), L. Its columns are orthonormal; those beyond n_out are zero.
        right: (rank, n_in), R, with orthonormal rows.
        rest: (n_out, n_in), the weights that L R leaves over; a constant.
    """

    left: torch.Tensor
    right: torch.Tensor
    rest: torch.Tensor

    def rebuild(self, left: torch.Tensor, right: torch.Tensor | None = None) -> torch.Tensor:
        """Return the (n_out, n_in) gradient by W that gradients by the carriers stand for.

        By both, (dL) R + L (dR) - L L^T (dL) R: the projection of dW onto all that has the columns of L or the rows
        of R, as dL = dW R^T and dR = L^T dW. By the left one alone, (dL) R = dW R^T R.

        Args:
            left: (n_out, rank), dL.
            right: (rank, n_in), dR; None if there is none.
        """
        if right is None:
            return left @ self.right
        return (left - self.left @ (self.left.T @ left)) @ self.right + self.left @ right

    def project(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return dL (n_out, rank) and dR (rank, n_in) of a (n_out, n_in) gradient by W."""
        return gradient @ self.right.T, self.left.T @ gradient


def full_rank(shape: tuple[int, int], both: bool) -> int:
    """Return the rank at which carriers lose nothing of any gradient.

    Args:
        shape: (n_out, n_in).
        both: with a left and a right carrier; the left one alone needs all directions of the inputs.
    """
    return min(shape) if both else shape[1]


def carriers(weights: torch.Tensor, rank: int, rng: np.random.Generator) -> Carriers:
    """Split weights by one power iteration from a random R.

    Args:
        weights: (n_out, n_in).
        rank: from 1 to n_in; beyond n_out, R is completed with the random directions it began with.
        rng: of the random R.

    Deviation: Householder's orthogonalisation (torch's QR) in place of Gram-Schmidt's. Both span the same; this one is
    also orthonormal where weights have less than that rank.
    """
    n_in = weights.shape[1]
    start = torch.from_numpy(rng.standard_normal((rank, n_in), np.float32)).to(weights.device)
    found = torch.linalg.qr(weights @ start.T).Q
    rows = found.T @ weights
    if len(rows) < rank:
        rows = torch.cat([rows, start])
    right = torch.linalg.qr(rows.T).Q[:, :rank].T.contiguous()
    left = torch.zeros(len(weights), rank, device=weights.device)
    left[:, : found.shape[1]] = found
    return Carriers(left, right, weights - left @ right)
