"""Lottery tickets: Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv 1803.03635."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evosparse.sparsify.base import method
from evosparse.sparsify.cohort import Cohort
from evosparse.sparsify.methods.magnitude import Magnitude
from evosparse.sparsify.pruning import Reset


@method
class LotteryTicket(Magnitude):
    """Iterative magnitude pruning (IMP): each round removes a share of what is left, then all is set back.

    Attributes:
        rate: share of a layer's surviving weights that a round removes; in the output layer half of it. The number of
            rounds is what the sparsity needs, and the last one removes no more than that.
    """

    method: Literal["lottery"] = "lottery"
    scope: Literal["global", "layer"] = "layer"
    reset: Reset = "init"
    rate: float = Field(0.2, gt=0, lt=1)

    def rounds_of(self, cohort: Cohort) -> int:
        return max(len(self.ladder(cohort, replicate.sparsity)) - 1 for replicate in cohort.replicates)

    def budget(self, cohort: Cohort, number: int, turn: int) -> tuple[int, ...]:
        steps = self.ladder(cohort, cohort.replicates[number].sparsity)
        own = steps[min(turn, len(steps) - 1)]
        return own if self.scope == "layer" else (sum(own),)

    def ladder(self, cohort: Cohort, sparsity: float) -> list[tuple[int, ...]]:
        """Return the counts of each layer before the first round and after each."""
        sizes = [layer.size for layer in cohort.network.layers]
        wanted = round((1 - sparsity) * sum(sizes))
        steps = [tuple(sizes)]
        while sum(steps[-1]) > wanted:
            before = steps[-1]
            rates = [self.rate] * (len(sizes) - 1) + [self.rate / 2]
            after = [count - round(rate * count) for count, rate in zip(before, rates, strict=True)]
            if sum(after) == sum(before):  # too few are left for the rate to remove one
                after[after.index(max(after))] -= 1
            steps.append(tuple(after))
        short = wanted - sum(steps[-1])
        if short:  # the last round removes less: in each layer a share of what it would have removed
            before, after = steps[-2], list(steps[-1])
            removed = [first - last for first, last in zip(before, after, strict=True)]
            for layer in range(len(after)):
                part = round(short * removed[layer] / max(1, sum(removed[layer:])))
                after[layer] += part
                short -= part
            steps[-1] = tuple(after)
        return steps
