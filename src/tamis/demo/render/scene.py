"""The surroundings of a car, the same in all its views: sun, sky with clouds, ground, and the street on a cylinder."""

import math
from typing import Literal

import numpy as np

from tamis.demo.render.numerics import FloatArray, dot, fractal_noise, lerp, normalise, smoothstep
from tamis.demo.render.panorama import PIXELS_PER_METRE, Surroundings, draw_panorama

GroundSurface = Literal["asphalt", "paving", "concrete"]

_GROUND_RGB: dict[GroundSurface, tuple[float, float, float]] = {
    "asphalt": (0.105, 0.107, 0.112),
    "paving": (0.27, 0.245, 0.22),
    "concrete": (0.30, 0.295, 0.28),
}


class Scene:
    """Light and surroundings; the car stands over the origin of the scene's x and y."""

    street_radius = 19.0
    street_height = 9.0

    def __init__(self, rng: np.random.Generator) -> None:
        surroundings: tuple[Surroundings, ...] = ("street", "yard", "park")
        surfaces: tuple[GroundSurface, ...] = ("asphalt", "paving", "concrete")
        self.surroundings = surroundings[int(rng.integers(3))]
        self.surface = surfaces[int(rng.integers(3))]
        self.overcast = bool(rng.random() < 0.25)
        self.zenith_rgb = np.array([0.50, 0.55, 0.62] if self.overcast else [0.13, 0.27, 0.60], np.float32)
        self.horizon_rgb = np.array([0.80, 0.83, 0.86] if self.overcast else [0.62, 0.74, 0.88], np.float32)
        elevation = math.radians(rng.uniform(32, 58))
        azimuth = rng.uniform(-1.1, 1.1) + (math.pi if rng.random() < 0.25 else 0)
        flat = -math.cos(elevation)
        self.sun = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)], np.float32)
        self.sun_rgb = np.array([1.0, 0.93, 0.82], np.float32) * (0.55 if self.overcast else 2.6)
        self.lawn_edge = rng.uniform(15, 17.5) if self.surroundings == "yard" else rng.uniform(8.5, 13)
        self._clouds = fractal_noise((512, 512), 5, rng, 6)
        self._grain = fractal_noise((1024, 1024), 64, rng, 4, 0.8)
        self._blotches = fractal_noise((512, 512), 6, rng, 5)
        self._lawn = fractal_noise((512, 512), 90, rng, 3, 0.9)
        self.panorama = draw_panorama(self.surroundings, self.street_radius, self.street_height, rng)
        self.panorama[..., :3] *= 0.8 * 0.55 if self.overcast else 0.95

    def sky(self, direction: FloatArray) -> FloatArray:
        """Colour of the sky along unit vectors (n, 3)."""
        elevation = np.clip(direction[:, 2:3], 0, 1)
        colour = lerp(self.horizon_rgb, self.zenith_rgb, 1 - (1 - elevation) ** 3)
        place = (direction[:, :2] / (np.abs(direction[:, 2:3]) + 0.12) * 60).astype(np.int64) % 512
        cover = smoothstep(0.47, 0.68, self._clouds[place[:, 1], place[:, 0]])[:, None]
        cover = cover * smoothstep(0.02, 0.25, elevation) * (0.35 if self.overcast else 0.8)
        colour = lerp(colour, np.array([0.98, 0.98, 1.0], np.float32), cover)
        if not self.overcast:
            colour = colour + (np.clip(direction @ self.sun, 0, 1) ** 24)[:, None] * 0.25 * self.sun_rgb
        return np.asarray(colour)

    def street(self, angle: FloatArray, height: FloatArray) -> FloatArray:
        """Colour and coverage (n, 4) of the street on the cylinder, at an angle of -pi to pi and a height in metres."""
        rows, columns = self.panorama.shape[:2]
        row = rows - 1 - height * PIXELS_PER_METRE
        column = (angle / (2 * math.pi) + 0.5) * (columns - 1)
        seen = self.panorama[np.clip(row, 0, rows - 1).astype(np.int64), column.astype(np.int64)]
        return np.asarray(np.where((row > 0)[:, None], seen, 0))

    def ground(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Linear albedo (n, 3) of the ground, with the lawn that surrounds it and the kerb between."""
        grain = _sample(self._grain, x * 190, y * 190)
        blotch = _sample(self._blotches, x * 26, y * 26)
        colour = self._paved(x, y, grain, blotch)
        distance = np.hypot(x, y)
        lawn = _sample(self._lawn, x * 40, y * 40)
        tone = (0.45 + 1.1 * lawn) * (0.7 + 0.6 * blotch)
        turf = np.array([0.10, 0.165, 0.045], np.float32) * tone[:, None]
        colour = lerp(colour, turf, smoothstep(self.lawn_edge + 0.1, self.lawn_edge + 0.15, distance)[:, None])
        kerb = np.abs(distance - self.lawn_edge) < 0.12
        return np.asarray(np.where(kerb[:, None], (0.36 * (0.8 + 0.4 * grain))[:, None], colour))

    def _paved(self, x: FloatArray, y: FloatArray, grain: FloatArray, blotch: FloatArray) -> FloatArray:
        if self.surface == "asphalt":
            tone = (0.45 + 1.1 * grain) * (0.72 + 0.56 * blotch)
        else:
            tone = (0.75 + 0.5 * grain) * (0.70 + 0.6 * blotch)
        colour = np.array(_GROUND_RGB[self.surface], np.float32) * tone[:, None]
        if self.surface == "paving":
            course = np.floor(y / 0.2)
            shifted = x + 0.1 * (course % 2)
            gap = (np.abs(shifted % 0.2 - 0.1) > 0.093) | (np.abs(y % 0.2 - 0.1) > 0.093)
            stone = 0.82 + 0.36 * ((np.sin(np.floor(shifted / 0.2) * 12.9 + course * 78.2) * 437.5) % 1)
            colour = colour * np.where(gap, 0.62, stone)[:, None]
        elif self.surface == "concrete":
            joint = (np.abs(x % 3 - 1.5) > 1.488) | (np.abs(y % 3 - 1.5) > 1.488)
            colour = colour * np.where(joint, 0.45, 1)[:, None]
        elif self.surroundings != "street":
            painted = (np.abs(np.abs((y + 1.35) % 2.7 - 1.35) - 1.35) < 0.055) & (np.abs(x) < 2.9)
            colour = np.where((painted & (grain > 0.36))[:, None], 0.62, colour)
        return np.asarray(colour)

    @property
    def ambient_rgb(self) -> FloatArray:
        """Light of the open sky on a surface that faces up."""
        return np.asarray(lerp(self.horizon_rgb, self.zenith_rgb, 0.45))

    def sunlight(self, normal: FloatArray, share_lit: FloatArray) -> FloatArray:
        """Sun (n, 3) on surfaces with unit normals (n, 3)."""
        return np.asarray((share_lit * np.clip(dot(normal, self.sun), 0, 1))[:, None] * self.sun_rgb)


def _sample(texture: FloatArray, column: FloatArray, row: FloatArray) -> FloatArray:
    rows, columns = texture.shape
    return np.asarray(texture[row.astype(np.int64) % rows, column.astype(np.int64) % columns])


def light_axes(sun: FloatArray) -> FloatArray:
    """Rows right, up and towards the sun: the axes of the shadow map."""
    right = normalise(np.cross(np.array([0.0, 0.0, 1.0]), sun))
    return np.stack([right, np.cross(sun, right), sun]).astype(np.float32)
