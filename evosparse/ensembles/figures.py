"""Pictures of a search and of what it found: marginals over the generations, the chosen members, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evosparse.ensembles.diversity import Diversity
from evosparse.ensembles.genome import Ensemble
from evosparse.ensembles.votes import Votes
from evosparse.pictures import new_figure, undated

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_ensemble(votes: Votes, ensemble: Ensemble, history: Sequence[NDArray[np.float64]], path: Path) -> None:
    """Draw the members of a pool with those chosen, the disagreement of these, and the marginals of the search.

    Args:
        votes: on the examples that drove the search.
        ensemble: what was chosen.
        history: (members,) marginals after each generation; empty for methods without marginals.
        path: a picture file, of a format by its suffix.

    Raises:
        StoreError: matplotlib is not installed.
    """
    order = np.argsort(-votes.accuracies, kind="stable")
    columns = 3 if len(history) else 2
    with new_figure((5.5 * columns, max(4.0, 0.19 * votes.members)), "constrained") as figure:
        axes = figure.subplots(1, columns, squeeze=False)[0]
        _draw_members(axes[0], votes, ensemble, order)
        chosen = order[ensemble.chosen[order]]
        _draw_disagreement(axes[1], votes, chosen)
        if len(history):
            draw_marginals(axes[2], np.array(history), [votes.names[member] for member in order], order)
        figure.savefig(path, dpi=110, metadata=undated(path))


def draw_marginals(
    axes: Axes, history: NDArray[np.float64], names: Sequence[str], order: NDArray[np.int64] | None = None
) -> None:
    """Draw marginals as a heat map, a row for each member and a column for each generation.

    Args:
        axes: where.
        history: (generations, members) probabilities.
        names: of the members, in the order in which they are drawn.
        order: (members,) in which the members are drawn; by default that of the pool.
    """
    values = history if order is None else history[:, order]
    image = axes.imshow(values.T, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    _name_rows(axes, names)
    axes.set_xlabel("generation")
    axes.set_title("probability of each member")
    axes.figure.colorbar(image, ax=axes, fraction=0.04)


def _draw_members(axes: Axes, votes: Votes, ensemble: Ensemble, order: NDArray[np.int64]) -> None:
    colours = ["tab:blue" if ensemble.chosen[member] else "lightgrey" for member in order]
    accuracies = votes.accuracies[order]
    axes.barh(np.arange(len(order)), accuracies, color=colours)
    axes.set_xlim(max(0.0, accuracies.min() - 0.05), min(1.0, accuracies.max() + 0.05))
    axes.invert_yaxis()
    _name_rows(axes, [votes.names[member] for member in order])
    axes.set_xlabel("accuracy where the search is driven")
    axes.set_title(f"{ensemble.size} of {ensemble.pool} members (blue)")


def _draw_disagreement(axes: Axes, votes: Votes, chosen: NDArray[np.int64]) -> None:
    pairs = Diversity("disagreement", votes.right).pairs[np.ix_(chosen, chosen)]
    image = axes.imshow(pairs, cmap="magma", vmin=0, interpolation="nearest")
    _name_rows(axes, [votes.names[member] for member in chosen])
    axes.set_xticks([])
    axes.set_title("disagreement of the chosen members")
    axes.figure.colorbar(image, ax=axes, fraction=0.04)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names, fontsize=7 if len(names) < 40 else 5)
