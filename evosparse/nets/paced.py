"""A population whose networks have learning rates of their own: factors of the one that the training says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from evosparse.nets.device import configured
from evosparse.nets.moves import Move
from evosparse.nets.population import Population


class PacedPopulation(Population):
    """Networks in training, each at so many times the common learning rate.

    A step of any of the optimizers is proportional to the learning rate, so the networks go that part of it.

    Args:
        rates: (population,) factors from 0 to 1.
        arguments: those of `Population`.
    """

    def __init__(self, rates: Sequence[float], *arguments: object) -> None:
        self._rates = np.asarray(rates, np.float32)
        super().__init__(*arguments)

    @configured()
    def adopt_moments(self, before: Population) -> None:
        """Let the optimizer go on with the moments that it had in another training, where connections are left of that.

        Args:
            before: the same networks, with these connections and perhaps others.
        """
        move = Move(self.network, before._kernel.stacks, self._connections, None)
        move.carry(before._optimizer, self._optimizer, self._kernel.stacks)

    def _use(self, *arguments: object) -> None:
        super()._use(*arguments)
        if (self._rates == 1).all():
            return
        parts = [(stack.values, stack.spread(self._rates).to(self._device)) for stack in self._kernel.stacks.values()]
        before: list[torch.Tensor] = []

        def remember(*_: object) -> None:
            before[:] = [values.detach().clone() for values, _ in parts]

        @torch.no_grad()
        def go_part_of_the_way(*_: object) -> None:
            for (values, rates), old in zip(parts, before, strict=True):
                values.copy_(torch.lerp(old, values, rates))

        self._optimizer.register_step_pre_hook(remember)
        self._optimizer.register_step_post_hook(go_part_of_the_way)
