"""A network of one's own: any `torch.nn.Module` whose linear and convolutional weights masks shall remove.

A campaign file names the factory. It is called with the shape of one example, the number of classes, and the parameters of
the campaign file; evosparse finds by itself which weights can be masked and what they cost.
"""

from __future__ import annotations

from torch import Tensor, nn


class SmallConvolutional(nn.Module):
    """Two convolutions and a linear layer, for small images.

    Args:
        input_shape: (channels, height, width) of one example.
        classes: number of outputs.
        width: channels of the first convolution; the second has twice as many.
    """

    def __init__(self, input_shape: tuple[int, ...], classes: int, width: int) -> None:
        super().__init__()
        channels, height, breadth = input_shape
        self.first = nn.Conv2d(channels, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Linear(2 * width * (height // 4) * (breadth // 4), classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, classes) logits of (batch, channels, height, width) images."""
        x = self.pool(self.first(x).relu())
        x = self.pool(self.second(x).relu())
        return self.output(x.flatten(1))


def small_convolutional(input_shape: tuple[int, ...], classes: int, width: int = 16) -> nn.Module:
    """Make the network for a campaign; see `SmallConvolutional`."""
    return SmallConvolutional(input_shape, classes, width)
