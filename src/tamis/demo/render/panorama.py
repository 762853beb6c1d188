"""Draws the street round the car as a panorama: trees, houses, showrooms, hedges and walls."""

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tamis.demo.render.numerics import FloatArray, fractal_noise, lerp

Surroundings = Literal["street", "yard", "park"]
Rgb = tuple[int, int, int]

PIXELS_PER_METRE = 40
_OVERLAP_METRES = 6

_WALLS: tuple[Rgb, ...] = (
    (214, 205, 188), (226, 222, 212), (178, 112, 86), (196, 178, 146), (168, 182, 188), (205, 160, 126),
)  # fmt: skip
_ROOFS: tuple[Rgb, ...] = ((110, 62, 50), (84, 82, 84), (98, 74, 60))
_SIGNS: tuple[Rgb, ...] = ((30, 70, 130), (150, 34, 30), (40, 44, 48), (24, 96, 80))
_FOLIAGE: tuple[Rgb, ...] = ((84, 116, 52), (70, 104, 56), (104, 124, 54))


def draw_panorama(surroundings: Surroundings, radius: float, height: float, rng: np.random.Generator) -> FloatArray:
    """Draw the inside of a cylinder of `radius` and `height` metres, unrolled.

    Gives (rows, columns, 4) float32: linear RGB and coverage; the ends meet without a seam.
    """
    width = int(2 * math.pi * radius * PIXELS_PER_METRE)
    overlap = _OVERLAP_METRES * PIXELS_PER_METRE
    street = _Street((width + overlap, int(height * PIXELS_PER_METRE)), rng)
    street.draw(surroundings)
    blurred = street.image.filter(ImageFilter.GaussianBlur(2.2))
    pixels = np.array(blurred, np.float32) / 255
    texture = fractal_noise((width + overlap, pixels.shape[0]), 160, rng, 4, 0.8)
    pixels[..., :3] = np.clip(pixels[..., :3] * (0.86 + 0.28 * texture)[..., None], 0, 1) ** 2.2
    # The surplus at the far end fades into the near end, where the cylinder closes.
    fade = np.linspace(0, 1, overlap, dtype=np.float32)[None, :, None]
    pixels[:, :overlap] = lerp(pixels[:, width:], pixels[:, :overlap], fade)
    return pixels[:, :width]


