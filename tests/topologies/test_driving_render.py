"""Pictures of driving show every driver on every track, films are small, and equal drives make equal files."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evosparse.errors import BadInput, StoreError
from evosparse.topologies.tasks.driving import render
from evosparse.topologies.tasks.driving.cars import CarSpec
from evosparse.topologies.tasks.driving.track import HELD_OUT, TRAINING, Track, find_track

TRACKS = [find_track(name) for name in TRAINING]
extra = pytest.mark.usefixtures("pictures")


@pytest.fixture
def pictures() -> None:
    """Skips what needs the extra for pictures."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")


def ways(track: Track, points: int = 200) -> dict[str, NDArray[np.float64]]:
    """Two drivers: one on the centre line, and one that starts behind it and comes to an early end."""
    line = np.concatenate([track.centre, track.centre])
    return {"ahead": line[:points], "behind": line[10 : points // 4]}


@extra
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_trajectories_are_drawn_alike_again(tmp_path: Path, suffix: str) -> None:
    drivers = {name: [ways(track)[name] for track in TRACKS] for name in ("ahead", "behind")}
    for name in ("one", "two"):
        render.draw_trajectories(TRACKS, drivers, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


@extra
def test_a_picture_names_tracks_and_drivers(tmp_path: Path) -> None:
    drivers = {name: [ways(track)[name] for track in TRACKS] for name in ("ahead", "behind")}
    render.draw_trajectories(TRACKS, drivers, tmp_path / "drawn.svg")
    text = (tmp_path / "drawn.svg").read_text()
    # Words are drawn as curves, with the words themselves in a comment.
    assert all(f"<!-- {word} -->" in text for word in (*TRAINING, "ahead", "behind"))
    render.draw_trajectories([find_track(name) for name in HELD_OUT], {}, tmp_path / "roads.png")
    assert (tmp_path / "roads.png").stat().st_size > 10_000


@extra
@pytest.mark.parametrize("points", [1, 2, 700])
def test_a_film_is_small_and_shows_the_drive_to_its_end(tmp_path: Path, points: int) -> None:
    from PIL import Image

    track = find_track("hairpin")
    drivers = {"ahead": np.concatenate([track.centre] * 2)[:points]}
    drivers |= {f"{number} behind": drivers["ahead"][: 1 + points // (number + 1)] for number in range(1, 5)}
    render.animate(track, drivers, tmp_path / "film.gif")
    assert (tmp_path / "film.gif").stat().st_size < 2_000_000
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == -(-points // -(-points // 160))
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB")).astype(int)
    # The palette of a film has but a part of all colours.
    assert np.abs(last - render.picture(track, drivers)).mean() < 1


@extra
def test_the_same_drives_make_the_same_film(tmp_path: Path) -> None:
    for name in ("one.gif", "two.gif"):
        render.animate(TRACKS[0], ways(TRACKS[0], 60), tmp_path / name)
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()


@extra
def test_a_frame_shows_cars_where_they_are_and_the_rays_of_the_foremost() -> None:
    track = find_track("oval")
    drivers = ways(track)
    film = render._Film(track, drivers, CarSpec(sensors=(0,)))
    before, after = (np.asarray(film.frame(step)) for step in (10, 40))
    for name, step, image, colour in (("ahead", 10, before, 0), ("behind", 39, after, 1)):
        right, down = (film._pixels(drivers[name][step]) / render._SHARP).astype(int)
        shown = image[down - 4 : down + 5, right - 4 : right + 5].reshape(-1, 3)
        wanted = [int(render._COLOURS[colour][place : place + 2], 16) for place in (1, 3, 5)]
        assert (np.abs(shown - np.array(wanted)).sum(axis=1) < 60).any()
    ray = np.array([int(render._RAY[place : place + 2], 16) for place in (1, 3, 5)])
    for image in (before, after):
        assert (np.abs(image.reshape(-1, 3) - ray).sum(axis=1) < 30).sum() > 30


@pytest.mark.parametrize("name", ["oval", "comb"])
def test_laps_of_a_way_count_from_its_start_and_have_a_sign(name: str) -> None:
    track = find_track(name)
    line = np.concatenate([track.centre[30:], track.centre, track.centre[:31]])
    laps = render.laps_along(track, line)
    assert laps[0] == 0 and laps[-1] == pytest.approx(2)
    assert (np.diff(laps) > 0).all()
    assert render.laps_along(track, line[::-1]) == pytest.approx(laps[::-1] - 2)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda path: render.animate(TRACKS[0], ways(TRACKS[0]), path / "film.png"), "expected a .gif file for a film"),
        (lambda path: render.animate(TRACKS[0], {}, path / "film.gif"), "expected drivers with at least one place"),
        (lambda path: render.picture(TRACKS[0], {"a": np.zeros((0, 2))}), "expected drivers with at least one place"),
        (lambda path: render.draw_trajectories([], {}, path / "a.png"), "expected at least one track to draw"),
        (
            lambda path: render.draw_trajectories(TRACKS, {"a": []}, path / "a.png"),
            "driver a: expected a trajectory for each of 3",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, call, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        call(tmp_path)


def test_without_the_extra_an_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def missing(name: str, *others):
        if name.split(".")[0] in ("matplotlib", "PIL"):
            raise ImportError(name)
        return found(name, *others)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(StoreError, match=r"pip install 'evosparse\[plots\]'"):
        render.draw_trajectories(TRACKS, {}, tmp_path / "a.png")
    with pytest.raises(StoreError, match=r"pip install 'evosparse\[plots\]'"):
        render.animate(TRACKS[0], ways(TRACKS[0]), tmp_path / "a.gif")
