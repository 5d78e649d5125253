"""Places on earth, and the map on which PostgreSQL finds the nearest ones.

Its index knows a plane alone. On Mercator's map, which is true to angles, the nearest stores are those that
are nearest on earth but for some percent; of those that are found the exact distance is reckoned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EARTH_METERS = 6_371_008.8
"""The mean radius."""
_TRUE_TO_THE_EDGE = 1.02
"""The box is a little larger than the circle, for the stores' own reckoning rounds otherwise."""


@dataclass(frozen=True, slots=True)
class Place:
    """Degrees north of the equator and east of Greenwich."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Box:
    """A box on the map, with the place in question as it lies to it: all in the map's degrees."""

    x: float
    y: float
    west: float
    south: float
    east: float
    north: float


def boxes(place: Place, meters: float) -> list[Box]:
    """Returns the boxes on the map that hold everything within so many meters.

    There are two where the circle crosses the meridian at which the map ends.
    """
    degrees = math.degrees(meters / EARTH_METERS) * _TRUE_TO_THE_EDGE
    south, north = max(-90.0, place.latitude - degrees), min(90.0, place.latitude + degrees)
    widest = math.cos(math.radians(max(abs(south), abs(north))))
    wide = degrees / widest if widest > degrees / 180 else 180.0
    x, y = place.longitude, _mercator(place.latitude)
    found = [Box(x, y, x - wide, _mercator(south), x + wide, _mercator(north))]
    if wide < 180 and x - wide < -180:
        found.append(Box(x + 360, y, x + 360 - wide, _mercator(south), x + 360 + wide, _mercator(north)))
    if wide < 180 and x + wide > 180:
        found.append(Box(x - 360, y, x - 360 - wide, _mercator(south), x - 360 + wide, _mercator(north)))
    if wide >= 180:
        found = [Box(x, y, -180.0, _mercator(south), 180.0, _mercator(north))]
    return found


def _mercator(latitude: float) -> float:
    """Returns how far north a latitude lies on the map. At the poles it is far, and not without end."""
    return math.degrees(math.asinh(math.tan(math.radians(latitude))))
