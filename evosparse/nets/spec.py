"""The `network` section of a campaign file, and the network that it names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from evosparse.errors import PluginError, SpecError
from evosparse.nets.architectures import Network, multilayer_perceptron
from evosparse.nets.inspection import inspect_module
from evosparse.nets.modules import CNN_MINIMUM, LENET5_MINIMUM, PerceptronActivation, cnn, lenet5
from evosparse.plugins import resolve
from evosparse.section import Section, bare_string

_HIDDEN = {"mlp": (64, 32), "lenet300": (300, 100), "fcn": (32,) * 7}
_IMAGES = {"lenet5": (lenet5, LENET5_MINIMUM), "cnn": (cnn, CNN_MINIMUM)}


class NetworkSpec(Section):
    """Which network a campaign trains; a bare string is its name.

    Attributes:
        name: ``mlp``, ``lenet300`` (an mlp with hidden layers of 300 and 100 units), ``fcn`` (with seven of 32 units),
            ``lenet5`` (see `modules.lenet5`) or ``cnn`` (see `modules.cnn`).
        hidden: units of each hidden layer, for ``mlp`` alone; 64 and 32 if not given.
        activation: of all layers but the last, for the named networks; relu if not given. ``all_relu`` (see
            `modules.hidden_activations`) is of multilayer perceptrons alone.
        slope: of ``all_relu``; 0.6 if not given.
        module: instead of a name, the user's factory, ``path/to/file.py:factory`` or ``package.module:factory``; it is
            called factory(input_shape, classes, **parameters) and returns a torch.nn.Module.
        parameters: further arguments of the factory.
    """

    name: Literal["mlp", "lenet300", "fcn", "lenet5", "cnn"] | None = None
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    activation: PerceptronActivation | None = None
    slope: float | None = Field(default=None, ge=0)
    module: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    _bare = bare_string("name")

    @model_validator(mode="after")
    def _fits_together(self) -> NetworkSpec:
        if (self.name is None) == (self.module is None):
            names = "mlp, lenet300, fcn, lenet5, cnn"
            raise ValueError(f"expected either a name ({names}) or a module (path/to/file.py:factory)")
        if self.hidden is not None and self.name != "mlp":
            raise ValueError("hidden is for name: mlp alone; write name: mlp, or leave hidden out")
        if self.parameters and self.module is None:
            raise ValueError(f"parameters are those of a module's factory; {self.name} takes none")
        if self.activation is not None and self.module is not None:
            raise ValueError("a module chooses its own activations; hand them to its factory as parameters")
        if self.activation == "all_relu" and self.name in _IMAGES:
            raise ValueError(f"all_relu is of multilayer perceptrons alone; {self.name} takes another activation")
        if self.slope is not None and self.activation != "all_relu":
            raise ValueError("slope is that of activation: all_relu; write it, or leave slope out")
        return self


def build(spec: NetworkSpec, input_shape: Sequence[int], classes: int, base: Path | None = None) -> Network:
    """Bind the network that a spec names to the shape of the data.

    Args:
        spec: the network.
        input_shape: shape of one example.
        classes: number of classes.
        base: folder that the path of a user's module is relative to.

    Raises:
        SpecError: the network cannot take inputs of this shape.
        PluginError: the user's factory cannot be found, or what it returns cannot be trained (see `inspect_module`).
    """
    shape, activation = tuple(input_shape), spec.activation or "relu"
    if spec.module is not None:
        factory = resolve(spec.module, base)
        if not callable(factory):
            raise PluginError(
                f"network.module: expected a callable factory(input_shape, classes, **parameters),"
                f" {spec.module!r} is of type {type(factory).__name__}"
            )
        return inspect_module(partial(factory, shape, classes, **spec.parameters), shape, classes, spec.module)
    if spec.name in _IMAGES:
        factory, minimum = _IMAGES[spec.name]
        _expect_image(spec.name, shape, minimum)
        return inspect_module(partial(factory, shape, classes, activation), shape, classes, spec.name)
    hidden = _HIDDEN[spec.name] if spec.hidden is None else spec.hidden
    return multilayer_perceptron(shape, classes, hidden, activation, spec.slope)


def _expect_image(name: str, shape: tuple[int, ...], minimum: int) -> None:
    if len(shape) not in (2, 3) or min(shape[-2:]) < minimum:
        raise SpecError(
            f"network {name}: expected images of shape (height, width) or (channels, height, width), at least"
            f" {minimum}x{minimum} pixels, got inputs of shape {shape}; use an mlp or your own module"
        )
