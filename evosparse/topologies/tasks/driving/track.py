"""Closed tracks: a centre line with a road of one width around it, built in, drawn from a seed, or read from a file.

A track never overlaps itself nor bends more tightly than half its width, so that every point of the road belongs to one
place along the line alone; that is what progress is measured by.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationError

from evosparse.engine.explain import explain
from evosparse.engine.seeds import SeedKey
from evosparse.errors import SpecError, nearest
from evosparse.section import Section
from evosparse.topologies.tasks.driving.shapes import CONTROL_POINTS, HELD_OUT, TRAINING

__all__ = [
    "GENERATED",
    "HALF_WIDTH",
    "HELD_OUT",
    "TRAINING",
    "Track",
    "built_in",
    "find_track",
    "from_file",
    "generated",
]

HALF_WIDTH = 5.0  # metres, where nothing else is said
GENERATED = "generated:"  # begins the reference to a track that is drawn from a seed

_SPACING = 0.2  # half-widths from one point of the centre line to the next
_MOST_POINTS = 20_000
_FINE = 256  # points of the spline between two control points, from which evenly spaced ones are read off


@dataclass(frozen=True, eq=False)
class Track:
    """A closed road, driven in the order of its points; it starts at the first one.

    Args:
        name: what results call it.
        centre: (n, 2) points of the centre line in metres, nearly evenly spaced; the last one is followed by the first.
        half_width: metres from the centre line to either edge.

    Raises:
        SpecError: the numbers are unusable, the track bends more tightly than its half-width, or overlaps itself.
    """

    name: str
    centre: NDArray[np.float64]
    half_width: float = HALF_WIDTH

    def __post_init__(self) -> None:
        centre = np.array(self.centre, dtype=np.float64)
        centre.flags.writeable = False
        object.__setattr__(self, "centre", centre)
        if not (np.isfinite(self.half_width) and self.half_width > 0):
            raise SpecError(
                f"track {self.name}: expected a half-width above 0 m, got {self.half_width}; widen the road"
            )
        if centre.ndim != 2 or centre.shape[1] != 2 or len(centre) < 8 or not np.isfinite(centre).all():
            raise SpecError(
                f"track {self.name}: expected at least 8 points (n, 2) of finite metres, got an array of shape"
                f" {centre.shape}; give the centre line point by point"
            )
        if not self.segment_lengths.min() > 0:
            point = int(self.segment_lengths.argmin())
            raise SpecError(f"track {self.name}: expected points apart, got {self._at(point)} twice; remove one")
        self._check_bends()
        self._check_gaps()

    @classmethod
    def through(cls, name: str, points: ArrayLike, half_width: float = HALF_WIDTH) -> Track:
        """Lead a track through control points, along a closed centripetal Catmull-Rom spline.

        Args:
            name: what results call it.
            points: (n, 2) at least three control points in metres; the last one may repeat the first.
            half_width: metres from the centre line to either edge.

        Raises:
            SpecError: there are too few points, two neighbours are one point, or the track is none (see `Track`).
        """
        control = np.asarray(points, dtype=np.float64)
        if not (np.isfinite(half_width) and half_width > 0):
            raise SpecError(f"track {name}: expected a half-width above 0 m, got {half_width}; widen the road")
        if len(control) > 1 and (control[0] == control[-1]).all():
            control = control[:-1]
        if control.ndim != 2 or control.shape[1:] != (2,) or len(control) < 3 or not np.isfinite(control).all():
            raise SpecError(
                f"track {name}: expected at least 3 control points (x, y) of finite metres, got an array of shape"
                f" {control.shape}; add points"
            )
        apart = np.hypot(*(np.roll(control, -1, axis=0) - control).T)
        if not apart.min() > 0:
            place = control[int(apart.argmin())].tolist()
            raise SpecError(f"track {name}: expected control points apart, got {place} twice in a row; remove one")
        spacing = _SPACING * half_width
        if apart.sum() > _MOST_POINTS * spacing:
            raise SpecError(
                f"track {name}: expected at most {_MOST_POINTS * _SPACING:.0f} half-widths of road, got"
                f" {apart.sum() / half_width:.0f}; widen the road or shorten the track"
            )
        return cls(name, _evenly(_catmull_rom(control), spacing), float(half_width))

    @cached_property
    def segment_lengths(self) -> NDArray[np.float64]:
        """(n,) metres from each point to the next."""
        return np.hypot(*(np.roll(self.centre, -1, axis=0) - self.centre).T)

    @cached_property
    def arc(self) -> NDArray[np.float64]:
        """(n,) metres along the centre line from the first point to each."""
        return np.concatenate([[0.0], np.cumsum(self.segment_lengths)[:-1]])

    @cached_property
    def length(self) -> float:
        """Metres of one lap along the centre line."""
        return float(self.segment_lengths.sum())

    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the left and the right edge of the road as (n, 2) points in metres, for pictures."""
        around = np.roll(self.centre, -1, axis=0) - np.roll(self.centre, 1, axis=0)
        left = np.column_stack([-around[:, 1], around[:, 0]]) / np.hypot(*around.T)[:, None]
        return self.centre + self.half_width * left, self.centre - self.half_width * left

    def _check_bends(self) -> None:
        steps = np.roll(self.centre, -1, axis=0) - self.centre
        before = np.roll(steps, 1, axis=0)
        turned = np.abs(
            np.arctan2(before[:, 0] * steps[:, 1] - before[:, 1] * steps[:, 0], (before * steps).sum(axis=1))
        )
        mean = (self.segment_lengths + np.roll(self.segment_lengths, 1)) / 2
        radius = mean / np.maximum(turned, 1e-300)
        tightest = int(radius.argmin())
        if radius[tightest] < self.half_width:
            raise SpecError(
                f"track {self.name}: expected bends of a radius of at least its half-width, {self.half_width:.3g} m,"
                f" got {radius[tightest]:.3g} m at {self._at(tightest)}; move the points there, or narrow the road"
            )

    def _check_gaps(self) -> None:
        point, segment = _overlap(self.centre, self.segment_lengths, self.arc, self.length, self.half_width)
        if point >= 0:
            raise SpecError(
                f"track {self.name}: expected stretches of road that do not overlap, two half-widths apart"
                f" ({2 * self.half_width:.3g} m), got some nearer at {self._at(point)} and {self._at(segment)}; move"
                " them apart, or narrow the road"
            )

    def _at(self, point: int) -> str:
        return f"({self.centre[point, 0]:.1f}, {self.centre[point, 1]:.1f})"


