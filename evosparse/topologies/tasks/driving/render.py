"""Pictures of driving: the ways of several drivers on several tracks, and a film of them on one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evosparse.errors import BadInput, StoreError
from evosparse.pictures import new_figure, undated
from evosparse.topologies.tasks.driving.cars import CarSpec, make_world
from evosparse.topologies.tasks.driving.physics import CAR, HEADING, SEGMENT, SPEED, X, Y, observe
from evosparse.topologies.tasks.driving.track import Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#17becf",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
)
_ROAD, _EDGE, _RAY = "#e4e6e9", "#6b7280", "#f0a500"
_MOST_COLUMNS = 4
_SIDE = 536  # pixels of the longer side of a film's track
_NARROWEST = 360  # pixels, so that there is room for text
_MARGIN = 12
_LINE = 18  # pixels of a line of text
_MOST_FRAMES = 160
_MILLISECONDS = 60  # of a frame
_TRAIL = 40  # steps that a car's trail is long
_SHARP = 2  # pixels that are drawn for each that is shown, each way


def draw_trajectories(
    tracks: Sequence[Track], trajectories: Mapping[str, Sequence[NDArray[np.float64]]], path: Path
) -> None:
    """Draw the ways of drivers, a panel for each track and a colour for each driver; a cross is where a way ends.

    Args:
        tracks: at least one.
        trajectories: by the driver's name, for each track the (steps, 2) places in metres.
        path: a picture file, of a format by its suffix.

    Raises:
        BadInput: there is no track, or a driver has not a way on each.
        StoreError: matplotlib is not installed.
    """
    for name, ways in trajectories.items():
        if len(ways) != len(tracks):
            raise BadInput(f"driver {name}: expected a trajectory for each of {len(tracks)} tracks, got {len(ways)}")
    if not tracks:
        raise BadInput("expected at least one track to draw, got none")
    rows = math.ceil(len(tracks) / _MOST_COLUMNS)
    columns = math.ceil(len(tracks) / rows)
    with new_figure() as figure:
        figure.set_size_inches(3.6 * columns, 3.0 * rows + 0.4)
        figure.set_layout_engine("constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for place, panel in enumerate(panels):
            panel.set_axis_off()
            if place < len(tracks):
                _draw_track(panel, tracks[place])
                for colour, ways in zip(_colours(len(trajectories)), trajectories.values(), strict=True):
                    panel.plot(*ways[place].T, color=colour, linewidth=1.1)
                    panel.plot(*ways[place][-1], "x", color=colour, markersize=6)
        handles = [panels[0].plot([], [], color=colour)[0] for colour in _colours(len(trajectories))]
        if handles:
            figure.legend(
                handles, list(trajectories), loc="outside lower center", ncols=min(5, len(handles)), frameon=False
            )
        figure.savefig(path, dpi=110, metadata=undated(path))


def animate(
    track: Track, trajectories: Mapping[str, NDArray[np.float64]], path: Path, car: CarSpec | None = None
) -> None:
    """Make a film of drivers on one track, with their laps, and the rays of the one who gets furthest.

    Args:
        track: that all of them drive on.
        trajectories: by the driver's name, the (steps, 2) places in metres, one a step; who has come to the end stays.
        path: a .gif file.
        car: whose rays are shown.

    Raises:
        BadInput: there is no driver, or the file is no .gif.
        StoreError: Pillow is not installed.
    """
    if path.suffix.lower() != ".gif":
        raise BadInput(f"{path}: expected a .gif file for a film, got the suffix {path.suffix!r}; rename it")
    film = _Film(track, trajectories, car or CarSpec())
    steps = max(map(len, trajectories.values()))
    # The last step is always shown.
    shown = range(steps - 1, -1, -max(1, math.ceil(steps / _MOST_FRAMES)))[::-1]
    # One palette for all frames, so that what does not move is stored once.
    palette = film.palette()
    frames = [film.frame(step).quantize(palette=palette, dither=0) for step in shown]
    durations = [_MILLISECONDS] * (len(frames) - 1) + [2_000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)


def picture(
    track: Track, trajectories: Mapping[str, NDArray[np.float64]], car: CarSpec | None = None
) -> NDArray[np.uint8]:
    """Return the last frame of the film that `animate` would make, (height, width, 3) from 0 to 255.

    Args:
        track: see `animate`.
        trajectories: see `animate`.
        car: see `animate`.

    Raises:
        BadInput: there is no driver.
        StoreError: Pillow is not installed.
    """
    film = _Film(track, trajectories, car or CarSpec())
    return np.asarray(film.frame(max(map(len, trajectories.values())) - 1))


def laps_along(track: Track, trajectory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (steps,) laps since the first place of a way on the road, with fractions.

    Args:
        track: that the way is on.
        trajectory: (steps, 2) places in metres.
    """
    return _laps(track, *_nearest(track, trajectory))


