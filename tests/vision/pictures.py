"""Drawn pictures with shapes, texture and colour, and the edits that copies of photographs undergo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def as_image(values: Any) -> Image:
    return np.ascontiguousarray(np.clip(values, 0, 255), dtype=np.uint8)


def shot(seed: int, width: int = 480, height: int = 360) -> Image:
    """A scene: soft ground, texture, and thirty random shapes; each seed another one."""
    random = np.random.default_rng(seed)
    ground = cv2.resize(
        random.integers(40, 216, (4, 5, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    canvas = as_image(ground + random.normal(0, 6, (height, width, 1)))
    for _ in range(30):
        colour = [int(value) for value in random.integers(0, 256, 3)]
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        size = int(random.integers(8, 60))
        if random.random() < 0.5:
            cv2.circle(canvas, (x, y), size, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, (x, y), (x + 2 * size, y + size), colour, -1)
    return as_image(cv2.GaussianBlur(canvas, (0, 0), 0.8))


def stand(car_seed: int, stand_seed: int = 900) -> Image:
    """A look-alike: the same stand with another car in the middle."""
    scene = shot(stand_seed)
    car = shot(car_seed, 230, 130)
    scene[150:280, 125:355] = car
    return scene


def recompressed(image: Image, quality: int = 35) -> Image:
    _, stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return as_image(cv2.imdecode(stream, cv2.IMREAD_COLOR))


def resized(image: Image, factor: float = 0.5) -> Image:
    return as_image(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def cropped(image: Image, share: float) -> Image:
    height, width = image.shape[:2]
    top, left = int(height * share * 0.4), int(width * share * 0.6)
    return as_image(image[top : top + int(height * (1 - share)), left : left + int(width * (1 - share))])


def lettered(image: Image) -> Image:
    layer = image.copy()
    for row in (0.3, 0.6):
        place = (10, int(image.shape[0] * row))
        cv2.putText(layer, "www.example.com", place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2, cv2.LINE_AA)
    return as_image(cv2.addWeighted(image, 0.5, layer, 0.5, 0))


def bannered(image: Image) -> Image:
    changed = image.copy()
    rows = image.shape[0] // 9
    changed[-rows:] = (30, 30, 180)
    cv2.putText(changed, "BEST PRICE 0123", (10, image.shape[0] - rows // 4), cv2.FONT_HERSHEY_DUPLEX, 0.8, (255,) * 3)
    return changed


def framed(image: Image) -> Image:
    return as_image(cv2.copyMakeBorder(image, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(255, 255, 255)))


def tilted(image: Image, degrees: float = 3.0) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return as_image(cv2.warpAffine(image, matrix, (width, height), borderValue=(255, 255, 255)))


def grey(image: Image) -> Image:
    return as_image(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


#: Name to an edit that leaves a copy upright and not mirrored.
EDITS: dict[str, Callable[[Image], Image]] = {
    "bright": lambda image: as_image(image * 0.85 + 25.0),
    "grey": grey,
    "lettered": lettered,
    "bannered": bannered,
    "framed": framed,
    "cropped 5 %": lambda image: cropped(image, 0.05),
    "cropped 15 %": lambda image: cropped(image, 0.15),
    "tilted": tilted,
    "several": lambda image: recompressed(lettered(cropped(image, 0.08)), 50),
}
