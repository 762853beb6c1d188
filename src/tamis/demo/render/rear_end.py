"""Material rules of the tail: lamps, lid, handle, bumper, reflectors and plate."""

import numpy as np

from tamis.demo.render.bodies import RearLamp
from tamis.demo.render.car import Car, Part
from tamis.demo.render.numerics import BoolArray, FloatArray
from tamis.demo.render.plates import apply_plate
from tamis.demo.render.surfaces import CHROME, Material, SurfacePoints, ellipse, rectangle

_RED = (0.36, 0.008, 0.010)

# Middle across (share of the half width), half width, depth below the tail's edge, half height, outline's exponent.
_LAMP_MEASURES: dict[RearLamp, tuple[float, float, float, float, float]] = {
    "column": (0.95, 0.10, 0.20, 0.185, 5.0),
    "wrap": (0.88, 0.27, 0.14, 0.085, 4.0),
    "square": (0.91, 0.185, 0.17, 0.115, 6.0),
    "round": (0.84, 0.105, 0.17, 0.105, 2.0),
    "band": (0.92, 0.22, 0.15, 0.060, 6.0),
    "wedge": (0.90, 0.23, 0.15, 0.100, 3.0),
}


def apply_rear_end(car: Car, points: SurfacePoints, plate: FloatArray, material: Material) -> None:
    """Set everything that belongs to the tail."""
    x, z = points.position[:, 0], points.position[:, 2]
    across = np.abs(points.position[:, 1])
    rear, floor = car.design.rear, car.body.floor_height
    tail = (points.part == Part.BODY) & (x > car.body.length - 0.45) & (points.normal[:, 0] > -0.2)
    _apply_lid_joint(car, points, tail, material)
    _apply_lamps(car, points, tail, material)
    on_lid = car.tail_edge - (0.26 if car.body.name == "sedan" else 0.36)
    plate_z = floor + 0.36 if rear.plate_in_bumper else on_lid
    material.set(tail & (z < floor + rear.dark_bumper) & (across < car.half_width * 0.86), 0.014, 0.03, 0.2)
    recess = tail & (rectangle(across / 0.33, (z - plate_z) / 0.10) < 1)
    material.albedo[recess] *= 0.45
    strip = tail & (rectangle(across / (0.30 if not rear.plate_in_bumper else 0.42), (z - on_lid - 0.115) / 0.014) < 1)
    if rear.chrome_strip:
        material.set(strip, 0.45, 0.55, 1.0)
    else:
        material.set(strip, 0.012, 0.03, 0.3)
    badge_drop = 0.085 if car.body.name == "sedan" else 0.12
    badge = tail & (np.hypot(points.position[:, 1], z - car.tail_edge + badge_drop) < 0.042)
    material.set(badge, CHROME, 0.6, 1.0)
    reflector = tail & (rectangle((across - car.half_width * 0.70) / 0.13, (z - floor - 0.30) / 0.018) < 1)
    material.set(reflector, (0.45, 0.01, 0.01), 0.05, 0.6)
    apply_plate(points, tail, plate_z, plate, facing=1, material=material)


def _apply_lid_joint(car: Car, points: SurfacePoints, tail: BoolArray, material: Material) -> None:
    z, across = points.position[:, 2], np.abs(points.position[:, 1])
    depth = 0.50 if car.body.name != "sedan" else 0.34
    outline = rectangle(across / (car.half_width * 0.78), (z - (car.tail_edge - 0.02)) / depth)
    joint = tail & (np.abs(outline - 1) < 0.012) & (z < car.tail_edge)
    if car.body.panel_sides:
        joint |= tail & (across < 0.006) & (z > car.body.floor_height + 0.3)
    material.darken_gaps(joint)


def _apply_lamps(car: Car, points: SurfacePoints, tail: BoolArray, material: Material) -> None:
    kind = car.design.rear.lamp
    middle, half_width, depth, half_height, exponent = _LAMP_MEASURES[kind]
    x, z = points.position[:, 0], points.position[:, 2]
    wrapped = np.abs(points.position[:, 1]) + 0.9 * np.maximum(car.body.length - 0.02 - x, 0)
    u = (wrapped - car.half_width * middle) / half_width
    v = (z - car.tail_edge + depth) / half_height
    if kind == "wedge":
        v = v * (1 + 0.35 * u) - 0.1
    outline = ellipse(u, v, exponent)
    reachable = (points.part == Part.BODY) & (x > car.body.length - 0.5) & (points.normal[:, 0] > -0.75)
    lamp = reachable & (outline < 1)
    material.set(reachable & (outline >= 1) & (outline < 1.25), 0.012, 0.03, 0.3)
    material.set(lamp, _RED, 0.05, 0.9)
    material.glow[lamp] = (0.05, 0.0, 0.0)
    if kind == "round":
        _apply_round_pair(car, points, reachable, material)
        white, ring = lamp & (outline < 0.18), lamp & (np.abs(np.sqrt(outline) - 0.75) < 0.10)
    elif kind == "column":
        white, ring = lamp & (np.abs(v) < 0.14), lamp & (np.abs(np.abs(v) - 0.80) < 0.08)
    else:
        white = lamp & (np.abs(v + 0.30) < 0.17) & (np.abs(u) < 0.8)
        ring = lamp & (np.abs(np.abs(v) - 0.72) < 0.08)
    material.set(white, (0.70, 0.66, 0.64), 0.06, 0.9)
    material.light_up(ring, (0.75, 0.03, 0.03), (0.16, 0.005, 0.005))
    if kind == "band":
        band = tail & (np.abs(v) < 0.45) & (u < -0.9)
        material.set(band, _RED, 0.05, 0.9)
        material.glow[band & (np.abs(v) < 0.15)] = (0.16, 0.005, 0.005)


def _apply_round_pair(car: Car, points: SurfacePoints, reachable: BoolArray, material: Material) -> None:
    """Set the inner one of two round lamps."""
    middle, _, depth, _, _ = _LAMP_MEASURES["round"]
    across = np.abs(points.position[:, 1]) - (car.half_width * middle - 0.235)
    radius = np.hypot(across, points.position[:, 2] - car.tail_edge + depth)
    material.set(reachable & (radius < 0.105), 0.012, 0.03, 0.3)
    material.set(reachable & (radius < 0.092), _RED, 0.05, 0.9)
    material.light_up(reachable & (np.abs(radius - 0.07) < 0.010), (0.75, 0.03, 0.03), (0.16, 0.005, 0.005))
