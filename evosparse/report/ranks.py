"""Compares methods over data sets by their ranks, as Demsar (JMLR 7, 2006) advises: which method is better, and which
differences the data sets can show. Ranks need no common scale, which scores on different data sets do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evosparse.errors import BadInput

_DIGITS = 12  # of a difference, relative to the scores, that are not the noise of the subtraction


@dataclass(frozen=True, eq=False)
class Ranking:
    """The mean ranks of methods over data sets, and whether they differ at all.

    Args:
        methods: names, in the order in which they were given.
        mean_ranks: (methods,) float64 over the data sets; 1 is best, ties share their mean rank.
        data_sets: number of them.
        friedman: Friedman's chi-square statistic, not corrected for ties and so conservative with them.
        p_value: of Friedman's statistic.
        iman_davenport: F statistic of Iman and Davenport, less conservative; infinite when all data sets agree.
        iman_davenport_p_value: of that statistic.
    """

    methods: tuple[str, ...]
    mean_ranks: NDArray[np.float64]
    data_sets: int
    friedman: float
    p_value: float
    iman_davenport: float
    iman_davenport_p_value: float


@dataclass(frozen=True)
class Comparison:
    """Two methods compared over all data sets by Wilcoxon's signed-rank test.

    Args:
        first: name of a method.
        second: name of another one.
        p_value: two-sided.
        corrected: the p-value, corrected for the number of all pairs by Holm's procedure.
        differs: whether the corrected p-value is significant.
        median_difference: of the scores, first minus second.
        wins: number of data sets on which the first is better.
        ties: number of data sets on which their scores are equal.
        losses: number of data sets on which the second is better.
    """

    first: str
    second: str
    p_value: float
    corrected: float
    differs: bool
    median_difference: float
    wins: int
    ties: int
    losses: int


def rank(scores: NDArray[np.float64], methods: Sequence[str], higher_is_better: bool = True) -> Ranking:
    """Rank methods on every data set and test by Friedman whether they differ.

    Args:
        scores: (data sets, methods), finite; scores tie when they are exactly equal.
        methods: their names.
        higher_is_better: whether a higher score is better, as of accuracies; false for losses.

    Raises:
        BadInput: fewer than two methods or data sets, names that are not one for each column, or a score not finite.
    """
    values = _checked(scores, methods)
    data_sets, count = values.shape
    ranks = stats.rankdata(-values if higher_is_better else values, axis=1)
    # Doubled ranks are whole numbers. Without rounding, a full agreement is not mistaken for a nearly full one.
    spread = sum((int(total) - data_sets * (count + 1)) ** 2 for total in (2 * ranks).sum(axis=0))
    whole = data_sets**2 * count * (count**2 - 1)
    friedman = 3 * spread / (data_sets * count * (count + 1))
    f_statistic = inf if whole == 3 * spread else (data_sets - 1) * 3 * spread / (whole - 3 * spread)
    freedom = count - 1
    return Ranking(
        tuple(methods),
        ranks.mean(axis=0),
        data_sets,
        friedman,
        float(stats.chi2.sf(friedman, freedom)),
        f_statistic,
        float(stats.f.sf(f_statistic, freedom, freedom * (data_sets - 1))),
    )


def critical_difference(methods: int, data_sets: int, alpha: float = 0.05) -> float:
    """Return the difference of two mean ranks from which on they differ, by Nemenyi's test for all pairs.

    Args:
        methods: number of methods, at least two.
        data_sets: number of data sets, at least one.
        alpha: the level of significance.

    Raises:
        BadInput: a number is too small, or `alpha` is not between 0 and 1.
    """
    if methods < 2 or data_sets < 1:
        raise BadInput(
            f"critical_difference: expected at least 2 methods and 1 data set, got {methods} and {data_sets}; "
            "a difference needs two methods that were compared"
        )
    _check_alpha(alpha, "critical_difference")
    studentized = float(stats.studentized_range.ppf(1 - alpha, methods, inf))
    return studentized / sqrt(2) * sqrt(methods * (methods + 1) / (6 * data_sets))


def wilcoxon_holm(
    scores: NDArray[np.float64], methods: Sequence[str], alpha: float = 0.05, higher_is_better: bool = True
) -> list[Comparison]:
    """Compare all pairs of methods by Wilcoxon's signed-rank test with Holm's correction.

    Unlike a comparison of mean ranks, the verdict on a pair does not depend on which other methods take part, except
    by their number. The p-values are exact. Data sets without a difference count half for either method, as Demsar has
    it; methods with equal scores everywhere have a p-value of 1.

    Args:
        scores: (data sets, methods), finite, of a scale on which differences can be compared.
        methods: their names.
        alpha: the level of significance, of the whole family of pairs.
        higher_is_better: whether a higher score is better.

    Returns:
        All pairs, those of the smallest corrected p-value first, else in the order of the methods.

    Raises:
        BadInput: as `rank` does, or `alpha` is not between 0 and 1.
    """
    values = _checked(scores, methods)
    _check_alpha(alpha, "wilcoxon_holm")
    pairs = list(combinations(range(len(methods)), 2))
    plain = [_wilcoxon(values[:, first], values[:, second]) for first, second in pairs]
    comparisons = []
    for (first, second), p_value, corrected in zip(pairs, plain, holm(plain), strict=True):
        difference = values[:, first] - values[:, second]
        better = difference if higher_is_better else -difference
        comparisons.append(
            Comparison(
                methods[first],
                methods[second],
                p_value,
                corrected,
                corrected <= alpha,
                float(np.median(difference)),
                wins=int((better > 0).sum()),
                ties=int((better == 0).sum()),
                losses=int((better < 0).sum()),
            )
        )
    return sorted(comparisons, key=lambda comparison: (comparison.corrected, comparison.p_value))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down procedure (1979).

    Args:
        p_values: of the tests of one family.

    Returns:
        The corrected ones in the same order; a test is significant when its corrected p-value is at most alpha.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        corrected[index] = largest
    return corrected


def cliques(
    ranking: Ranking, width: float | None = None, comparisons: Sequence[Comparison] | None = None
) -> list[tuple[int, ...]]:
    """Return the largest groups of methods, consecutive in rank, no two of which differ.

    Args:
        ranking: of the methods.
        width: difference of mean ranks from which on two methods differ; None for Nemenyi's critical difference at 5 %.
        comparisons: of all pairs; methods then differ when their comparison says so, whatever their ranks.

    Returns:
        Places in `ranking.methods`, best first, of each group of at least two; the group of the best method first. A
        method in no group differs from both its neighbours in rank.

    Raises:
        BadInput: both a width and comparisons are given, or the comparisons are not those of all pairs of the methods.
    """
    if width is not None and comparisons is not None:
        raise BadInput(f"cliques: expected a width or comparisons, got both, width {width}; leave one of them out")
    order = np.argsort(ranking.mean_ranks, kind="stable").tolist()
    if comparisons is None:
        limit = critical_difference(len(order), ranking.data_sets) if width is None else width
        ranks = ranking.mean_ranks.tolist()
        differing = {frozenset((a, b)) for a, b in combinations(order, 2) if ranks[b] - ranks[a] >= limit}
    else:
        differing = _differing(ranking, comparisons)
    groups, reached = [], 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any(frozenset((order[end], member)) in differing for member in order[start:end]):
            end += 1
        if end > max(reached, start + 1):
            groups.append(tuple(order[start:end]))
            reached = end
    return groups


def _differing(ranking: Ranking, comparisons: Sequence[Comparison]) -> set[frozenset[int]]:
    pairs = [frozenset((comparison.first, comparison.second)) for comparison in comparisons]
    every = {frozenset(pair) for pair in combinations(ranking.methods, 2)}
    if set(pairs) != every or len(pairs) != len(every):
        raise BadInput(
            f"cliques: expected one comparison for each of the {len(every)} pairs of {', '.join(ranking.methods)}, "
            f"got {len(pairs)} of {len(every & set(pairs))} such pairs; rank and compare the same methods"
        )
    place = {name: number for number, name in enumerate(ranking.methods)}
    return {
        frozenset((place[comparison.first], place[comparison.second]))
        for comparison in comparisons
        if comparison.differs
    }


def _wilcoxon(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the exact two-sided p-value, whatever the ties.

    scipy's test is exact with ties only for a few data sets, at a quarter of a second for a pair. Counting the sums of
    ranks under all choices of signs, rank by rank, takes microseconds.
    """
    largest = max(np.abs(first).max(), np.abs(second).max()) or 1.0
    # 0.9 - 0.8 and 0.8 - 0.7 are to tie, although they are not equal as floating-point numbers.
    differences = np.round(first / largest - second / largest, _DIGITS)
    doubled = (2 * stats.rankdata(np.abs(differences))).astype(np.int64)  # whole numbers, as ties share a mean rank
    won, lost = int(doubled[differences > 0].sum()), int(doubled[differences < 0].sum())
    chances = np.zeros(won + lost + 1)
    chances[0] = 1.0
    # A difference of zero counts half for either side, whatever its sign: it ranks, but takes no part in the choice.
    for own in doubled[differences != 0]:
        chances[own:] += chances[:-own].copy()
        chances /= 2
    return min(1.0, 2 * float(chances[: min(won, lost) + 1].sum()))


def _checked(scores: NDArray[np.float64], methods: Sequence[str]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or values.shape[1] != len(methods):
        raise BadInput(
            f"scores: expected (data sets, {len(methods)} methods), at least two of each, got shape {values.shape}; "
            "give a row for every data set and a column for every name"
        )
    if len(set(methods)) < len(methods):
        raise BadInput(f"methods: expected different names, got {', '.join(methods)}; rename those that are repeated")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise BadInput(
            f"scores[{row}, {column}]: expected a finite number, got {values[row, column]} of {methods[column]}; "
            "leave out the data set or the method that has no score"
        )
    return values


def _check_alpha(alpha: float, where: str) -> None:
    if not 0 < alpha < 1:
        raise BadInput(f"{where}: expected alpha between 0 and 1, got {alpha}; give 0.05 for a level of 5 %")
