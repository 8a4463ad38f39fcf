"""The torch modules that evosparse brings: multilayer perceptron and two convolutional networks, and the activations by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import nn

from evosparse.nets.slots import Slot

Activation = Literal["relu", "tanh", "sigmoid", "gelu", "elu", "leaky_relu", "silu", "selu", "softplus", "mish"]
PerceptronActivation = Activation | Literal["all_relu"]
SLOPE = 0.6  # of All-ReLU, as published for Fashion-MNIST
LENET5_MINIMUM = 16  # pixels a side: two valid 5x5 convolutions and two halvings leave one position
CNN_MINIMUM = 10  # the same for 3x3 convolutions

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


def hidden_activations(name: PerceptronActivation, hidden: int, slope: float | None = None) -> list[nn.Module]:
    """Return the activation behind each hidden layer of a multilayer perceptron.

    All-ReLU (Curci et al., arXiv 2102.01732) is x above zero, and below -slope x in even layers and slope x in odd ones.
    The input is layer 1: behind the first hidden layer negative numbers become positive.

    Args:
        name: of the activation.
        hidden: number of hidden layers.
        slope: of ``all_relu``; `SLOPE` if not given.
    """
    if name != "all_relu":
        return [activation_module(name) for _ in range(hidden)]
    slope = SLOPE if slope is None else slope
    return [nn.LeakyReLU(slope if layer % 2 else -slope) for layer in range(2, hidden + 2)]


def perceptron(widths: Sequence[int], activation: PerceptronActivation, slope: float | None = None) -> nn.Sequential:
    """Build a multilayer perceptron as an ordinary module, with dropout layers that are off.

    Args:
        widths: (layers + 1,) units of the input, the hidden layers and the output.
        activation: of the hidden layers.
        slope: of ``all_relu``.
    """
    activations = hidden_activations(activation, len(widths) - 2, slope)
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (inputs, outputs) in enumerate(zip(widths[:-2], widths[1:-1], strict=True), start=1):
        parts[f"hidden{number}"] = nn.Linear(inputs, outputs)
        parts[f"activation{number}"] = activations[number - 1]
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
    image, (height, width) = _image(input_shape)
    features = 50 * _after_convolutions(height, 5) * _after_convolutions(width, 5)
    return nn.Sequential(
        OrderedDict(
            pixels=nn.Flatten(),
            image=nn.Unflatten(1, image),
            convolution1=nn.Conv2d(image[0], 20, 5),
            activation1=Slot("input", activation_module(activation)),
            pool1=nn.MaxPool2d(2),
            convolution2=nn.Conv2d(20, 50, 5),
            activation2=Slot("hidden", activation_module(activation)),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            hidden=nn.Linear(features, 500),
            activation3=Slot("output", activation_module(activation)),
            dropout=nn.Dropout(0.0),
            output=nn.Linear(500, classes),
        )
    )


def cnn(input_shape: Sequence[int], classes: int, activation: Activation = "relu") -> nn.Sequential:
    """Build the CNN of Lapid and Sipper (2022): two 3x3 convolutions of 32 and 64 filters, 1,000 hidden units.

    On MNIST it has 1,629,826 parameters. Each activation stands before its pooling; half of what reaches the hidden layer
    is dropped in training.

    Args:
        input_shape: (height, width) or (channels, height, width).
        classes: number of outputs.
        activation: of all layers but the last.
    """
    image, (height, width) = _image(input_shape)
    features = 64 * _after_convolutions(height, 3) * _after_convolutions(width, 3)
    return nn.Sequential(
        OrderedDict(
            pixels=nn.Flatten(),
            image=nn.Unflatten(1, image),
            convolution1=nn.Conv2d(image[0], 32, 3),
            activation1=Slot("input", activation_module(activation)),
            pool1=nn.MaxPool2d(2),
            convolution2=nn.Conv2d(32, 64, 3),
            activation2=Slot("hidden", activation_module(activation)),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(0.5),
            hidden=nn.Linear(features, 1000),
            activation3=Slot("output", activation_module(activation)),
            output=nn.Linear(1000, classes),
        )
    )


def _image(input_shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, int]]:
    *channels, height, width = input_shape
    return (*(channels or (1,)), height, width), (height, width)


def _after_convolutions(side: int, kernel: int) -> int:
    """Positions a side after two valid convolutions, each followed by a halving."""
    return ((side - kernel + 1) // 2 - kernel + 1) // 2
