"""The `training` section of a campaign file: loss, optimizer, learning-rate schedule, batch size, dropout."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from evosparse.nets.losses import LossName
from evosparse.section import Section, bare_string

_ADAM_RATE, _SGD_RATE = 1.2e-3, 0.1


class ScheduleSpec(Section):
    """How the learning rate changes; a bare string is the name.

    Attributes:
        name: ``constant``; ``cosine`` or ``linear``, from the full rate to zero over the whole training, step by step; or ``step``.
        every: with step, the epochs after which the rate is multiplied by the factor, again and again.
        at: with step, in place of ``every``: the epochs after which it is multiplied once more.
        factor: with step, what it is multiplied by.
    """

    name: Literal["constant", "cosine", "linear", "step"] = "constant"
    every: int | None = Field(default=None, ge=1)
    at: tuple[int, ...] | None = None
    factor: float | None = Field(default=None, gt=0, le=1)

    _bare = bare_string("name")

    @model_validator(mode="after")
    def _fits_together(self) -> ScheduleSpec:
        given = ((self.every is None) != (self.at is None), self.factor is not None)
        if given != (self.name == "step",) * 2:
            raise ValueError(
                "expected every (epochs) and factor, or at (a list of epochs) and factor, with name: step and only there"
            )
        return self

    def share(self, epochs: float, total_epochs: int) -> float:
        """Return the share of the full learning rate.

        Args:
            epochs: how far the training is, with the fraction of the present epoch.
            total_epochs: length of the whole training.
        """
        if self.name == "cosine":
            return 0.5 * (1 + math.cos(math.pi * epochs / total_epochs))
        if self.name == "linear":
            return 1 - epochs / total_epochs
        if self.name == "step":
            times = int(epochs) // self.every if self.at is None else sum(epochs >= epoch for epoch in self.at)
            return self.factor**times
        return 1.0


class TrainingSpec(Section):
    """How networks are trained.

    Attributes:
        loss: see `losses.total_loss`.
        optimizer: ``adam`` (betas 0.9 and 0.999), ``adamw``, ``rmsprop`` (smoothing 0.99) or ``sgd``.
        learning_rate: 0.0012 for adam (that of the lottery tickets' LeNet-300-100), 0.1 for sgd, if not given.
        momentum: of sgd and rmsprop.
        nesterov: Nesterov's momentum, for sgd.
        weight_decay: added to the gradients as weight_decay * value (torch's L2 penalty), biases included; of adamw
            subtracted from the values instead, times the learning rate.
        unscaled_decay: share of each value that is subtracted at each step whatever the learning rate is, biases
            included, as in the code of SET.
        max_norm: largest norm of the weights into a unit, to which they are scaled after each step; None for none. It
            is of the dense kernel.
        batch: examples in a minibatch; the last one of an epoch may have fewer.
        schedule: how the learning rate changes.
        kernel: what trains networks under masks: ``dense``, masked matrices; ``packed``, existing weights alone, on the
            CPU; ``csr``, existing weights alone by torch's own sparse products; ``auto``, by a fixed rule
            (`evosparse.nets.choice.choose_kernel`). A campaign records what ``auto`` stood for.
        precision: in which the dense kernel multiplies; values, sums and moments are float32 all the same. ``bfloat16``
            needs a processor with AMX or AVX-512 BF16, or a GPU.
        dropout: probability of dropping a hidden activation; in a user's module that of its nn.Dropout layers, which
            keep their own if this is 0.
        input_dropout: probability of dropping an input, in any network.
    """

    loss: LossName = "cross_entropy"
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = Field(default=_ADAM_RATE, gt=0, le=1000)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    unscaled_decay: float = Field(default=0.0, ge=0, lt=1)
    max_norm: float | None = Field(default=None, gt=0)
    batch: int = Field(default=64, ge=1)
    schedule: ScheduleSpec = ScheduleSpec()
    dropout: float = Field(default=0.0, ge=0, lt=1)
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    kernel: Literal["auto", "dense", "packed", "csr"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _rate_of_optimizer(cls, value: Any) -> Any:
        # Filled in here, so that the resolved spec says which learning rate was used.
        if isinstance(value, dict) and value.get("optimizer") == "sgd":
            return {"learning_rate": _SGD_RATE} | value
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSpec:
        if self.optimizer in ("adam", "adamw") and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov are of optimizer: sgd; {self.optimizer} has its own, leave them out")
        if self.optimizer == "rmsprop" and self.nesterov:
            raise ValueError("nesterov is of optimizer: sgd; leave it out")
        if self.max_norm is not None and self.kernel in ("packed", "csr"):
            raise ValueError(f"max_norm is of the dense kernel alone; got kernel {self.kernel}, leave it out")
        if self.precision == "bfloat16" and self.kernel in ("packed", "csr"):
            raise ValueError(f"precision bfloat16 is of the dense kernel alone; got kernel {self.kernel}, leave it out")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum, such as 0.9")
        return self


def make_optimizer(spec: TrainingSpec, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    """Return torch's optimizer over stacked parameters; it works elementwise, so one serves all networks.

    Args:
        spec: the training.
        parameters: leaf tensors with the values of all networks.
    """
    if spec.optimizer in ("adam", "adamw"):
        kind = torch.optim.Adam if spec.optimizer == "adam" else torch.optim.AdamW
        # Fused: measured 1.2 to 1.5 times faster in whole training steps than torch's other two forms.
        return kind(parameters, lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True)
    if spec.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=spec.learning_rate,
        momentum=spec.momentum,
        nesterov=spec.nesterov,
        weight_decay=spec.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
