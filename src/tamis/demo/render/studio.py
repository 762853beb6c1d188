"""Takes photographs of one car in one scene: visibility, glass, supersampling, and the camera's own traces."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from tamis.demo.render.camera import Camera, Stance
from tamis.demo.render.car import Car, Part
from tamis.demo.render.glazing import find_glazing
from tamis.demo.render.materials import material_of
from tamis.demo.render.numerics import BoolArray, FloatArray, IntArray, dot, normalise
from tamis.demo.render.plates import draw_plate
from tamis.demo.render.raster import Fragments, nearest_fragments, rasterise
from tamis.demo.render.scene import Scene
from tamis.demo.render.shading import Shader, openness_of
from tamis.demo.render.surfaces import Material, SurfacePoints

SUPERSAMPLING = 2
_BRIGHTEST = 6.0
_GLASS_TINT = np.array([0.82, 0.92, 0.90], np.float32)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture and the box of the car's visible part, x1, y1, x2, y2 in pixels; None where no car is seen."""

    image: Image.Image
    box_xyxy: Box | None


class Studio:
    """One car, its surroundings and its light."""

    def __init__(self, car: Car, scene: Scene) -> None:
        self.car = car
        self._scene = scene
        self._shader = Shader(car, scene)
        self._plate = draw_plate(car.design.plate_text)

    def photograph(self, stance: Stance, size_wh: tuple[int, int], rng: np.random.Generator) -> Photograph:
        """Take a picture of `size_wh` pixels; `rng` gives the sensor's noise."""
        camera = Camera(self.car, stance, (size_wh[0] * SUPERSAMPLING, size_wh[1] * SUPERSAMPLING))
        radiance, covered = self._expose(camera)
        width, height = size_wh
        blocks = np.minimum(radiance, _BRIGHTEST).reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3)
        image = _develop(blocks.mean((1, 3)), 1.12 if self._scene.overcast else 0.92, rng)
        bounds = Image.fromarray(covered.reshape(camera.size_wh[::-1])).getbbox()
        if bounds is None:
            return Photograph(image, None)
        left, top, right, bottom = (value / SUPERSAMPLING for value in bounds)
        return Photograph(image, (left, top, right, bottom))

    def _expose(self, camera: Camera) -> tuple[FloatArray, BoolArray]:
        """Light (pixels, 3) that reaches each pixel, and which pixels the car covers."""
        mesh = self.car.mesh
        screen_xy, inverse_depth = camera.project(mesh.vertices)
        fragments = rasterise(screen_xy, inverse_depth, mesh.triangles, camera.size_wh)
        see_through, hole = self._openings(fragments)
        count = camera.size_wh[0] * camera.size_wh[1]
        rays, radiance = camera.rays(), np.zeros((count, 3), np.float32)
        depth, covered = np.zeros(count, np.float32), np.zeros(count, bool)
        opaque = nearest_fragments(fragments, np.flatnonzero(~see_through & ~hole))
        pixel = fragments.pixel[opaque]
        radiance[pixel] = self._shade_opaque(fragments, opaque, rays)
        depth[pixel], covered[pixel] = fragments.inverse_depth[opaque], True
        background = np.flatnonzero(~covered)
        radiance[background] = self._shader.surroundings(camera.eye, rays[background])
        in_front = fragments.inverse_depth > depth[fragments.pixel]
        glass = nearest_fragments(fragments, np.flatnonzero(see_through & in_front))
        if len(glass):
            pixel = fragments.pixel[glass]
            transmitted = radiance[pixel] * (self.car.design.glass_transmission * _GLASS_TINT)
            radiance[pixel] = transmitted + self._shade_glass(fragments, glass, rays)
            covered[pixel] = True
        return radiance, covered

    def _openings(self, fragments: Fragments) -> tuple[BoolArray, BoolArray]:
        """Tell which fragments are glass, and which are cut away for the wheels."""
        mesh = self.car.mesh
        part = mesh.part[fragments.triangle]
        see_through, hole = np.zeros(len(part), bool), np.zeros(len(part), bool)
        for wanted in (Part.CABIN, Part.BODY):
            chosen = np.flatnonzero(part == wanted)
            points = self._points(fragments, chosen)
            if wanted == Part.CABIN:
                see_through[chosen] = find_glazing(self.car, points).glass > 0
            else:
                hole[chosen] = self.car.in_wheel_arch(points.part, points.position)
        return see_through, hole

    def _points(self, fragments: Fragments, chosen: IntArray) -> SurfacePoints:
        mesh, triangle = self.car.mesh, fragments.triangle[chosen]
        corners, weights = mesh.triangles[triangle], fragments.weights[chosen]
        position, normal, cage = (
            np.einsum("nk,nkc->nc", weights, values[corners]) for values in (mesh.vertices, mesh.normals, mesh.cage)
        )
        return SurfacePoints(mesh.part[triangle], mesh.face[corners[:, 0]], cage, position, normalise(normal))

    def _facing_eye(
        self, fragments: Fragments, chosen: IntArray, to_eye: FloatArray
    ) -> tuple[SurfacePoints, BoolArray]:
        """Surface points with normals turned to the eye, and which of them show the inside of the shell."""
        points = self._points(fragments, chosen)
        away = dot(points.normal, to_eye) < 0
        corners = self.car.mesh.vertices[self.car.mesh.triangles[fragments.triangle[chosen]]]
        true_normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        is_shell = np.isin(points.part, (Part.BODY, Part.CABIN))
        is_inside = away & is_shell & (dot(true_normal, to_eye) < 0)
        normal = np.where(away[:, None], -points.normal, points.normal)
        return SurfacePoints(points.part, points.face, points.cage, points.position, normal), is_inside

    def _material(self, points: SurfacePoints) -> Material:
        return material_of(self.car, points, find_glazing(self.car, points), self._plate)

    def _shade_opaque(self, fragments: Fragments, chosen: IntArray, rays: FloatArray) -> FloatArray:
        to_eye = -rays[fragments.pixel[chosen]]
        points, is_inside = self._facing_eye(fragments, chosen, to_eye)
        material = self._material(points)
        material.set(is_inside, 0.03, 0.05, 0.0)
        return self._shader.shade(points, material, to_eye, openness_of(points, is_inside))

    def _shade_glass(self, fragments: Fragments, chosen: IntArray, rays: FloatArray) -> FloatArray:
        to_eye = -rays[fragments.pixel[chosen]]
        points, is_inside = self._facing_eye(fragments, chosen, to_eye)
        material = self._material(points)
        material.albedo[:] = 0.004
        material.gloss[is_inside] = 0
        return self._shader.shade(points, material, to_eye, np.ones(len(chosen), np.float32))


def _develop(radiance: FloatArray, exposure: float, rng: np.random.Generator) -> Image.Image:
    """Turn linear light (height, width, 3) into a picture: bloom, filmic curve (Narkowicz 2015), vignette, noise."""
    height, width, _ = radiance.shape
    light = radiance * exposure
    bright = Image.fromarray((np.clip(light - 1.0, 0, 3) * 80).clip(0, 255).astype(np.uint8))
    glow = np.asarray(bright.filter(ImageFilter.GaussianBlur(5))).astype(np.float32) / 80
    light = light + 0.25 * glow
    tone = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    tone = np.clip(tone, 0, 1) ** (1 / 2.2)
    row, column = np.mgrid[0:height, 0:width]
    off_centre = (column / width - 0.5) ** 2 + (row / height - 0.5) ** 2
    tone = tone * (1 - 0.32 * off_centre)[..., None]
    tone = tone + rng.normal(0, 0.006, (height, width))[..., None] + rng.normal(0, 0.003, tone.shape)
    return Image.fromarray((np.clip(tone, 0, 1) * 255).astype(np.uint8))
