"""The physics of the driving task: what a car sees, how it moves and what it is paid, compiled and with exact geometry.

The road is everything within half its width of the centre line, that is a union of capsules, one around each segment of
the line. A ray goes from capsule to capsule until no other one holds the point where it leaves one: there is the edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A car is a row of these numbers; segment, track, crashed and steps are whole ones.
X, Y = 0, 1  # place, metres
HEADING = 2  # radians, counter-clockwise from the x axis
SPEED = 3  # metres a step
SEGMENT = 4  # of the world, the nearest one
ARC = 5  # place along the centre line, metres from the track's first point
PROGRESS = 6  # metres along the centre line since the start; backwards is negative, a lap is the track's length
TRACK = 7  # of the world
CRASHED = 8  # 0 or 1; a crashed car stays where it touched the edge
STEPS = 9  # that the car has been driven
CAR = 10  # numbers in a row

LEFT, STRAIGHT, RIGHT = 0, 1, 2  # the actions named "turn"
SPEED_LEFT, SPEED_RIGHT, SLOWER, FASTER = 0, 1, 2, 3  # the actions named "turn_and_speed"

_SAME = 1e-9  # half-widths from the edge that count as touching it


class World(NamedTuple):
    """Several tracks and the kind of car that drives on them, as compiled functions read them.

    Attributes:
        segments: (segments, 6) of all tracks: start x and y, direction x and y of length 1, length in metres, arc in
            metres at which the segment starts.
        first: (tracks + 1,) the first segment of each track, and the number of all segments.
        lengths, half_widths: (tracks,) metres.
        sensors: (rays, 2) cosine and sine of the angle of each ray to the heading.
        sensor_range: metres.
        turn: radians.
        speed, slowest, fastest, speed_change: metres a step.
        changes_speed: whether the actions are those of ``turn_and_speed``.
    """

    segments: NDArray[np.float64]
    first: NDArray[np.int64]
    lengths: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    sensors: NDArray[np.float64]
    sensor_range: float
    turn: float
    speed: float
    slowest: float
    fastest: float
    speed_change: float
    changes_speed: bool


@njit(cache=True, nogil=True)
def place(world, car, track, lap, heading):
    """Put a car on the centre line of a track, compiled.

    Args:
        world: of `make_world`.
        car: (CAR,) row, written.
        track: index of the track in the world.
        lap: where along the track, as a share of a lap in [0, 1).
        heading: radians counter-clockwise from the centre line.
    """
    segments, first, last = world.segments, world.first[track], world.first[track + 1]
    arc = lap * world.lengths[track]
    # Segments are nearly of one length, so that the guess is hardly ever off.
    segment = min(first + int(lap * (last - first)), last - 1)
    while segment > first and segments[segment, 5] > arc:
        segment -= 1
    while segment + 1 < last and segments[segment + 1, 5] <= arc:
        segment += 1
    along = arc - segments[segment, 5]
    car[X] = segments[segment, 0] + along * segments[segment, 2]
    car[Y] = segments[segment, 1] + along * segments[segment, 3]
    car[HEADING] = np.arctan2(segments[segment, 3], segments[segment, 2]) + heading
    car[SPEED] = world.speed
    car[SEGMENT] = segment
    car[ARC] = arc
    car[PROGRESS] = 0.0
    car[TRACK] = track
    car[CRASHED] = 0.0
    car[STEPS] = 0.0


@njit(cache=True, nogil=True)
def observe(world, car, out):
    """Write what a car sees, compiled.

    Args:
        world: of `make_world`.
        car: (CAR,) row.
        out: (rays + 1,) float64, written: each ray's length as a share of its range, and the speed as a share of the
            highest (always 1 where the actions do not change it).
    """
    cosine, sine = np.cos(car[HEADING]), np.sin(car[HEADING])
    rays = world.sensors.shape[0]
    for ray in range(rays):
        across, along = world.sensors[ray, 1], world.sensors[ray, 0]
        x, y = cosine * along - sine * across, sine * along + cosine * across
        seen, _, _ = trace(world, car, x, y, world.sensor_range)
        out[ray] = seen / world.sensor_range
    out[rays] = car[SPEED] / world.fastest


@njit(cache=True, nogil=True)
def advance(world, car, action):
    """Drive a car one step: turn or change the speed, then go straight for one step's way; compiled.

    A way that leaves the road ends at its edge, and the car has crashed. A crashed car does not move, and is paid 0.

    Args:
        world: of `make_world`.
        car: (CAR,) row, changed.
        action: one of the constants above.

    Returns:
        The progress along the centre line in this step as a share of the way at the highest speed, so about 1 for a car
        that follows the line at that speed; 1 less where the car crashed.
    """
    if car[CRASHED] > 0:
        return 0.0
    if world.changes_speed:
        if action == SPEED_LEFT:
            car[HEADING] += world.turn
        elif action == SPEED_RIGHT:
            car[HEADING] -= world.turn
        elif action == SLOWER:
            car[SPEED] = max(world.slowest, car[SPEED] - world.speed_change)
        else:
            car[SPEED] = min(world.fastest, car[SPEED] + world.speed_change)
    elif action == LEFT:
        car[HEADING] += world.turn
    elif action == RIGHT:
        car[HEADING] -= world.turn
    x, y = np.cos(car[HEADING]), np.sin(car[HEADING])
    way, segment, hit = trace(world, car, x, y, car[SPEED])
    car[X] += way * x
    car[Y] += way * y
    car[SEGMENT] = segment
    car[STEPS] += 1.0

    track = int(car[TRACK])
    arc = _arc(world.segments, segment, car[X], car[Y])
    gained = arc - car[ARC]
    # The places themselves are compared, so that what is driven forth and back adds up to nothing.
    if gained > world.lengths[track] / 2:
        gained -= world.lengths[track]
    elif gained < -world.lengths[track] / 2:
        gained += world.lengths[track]
    car[ARC] = arc
    car[PROGRESS] += gained
    if hit:
        car[CRASHED] = 1.0
        return gained / world.fastest - 1.0
    return gained / world.fastest


@njit(cache=True, nogil=True)
def trace(world, car, x, y, limit):
    """Follow a ray from a car to the edge of the road, compiled.

    Args:
        world: of `make_world`.
        car: (CAR,) row of a car on the road.
        x, y: direction of the ray, of length 1.
        limit: metres to go at most.

    Returns:
        Metres gone, the segment nearest to where they end, and whether the ray ended at the edge.
    """
    track = int(car[TRACK])
    first, last = world.first[track], world.first[track + 1]
    width = world.half_widths[track]
    touching = (width * (1.0 - _SAME)) ** 2
    segment = int(car[SEGMENT])
    gone = 0.0
    while True:
        gone = max(gone, _leaves(world.segments, segment, car[X], car[Y], x, y, width))
        hit = gone < limit
        gone = min(gone, limit)
        segment, distance = nearest(world.segments, first, last, segment, car[X] + gone * x, car[Y] + gone * y)
        if not hit:
            return gone, segment, False
        if not distance < touching:
            return gone, segment, True


@njit(cache=True, nogil=True)
def nearest(segments, first, last, segment, x, y):
    """Find the segment of a track that is nearest to a point, by going downhill from one nearby; compiled.

    On the road this is the nearest of all: a track neither overlaps itself nor bends more tightly than its half-width.

    Args:
        segments: (segments, 6) of the world.
        first, last: the track's segments are those in [first, last).
        segment: where to begin.
        x, y: the point.

    Returns:
        The segment, and the squared distance to it.
    """
    here = _squared(segments, segment, x, y)
    start = segment
    while True:
        ahead = segment + 1 if segment + 1 < last else first
        there = _squared(segments, ahead, x, y)
        if not there < here:
            break
        segment, here = ahead, there
    if segment != start:
        return segment, here
    while True:
        behind = segment - 1 if segment > first else last - 1
        there = _squared(segments, behind, x, y)
        if not there < here:
            return segment, here
        segment, here = behind, there


@njit(cache=True, nogil=True)
def _squared(segments, segment, x, y):
    """Squared distance of a point to a segment."""
    right, up = x - segments[segment, 0], y - segments[segment, 1]
    along = right * segments[segment, 2] + up * segments[segment, 3]
    along = min(max(along, 0.0), segments[segment, 4])
    right -= along * segments[segment, 2]
    up -= along * segments[segment, 3]
    return right * right + up * up


@njit(cache=True, nogil=True)
def _arc(segments, segment, x, y):
    """Place along the centre line of the point of a segment that is nearest to a point, in metres."""
    along = (x - segments[segment, 0]) * segments[segment, 2] + (y - segments[segment, 1]) * segments[segment, 3]
    return segments[segment, 5] + min(max(along, 0.0), segments[segment, 4])


@njit(cache=True, nogil=True)
def _leaves(segments, segment, x, y, to_x, to_y, width):
    """Metres after which a ray from a point of a segment's capsule leaves it."""
    right, up = x - segments[segment, 0], y - segments[segment, 1]
    cosine, sine, length = segments[segment, 2], segments[segment, 3], segments[segment, 4]
    along, aside = right * cosine + up * sine, up * cosine - right * sine
    to_along, to_aside = to_x * cosine + to_y * sine, to_y * cosine - to_x * sine
    if to_aside != 0.0:
        way = ((width if to_aside > 0.0 else -width) - aside) / to_aside
        end = along + way * to_along
        if 0.0 <= end <= length:
            return way
        beyond = end > length
    else:
        beyond = to_along > 0.0
    # Out through the half-circle around one end of the segment.
    if beyond:
        along -= length
    middle = along * to_along + aside * to_aside
    return -middle + np.sqrt(max(0.0, middle * middle + width * width - along * along - aside * aside))
