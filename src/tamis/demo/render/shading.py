"""Deferred shading: the surroundings along rays, and the colour of surface points in sun, sky and reflections."""

import numpy as np

from tamis.demo.render.car import Car, Part
from tamis.demo.render.lighting import ShadowMap, sky_share_on_ground
from tamis.demo.render.numerics import BoolArray, FloatArray, dot, lerp, normalise, smoothstep
from tamis.demo.render.scene import Scene
from tamis.demo.render.surfaces import Material, SurfacePoints

_GROUND_BOUNCE_RGB = np.array([0.16, 0.155, 0.15], np.float32)


class Shader:
    """Shades one car in one scene."""

    def __init__(self, car: Car, scene: Scene) -> None:
        self._car = car
        self._scene = scene
        self._shadow = ShadowMap(car, scene)
        self._middle_x = car.body.length / 2

    def surroundings(self, origin: FloatArray, direction: FloatArray, *, reflected: bool = False) -> FloatArray:
        """Colour (n, 3) of sky, street and ground along rays from (n, 3) or one origin; reflections skip shadows."""
        radius = self._scene.street_radius
        origin = np.broadcast_to(origin.astype(np.float32), direction.shape)
        start_x, start_y = origin[:, 0] - self._middle_x, origin[:, 1]
        along_x, along_y, along_z = direction.T
        # The far intersection with the cylinder on which the street is drawn.
        square = along_x**2 + along_y**2 + 1e-9
        half_linear = start_x * along_x + start_y * along_y
        constant = start_x**2 + start_y**2 - radius**2
        reach = (-half_linear + np.sqrt(np.maximum(half_linear**2 - square * constant, 0))) / square
        height = origin[:, 2] + reach * along_z
        colour = np.empty(direction.shape, np.float32)
        above, below = np.flatnonzero(height >= 0), np.flatnonzero(height < 0)
        sky = self._scene.sky(direction[above])
        angle = np.arctan2(
            start_y[above] + reach[above] * along_y[above], start_x[above] + reach[above] * along_x[above]
        )
        street = self._scene.street(angle, height[above])
        colour[above] = lerp(sky, street[:, :3], street[:, 3:])
        distance = -origin[below, 2] / along_z[below]
        ground_x = start_x[below] + distance * along_x[below]
        ground_y = start_y[below] + distance * along_y[below]
        colour[below] = self._ground(ground_x, ground_y, distance, reflected)
        return colour

    def _ground(self, x: FloatArray, y: FloatArray, distance: FloatArray, reflected: bool) -> FloatArray:
        scene = self._scene
        car_x = x + self._middle_x
        sky = sky_share_on_ground(self._car, car_x, y)[:, None] * 0.85 * lerp(scene.horizon_rgb, scene.zenith_rgb, 0.4)
        lit = 0.8 if reflected else self._shadow.share_lit(np.stack([car_x, y, np.zeros_like(x)], 1))[:, None]
        colour = scene.ground(x, y) * (sky + scene.sun[2] * scene.sun_rgb * lit)
        haze = smoothstep(9, 60, distance)[:, None] * 0.25
        return np.asarray(lerp(colour, scene.horizon_rgb * 0.8, haze))

    def shade(self, points: SurfacePoints, material: Material, to_eye: FloatArray, openness: FloatArray) -> FloatArray:
        """Colour (n, 3) of surface points; `openness` (n,) is the share of the sky that they see."""
        scene, normal = self._scene, points.normal
        facing = dot(normal, to_eye)
        grazing = np.clip(facing, 0, 1)
        share_lit = self._shadow.share_lit(points.position + normal * 0.02)
        sun = scene.sunlight(normal, share_lit)
        upward = 0.5 + 0.5 * normal[:, 2:3]
        ambient = lerp(_GROUND_BOUNCE_RGB, scene.ambient_rgb * 0.95, upward) * openness[:, None]
        # Schlick's approximation of the Fresnel term (1994).
        fresnel = (material.reflectance + (1 - material.reflectance) * (1 - grazing) ** 5) * material.gloss
        mirrored = np.zeros_like(points.position)
        seen = np.flatnonzero(fresnel > 0.004)
        bounce = 2 * facing[seen, None] * normal[seen] - to_eye[seen]
        mirrored[seen] = self.surroundings(points.position[seen], bounce, reflected=True)
        half = np.clip(dot(normal, normalise(to_eye + scene.sun)), 0, 1)
        flakes = (material.metallic * (0.66 * half**14 + 0.25 * grazing) * share_lit)[:, None] * scene.sun_rgb
        metallic = material.metallic[:, None]
        diffuse = material.albedo * (
            ambient * (1 + 0.25 * metallic * grazing[:, None]) + sun * (1 - 0.35 * metallic) + flakes
        )
        highlight = (half**900 * 22 + half**90 * 0.35) * share_lit * material.gloss * np.clip(fresnel * 5, 0, 1)
        reflection = mirrored * (fresnel * np.clip(openness * 1.25, 0, 1))[:, None]
        colour = diffuse * (1 - 0.7 * fresnel[:, None]) + reflection + highlight[:, None] * scene.sun_rgb
        return np.asarray(colour + material.glow)


def openness_of(points: SurfacePoints, is_inside: BoolArray) -> FloatArray:
    """Share (n,) of the sky that points see, guessed from their height, direction and part."""
    height, normal = points.position[:, 2], points.normal
    share = np.clip(0.38 + 0.62 * smoothstep(0.0, 0.8, height), 0, 1) * np.where(normal[:, 2] < -0.2, 0.55, 1)
    in_cabin = is_inside | np.isin(points.part, (Part.SEAT, Part.DARK))
    share = np.where(in_cabin, 0.45, share)
    is_wheel = np.isin(points.part, (Part.TYRE, Part.RIM))
    share = np.where(is_wheel, share * smoothstep(-0.05, 0.5, np.abs(normal[:, 1]) + 0.2), share)
    return np.asarray(np.where(points.part == Part.WELL, 0.05, share), np.float32)
