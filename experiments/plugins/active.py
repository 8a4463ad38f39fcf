"""A method of sparse training of one's own: pruning by |w| times the activity of the unit that it reads."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from evosparse.sparsify import Cohort, Pruning


class Active(Pruning):
    """Scores are |w_ij| |x_j|: x_j the root mean square of input j of the layer over some training examples.

    What is scored is all that a method of this family has to say; `Pruning` has the rest: budgets, rounds, retraining.

    Attributes:
        examples: over how many examples activities are measured.
    """

    method: Literal["active"] = "active"
    round_epochs: int | None = 1
    examples: int = 100

    def scores(self, cohort: Cohort, number: int, connections: list[np.ndarray], turn: int) -> list[np.ndarray]:
        x, _ = cohort.sample(number, self.examples, turn)
        module = cohort.network.module().eval()
        module.load_state_dict({name: torch.from_numpy(value) for name, value in cohort.population.state(number).items()})
        inputs: dict[str, torch.Tensor] = {}
        for layer in cohort.network.layers:
            part = module.get_submodule(layer.name)
            part.register_forward_pre_hook(lambda _, seen, name=layer.name: inputs.update({name: seen[0]}))
        with torch.no_grad():
            module(torch.from_numpy(x))
        scores = []
        for layer, own in zip(cohort.network.layers, connections, strict=True):
            weights = module.get_parameter(layer.parameter).detach().abs()
            activity = inputs[layer.name].square().mean(dim=0).sqrt()
            scores.append((weights * activity).reshape(-1).numpy()[own])
        return scores
