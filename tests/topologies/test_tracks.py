"""Tracks: what is built in, drawn or read is a road that never overlaps itself; all else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evosparse.errors import SpecError
from evosparse.topologies.tasks.driving import track as tracks
from evosparse.topologies.tasks.driving.shapes import CONTROL_POINTS
from evosparse.topologies.tasks.driving.track import HELD_OUT, TRAINING, Track, find_track, from_file, generated

NAMED = (*TRAINING, *HELD_OUT)
SQUARE = [[0, 0], [60, 0], [60, 60], [0, 60]]
RIGHT_HALF = [[0, -4], [25, -8], [50, -20], [70, -15], [78, 0], [70, 15], [50, 20], [25, 8]]
WAIST = [*RIGHT_HALF, *([-x, -y] for x, y in RIGHT_HALF)]  # two stretches 8 m apart in the middle


def circle(radius: float, points: int = 200) -> NDArray[np.float64]:
    angles = 2 * np.pi * np.arange(points) / points
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def bends(track: Track) -> NDArray[np.float64]:
    """The change of heading at each point; left is positive."""
    ways = np.roll(track.centre, -1, axis=0) - track.centre
    headings = np.arctan2(ways[:, 1], ways[:, 0])
    return (headings - np.roll(headings, 1) + np.pi) % (2 * np.pi) - np.pi


def far_gap(track_points: NDArray[np.float64], half_width: float) -> float:
    """The least distance of a point to a segment far from it along a closed line, of all pairs."""
    ways = np.roll(track_points, -1, axis=0) - track_points
    lengths = np.hypot(*ways.T)
    arc = np.concatenate([[0], np.cumsum(lengths)])
    least = np.inf
    for i, point in enumerate(track_points):
        ahead, behind = arc[:-1] - arc[i], arc[-1] - arc[1:] + arc[i]
        far = np.minimum(ahead, behind) >= np.pi * half_width
        share = np.clip(((point - track_points) * ways).sum(axis=1) / lengths**2, 0, 1)
        gaps = np.hypot(*(point - track_points - share[:, None] * ways).T)
        least = min(least, gaps[far].min(initial=np.inf))
    return least


@pytest.mark.parametrize("name", NAMED)
def test_a_built_in_track_is_evenly_spaced_and_leads_through_its_control_points(name: str) -> None:
    track = find_track(name)
    assert track.segment_lengths.max() < 1.01 * track.segment_lengths.min()
    assert track.arc[0] == 0
    assert track.arc[-1] + track.segment_lengths[-1] == pytest.approx(track.length)
    for point in CONTROL_POINTS[name]:
        assert np.hypot(*(track.centre - point).T).min() < 0.6 * track.segment_lengths.max()


def test_training_and_held_out_tracks_differ_and_bend_both_ways() -> None:
    assert len(TRAINING) >= 3 and len(HELD_OUT) >= 5 and not set(TRAINING) & set(HELD_OUT)
    assert set(NAMED) == set(CONTROL_POINTS)
    turns = {name: bends(find_track(name)) for name in NAMED}
    for name in HELD_OUT:
        assert turns[name].max() > 0.05 and turns[name].min() < -0.05
    assert {round(turns[name].sum() / (2 * np.pi)) for name in TRAINING} == {1, -1}


def test_a_track_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        find_track("oval").centre[0] = 0


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**40))
def test_every_seed_gives_a_track_and_always_the_same(seed: int) -> None:
    track = generated(seed)
    assert track.name == f"generated:{seed}"
    assert 150 < track.length < 900
    assert (find_track(track.name).centre == track.centre).all() and (find_track(seed).centre == track.centre).all()


def test_seeds_keep_their_tracks() -> None:
    assert [round(generated(seed).length, 3) for seed in range(4)] == [380.372, 380.517, 408.596, 342.688]
    assert {np.sign(bends(generated(seed)).sum()) for seed in range(8)} == {1, -1}


@settings(deadline=None)  # the first call compiles
@given(half_width=st.floats(1, 12), wobble=st.floats(0, 0.9), lobes=st.integers(2, 7))
def test_overlaps_are_found_as_by_looking_at_all_pairs(half_width: float, wobble: float, lobes: int) -> None:
    points = circle(30, 60)
    points *= 1 + wobble * np.cos(lobes * np.arctan2(points[:, 1], points[:, 0]))[:, None]
    lengths = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    arc = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    point, segment = tracks._overlap(points, lengths, arc, lengths.sum(), half_width)
    assert (point >= 0) == (far_gap(points, half_width) < 2 * half_width) == (segment >= 0)


@pytest.mark.parametrize("half_width", [9.9, 10.1])
def test_a_circle_is_a_track_just_if_its_radius_is_not_below_the_half_width(half_width: float) -> None:
    if half_width < 10:
        assert Track("round", circle(10), half_width).length == pytest.approx(20 * np.pi, rel=1e-3)
    else:
        with pytest.raises(SpecError, match=r"track round: expected bends of a radius .*10.1 m, got 10 m at \("):
            Track("round", circle(10), half_width)


def test_the_edges_lie_a_half_width_beside_the_centre_line() -> None:
    left, right = Track("round", circle(20), 4).edges()
    assert np.hypot(*left.T) == pytest.approx(16) and np.hypot(*right.T) == pytest.approx(24)


@pytest.mark.parametrize(
    ("points", "half_width", "complaint"),
    [
        (SQUARE[:2], 5, r"track t: expected at least 3 control points .* got an array of shape \(2, 2\); add points"),
        ([[0, 0, 0]] * 4, 5, r"expected at least 3 control points"),
        ([], 5, r"expected at least 3 control points"),
        ([[0, 0], [np.nan, 1], [3, 4]], 5, r"of finite metres"),
        ([SQUARE[0], *SQUARE], 5, r"expected control points apart, got \[0.0, 0.0\] twice in a row; remove one"),
        (SQUARE, 0, r"expected a half-width above 0 m, got 0"),
        (SQUARE, np.inf, r"expected a half-width above 0 m, got inf"),
        (SQUARE, 1e-6, r"expected at most 4000 half-widths of road, got 240000000; widen"),
        ([[0, 0], [60, 0], [61, 1], [0, 60]], 5, r"expected bends of a radius of at least its half-width, 5 m, got"),
        # An eight, whose bends are wide enough.
        ([[0, 0], [60, 60], [120, 0], [60, -60], [0, 0.5], [-60, 60], [-120, 0], [-60, -60]], 5, r"do not overlap"),
        (WAIST, 5, r"do not overlap, two half-widths apart \(10 m\), got some nearer at \("),
    ],
)
def test_what_is_no_track_is_refused(points: list, half_width: float, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        Track.through("t", points, half_width)


@pytest.mark.parametrize(
    ("centre", "complaint"),
    [
        (circle(20, 7), r"expected at least 8 points \(n, 2\) of finite metres, got an array of shape \(7, 2\)"),
        (circle(20).repeat(2, axis=0), r"expected points apart, got \(20.0, 0.0\) twice"),
    ],
)
def test_what_is_no_centre_line_is_refused(centre: NDArray[np.float64], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        Track("t", centre)


def test_a_track_from_a_file_leads_through_its_points(tmp_path: Path) -> None:
    (tmp_path / "square.csv").write_text("x, y\n" + "\n".join(f"{x},{y}" for x, y in [*SQUARE, SQUARE[0]]))
    (tmp_path / "narrow.json").write_text(json.dumps({"control_points": SQUARE, "half_width": 2}))
    square, narrow = find_track("square.csv", tmp_path), find_track(str(tmp_path / "narrow.json"))
    assert (square.name, square.half_width, narrow.name, narrow.half_width) == ("square", 5, "narrow", 2)
    assert (square.centre == Track.through("square", SQUARE).centre).all()
    assert (narrow.centre == Track.through("narrow", SQUARE, 2).centre).all()


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("t.csv", "a,b\n1,2\n", r"t.csv: line 1: expected a header with the columns x and y, got \['a', 'b'\]"),
        ("t.csv", "", r"line 1: expected a header"),
        ("t.csv", "x,y\n1,2\n1,z\n", r"t.csv: line 3: expected numbers for x and y"),
        ("t.csv", "x,y\n1\n", r"line 2: expected numbers"),
        ("t.csv", "x,y\n1,2\n", r"t.csv: track t: expected at least 3 control points"),
        ("t.json", "[", r"t.json: expected JSON, got: "),
        ("t.json", "[]", r"t.json: expected "),
        ("t.json", '{"control_points": [[0, 0], [1]]}', r"control_points.1.1: "),
        ("t.json", '{"control_points": [[0, 0]], "width": 1}', r"width: unknown key"),
        ("t.json", json.dumps({"control_points": SQUARE, "half_width": -1}), r"half_width: expected"),
        ("t.json", json.dumps({"control_points": SQUARE, "half_width": 25}), r"t.json: track t: expected bends"),
        ("t.txt", "", r"t.txt: expected a track in a .csv or .json file, got the suffix '.txt'"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=complaint):
        from_file(tmp_path / name)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"x,y\n\xff\xfe")
    for name in ("binary.csv", "missing.csv"):
        with pytest.raises(SpecError, match=f"{name}: expected a readable text file"):
            find_track(name, tmp_path)


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("ovl", r"track 'ovl': expected a built-in track, .*did you mean 'oval'\?"),
        ("generated:", r"generated:: expected a whole number as seed, got ''"),
        ("generated:-1", r"expected a whole number as seed, got '-1'"),
        (-1, r"generated:-1: expected a seed from 0 on"),
    ],
)
def test_an_unknown_reference_is_refused(reference: str | int, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        find_track(reference)
