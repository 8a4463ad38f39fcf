"""Which hidden unit is connected with which visible unit: all, a random part, or what the connectivity gradient learns.

de Oliveira and Figueiredo, "Optimizing Connectivity through Network Gradients for Restricted Boltzmann Machines",
Neural Networks 2025, arXiv 2209.06932.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from evosparse.engine.explain import explain
from evosparse.errors import SpecError, nearest
from evosparse.section import Section
from evosparse.sparsify.rbm.parameters import Floats

_THRESHOLD = 0.5


@dataclass(eq=False)
class Connections:
    """The connections of one machine; `Connectivity.update` changes them in place.

    Args:
        active: (H, X) array of 0 and 1, A.
        scores: (H, X) array from 0 to 1, A~, where the connectivity is learnt.
        free: that many first columns may lose connections; the others are whole.
    """

    active: Floats
    scores: Floats | None
    free: int

    @property
    def density(self) -> float:
        """Existing connections of the columns that may lose some, divided by all of theirs."""
        return float(self.active[:, : self.free].mean(dtype=np.float64))


class Connectivity(Section):
    """How a machine comes to its connections.

    Attributes:
        connectivity: its name in the registry.
    """

    connectivity: str

    @abstractmethod
    def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
        """Return the connections that a training begins with.

        Args:
            shape: (H, X), hidden and visible units.
            free: see `Connections`.
            rng: source of randomness.
            dtype: precision of the machine.
        """

    def update(self, connections: Connections, weights: Floats, gradient: Floats, rate: float) -> None:
        """Change the connections after a minibatch; by default they stay.

        Args:
            connections: changed in place.
            weights: (H, X) array, W before the minibatch's step, of missing connections too.
            gradient: (H, X) array, of the log-likelihood at every position.
            rate: the machine's learning rate.
        """


CONNECTIVITIES: dict[str, type[Connectivity]] = {}
_Kind = TypeVar("_Kind", bound=type[Connectivity])


def connectivity(kind: _Kind) -> _Kind:
    """Register a class of `Connectivity` under the default of its field ``connectivity``.

    Raises:
        SpecError: another class has that name, or it has no name.
    """
    name = kind.model_fields["connectivity"].default
    if not isinstance(name, str):
        raise SpecError(f"{kind.__name__}: expected a default of the field 'connectivity', its name; got {name!r}")
    known = CONNECTIVITIES.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise SpecError(f"two connectivities are called {name!r}: {known.__qualname__}, {kind.__qualname__}; rename one")
    CONNECTIVITIES[name] = kind
    return kind


def as_connectivity(value: object) -> Connectivity:
    """Make a connectivity of its name, of a mapping with its name and parameters, or leave one as it is.

    Raises:
        SpecError: there is no such connectivity, or a parameter is wrong.
    """
    if isinstance(value, Connectivity):
        return value
    values = {"connectivity": value} if isinstance(value, str) else value
    if not isinstance(values, dict) or not isinstance(values.get("connectivity"), str):
        raise SpecError(
            f"connectivity: expected the name of one, or a mapping with 'connectivity: NAME', got {value!r};"
            f" names are {', '.join(sorted(CONNECTIVITIES))}"
        )
    name = values["connectivity"]
    if name not in CONNECTIVITIES:
        raise SpecError(f"unknown connectivity {name!r}: {nearest(name, CONNECTIVITIES)}")
    kind = CONNECTIVITIES[name]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        texts = (f"{name}.{'.'.join(map(str, one.key))}: {one.text}" for one in explain(error, kind))
        raise SpecError("; ".join(texts)) from None


@connectivity
class Dense(Connectivity):
    """Every hidden unit is connected with every visible one."""

    connectivity: Literal["dense"] = "dense"

    def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
        """Return all connections."""
        return Connections(np.ones(shape, dtype), None, free)


@connectivity
class Random(Connectivity):
    """Each connection exists with the same probability, independently; they stay as they were drawn.

    Attributes:
        density: that probability. The number of connections is therefore not exact, as in the source.
    """

    connectivity: Literal["random"] = "random"
    density: float = Field(0.5, gt=0, le=1)

    def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
        """Draw the connections."""
        return Connections(_bernoulli(shape, free, self.density, rng, dtype), None, free)


@connectivity
class NCG(Connectivity):
    """Connections have scores that climb the gradient, and exist where the score is above one half.

        A ~ Bernoulli(density), A~ ~ U(.5, 1) where A = 1 and U(0, .5) where A = 0
        after each minibatch, at EVERY position: A~ += rate_ratio * learning rate * W_old * G
        A = 1 where A~ > .5, 0 where A~ < .5, unchanged at .5; A~ is clipped to [0, 1]

    G is the gradient by the effective weights C = W * A, so W * G is that by A. Weights of missing connections do not
    move, so a connection that comes back has the weight that it had.

    Attributes:
        density: p, with which the connections are drawn.
        rate_ratio: how many times the weights' learning rate that of the scores is.
        exact: after each minibatch all scores move by one amount, so that as many are above .5 as ``density`` says. Ours: the
            published connectivity finds a density of its own, most often near .6.

    Deviation: scores of columns that may not lose connections (label units) are 1; in the published code they are
    whatever lay in memory, and unused.
    """

    connectivity: Literal["ncg"] = "ncg"
    density: float = Field(0.5, gt=0, le=1)
    rate_ratio: float = Field(5.0, gt=0)
    exact: bool = False

    def draw(self, shape: tuple[int, int], free: int, rng: np.random.Generator, dtype: np.dtype) -> Connections:
        """Draw the connections, and scores that match them."""
        active = _bernoulli(shape, free, self.density, rng, dtype)
        scores = (_THRESHOLD * (rng.random(shape, dtype) + active)).astype(dtype)
        scores[:, free:] = 1
        return Connections(active, scores, free)

    def update(self, connections: Connections, weights: Floats, gradient: Floats, rate: float) -> None:
        """Move the scores, and make and cut connections by them."""
        free = connections.free
        scores, active = connections.scores[:, :free], connections.active[:, :free]
        count = max(1, round(self.density * scores.size))
        if self.exact and count == scores.size:  # there is nothing to choose
            active[:] = 1
            return
        step = weights[:, :free] * gradient[:, :free]
        step *= scores.dtype.type(self.rate_ratio * rate)
        scores += step
        if self.exact:
            first = scores.size - count
            below, above = np.partition(scores, (first - 1, first), axis=None)[first - 1 : first + 1]
            scores += scores.dtype.type(_THRESHOLD - (below + above) / 2)
        np.clip(scores, 0, 1, out=scores)
        between = scores == _THRESHOLD
        # Large machines are bound by memory: all are compared at once, and the few at one half, if any, put back.
        before = active[between] if between.any() else None
        np.copyto(active, scores > _THRESHOLD)
        if before is not None:
            active[between] = before


def _bernoulli(shape: tuple[int, int], free: int, density: float, rng: np.random.Generator, dtype: np.dtype) -> Floats:
    active = (rng.random(shape, dtype) < density).astype(dtype)
    active[:, free:] = 1
    return active
