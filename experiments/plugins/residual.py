"""A network of one's own with places for activation functions: a residual network of linear layers.

`evosparse.nets.Slot` marks each place with the role of the function that goes there; for each role that occurs one
function is evolved. Trained without evosparse the slots are ReLUs, so the module remains an ordinary one.
"""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from evosparse.nets import Slot


class Block(nn.Module):
    """Two linear layers with a function in between, beside a way around them.

    Args:
        width: numbers that go in and come out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.slot = Slot("hidden")
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width) of (batch, width)."""
        return x + self.second(self.slot(self.first(x)))


def residual(input_shape: tuple[int, ...], classes: int, width: int = 32, blocks: int = 2) -> nn.Module:
    """Make the network for a campaign.

    Args:
        input_shape: of one example.
        classes: number of outputs.
        width: of every layer between.
        blocks: how many stand one after the other.
    """
    first = [nn.Flatten(), nn.Linear(prod(input_shape), width), Slot("input")]
    last = [nn.Linear(width, width), Slot("output"), nn.Linear(width, classes)]
    return nn.Sequential(*first, *(Block(width) for _ in range(blocks)), *last)
