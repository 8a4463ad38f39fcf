"""The torch modules that evosparse brings: multilayer perceptron and LeNet-5, and the activations by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import nn

Activation = Literal["relu", "tanh", "sigmoid", "gelu", "elu", "leaky_relu", "silu", "selu", "softplus", "mish"]
LENET5_MINIMUM = 16  # pixels a side: two valid 5x5 convolutions and two halvings leave one position

_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
}


def activation_module(name: Activation) -> nn.Module:
    """Return the elementwise module of that name, with torch's default parameters."""
    return _MODULES[name]()


def perceptron(widths: Sequence[int], activation: Activation) -> nn.Sequential:
    """Build a multilayer perceptron as an ordinary module, with dropout layers that are off.

    Args:
        widths: (layers + 1,) units of the input, the hidden layers and the output.
        activation: of the hidden layers.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (inputs, outputs) in enumerate(zip(widths[:-2], widths[1:-1], strict=True), start=1):
        parts[f"hidden{number}"] = nn.Linear(inputs, outputs)
        parts[f"activation{number}"] = activation_module(activation)
        parts[f"dropout{number}"] = nn.Dropout(0.0)
    parts["output"] = nn.Linear(widths[-2], widths[-1])
    return nn.Sequential(parts)


def lenet5(input_shape: Sequence[int], classes: int, activation: Activation = "relu") -> nn.Sequential:
    """Build the LeNet-5 of the pruning literature (Caffe's: 20 and 50 filters, 500 hidden units).

    On MNIST it has 430,500 weights. The activation also follows the convolutions; dropout, off unless asked for, follows
    the hidden layer.

    Args:
        input_shape: (height, width) or (channels, height, width).
        classes: number of outputs.
        activation: of all layers but the last.
    """
    *channels, height, width = input_shape
    image = (*(channels or (1,)), height, width)
    features = 50 * _after_convolutions(height) * _after_convolutions(width)
    return nn.Sequential(
        OrderedDict(
            pixels=nn.Flatten(),
            image=nn.Unflatten(1, image),
            convolution1=nn.Conv2d(image[0], 20, 5),
            activation1=activation_module(activation),
            pool1=nn.MaxPool2d(2),
            convolution2=nn.Conv2d(20, 50, 5),
            activation2=activation_module(activation),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            hidden=nn.Linear(features, 500),
            activation3=activation_module(activation),
            dropout=nn.Dropout(0.0),
            output=nn.Linear(500, classes),
        )
    )


def _after_convolutions(side: int) -> int:
    return ((side - 4) // 2 - 4) // 2
