"""Decides what each point of the car is made of, by rules in car coordinates."""

import math

import numpy as np

from tamis.demo.render.car import Car, Part
from tamis.demo.render.front_end import apply_front_end
from tamis.demo.render.glazing import Glazing, apply_cabin, is_cabin_floor
from tamis.demo.render.numerics import BoolArray, FloatArray
from tamis.demo.render.rear_end import apply_rear_end
from tamis.demo.render.surfaces import Material, SurfacePoints

_JOINT_HALF_WIDTH = 0.0062


def material_of(car: Car, points: SurfacePoints, glazing: Glazing, plate: FloatArray) -> Material:
    """Give the material of each point; `plate` is the printed registration plate."""
    material = Material(len(points.part), car.design.paint)
    for part, albedo, reflectance, gloss in (
        (Part.TYRE, 0.018, 0.03, 0.12),
        (Part.DARK, 0.02, 0.03, 0.1),
        (Part.WELL, 0.006, 0.0, 0.0),
        (Part.SEAT, 0.05, 0.03, 0.05),
        (Part.TRIM, 0.30, 0.4, 0.8),
    ):
        material.set(points.part == part, albedo, reflectance, gloss)
    _apply_plastic(car, points, material)
    apply_front_end(car, points, plate, material)
    apply_rear_end(car, points, plate, material)
    material.darken_gaps(_body_joints(car, points))
    if car.body.bed_start:
        _apply_bed(car, points, material)
    material.set(is_cabin_floor(car, points), 0.03, 0.03, 0.05)
    apply_cabin(car, points, glazing, material)
    _apply_mirrors(car, points, material)
    _apply_wheels(car, points, material)
    return material


def _apply_plastic(car: Car, points: SurfacePoints, material: Material) -> None:
    """Set the underside, sills and, on bodies that have them, plastic arches."""
    z, floor = points.position[:, 2], car.body.floor_height
    body = points.part == Part.BODY
    material.set(body & (points.normal[:, 2] < -0.75) & (z < floor + 0.2), 0.01, 0.02, 0.05)
    if car.body.plastic_cladding:
        arch = car.axle_distance(points.position[:, 0], z) < car.arch_radius + 0.055
        material.set(body & ((z < floor + 0.115) | arch), 0.022, 0.04, 0.25)
    else:
        material.set(body & (z < floor + 0.035), 0.022, 0.04, 0.25)


def _body_joints(car: Car, points: SurfacePoints) -> BoolArray:
    """Find the joints of doors and bonnet, and a van's sliding rail."""
    body, length, joint = car.body, car.body.length, _JOINT_HALF_WIDTH
    x, y, z = points.position.T
    across, normal = np.abs(y), points.normal
    is_body = points.part == Part.BODY
    side = is_body & (np.abs(normal[:, 1]) > 0.6)
    off_arch = car.axle_distance(x, z) > car.arch_radius + 0.03
    sill = body.floor_height + 0.13
    shoulder = car.shoulder_height(x)
    pillar = body.pillars[0] * length
    doors = [car.windscreen_foot + 0.16, pillar + 0.03]
    if body.doors_per_side > 1:
        doors.append(min(pillar + 0.98, length * 0.93))
    gaps = np.zeros(len(x), bool)
    for number, door in enumerate(doors):
        lean = 0.05 * (z - shoulder) if number == 0 else 0.0
        gaps |= side & (np.abs(x - door - lean) < joint) & (z > sill) & off_arch
    gaps |= side & (np.abs(z - sill) < joint) & (x > doors[0]) & (x < doors[-1]) & off_arch
    if body.panel_sides:
        gaps |= side & (np.abs(z - shoulder + 0.24) < 0.02) & (x > pillar + 0.1) & (x < length - 0.2)
    bonnet = is_body & (normal[:, 2] > 0.55) & (x < car.windscreen_foot + 0.05) & (x > 0.22)
    gaps |= bonnet & (np.abs(across - body.width * 0.40) < joint)
    nose = is_body & (x < 0.42) & (normal[:, 0] < 0.2)
    gaps |= nose & (np.abs(z - car.bonnet_edge + 0.015) < joint) & (across < body.width * 0.40)
    return np.asarray(gaps)


