"""Crossover by innovation numbers and mutation of weights, for a whole generation in one compiled loop.

Stanley and Miikkulainen, "Evolving Neural Networks through Augmenting Topologies" (2002), section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evosparse.topologies.genome import Topology
from evosparse.topologies.pack import pack

EqualGenes = Literal["random", "both", "first"]
Distribution = Literal["uniform", "gaussian"]


@dataclass(frozen=True)
class Inheritance:
    """How a child gets its genes and its weights.

    Args:
        average: probability that a child has the mean of its parents' weights, and not one's or the other's gene by gene.
        inherit_disabled: probability that a gene disabled in one of the parents is disabled in the child.
        equal_fitness_genes: of parents of equal fitness, genes that only one has: each with probability one half, all,
            or those of the first parent.
        weights: probability that the weights of a child are mutated.
        perturb: probability that a mutated weight is perturbed, and not replaced.
        power: half the range, or the standard deviation, of perturbations.
        replace_power: the same of weights that replace others.
        distribution: of both.
        clip: bound of weights; None for none.
    """

    average: float
    inherit_disabled: float
    equal_fitness_genes: EqualGenes
    weights: float
    perturb: float
    power: float
    replace_power: float
    distribution: Distribution
    clip: float | None


@dataclass(frozen=True)
class Parents:
    """Who has children with whom.

    Args:
        first: (children,) the fitter parents, by their places in the population.
        second: (children,) the other parents; -1 for children of one.
        equal: (children,) whether both are equally fit.
        mutated: (children,) whether weights may be mutated.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    equal: NDArray[np.bool_]
    mutated: NDArray[np.bool_]


