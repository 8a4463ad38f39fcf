"""The figures of the final examination: one row for each arm, the winner and its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evosparse.engine.candidate import Outcome

CONFIDENCE = 0.95


@dataclass(frozen=True)
class TrialResult:
    """What one trial of the examination gave.

    Args:
        arm: what was examined.
        replicate: number of the repetition.
        description: the trial in one line.
        outcome: its measures, or why there are none.
    """

    arm: str
    replicate: int
    description: str
    outcome: Outcome


@dataclass(frozen=True)
class Interval:
    """A mean over replicates, with its confidence interval.

    Args:
        mean: over the replicates that were measured.
        half_width: of the 95 % interval by Student's t; NaN for a single replicate.
        values: the measured values, in the order of the replicates.
    """

    mean: float
    half_width: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Arm:
    """One row of the final table.

    Args:
        name: of the arm.
        description: of its first trial.
        measures: every measure over the replicates.
        failed: number of replicates without measures.
    """

    name: str
    description: str
    measures: Mapping[str, Interval]
    failed: int


def summarise(results: Sequence[TrialResult]) -> list[Arm]:
    """Gather trials into arms, in the order in which the arms first appear."""
    arms: dict[str, list[TrialResult]] = {}
    for result in results:
        arms.setdefault(result.arm, []).append(result)
    return [_arm(name, trials) for name, trials in arms.items()]


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent values with its 95 % confidence interval.

    Args:
        values: one for each replicate, at least one.
    """
    count = len(values)
    width = float("nan")
    if count > 1:
        width = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return Interval(float(np.mean(values)), width, tuple(values))


def _arm(name: str, trials: Sequence[TrialResult]) -> Arm:
    measured = [trial.outcome.measures for trial in trials if trial.outcome.ok]
    names = measured[0] if measured else ()
    measures = {measure: interval([values[measure] for values in measured]) for measure in names}
    return Arm(name, trials[0].description, measures, failed=len(trials) - len(measured))
