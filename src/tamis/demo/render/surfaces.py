"""The records that material rules read and write: points of the car's surface, and their optical properties."""

from dataclasses import dataclass

import numpy as np

from tamis.demo.render.bodies import Paint
from tamis.demo.render.numerics import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class SurfacePoints:
    """What lies behind each of n pixels."""

    part: IntArray  # (n,) car.Part
    face: IntArray  # (n,) face of the cube that the part was bent from
    cage: FloatArray  # (n, 3) place on that cube
    position: FloatArray  # (n, 3) metres, car coordinates
    normal: FloatArray  # (n, 3) unit, towards the eye


class Material:
    """Albedo, reflectance and glow of n points; it starts as body paint, and rules overwrite parts of it."""

    def __init__(self, count: int, paint: Paint) -> None:
        self.paint = paint
        self.albedo = np.tile(np.array(paint.base_rgb, np.float32), (count, 1))
        self.reflectance = np.full(count, 0.05, np.float32)  # at normal incidence
        self.gloss = np.ones(count, np.float32)  # how clear the reflection is
        self.metallic = np.full(count, paint.metallic, np.float32)
        self.glow = np.zeros((count, 3), np.float32)

    def set(
        self,
        where: BoolArray,
        albedo: float | tuple[float, float, float],
        reflectance: float = 0.04,
        gloss: float = 0.3,
        metallic: float = 0.0,
    ) -> None:
        """Make the points of a mask (n,) of one material; albedo is linear grey or RGB."""
        self.albedo[where] = albedo
        self.reflectance[where] = reflectance
        self.gloss[where] = gloss
        self.metallic[where] = metallic

    def light_up(
        self, where: BoolArray, albedo: float | tuple[float, float, float], glow: tuple[float, float, float]
    ) -> None:
        """Let the points of a mask (n,) shine by themselves."""
        self.albedo[where] = albedo
        self.glow[where] = glow

    def darken_gaps(self, where: BoolArray) -> None:
        """Turn the points of a mask (n,) into the shadow of a joint."""
        self.albedo[where] *= 0.10
        self.gloss[where] = 0.1
        self.metallic[where] = 0


CHROME = (0.55, 0.55, 0.55)


def ellipse(u: FloatArray, v: FloatArray, exponent: float = 2.0) -> FloatArray:
    """Distance measure of a superellipse: below 1 inside, 1 on its edge."""
    return np.asarray(np.abs(u) ** exponent + np.abs(v) ** exponent)


def rectangle(u: FloatArray, v: FloatArray) -> FloatArray:
    """Distance measure of a rectangle of half size 1: below 1 inside, 1 on its edge."""
    return np.asarray(np.maximum(np.abs(u), np.abs(v)))


def rounded_rectangle(
    u: FloatArray, v: FloatArray, centre: tuple[float, float], half_size: tuple[float, float], radius: float
) -> FloatArray:
    """Signed distance to a rounded rectangle, positive inside (Quilez, 2D distance functions)."""
    across = np.maximum(np.abs(u - centre[0]) - half_size[0] + radius, 0)
    along = np.maximum(np.abs(v - centre[1]) - half_size[1] + radius, 0)
    return np.asarray(radius - np.hypot(across, along))
