"""Finds out of any torch module which weights can be masked and what they cost, and refuses what cannot be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from evosparse.errors import PluginError
from evosparse.nets.architectures import Layer, Network
from evosparse.nets.augmented import AugmentedNetwork, AugmentedPerceptron
from evosparse.nets.plan import plan_of
from evosparse.nets.slots import Slot

_MASKABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_EXAMPLES = 2  # in the trial batch


def inspect_module(build: Callable[[], object], input_shape: Sequence[int], classes: int, name: str) -> Network:
    """Describe the module that a factory builds.

    Args:
        build: the factory, without arguments.
        input_shape: shape of one example.
        classes: number of outputs.
        name: what to call the factory in errors.

    Returns:
        The network; its layers are the weights of all linear and convolutional layers that are trained.

    Raises:
        PluginError: the factory fails or returns no module; the module cannot take a batch of examples, does not
            return (batch, classes) logits, has no weight that can be masked, or is not of float32.
    """
    # Built and tried with a state of its own, so that looking at a module never changes what is drawn elsewhere.
    with torch.random.fork_rng(devices=[]):
        module = _build(build, input_shape, classes, name)
        parameters = {key: value for key, value in module.named_parameters() if value.requires_grad}
        _expect_ready(parameters, name)
        layers = {
            key: Layer(key, tuple(part.weight.shape))
            for key, part in module.named_modules()
            if isinstance(part, _MASKABLE) and Layer(key, ()).parameter in parameters
        }
        if not layers:
            raise PluginError(
                f"{name}: expected a module with at least one trained linear or convolutional layer inside, whose"
                f" weights a mask can remove; {type(module).__name__} has none (a single bare layer must stand in an"
                " nn.Sequential)"
            )
        positions = _positions(module, layers, input_shape, classes, name)
        with torch.no_grad():
            plan = plan_of(module, input_shape)
    masked = {layer.parameter for layer in layers.values()}
    kind = AugmentedNetwork if isinstance(module, AugmentedPerceptron) else Network
    return kind(
        input_shape=tuple(input_shape),
        classes=classes,
        layers=tuple(layers.values()),
        unmasked={key: tuple(value.shape) for key, value in parameters.items() if key not in masked},
        positions=positions,
        build=build,
        plan=plan,
        slots=tuple(part.role for part in module.modules() if isinstance(part, Slot)),
    )


def _build(build: Callable[[], object], input_shape: Sequence[int], classes: int, name: str) -> nn.Module:
    try:
        module = build()
    except Exception as error:
        raise PluginError(
            f"{name} fails when called for inputs of shape {tuple(input_shape)} and {classes} classes:"
            f" {type(error).__name__}: {error}; it is called factory(input_shape, classes, **parameters)"
        ) from error
    if not isinstance(module, nn.Module):
        raise PluginError(f"{name}: expected a factory that returns a torch.nn.Module, got {type(module).__name__}")
    return module


def _expect_ready(parameters: dict[str, nn.Parameter], name: str) -> None:
    for key, value in parameters.items():
        if isinstance(value, UninitializedParameter):
            raise PluginError(
                f"{name}: parameter {key!r} is lazy; give its layer its input size, or run it once in the factory"
            )
        if value.dtype != torch.float32:
            raise PluginError(
                f"{name}: expected float32 parameters, got {value.dtype} in {key!r}; call .float() on the module"
            )


def _positions(
    module: nn.Module, layers: dict[str, Layer], input_shape: Sequence[int], classes: int, name: str
) -> tuple[int, ...]:
    uses = dict.fromkeys(layers, 0)

    def count(key: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(part: nn.Module, inputs: object, output: torch.Tensor) -> None:
            uses[key] += output.numel() // (_EXAMPLES * layers[key].shape[0])

        return hook

    hooks = [module.get_submodule(key).register_forward_hook(count(key)) for key in layers]
    x = torch.zeros(_EXAMPLES, *input_shape)
    try:
        with torch.no_grad():
            output = module.eval()(x)
    except Exception as error:
        raise PluginError(
            f"{name}: the module fails on a batch of shape {tuple(x.shape)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, torch.Tensor) or output.shape != (_EXAMPLES, classes):
        came = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise PluginError(
            f"{name}: expected logits of shape (batch, classes) = {(_EXAMPLES, classes)} for a batch of shape"
            f" {tuple(x.shape)}, got {came}; end the module with a linear layer of {classes} outputs"
        )
    return tuple(uses.values())