def draw_weights(count: int, power: float, distribution: Distribution, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw weights, or their perturbations.

    Args:
        count: how many.
        power: half the range of a uniform distribution, or the standard deviation.
        distribution: ``uniform`` or ``gaussian``.
        rng: source of randomness.
    """
    return rng.uniform(-power, power, count) if distribution == "uniform" else rng.normal(0, power, count)


def breed(
    population: Sequence[Topology], parents: Parents, rules: Inheritance, rng: np.random.Generator
) -> list[Topology]:
    """Return the children, their weights mutated.

    A child never has two genes for the same connection, and never a loop in a feed-forward network: of parents of equal
    fitness, genes of the second that would make one are left out.

    Args:
        population: all genomes, of one interface.
        parents: of each child.
        rules: how genes are inherited.
        rng: source of randomness.
    """
    face = population[0].interface
    # Of a large population a few are parents: only they are packed, and known by their places among themselves.
    used = np.unique(np.append(parents.first, parents.second))
    used = used[used >= 0]
    genes = pack([population[place] for place in used.tolist()])
    first = np.searchsorted(used, parents.first)
    second = np.where(parents.second < 0, -1, np.searchsorted(used, parents.second))
    lengths = np.diff(genes.genes)
    room = lengths[first] + np.where(second < 0, 0, lengths[second])
    starts = np.concatenate([[0], np.cumsum(room)])
    total, children = int(starts[-1]), len(room)
    averaged = rng.random(children) < rules.average
    changed = parents.mutated & (rng.random(children) < rules.weights)
    chances = rng.random((4, total))
    shifts = draw_weights(total, rules.power, rules.distribution, rng)
    fresh = draw_weights(total, rules.replace_power, rules.distribution, rng)
    rates = (rules.inherit_disabled, rules.perturb, np.inf if rules.clip is None else rules.clip)
    equal = parents.equal if rules.equal_fitness_genes != "first" else np.zeros(children, dtype=bool)
    share = 0.5 if rules.equal_fitness_genes == "random" else 1.0
    counts, *arrays = _breed(
        genes, first, second, equal, share, averaged, changed, starts, rates, chances, shifts, fresh, face.recurrent
    )
    begins, hidden, functions = _nodes(
        genes, first, second, starts, counts, arrays[1], arrays[2], face.sources, face.fixed
    )
    firsts = begins + np.arange(children + 1) * len(face.outputs)
    spans = zip(*(map(slice, ends[:-1].tolist(), ends[1:].tolist()) for ends in (begins, firsts)), strict=True)
    # Copies, so that a genome that is kept does not keep its whole generation in memory.
    return [
        Topology(face, hidden[nodes].copy(), functions[own].copy(), *(array[start:end].copy() for array in arrays))
        for (nodes, own), start, end in zip(spans, starts.tolist(), (starts[:-1] + counts).tolist())
    ]


@njit(cache=True, nogil=True)
def _nodes(genes, first, second, starts, counts, source, target, sources, fixed):
    """Return where the hidden nodes of each child begin, all of them, and the functions of all nodes, as in a `Pack`.

    The hidden nodes are those that connections join; functions are the first parent's if it has the node.
    """
    children, outputs = len(first), fixed - sources
    begins = np.zeros(children + 1, dtype=np.int64)
    room = 0
    for child in range(children):
        for parent in (first[child], second[child]):
            if parent >= 0:
                room += genes.nodes[parent + 1] - genes.nodes[parent]
    hidden = np.empty(room, dtype=np.int64)
    functions = np.empty(room + children * outputs, dtype=np.int64)
    for child in range(children):
        span = slice(starts[child], starts[child] + counts[child])
        ends = np.unique(np.concatenate((source[span], target[span])))
        ends = ends[ends >= fixed]
        begin = begins[child]
        end = begins[child + 1] = begin + len(ends)
        hidden[begin:end] = ends
        write = begin + child * outputs
        start = genes.nodes[first[child]] + first[child] * outputs
        functions[write : write + outputs] = genes.functions[start : start + outputs]
        for place in range(len(ends)):
            parent = first[child]
            own = genes.hidden[genes.nodes[parent] : genes.nodes[parent + 1]]
            at = np.searchsorted(own, ends[place])
            if at == len(own) or own[at] != ends[place]:
                parent = second[child]
                at = np.searchsorted(genes.hidden[genes.nodes[parent] : genes.nodes[parent + 1]], ends[place])
            functions[write + outputs + place] = genes.functions[genes.nodes[parent] + (parent + 1) * outputs + at]
    return begins, hidden[: begins[-1]], functions[: begins[-1] + children * outputs]


@njit(cache=True, nogil=True)
def _breed(genes, first, second, equal, share, averaged, changed, starts, rates, chances, shifts, fresh, recurrent):
    inherit_disabled, perturb, clip = rates
    total, children = starts[-1], len(first)
    counts = np.zeros(children, dtype=np.int64)
    innovation, source, target = (np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64))
    weight, enabled = np.empty(total), np.empty(total, dtype=np.bool_)
    for child in range(children):
        start = write = starts[child]
        one, one_end = genes.genes[first[child]], genes.genes[first[child] + 1]
        other, other_end = 0, 0
        if second[child] >= 0:
            other, other_end = genes.genes[second[child]], genes.genes[second[child] + 1]
        extra = np.zeros(starts[child + 1] - start, dtype=np.bool_)
        draw = start
        while one < one_end or other < other_end:
            pick, half, disabled = chances[0, draw], chances[1, draw], chances[2, draw]
            draw += 1
            from_one = one < one_end and (other == other_end or genes.innovation[one] <= genes.innovation[other])
            from_other = other < other_end and (one == one_end or genes.innovation[other] <= genes.innovation[one])
            if from_one and from_other:
                chosen = one if pick < 0.5 else other
                weight[write] = genes.weight[chosen]
                if averaged[child]:
                    weight[write] = (genes.weight[one] + genes.weight[other]) / 2
                both = genes.enabled[one] and genes.enabled[other]
                enabled[write] = both or disabled >= inherit_disabled
            else:
                chosen = one if from_one else other
                weight[write], enabled[write] = genes.weight[chosen], genes.enabled[chosen]
                extra[write - start] = from_other
            taken = (from_one and from_other) or (from_one and not equal[child]) or (equal[child] and half < share)
            one += from_one
            other += from_other
            if taken:
                innovation[write], source[write], target[write] = (
                    genes.innovation[chosen], genes.source[chosen], genes.target[chosen],
                )
                write += 1
            else:
                extra[write - start] = False
        count = write - start
        if extra.any():
            count = _drop_conflicts(extra, innovation, source, target, weight, enabled, start, count, recurrent)
        counts[child] = count
        if changed[child]:
            for gene in range(start, start + count):
                moved = weight[gene] + shifts[gene] if chances[3, gene] < perturb else fresh[gene]
                weight[gene] = min(max(moved, -clip), clip)
    return counts, innovation, source, target, weight, enabled


@njit(cache=True, nogil=True)
def _drop_conflicts(extra, innovation, source, target, weight, enabled, start, count, recurrent):
    """Leave out, in order, genes of the second parent alone that join the same nodes as another, or make a loop."""
    kept = ~extra[:count]
    own_source, own_target = source[start : start + count], target[start : start + count]
    for gene in range(count):
        if not extra[gene]:
            continue
        double = (kept & (own_source == own_source[gene]) & (own_target == own_target[gene])).any()
        kept[gene] = not double and (recurrent or not leads(own_source[kept], own_target[kept], own_target[gene], own_source[gene]))
    write = start
    for gene in range(count):
        if kept[gene]:
            read = start + gene
            innovation[write], source[write], target[write] = innovation[read], source[read], target[read]
            weight[write], enabled[write] = weight[read], enabled[read]
            write += 1
    return write - start


@njit(cache=True, nogil=True)
def leads(source: NDArray[np.int64], target: NDArray[np.int64], start: int, end: int) -> bool:
    """Return whether connections lead from one node to another; a node leads to itself.

    Args:
        source, target: (connections,) nodes.
        start, end: nodes.
    """
    if start == end:
        return True
    reached = source == start
    changed = True
    while changed:
        changed = False
        for gene in range(len(source)):
            if not reached[gene]:
                continue
            if target[gene] == end:
                return True
            for further in range(len(source)):
                if source[further] == target[gene] and not reached[further]:
                    reached[further] = changed = True
    return False
