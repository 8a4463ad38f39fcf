"""Compares what several methods reached on several data sets, and draws the comparison."""

from __future__ import annotations

from evosparse.report.diagram import draw_critical_differences
from evosparse.report.ranks import Comparison, Ranking, cliques, critical_difference, holm, rank, wilcoxon_holm

__all__ = [
    "Comparison",
    "Ranking",
    "cliques",
    "critical_difference",
    "draw_critical_differences",
    "holm",
    "rank",
    "wilcoxon_holm",
]