def _apply_bed(car: Car, points: SurfacePoints, material: Material) -> None:
    body, (x, y, z) = car.body, points.position.T
    start = body.bed_start * body.length
    is_body = points.part == Part.BODY
    floor = is_body & (points.normal[:, 2] > 0.8) & (x > start) & (np.abs(y) < car.half_width * 0.86)
    material.set(floor & (x < body.length - 0.12), 0.012, 0.03, 0.1)
    material.set(is_body & (np.abs(x - start + 0.05) < 0.012) & (z > body.floor_height + 0.2), 0.006, 0.02, 0.05)


def _apply_mirrors(car: Car, points: SurfacePoints, material: Material) -> None:
    mirror = points.part == Part.MIRROR
    material.set(mirror & (points.normal[:, 0] > 0.6), 0.02, 0.8, 1.0)
    lower = points.position[:, 2] < car.shoulder_height(car.windscreen_foot + 0.3) + 0.015
    material.set(mirror & lower, 0.015, 0.04, 0.3)


def _apply_wheels(car: Car, points: SurfacePoints, material: Material) -> None:
    x, y, z = points.position.T
    wheel_radius = car.body.wheel_radius
    is_front = x < car.body.length / 2
    along = x - np.where(is_front, *car.axles_x)
    radius = np.hypot(along, z - wheel_radius) / wheel_radius
    # Front and rear wheels stopped at different angles.
    angle = np.arctan2(z - wheel_radius, along) + np.where(is_front, 2.0, 0.3)
    rim = points.part == Part.RIM
    tone = 0.05 if car.design.rim_dark else 0.30
    spoke, edge = _spokes(car, radius, angle)
    solid = spoke | (radius > 0.60) | (radius < 0.20)
    material.set(rim, tone, 0.45 if not car.design.rim_dark else 0.12, 0.85, 0.6)
    material.set(rim & ~solid, 0.012, 0.03, 0.05)
    material.set(rim & edge & (radius < 0.6) & (radius > 0.2), tone * 0.33, 0.3, 0.5)
    if car.design.rim == "two_tone":
        material.set(rim & spoke & (radius < 0.58) & (radius > 0.21), 0.05, 0.15, 0.7, 0.3)
    material.set(rim & (radius < 0.075), 0.05, 0.2, 0.6)
    bolt_angle = np.round(angle * 5 / (2 * math.pi)) * 2 * math.pi / 5
    bolt = np.hypot(
        radius * np.cos(angle) - 0.13 * np.cos(bolt_angle), radius * np.sin(angle) - 0.13 * np.sin(bolt_angle)
    )
    material.set(rim & (bolt < 0.02), 0.03, 0.1, 0.3)
    tyre = points.part == Part.TYRE
    is_wall = np.abs(points.normal[:, 1]) > 0.5
    material.set(tyre & is_wall & (np.abs(radius - 0.80) < 0.012), 0.03, 0.04, 0.2)
    material.set(tyre & ~is_wall & (np.sin(y * 190) > 0.5), 0.006, 0.02, 0.05)


def _spokes(car: Car, radius: FloatArray, angle: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Tell which points lie on a spoke, and which on its edge; `radius` is a share of the wheel's."""
    design = car.design
    count = design.spokes * (2 if design.rim == "multi" else 1)
    twist = 0.9 * radius if design.rim == "turbine" else 0.0
    phase = np.abs(((angle + twist) * count / (2 * math.pi)) % 1 - 0.5) * 2
    width = {
        "spokes": 0.50 - 0.16 * radius,
        "two_tone": 0.66 - 0.10 * radius,
        "turbine": 0.36 + 0.34 * radius,
        "multi": 0.44 + 0.0 * radius,
        "cover": 0.80 - 0.05 * radius,
    }[design.rim]
    return np.asarray(phase < width), np.asarray(np.abs(phase - width) < 0.07)
