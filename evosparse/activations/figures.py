"""Pictures of what was found: the curves of functions with their derivatives, and fitness over the generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from evosparse.activations.expression import Expression
from evosparse.activations.genome import Triple
from evosparse.activations.primitives import PrimitiveSet
from evosparse.engine.candidate import Candidate
from evosparse.pictures import new_figure, undated

_RANGE = (-4.0, 4.0)
_POINTS = 801
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # to be told apart without colours


def curve(function: Expression, primitives: PrimitiveSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points of a function: where, its values there, and its derivatives; three (points,) arrays."""
    x = torch.linspace(*_RANGE, _POINTS, requires_grad=True)
    y = primitives.evaluate(function, x)
    slope = torch.zeros(_POINTS)
    if y.requires_grad:  # a constant has none
        (slope,) = torch.autograd.grad(y.sum(), x)
    return x.detach().numpy(), y.detach().numpy(), slope.numpy()


def draw_curves(triples: Mapping[str, Triple], primitives: PrimitiveSet, path: Path) -> None:
    """Draw the functions of each role with their derivatives below.

    Args:
        triples: by name; all of the same roles.
        primitives: of which they are made.
        path: a picture file, of a format by its suffix.

    Raises:
        StoreError: matplotlib is not installed.
    """
    roles = next(iter(triples.values())).roles
    with new_figure((4.5 * len(roles), 6), "tight") as figure:
        axes = figure.subplots(2, len(roles), sharex=True, squeeze=False)
        for column, role in enumerate(roles):
            for number, (name, triple) in enumerate(triples.items()):
                x, y, slope = curve(triple.function(role), primitives)
                style = {"linestyle": _STYLES[number % len(_STYLES)], "linewidth": 1.5}
                axes[0, column].plot(x, y, label=f"{name}: {_short(str(triple.function(role)))}", **style)
                axes[1, column].plot(x, slope, **style)
            axes[0, column].set_title(f"{role} function")
            axes[0, column].legend(fontsize=6)
            axes[1, column].set_xlabel("x")
        axes[0, 0].set_ylabel("f(x)")
        axes[1, 0].set_ylabel("f'(x)")
        figure.savefig(path, dpi=120, metadata=undated(path))


def draw_progress(candidates: Iterable[Candidate], path: Path) -> None:
    """Draw the fitness of all candidates over the generations, a panel for each population, and the best so far.

    Args:
        candidates: of one campaign, with one objective that is maximised, in the order of their generations.
        path: a picture file.

    Raises:
        StoreError: matplotlib is not installed.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for candidate in candidates:
        if candidate.ok:
            value = candidate.outcome.measures[next(iter(candidate.fitness.objectives))]
            points.setdefault(candidate.population, []).append((candidate.generation, value))
    with new_figure((4 * len(points), 3), "tight") as figure:
        axes = figure.subplots(1, len(points), sharey=True, squeeze=False)
        for panel, (population, own) in zip(axes[0], points.items(), strict=True):
            generations, values = np.array([point[0] for point in own]), np.array([point[1] for point in own])
            panel.plot(generations, values, "k.", markersize=3, label="candidates")
            panel.step(generations, np.maximum.accumulate(values), "k-", where="post", label="best so far")
            panel.set_title(population)
            panel.set_xlabel("generation")
        axes[0, 0].set_ylabel("fitness")
        axes[0, 0].legend(fontsize=7)
        figure.savefig(path, dpi=120, metadata=undated(path))


def _short(formula: str) -> str:
    return formula if len(formula) <= 48 else f"{formula[:45]}..."