@dataclass(frozen=True)
class _Course:
    """One driver's way, with the laps at each step, and the segment of the track that was nearest."""

    name: str
    colour: str
    places: NDArray[np.float64]
    laps: NDArray[np.float64]
    segments: NDArray[np.int64]

    @classmethod
    def on(cls, track: Track, name: str, colour: str, places: NDArray[np.float64]) -> _Course:
        """Measure a way on a track."""
        segments, along = _nearest(track, places)
        return cls(name, colour, places, _laps(track, segments, along), segments)

    def now(self, step: int) -> int:
        """The step itself, or the last one of this way."""
        return min(step, len(self.places) - 1)

    def heading(self, step: int) -> float:
        """Radians of the way from the step before; from the first place, to the next."""
        first = min(max(step - 1, 0), max(len(self.places) - 2, 0))
        way = self.places[self.now(first + 1)] - self.places[first]
        return math.atan2(way[1], way[0])


class _Film:
    """Draws frames: the road once, and cars and text anew each time."""

    def __init__(self, track: Track, trajectories: Mapping[str, NDArray[np.float64]], car: CarSpec) -> None:
        if not trajectories or not all(len(places) for places in trajectories.values()):
            raise BadInput("expected drivers with at least one place each to draw, got none")
        try:
            from PIL import Image, ImageDraw, ImageFont
        except ImportError:
            raise StoreError("films need Pillow, which comes with matplotlib: pip install 'evosparse[plots]'") from None
        self._draw_on = ImageDraw.Draw
        self._font = ImageFont.load_default(13)
        self._track, self._car, self._world = track, car, make_world([track], car)
        self._courses = [
            _Course.on(track, name, colour, places)
            for colour, (name, places) in zip(_colours(len(trajectories)), trajectories.items(), strict=True)
        ]
        self._best = max(self._courses, key=lambda course: course.laps[-1])
        reach = track.half_width * 1.1
        low, high = track.centre.min(axis=0) - reach, track.centre.max(axis=0) + reach
        self._scale = _SIDE / (high - low).max() * _SHARP
        self._corner = np.array([low[0], high[1]])
        self._text_height = _LINE * len(self._courses) + _MARGIN
        width, height = (math.ceil(size * self._scale / _SHARP) for size in high - low)
        width, height = max(_NARROWEST, width + 2 * _MARGIN), height + self._text_height + _MARGIN
        self._road = Image.new("RGB", (width * _SHARP, height * _SHARP), "white")
        self._draw_road()

    def frame(self, step: int) -> Image:
        """Draw what stands where after a step."""
        image = self._road.copy()
        draw = self._draw_on(image)
        for end in self._ray_ends(step):
            draw.line([tuple(self._pixels(self._best.places[self._best.now(step)])), tuple(end)], _RAY, 2 * _SHARP)
        for course in self._courses:
            now = course.now(step)
            if now > 0:
                trail = self._pixels(course.places[max(0, now - _TRAIL) : now + 1])
                draw.line(trail.ravel().tolist(), course.colour, 2 * _SHARP)
            self._draw_car(draw, course, now)
        image = image.reduce(_SHARP)
        draw = self._draw_on(image)
        for place, course in enumerate(self._courses):
            now, top = course.now(step), _MARGIN // 2 + _LINE * place
            draw.rectangle([_MARGIN, top + 3, _MARGIN + 10, top + 13], course.colour)
            text = f"{course.name}: {course.laps[now]:.2f} laps in {now} steps{' (ended)' if now < step else ''}"
            draw.text((_MARGIN + 16, top), text, "black", self._font)
        return image

    def palette(self) -> Image:
        """Return an image whose palette has every colour of a frame, and mixtures as they are at the rims of lines."""
        from PIL import Image, ImageColor

        papers = [np.array(ImageColor.getrgb(name)) for name in ("white", _ROAD)]
        inks = [
            ImageColor.getrgb(name) for name in ("black", _EDGE, _RAY, *(course.colour for course in self._courses))
        ]
        shades = [*papers, *(np.array(ink) for ink in inks)]
        shades += [
            paper + (np.array(ink) - paper) * share for paper in papers for ink in inks for share in (1 / 3, 2 / 3)
        ]
        image = Image.new("P", (1, 1))
        image.putpalette(np.rint(shades[:256]).astype(np.uint8).ravel().tolist())
        return image

    def _draw_road(self) -> None:
        draw = self._draw_on(self._road)
        edges = [self._pixels(np.concatenate([edge, edge[:1]])) for edge in self._track.edges()]
        for edge, paper in zip(sorted(edges, key=_area, reverse=True), (_ROAD, "white"), strict=True):
            draw.polygon(edge.ravel().tolist(), paper)
            draw.line(edge.ravel().tolist(), _EDGE, 2 * _SHARP, joint="curve")
        draw.line([tuple(edge[0]) for edge in edges], "white", 3 * _SHARP)

    def _draw_car(self, draw: ImageDraw, course: _Course, now: int) -> None:
        heading, size = course.heading(now), max(0.35 * self._track.half_width * self._scale, 6 * _SHARP)
        middle = self._pixels(course.places[now])
        corners = [(1.0, 0.0), (-0.7, 0.6), (-0.7, -0.6)]
        turned = [
            (a * math.cos(heading) - b * math.sin(heading), -a * math.sin(heading) - b * math.cos(heading))
            for a, b in corners
        ]
        draw.polygon([tuple(middle + size * np.array(corner)) for corner in turned], course.colour, "black")

    def _ray_ends(self, step: int) -> NDArray[np.float64]:
        now = self._best.now(step)
        car, seen = np.zeros(CAR), np.empty(self._car.inputs)
        car[[X, Y]], car[HEADING], car[SPEED] = self._best.places[now], self._best.heading(now), self._car.speed
        car[SEGMENT] = self._best.segments[now]
        observe(self._world, car, seen)
        angles = car[HEADING] + np.radians(self._car.sensors)
        ways = (seen[:-1] * self._car.sensor_range)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        return self._pixels(car[[X, Y]] + ways)

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where places (..., 2) in metres are in a picture before it is reduced."""
        return (points - self._corner) * (self._scale, -self._scale) + np.array([_MARGIN, self._text_height]) * _SHARP


def _area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) / 2


def _nearest(track: Track, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each place the nearest segment of all, and the metres along it."""
    ways = np.roll(track.centre, -1, axis=0) - track.centre
    directions = ways / track.segment_lengths[:, None]
    segments, along = np.empty(len(places), dtype=np.int64), np.empty(len(places))
    for index, place in enumerate(np.asarray(places, dtype=np.float64)):
        offset = place - track.centre
        feet = np.clip((offset * directions).sum(axis=1), 0, track.segment_lengths)
        segments[index] = np.hypot(*(offset - feet[:, None] * directions).T).argmin()
        along[index] = feet[segments[index]]
    return segments, along


def _laps(track: Track, segments: NDArray[np.int64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    arc = track.arc[segments] + along
    return (np.unwrap(arc, period=track.length) - arc[0]) / track.length


def _draw_track(axes: Axes, track: Track) -> None:
    for edge in track.edges():
        axes.plot(*np.concatenate([edge, edge[:1]]).T, color=_EDGE, linewidth=1.0)
    left, right = track.edges()
    axes.plot(*np.array([left[0], right[0]]).T, color=_EDGE, linewidth=2.0)
    axes.set_aspect("equal")
    axes.set_title(track.name, fontsize=10)


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