class _Street:
    """A drawing with the ground line at its lower edge."""

    def __init__(self, size_wh: tuple[int, int], rng: np.random.Generator) -> None:
        self.width, self.ground = size_wh
        self.image = Image.new("RGBA", size_wh, (120, 135, 125, 0))
        self._pen = ImageDraw.Draw(self.image)
        self._rng = rng

    def draw(self, surroundings: Surroundings) -> None:
        metre = PIXELS_PER_METRE
        self._undergrowth()
        for x in range(0, self.width, int(2.6 * metre)):
            self._tree(x + self._between(-30, 30), self._rng.uniform(4.0, 7.8), (128, 146, 116))
        if surroundings == "street":
            self._row_of_houses()
        elif surroundings == "yard":
            self._row_of_showrooms()
        x = self._between(0, 5) * metre
        while x < self.width:
            self._tree(x + self._between(-60, 60), self._rng.uniform(3.6, 6.5), self._pick(_FOLIAGE))
            x += self._between(6, 13) * metre
        if surroundings != "yard":
            self._hedges_and_walls()

    def _between(self, low: float, high: float) -> int:
        return int(self._rng.uniform(low, high))

    def _pick(self, colours: tuple[Rgb, ...]) -> Rgb:
        return colours[int(self._rng.integers(len(colours)))]

    def _undergrowth(self) -> None:
        for x in range(0, self.width, 6):
            wave = 1.5 + 0.5 * math.sin(x / 61.0) + 0.3 * math.sin(x / 17.0) + self._rng.uniform(0, 0.2)
            tone = self._rng.uniform(0.8, 1.1)
            top = self.ground - wave * PIXELS_PER_METRE
            self._pen.rectangle([x, top, x + 6, self.ground], fill=_shaded((88, 104, 78), tone))

    def _tree(self, x: float, height: float, colour: Rgb) -> None:
        metre, rng = PIXELS_PER_METRE, self._rng
        trunk_top = self.ground - height * 0.5 * metre
        self._pen.rectangle([x - metre * 0.12, trunk_top, x + metre * 0.12, self.ground], fill=(70, 55, 42, 255))
        for outward in np.sort(rng.random(260)):  # leaves from the shaded inside out to the lit rim
            angle, radius = rng.uniform(0, 6.28), rng.uniform(0.08, 0.26) * metre * (1.5 - outward)
            lump = 0.86 + 0.14 * math.sin(3 * angle + x) * math.cos(5 * angle)
            reach = math.sqrt(outward) * height * metre * lump
            leaf_x = x + math.cos(angle) * 0.36 * reach
            leaf_y = self.ground - height * 0.66 * metre + math.sin(angle) * 0.34 * reach / lump
            above = float(np.clip((self.ground - leaf_y) / metre / height - 0.3, 0, 0.7))
            tone = 0.50 + 0.62 * above + 0.16 * math.cos(angle) + rng.uniform(-0.14, 0.14)
            corners = [leaf_x - radius, leaf_y - radius, leaf_x + radius, leaf_y + radius]
            self._pen.ellipse(corners, fill=_shaded(colour, tone))

    def _window(self, x: int, y: int, width: int, height: int) -> None:
        self._pen.rectangle([x, y, x + width, y + height], fill=(236, 234, 228, 255))
        frame = max(2, PIXELS_PER_METRE // 14)
        pane = (width - frame) // 2
        for side in range(2):
            left, tone = x + frame + side * pane, self._between(40, 80)
            self._pen.rectangle(
                [left, y + frame, left + pane - frame, y + height - frame], fill=(tone, tone + 14, tone + 26, 255)
            )
        self._pen.rectangle([x - frame, y + height, x + width + frame, y + height + frame], fill=(205, 200, 190, 255))

    def _house(self, x: int, width: int, storeys: int) -> None:
        metre, ground = PIXELS_PER_METRE, self.ground
        wall, roof = self._pick(_WALLS), self._pick(_ROOFS)
        eaves = ground - int((2.8 * storeys + 0.3) * metre)
        ridge = eaves - 2.1 * metre
        outline = [
            (x - metre * 0.4, eaves), (x + width + metre * 0.4, eaves), (x + width - metre * 1.4, ridge),
            (x + metre * 1.4, ridge),
        ]  # fmt: skip
        self._pen.polygon(outline, fill=(*roof, 255))
        self._pen.rectangle([x, eaves, x + width, ground], fill=(*wall, 255))
        self._pen.rectangle([x, eaves, x + width, eaves + metre // 5], fill=_shaded(wall, 0.62))
        self._pen.rectangle([x, ground - metre // 2, x + width, ground], fill=_shaded(wall, 0.6))
        bays = max(2, int(width / metre // 2.4))
        door = self._between(0, bays)
        for storey in range(storeys):
            for bay in range(bays):
                left = x + int((bay + 0.5) * width / bays - 0.6 * metre)
                top = ground - int((storey * 2.8 + 2.3) * metre)
                if storey == 0 and bay == door:
                    colour = (self._between(40, 130), self._between(40, 80), self._between(30, 70), 255)
                    self._pen.rectangle([left, top, left + metre, ground], fill=colour)
                elif storey == 0 and bay == (door + 1) % bays and width > 9 * metre:
                    self._garage_door(left, top)
                else:
                    self._window(left, top, int(1.2 * metre), int(1.25 * metre))

    def _garage_door(self, x: int, top: int) -> None:
        left, right = x - 0.6 * PIXELS_PER_METRE, x + 1.9 * PIXELS_PER_METRE
        self._pen.rectangle([left, top, right, self.ground], fill=(224, 222, 216, 255))
        for panel in range(1, 6):
            y = top + panel * 0.4 * PIXELS_PER_METRE
            self._pen.line([left, y, right, y], fill=(186, 184, 178, 255), width=2)

    def _row_of_houses(self) -> None:
        x = self._between(0, 3) * PIXELS_PER_METRE
        while x < self.width - 9 * PIXELS_PER_METRE:
            width = self._between(8, 13) * PIXELS_PER_METRE
            self._house(x, width, 1 + int(self._rng.random() < 0.5))
            x += width + self._between(2, 6) * PIXELS_PER_METRE

    def _row_of_showrooms(self) -> None:
        metre = PIXELS_PER_METRE
        x = self._between(0, 3) * metre
        while x < self.width - 12 * metre:
            width, tone, height = self._between(14, 24) * metre, self._between(150, 200), self._between(4, 6) * metre
            top = self.ground - height
            self._pen.rectangle([x, top, x + width, self.ground], fill=(tone, tone, tone + 4, 255))
            self._pen.rectangle([x, top, x + width, top + int(1.1 * metre)], fill=(*self._pick(_SIGNS), 255))
            for left in range(x + metre // 2, x + width - 2 * metre, 2 * metre):
                glass = self._between(44, 84)
                corners = [left, self.ground - 3 * metre, left + int(1.8 * metre), self.ground - metre // 4]
                self._pen.rectangle(corners, fill=(glass, glass + 12, glass + 18, 255))
            x += width + self._between(3, 9) * metre

    def _hedges_and_walls(self) -> None:
        metre, x = PIXELS_PER_METRE, 0
        while x < self.width:
            width, kind, height = self._between(5, 16) * metre, self._rng.random(), self._between(8, 13) * metre // 10
            if kind < 0.5:
                self._hedge(x, width, height)
            elif kind < 0.75:
                self._brick_wall(x, width, height)
            x += width

    def _hedge(self, x: int, width: int, height: int) -> None:
        for _ in range(width // 3):
            leaf_x, up, radius = x + self._between(0, width), self._between(0, height), self._between(4, 11)
            tone = self._rng.uniform(0.6, 1.1) * (1 - 0.35 * (height - up) / height)
            leaf_y = self.ground - up
            corners = [leaf_x - radius, leaf_y - radius, leaf_x + radius, leaf_y + radius]
            self._pen.ellipse(corners, fill=_shaded((66, 98, 46), tone))

    def _brick_wall(self, x: int, width: int, height: int) -> None:
        top = self.ground - height
        self._pen.rectangle([x, top, x + width, self.ground], fill=(164, 104, 82, 255))
        for course in range(0, height, 5):
            y = self.ground - course
            self._pen.line([x, y, x + width, y], fill=(138, 88, 70, 255))
        self._pen.rectangle([x, top - 5, x + width, top], fill=(196, 190, 180, 255))


def _shaded(colour: Rgb, tone: float) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, int(channel * tone)) for channel in colour)
    return red, green, blue, 255