def built_in(name: str) -> Track:
    """Return a built-in track, one of `TRAINING` and `HELD_OUT`.

    Raises:
        SpecError: there is no such track.
    """
    if name not in CONTROL_POINTS:
        raise SpecError(
            f"track {name!r}: expected a built-in track, generated:SEED, or a .csv or .json file;"
            f" {nearest(name, CONTROL_POINTS)}"
        )
    return Track.through(name, CONTROL_POINTS[name])


def generated(seed: int) -> Track:
    """Draw a track from a seed: control points around a ring, unevenly and at various distances from its middle.

    Args:
        seed: not negative; the same seed always gives the same track.

    Raises:
        SpecError: the seed is negative.
    """
    if seed < 0:
        raise SpecError(f"{GENERATED}{seed}: expected a seed from 0 on, got {seed}; write for instance {GENERATED}0")
    attempt = 0
    while True:
        rng = SeedKey(seed).child("driving track", attempt).rng()
        # Every failure calms the next attempt, and a circle is always a track, so that this ends.
        wildness = 0.99**attempt
        count = int(rng.integers(7, 14))
        angles = 2 * np.pi * (np.arange(count) + 0.35 * wildness * rng.uniform(-1, 1, count)) / count
        radii = rng.uniform(42, 62) * (1 + 0.55 * wildness * rng.uniform(-1, 1, count))
        points = np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])
        if rng.random() < 0.5:
            points = points[::-1]
        try:
            return Track.through(f"{GENERATED}{seed}", points)
        except SpecError:
            attempt += 1


