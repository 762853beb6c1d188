"""Registration plates: the printed picture, and where it sits on the car."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tamis.demo.render.numerics import BoolArray, FloatArray
from tamis.demo.render.surfaces import Material, SurfacePoints, rectangle

_WIDTH_M, _HEIGHT_M = 0.52, 0.112
_WIDTH_PX, _HEIGHT_PX = 416, 88


def draw_plate(text: str) -> FloatArray:
    """Print a plate; (88, 416, 3) linear RGB."""
    image = Image.new("RGB", (_WIDTH_PX, _HEIGHT_PX), (238, 238, 232))
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, 34, _HEIGHT_PX], fill=(24, 60, 150))
    pen.rectangle([0, 0, _WIDTH_PX - 1, _HEIGHT_PX - 1], outline=(30, 30, 30), width=4)
    pen.text((228, 45), text, font=ImageFont.load_default(70), fill=(18, 18, 22), anchor="mm")
    return np.asarray((np.asarray(image).astype(np.float32) / 255) ** 2.2)


def apply_plate(
    points: SurfacePoints, where: BoolArray, middle_z: float, plate: FloatArray, *, facing: int, material: Material
) -> None:
    """Set the plate at a height in metres; `facing` is -1 at the nose and 1 at the tail, so that it reads rightly."""
    u = facing * points.position[:, 1] / _WIDTH_M + 0.5
    v = (points.position[:, 2] - middle_z) / _HEIGHT_M + 0.5
    on_plate = where & (u > 0) & (u < 1) & (v > 0) & (v < 1)
    edge = rectangle((u - 0.5) * _WIDTH_M / (_WIDTH_M / 2 + 0.012), (v - 0.5) * _HEIGHT_M / (_HEIGHT_M / 2 + 0.012))
    material.set(where & (edge < 1), 0.01, 0.03, 0.2)
    material.set(on_plate, 0.5, 0.04, 0.25)
    row = (_HEIGHT_PX - 1) * (1 - v[on_plate])
    column = (_WIDTH_PX - 1) * u[on_plate]
    material.albedo[on_plate] = plate[row.astype(np.int64), column.astype(np.int64)]
