"""Where the cabin is glass: windscreen, rear screen and side windows as distance functions over the cabin's cage."""

from dataclasses import dataclass

import numpy as np

from tamis.demo.render.car import Car, Part
from tamis.demo.render.numerics import BoolArray, FloatArray
from tamis.demo.render.surfaces import Material, SurfacePoints, rounded_rectangle


@dataclass(frozen=True, slots=True)
class Glazing:
    """Distances to glass, positive inside; `frame` counts pillars between side windows as inside."""

    glass: FloatArray  # (n,)
    frame: FloatArray  # (n,)


def find_glazing(car: Car, points: SurfacePoints) -> Glazing:
    """Measure how far inside a pane each point lies; points off the cabin are outside."""
    body = car.body
    across, along, up = points.cage[:, 1], points.cage[:, 0], (points.cage[:, 2] + 1) / 2
    windscreen = rounded_rectangle(across * 0.75, up * 0.62, (0, 0.36), (0.69, 0.235), 0.05)
    rear_half = (0.57, 0.165) if body.name != "hatchback" else (0.57, 0.15)
    rear_screen = rounded_rectangle(across * 0.70, up * 0.55, (0, 0.33), rear_half, 0.06)
    side = _side_windows(car, along, up)
    nearest_pillar = np.full(len(up), 9.0, np.float32)
    for pillar in body.pillars:
        distance = np.abs(points.position[:, 0] - pillar * body.length - 0.06 * (up - 0.5)) - 0.032
        nearest_pillar = np.minimum(nearest_pillar, distance)
    if body.panel_sides:  # two leaves
        rear_screen = np.minimum(rear_screen, np.abs(points.position[:, 1]) - 0.05)
    on_side = (points.face == 2) | (points.face == 3)
    ends = np.where(points.face == 0, windscreen, np.where(points.face == 1, rear_screen, -1))
    glass = np.where(on_side, np.minimum(side, nearest_pillar), ends)
    frame = np.where(on_side, side, ends)
    is_cabin = points.part == Part.CABIN
    return Glazing(np.where(is_cabin, glass, -1), np.where(is_cabin, frame, -1))


def _side_windows(car: Car, along: FloatArray, up: FloatArray) -> FloatArray:
    body = car.body
    half_length = (body.rear_screen[1] - body.windscreen[0]) * body.length / 2
    height = float(body.height - car.shoulder_height(0.5 * body.length)) + 0.1
    start = -half_length + 0.13
    end = half_length - (0.20 if body.name in {"hatchback", "sedan"} else 0.15)
    if body.panel_sides:
        end = (body.pillars[0] - sum((body.rear_screen[1], body.windscreen[0])) / 2) * body.length - 0.02
    low, high = 0.20 * height + 0.02, 0.86 * height
    centre, half_size = ((start + end) / 2, (low + high) / 2), ((end - start) / 2, (high - low) / 2)
    return rounded_rectangle(along * half_length, up * height, centre, half_size, 0.07)


def apply_cabin(car: Car, points: SurfacePoints, glazing: Glazing, material: Material) -> None:
    """Set glass, its black surround, the window line and the third brake lamp."""
    cabin = points.part == Part.CABIN
    up = (points.cage[:, 2] + 1) / 2
    across = np.abs(points.position[:, 1])
    material.set(cabin & (glazing.frame > -0.022), 0.008, 0.04, 0.8)
    material.set(cabin & (glazing.glass > 0), 0.008, 0.04, 1.0)
    material.set(cabin & (points.cage[:, 2] < -0.66) & (points.face == 0), 0.012, 0.03, 0.3)  # wiper well
    if not car.body.panel_sides:
        on_side = (points.face == 2) | (points.face == 3)
        line = cabin & on_side & (np.abs(up - 0.195) < 0.018)
        if car.design.chrome_windows:
            material.set(line, 0.30, 0.4, 0.9)
        else:
            material.set(line, 0.01, 0.04, 0.9)
    brake_lamp = cabin & (points.face == 1) & (np.abs(up - 0.93) < 0.02) & (across < 0.16)
    material.set(brake_lamp, (0.4, 0.01, 0.01), 0.05, 0.6)
    if car.design.rear.wiper:
        reach = points.position[:, 1] - 0.02
        wiper = (
            cabin
            & (points.face == 1)
            & (np.abs(up - 0.31 - 0.10 * np.abs(reach)) < 0.012)
            & (np.abs(reach - 0.2) < 0.24)
        )
        material.set(wiper, 0.01, 0.03, 0.2)


def is_cabin_floor(car: Car, points: SurfacePoints) -> BoolArray:
    """Tell which points of the body's upper side lie under the cabin, and so are trim instead of paint."""
    body = car.body
    x, y = points.position[:, 0], points.position[:, 1]
    start, end = car.windscreen_foot + 0.26, body.rear_screen[1] * body.length - 0.14
    inside = (x > start) & (x < end) & (np.abs(y) < car.half_width * 0.88)
    return np.asarray((points.part == Part.BODY) & (points.normal[:, 2] > 0.5) & inside)
