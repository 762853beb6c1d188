"""Material rules of the nose: grille, intake, headlamps, fog lamps, badge and plate."""

import numpy as np

from tamis.demo.render.bodies import FrontLamp, GrilleShape
from tamis.demo.render.car import Car, Part
from tamis.demo.render.numerics import BoolArray, FloatArray
from tamis.demo.render.plates import apply_plate
from tamis.demo.render.surfaces import CHROME, Material, SurfacePoints, ellipse, rectangle

# Half width as a share of the car's half width, half height and height above the lamps' middle, in metres.
_GRILLE_MEASURES: dict[GrilleShape, tuple[float, float, float]] = {
    "wide": (0.54, 0.085, 0.0),
    "tall": (0.42, 0.150, -0.06),
    "slit": (0.60, 0.040, 0.02),
    "hexagon": (0.50, 0.165, -0.09),
    "twin": (0.36, 0.105, -0.01),
    "closed": (0.0, 0.0, 0.0),
}

# Middle across and half width (shares of the half width and metres), half height, slope, exponent of the outline.
_LAMP_MEASURES: dict[FrontLamp, tuple[float, float, float, float, float]] = {
    "swept": (0.92, 0.235, 0.082, 0.16, 4.0),
    "oval": (0.88, 0.175, 0.105, 0.05, 2.2),
    "slim": (0.93, 0.270, 0.050, 0.20, 3.0),
    "round": (0.82, 0.120, 0.120, 0.0, 2.0),
    "block": (0.89, 0.190, 0.088, 0.0, 8.0),
}


def apply_front_end(car: Car, points: SurfacePoints, plate: FloatArray, material: Material) -> None:
    """Set everything that belongs to the nose."""
    x, normal_x = points.position[:, 0], points.normal[:, 0]
    nose = (points.part == Part.BODY) & (x < 0.46) & (normal_x < 0.2)
    lamp_z = car.bonnet_edge - 0.135
    _apply_intake(car, points, nose, material)
    badge_z = _apply_grille(car, points, nose, lamp_z, material)
    _apply_fog_lamps(car, points, nose, material)
    _apply_headlamps(car, points, lamp_z, material)
    _apply_badge(points, nose, badge_z, material)
    drop = 0.34 if car.body.plastic_cladding or car.body.panel_sides else 0.32
    plate_z = max(lamp_z - drop, car.body.floor_height + 0.20)
    below_bonnet = nose & (points.position[:, 2] < car.bonnet_edge - 0.1)
    apply_plate(points, below_bonnet, plate_z, plate, facing=-1, material=material)


def _wrapped_across(points: SurfacePoints) -> FloatArray:
    """Distance from the middle, measured round the corner of the car."""
    return np.asarray(np.abs(points.position[:, 1]) + 0.9 * np.maximum(points.position[:, 0] - 0.02, 0))


def _apply_intake(car: Car, points: SurfacePoints, nose: BoolArray, material: Material) -> None:
    across, z, floor = np.abs(points.position[:, 1]), points.position[:, 2], car.body.floor_height
    edge = car.half_width * car.design.front.intake_width - 0.2 * (floor + 0.30 - z)
    intake = nose & (across < edge) & (z > floor + 0.06) & (z < floor + 0.19)
    material.set(intake, 0.012, 0.03, 0.15)
    material.set(intake & (np.sin(z * 110) > 0.5), 0.035, 0.04, 0.3)


def _apply_grille(car: Car, points: SurfacePoints, nose: BoolArray, lamp_z: float, material: Material) -> float:
    """Set the grille and tell the height of the badge."""
    front = car.design.front
    if front.grille == "closed":
        return lamp_z
    y, z = points.position[:, 1], points.position[:, 2]
    width_share, half_height, above = _GRILLE_MEASURES[front.grille]
    half_width, middle = width_share * car.half_width, lamp_z + above
    across, up = np.abs(y), z - middle
    if front.grille == "hexagon":
        edge = np.maximum(np.abs(up) / half_height, (across + 0.55 * np.abs(up)) / (half_width + 0.02))
    elif front.grille == "twin":
        edge = ellipse((across - 0.52 * half_width) / (0.46 * half_width), up / half_height, 4.0)
    else:
        edge = rectangle(across / half_width, up / half_height)
    opening = nose & (edge < 1)
    material.set(opening, 0.008, 0.02, 0.1)
    bars = {
        "bars": np.sin(z * 150) > 0.2,
        "slats": np.sin(y * 130) > 0.1,
        "mesh": np.sin(z * 95) * np.sin(y * 95) > 0.1,
        "plain": np.zeros(len(z), bool),
    }[front.pattern]
    material.set(opening & bars & (edge < 0.93), 0.05, 0.1, 0.5)
    rim = nose & (edge >= 1) & (edge < 1.10)
    if front.chrome_frame:
        material.set(rim, CHROME, 0.55, 1.0)
    else:
        material.set(rim, 0.012, 0.04, 0.6)
    return middle