def from_file(path: Path) -> Track:
    """Read the control points of a track.

    Args:
        path: a .csv file with columns ``x`` and ``y`` in metres, or a .json file
            ``{"control_points": [[x, y], ...], "half_width": metres}``; without ``half_width`` it is 5 m.

    Raises:
        SpecError: the file cannot be read, or what it holds is no track.
    """
    readers: dict[str, Callable[[str, str], Track]] = {".csv": _read_csv, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise SpecError(f"{path}: expected a track in a .csv or .json file, got the suffix {path.suffix!r}; rename it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{path}: expected a readable text file with a track, got: {got}; check the path") from None
    try:
        return readers[path.suffix.lower()](text, path.stem)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def find_track(reference: str | int, base: Path | None = None) -> Track:
    """Return the track that a campaign file names.

    Args:
        reference: the name of a built-in track, ``generated:SEED`` or a seed alone, or a path to a .csv or .json file.
        base: folder that a relative path starts at.

    Raises:
        SpecError: there is no such track, or it is none.
    """
    if not isinstance(reference, str):
        return generated(reference)
    if reference.startswith(GENERATED):
        seed = reference.removeprefix(GENERATED)
        if not re.fullmatch("[0-9]{1,18}", seed):
            raise SpecError(
                f"{reference}: expected a whole number as seed, got {seed!r}; write for instance {GENERATED}0"
            )
        return generated(int(seed))
    if Path(reference).suffix.lower() in (".csv", ".json"):
        return from_file((base or Path()) / Path(reference).expanduser())
    return built_in(reference)


class _TrackFile(Section):
    """What a .json file holds."""

    control_points: tuple[tuple[float, float], ...]
    half_width: float = Field(HALF_WIDTH, gt=0)


def _read_json(text: str, name: str) -> Track:
    try:
        found = _TrackFile.model_validate(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise SpecError(f"expected JSON, got: {error}; mend the file") from None
    except ValidationError as error:
        complaint = explain(error, _TrackFile)[0]
        where = ".".join(map(str, complaint.key))
        raise SpecError(f"{where}: {complaint.text}" if where else complaint.text) from None
    return Track.through(name, found.control_points, found.half_width)


def _read_csv(text: str, name: str) -> Track:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    points = []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if not {"x", "y"} <= set(header):
            raise SpecError(f"line 1: expected a header with the columns x and y, got {header}; add it")
        columns = header.index("x"), header.index("y")
        for row in reader:
            if row:
                points.append([float(row[column]) for column in columns])
    except (csv.Error, ValueError, IndexError):
        raise SpecError(f"line {reader.line_num}: expected numbers for x and y, got something else; mend it") from None
    return Track.through(name, points)


def _catmull_rom(control: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (points * _FINE, 2) points of the closed centripetal spline, which makes no loops of its own."""
    corners = [np.roll(control, shift, axis=0)[:, None] for shift in (1, 0, -1, -2)]
    knots = [np.zeros((len(control), 1))]
    for one, other in zip(corners, corners[1:]):
        knots.append(knots[-1] + np.sqrt(np.hypot(*np.moveaxis(other - one, -1, 0))))
    t = knots[1] + (knots[2] - knots[1]) * (np.arange(_FINE) / _FINE)

    def between(first: int, last: int, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        share = ((t - knots[first]) / (knots[last] - knots[first]))[..., None]
        return (1 - share) * one + share * other

    lower = [between(i, i + 1, corners[i], corners[i + 1]) for i in range(3)]
    middle = [between(i, i + 2, lower[i], lower[i + 1]) for i in range(2)]
    return between(1, 2, *middle).reshape(-1, 2)


def _evenly(fine: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Return points of a closed line that lie the same way apart along it, about `spacing` metres."""
    closed = np.concatenate([fine, fine[:1]])
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(8, int(np.ceil(arc[-1] / spacing)))
    places = np.arange(count) * (arc[-1] / count)
    return np.column_stack([np.interp(places, arc, closed[:, axis]) for axis in range(2)])


@njit(cache=True, nogil=True)
def _overlap(centre, lengths, arc, length, half_width):
    """Return a point and a segment far from it along the line but nearer than two half-widths, or -1 and -1."""
    count, longest = len(centre), lengths.max()
    # As it bends no more tightly than its half-width, the line takes this long to turn back to two half-widths.
    far = np.pi * half_width
    for point in range(count):
        segment = point + 1
        while segment < count:
            ahead = arc[segment] - arc[point]
            behind = length - ahead - lengths[segment]
            gap = np.inf
            if ahead >= far and behind >= far:
                following = segment + 1 if segment + 1 < count else 0
                x, y = centre[point] - centre[segment]
                to_x, to_y = centre[following] - centre[segment]
                share = min(max((x * to_x + y * to_y) / lengths[segment] ** 2, 0.0), 1.0)
                gap = np.hypot(x - share * to_x, y - share * to_y) - 2 * half_width
                if gap < 0:
                    return point, segment
                # No nearer stretch can come before the line has covered the gap.
                segment += max(1, int(gap / longest))
            else:
                segment += 1
    return -1, -1
