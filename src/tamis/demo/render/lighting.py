"""How light reaches the car and the ground: a soft shadow map, and sky light left over near the car."""

import math

import numpy as np

from tamis.demo.render.car import Car
from tamis.demo.render.numerics import FloatArray
from tamis.demo.render.raster import rasterise
from tamis.demo.render.scene import Scene, light_axes

_MAP_PX = 700
_MAP_REACH_M = 3.7
_NOTHING = -99.0
_GOLDEN_ANGLE = 2.4


class ShadowMap:
    """Heights towards the sun of the car's surface, seen from the sun (Williams 1978)."""

    def __init__(self, car: Car, scene: Scene) -> None:
        self._origin = np.array([car.body.length / 2, 0, 0], np.float32)
        self._axes = light_axes(scene.sun)
        self._softness_m, self._taps = (0.196, 14) if scene.overcast else (0.028, 10)
        mesh = car.mesh
        seen = (mesh.vertices - self._origin) @ self._axes.T
        screen = ((seen[:, :2] / _MAP_REACH_M + 1) / 2 * _MAP_PX).astype(np.float64)
        found = rasterise(screen, np.ones(len(seen)), mesh.triangles, (_MAP_PX, _MAP_PX))
        corners = mesh.triangles[found.triangle]
        position = np.einsum("nk,nkc->nc", found.weights, mesh.vertices[corners])
        solid = ~car.in_wheel_arch(mesh.part[found.triangle], position)
        height = np.einsum("nk,nk->n", found.weights, seen[:, 2][corners])[solid]
        flat = np.full(_MAP_PX * _MAP_PX, _NOTHING, np.float32)
        np.maximum.at(flat, found.pixel[solid], height.astype(np.float32))
        self._height = flat.reshape(_MAP_PX, _MAP_PX)

    def share_lit(self, position: FloatArray) -> FloatArray:
        """Share (n,) of the sun that reaches points (n, 3), by percentage-closer filtering (Reeves 1987)."""
        seen = (position - self._origin) @ self._axes.T
        lit = np.ones(len(seen), np.float32)
        near = np.flatnonzero((np.abs(seen[:, :2]) < _MAP_REACH_M).all(1))
        total = np.zeros(len(near), np.float32)
        pixel = (seen[near, :2] / _MAP_REACH_M + 1) / 2 * _MAP_PX
        threshold = seen[near, 2] + 0.035 + self._softness_m * 0.6
        for tap in range(self._taps):
            angle, radius = _GOLDEN_ANGLE * tap, self._softness_m * math.sqrt((tap + 0.5) / self._taps)
            step = radius / _MAP_REACH_M / 2 * _MAP_PX
            column = np.clip(pixel[:, 0] + step * math.cos(angle), 0, _MAP_PX - 1).astype(np.int32)
            row = np.clip(pixel[:, 1] + step * math.sin(angle), 0, _MAP_PX - 1).astype(np.int32)
            total += self._height[row, column] < threshold
        lit[near] = total / self._taps
        return lit


def sky_share_on_ground(car: Car, x: FloatArray, y: FloatArray) -> FloatArray:
    """Share (n,) of the sky's light that is left on the ground near and below the car."""
    beside_x = np.abs(x - car.body.length / 2) - car.body.length / 2 + 0.35
    beside_y = np.abs(y) - car.half_width + 0.28
    distance = np.hypot(np.maximum(beside_x, 0), np.maximum(beside_y, 0))
    distance += np.minimum(np.maximum(beside_x, beside_y), 0)
    below = 0.90 / (1 + np.exp(np.clip((distance - 0.12) / 0.11, -40, 40)))
    share = 1 - below - 0.10 * np.exp(-np.maximum(distance, 0) / 0.5)
    for axle in car.axles_x:
        for side in (-1, 1):
            along, across = (x - axle) / 0.16, (y - side * (car.half_width - 0.12)) / 0.14
            share *= 1 - 0.6 * np.exp(-np.minimum(along**2 + across**2, 40))
    return np.asarray(np.clip(share, 0.03, 1))