def _apply_fog_lamps(car: Car, points: SurfacePoints, nose: BoolArray, material: Material) -> None:
    kind = car.design.front.fog_lamp
    if kind == "none":
        return
    offset = _wrapped_across(points) - car.half_width * 0.95
    up = points.position[:, 2] - car.body.floor_height - 0.16
    if kind == "round":
        material.set(nose & (np.hypot(offset / 0.13, up / 0.075) < 1), 0.015, 0.03, 0.2)
        material.set(nose & (np.hypot(offset, up) < 0.045), 0.75, 0.3, 0.9)
    else:
        slot = rectangle((offset - 0.25 * up) / 0.05, (up - 0.03) / 0.12)
        material.set(nose & (slot < 1), 0.010, 0.03, 0.2)
        material.set(nose & (slot < 0.45), 0.65, 0.3, 0.9)


def _apply_headlamps(car: Car, points: SurfacePoints, lamp_z: float, material: Material) -> None:
    front = car.design.front
    middle, half_width, half_height, slope, exponent = _LAMP_MEASURES[front.lamp]
    x, z = points.position[:, 0], points.position[:, 2]
    wrapped = _wrapped_across(points)
    u = (wrapped - car.half_width * middle) / half_width
    v = (z - lamp_z - 0.012 - slope * (wrapped - car.half_width * 0.9)) / half_height
    outline = ellipse(u, v, exponent)
    reachable = (points.part == Part.BODY) & (x < 0.66) & (points.normal[:, 0] < 0.75)
    lamp = reachable & (outline < 1)
    material.set(reachable & (outline >= 1) & (outline < 1.28), 0.01, 0.03, 0.3)
    material.set(lamp, 0.30, 0.30, 0.9)
    material.set(lamp & (outline < 0.55), 0.09, 0.12, 0.9)
    if front.lamp == "round":
        _apply_projector(lamp, np.hypot(u, v) * half_height, 1.35, material)
    else:
        spacing = 0.22 * half_width / 0.235
        for place in (-0.38, 0.30):
            _apply_projector(lamp, np.hypot((u - place) * spacing, v * half_height), half_height / 0.085, material)
    _apply_light_bar(front.light_bar, lamp, (u, v), outline, material)
    if front.lamp not in {"round", "slim"}:
        material.set(lamp & (u > 0.78), (0.75, 0.30, 0.04), 0.06, 0.8)


def _apply_projector(lamp: BoolArray, radius: FloatArray, scale: float, material: Material) -> None:
    material.set(lamp & (radius < 0.066 * scale), CHROME, 0.5, 1.0)
    material.set(lamp & (radius < 0.050 * scale), 0.82, 0.3, 1.0)
    material.set(lamp & (radius < 0.020 * scale), 0.25, 0.3, 1.0)


def _apply_light_bar(
    kind: str, lamp: BoolArray, uv: tuple[FloatArray, FloatArray], outline: FloatArray, material: Material
) -> None:
    u, v = uv
    bar = {
        "below": lamp & (v < -0.62) & (v > -0.9),
        "above": lamp & (v > 0.60) & (v < 0.88),
        "outside": lamp & (outline > 0.62) & (outline < 0.92) & (u > -0.5),
        "none": np.zeros(len(v), bool),
    }[kind]
    material.light_up(bar, 0.9, (0.55, 0.57, 0.60))


def _apply_badge(points: SurfacePoints, nose: BoolArray, badge_z: float, material: Material) -> None:
    radius = np.hypot(points.position[:, 1], points.position[:, 2] - badge_z)
    material.set(nose & (radius < 0.052), CHROME, 0.6, 1.0)
    material.set(nose & (radius < 0.034), 0.06, 0.3, 1.0)
