"""The critical-difference diagram: nothing lies on anything else, however many methods; equal ones are equal files."""

from __future__ import annotations

import re
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.errors import BadInput, StoreError
from evosparse.report import Ranking, cliques, draw_critical_differences, rank, wilcoxon_holm
from evosparse.report.diagram import Layout, arrange


def scores_of(methods: int, data_sets: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Return scores of methods of which the later ones tend to be better, and long names."""
    noise = np.random.default_rng(seed).normal(size=(data_sets, methods))
    return np.linspace(0, 3, methods) + noise, [f"hetero-seeded-acc_div-umda{number}" for number in range(methods)]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Ranking, Layout]:
    """Rankings of 2 to 40 methods, some of them tied, and where their parts stand."""
    methods, data_sets = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    scores, names = scores_of(methods, data_sets, draw(st.integers(0, 1000)))
    ranking = rank(np.round(scores, draw(st.integers(0, 3))), names)
    return ranking, arrange(ranking, cliques(ranking, width=draw(st.floats(0.1, 20))))


def words_in(path: Path) -> list[str]:
    """Return the texts of an SVG, which stand beside their outlines as comments."""
    return re.findall(r"<!-- (.+?) -->", path.read_text())


@given(layouts())
def test_a_leader_starts_at_the_mean_rank_of_its_method(drawn: tuple[Ranking, Layout]) -> None:
    ranking, layout = drawn
    assert sorted(leader.method for leader in layout.leaders) == list(range(len(ranking.methods)))
    for leader in layout.leaders:
        assert leader.x / layout.inches_per_rank + layout.first == pytest.approx(ranking.mean_ranks[leader.method])
        assert 0 <= leader.x <= layout.width


@given(layouts())
def test_names_stand_apart_below_all_bars(drawn: tuple[Ranking, Layout]) -> None:
    _, layout = drawn
    for left in (True, False):
        heights = sorted(leader.y for leader in layout.leaders if leader.left is left)
        assert all(np.diff(heights) > 0.18)  # of nine points, with the space above and below
        assert all(heights[0] - bar.y > 0.1 for bar in layout.bars)


@given(layouts())
def test_leaders_never_cross(drawn: tuple[Ranking, Layout]) -> None:
    _, layout = drawn
    for one, other in combinations(layout.leaders, 2):
        for level, upright in ((one, other), (other, one)):  # the level part of one and the upright part of another
            inwards = upright.x < level.x if level.left else upright.x > level.x
            assert not (inwards and upright.y > level.y)


@given(layouts())
def test_a_bar_covers_its_group_alone_and_no_other_bar(drawn: tuple[Ranking, Layout]) -> None:
    ranking, layout = drawn
    x = {leader.method: leader.x for leader in layout.leaders}
    for bar in layout.bars:
        assert bar.start < min(x[method] for method in bar.methods) < bar.start + 0.02
        assert bar.stop - 0.02 < max(x[method] for method in bar.methods) < bar.stop
    for one, other in combinations(layout.bars, 2):
        assert abs(one.y - other.y) > 0.05 or one.stop + 0.05 < other.start or other.stop + 0.05 < one.start


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_rankings_give_equal_files_whatever_the_settings(suffix: str, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    ranking = rank(*scores_of(34, 12))
    first, second, other = (tmp_path / f"{name}{suffix}" for name in ("first", "second", "other"))
    draw_critical_differences(ranking, first, "Ranks")
    with matplotlib.rc_context({"font.size": 20, "lines.linestyle": "--", "svg.hashsalt": None}):
        draw_critical_differences(ranking, second, "Ranks")
    draw_critical_differences(rank(*scores_of(34, 12, seed=1)), other, "Ranks")
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_the_picture_names_every_method_with_its_mean_rank(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.9, 0.8, 0.7], [0.9, 0.8, 0.8]])
    draw_critical_differences(rank(scores, ["$best$", "second", "third"]), path := tmp_path / "ranks.svg", "A title")
    words = words_in(path)
    assert {"$best$  1.00", "second  2.38", "2.62  third", "A title", "CD = 1.66"} <= set(words)


def test_the_critical_difference_is_drawn_for_its_own_test_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores, methods = scores_of(6, 15)
    draw_critical_differences(rank(scores, methods), nemenyi := tmp_path / "nemenyi.svg")
    compared = wilcoxon_holm(scores, methods)
    draw_critical_differences(rank(scores, methods), pairs := tmp_path / "pairs.svg", comparisons=compared)
    assert any(word.startswith("CD = ") for word in words_in(nemenyi))
    assert not any(word.startswith("CD = ") for word in words_in(pairs))


def test_what_cannot_be_drawn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, methods = scores_of(4, 10)
    ranking = rank(scores, methods)
    with pytest.raises(BadInput, match=r"ends in \.png or \.svg, got '\.pdf'"):
        draw_critical_differences(ranking, tmp_path / "ranks.pdf")
    with pytest.raises(BadInput, match="one comparison for each of the 6 pairs"):
        compared = wilcoxon_holm(scores[:, :3], methods[:3])
        draw_critical_differences(ranking, tmp_path / "ranks.png", comparisons=compared)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(StoreError, match="pictures need matplotlib"):
        draw_critical_differences(ranking, tmp_path / "ranks.png")
    assert list(tmp_path.iterdir()) == []
