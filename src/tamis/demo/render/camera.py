"""A pinhole camera in car coordinates, and how to stand so that the car fills the frame."""

import math
from dataclasses import dataclass

import numpy as np

from tamis.demo.render.car import Car
from tamis.demo.render.numerics import FloatArray, normalise

_NEAREST_M = 0.05


@dataclass(frozen=True, slots=True)
class Stance:
    """Where the photographer stands and aims, relative to the middle of the car on the ground."""

    azimuth_degrees: float  # 0 looks at the nose, 90 at the car's left side
    distance_m: float
    height_m: float
    aim: tuple[float, float, float]
    field_of_view_degrees: float  # across the picture
    shift: tuple[float, float] = (0.0, 0.0)  # shares of width and height that the picture is moved by


class Camera:
    """Projects points and casts rays for one stance and size."""

    def __init__(self, car: Car, stance: Stance, size_wh: tuple[int, int]) -> None:
        azimuth = math.radians(stance.azimuth_degrees)
        middle = np.array([car.body.length / 2, 0, 0])
        away = np.array([-math.cos(azimuth), -math.sin(azimuth), 0]) * stance.distance_m
        self.eye = middle + away + [0, 0, stance.height_m]
        forward = normalise(middle + np.array(stance.aim) - self.eye)
        right = normalise(np.cross(forward, [0, 0, 1.0]))
        self._axes = np.stack([right, np.cross(right, forward), forward])
        self.size_wh = size_wh
        width, height = size_wh
        self._focal_px = width / 2 / math.tan(math.radians(stance.field_of_view_degrees) / 2)
        self._centre = (0.5 + stance.shift[0]) * width, (0.5 + stance.shift[1]) * height

    def project(self, vertices: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give pixels (n, 2) and inverse depths (n,); the latter are -1 behind the eye."""
        seen = (vertices - self.eye) @ self._axes.T
        depth = np.maximum(seen[:, 2], 1e-4)
        screen_x = self._centre[0] + self._focal_px * seen[:, 0] / depth
        screen_y = self._centre[1] - self._focal_px * seen[:, 1] / depth
        return np.stack([screen_x, screen_y], 1), np.where(seen[:, 2] > _NEAREST_M, 1 / depth, -1)

    def rays(self) -> FloatArray:
        """Unit directions (height * width, 3) through the pixel centres, row by row."""
        width, height = self.size_wh
        column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        right, up, forward = self._axes
        across = (column.ravel()[:, None] - self._centre[0]) / self._focal_px
        above = (self._centre[1] - row.ravel()[:, None]) / self._focal_px
        return normalise((across * right + above * up + forward).astype(np.float32))


def framing(car: Car, azimuth_degrees: float, field_of_view_degrees: float, fill: float) -> tuple[float, float]:
    """Find the distance in metres at which the car spans a share of the width, and the shift that centres it."""
    azimuth = math.radians(azimuth_degrees)
    x, y = car.mesh.vertices[::7, 0] - car.body.length / 2, car.mesh.vertices[::7, 1]
    depth = x * math.cos(azimuth) + y * math.sin(azimuth)
    across = x * math.sin(azimuth) - y * math.cos(azimuth)
    half_frame = math.tan(math.radians(field_of_view_degrees) / 2)
    distance = 8.0
    for _ in range(12):  # a damped fixed-point iteration
        distance *= float(np.ptp(across / (distance + depth)) / 2 / half_frame / fill) ** 0.8
    seen = across / (distance + depth)
    return distance, -float(seen.min() + seen.max()) / 4 / half_frame
