"""Pictures of a car's instruments with the odometer: drawn flat, then blurred by depth, tilted and grained."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tamis.demo.render.numerics import fractal_noise, lerp, smoothstep

Rgb = tuple[int, int, int]

_DRAWING_WH = (1280, 960)
_DASHBOARDS: tuple[Rgb, ...] = ((58, 56, 54), (74, 68, 60), (50, 54, 60), (96, 84, 66))
_PANELS: tuple[Rgb, ...] = ((9, 10, 12), (46, 48, 52), (112, 116, 120), (20, 26, 44))
# Middle of the display that shows the odometer, for each layout of the dials; shares of width and height.
_DISPLAYS = ((0.5, 0.54), (0.5, 0.595), (0.735, 0.635), (0.265, 0.635))
_WARNING_LAMPS: tuple[Rgb, ...] = ((230, 60, 40), (240, 170, 40), (70, 200, 90), (240, 170, 40))


@dataclass(frozen=True, slots=True)
class _Colours:
    face: Rgb
    marking: Rgb
    needle: Rgb


_COLOURS: tuple[_Colours, ...] = (
    _Colours((13, 14, 17), (235, 240, 245), (250, 60, 40)),
    _Colours((13, 14, 17), (255, 190, 120), (245, 245, 245)),
    _Colours((198, 200, 196), (30, 32, 36), (210, 30, 24)),
    _Colours((16, 34, 78), (200, 225, 255), (255, 150, 40)),
    _Colours((12, 30, 26), (170, 255, 190), (250, 70, 50)),
    _Colours((198, 190, 170), (60, 40, 28), (30, 30, 34)),
)


@dataclass(frozen=True, slots=True)
class _Dial:
    centre: tuple[float, float]  # pixels of the drawing
    radius: float
    top_value: float
    step: float
    caption: str
    red_from: float  # value where the red part of the scale starts
    needle_share: float


def draw_instruments(odometer_km: int, rng: np.random.Generator, size_wh: tuple[int, int]) -> Image.Image:
    """Draw one instrument panel whose display shows `odometer_km`."""
    width, height = _DRAWING_WH
    image = _dashboard(rng)
    pen = ImageDraw.Draw(image)
    colours = _COLOURS[int(rng.integers(len(_COLOURS)))]
    layout = int(rng.integers(len(_DISPLAYS)))
    for dial in _dials(layout, rng):
        _draw_dial(pen, dial, colours)
    _draw_display(pen, layout, odometer_km, rng)
    glow = np.asarray(image.filter(ImageFilter.GaussianBlur(14)))
    image = Image.blend(image, Image.fromarray(np.maximum(np.asarray(image), glow)), 0.6)
    _draw_steering_wheel(image, rng)
    image = image.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
    # Closer or farther, and off the middle; the margin hides the corners that the rotation leaves empty.
    share = rng.uniform(0.72, 0.86)
    left = rng.uniform(max(0.07, _DISPLAYS[layout][0] + 0.13 - share), 0.93 - share) * width
    top = rng.uniform(0.07, min(0.18, 0.93 - share)) * height
    area = (left, top, left + share * width, top + share * height)
    return _expose(image.resize(size_wh, Image.Resampling.LANCZOS, box=area), rng)


def _dashboard(rng: np.random.Generator) -> Image.Image:
    width, height = _DRAWING_WH
    tone = np.array(_DASHBOARDS[int(rng.integers(len(_DASHBOARDS)))]) / 255
    down = np.linspace(0, 1, height)[:, None, None]
    grain = 0.85 + 0.3 * fractal_noise(_DRAWING_WH, 120, rng, 3, 0.9)
    plastic = lerp(tone * 1.9, tone * 0.55, smoothstep(0, 0.75, down)) * grain[..., None]
    image = Image.fromarray((np.clip(plastic, 0, 1) * 255).astype(np.uint8))
    middle_x, middle_y = width / 2, height * 0.46
    outer = [middle_x - width * 0.43, middle_y - height * 0.34, middle_x + width * 0.43, middle_y + height * 0.34]
    ImageDraw.Draw(image).rounded_rectangle(outer, 210, fill=(24, 24, 25))
    image = image.filter(ImageFilter.GaussianBlur(5))
    inner = [middle_x - width * 0.40, middle_y - height * 0.30, middle_x + width * 0.40, middle_y + height * 0.31]
    ImageDraw.Draw(image).rounded_rectangle(inner, 180, fill=_PANELS[int(rng.integers(len(_PANELS)))])
    return image


def _dials(layout: int, rng: np.random.Generator) -> list[_Dial]:
    """Lay out two equal dials, a large speedometer between two small dials, or one left or right of a small dial."""
    width, height = _DRAWING_WH
    middle_y, idle = height * 0.46, float(rng.uniform(0.09, 0.13))
    top_speed = float(rng.choice([200, 220, 240, 260]))
    if layout == 0:
        return [
            _Dial((width * 0.275, middle_y), height * 0.25, 8, 1, "x1000 r/min", 6.2, idle),
            _Dial((width * 0.725, middle_y), height * 0.25, top_speed, 20, "km/h", math.inf, 0.0),
        ]
    if layout == 1:
        return [
            _Dial((width * 0.50, middle_y), height * 0.275, top_speed, 20, "km/h", math.inf, 0.0),
            _Dial((width * 0.215, middle_y), height * 0.17, 7, 1, "r/min", 5.6, idle),
            _Dial((width * 0.785, middle_y), height * 0.17, 4, 1, "fuel", math.inf, float(rng.uniform(0.2, 0.9))),
        ]
    large_x, small_x = (0.335, 0.735) if layout == 2 else (0.665, 0.265)
    return [
        _Dial((width * large_x, middle_y), height * 0.28, top_speed, 20, "km/h", math.inf, 0.0),
        _Dial((width * small_x, middle_y - height * 0.08), height * 0.18, 6, 1, "x1000", 4.8, idle),
    ]


def _draw_dial(pen: ImageDraw.ImageDraw, dial: _Dial, colours: _Colours) -> None:
    (x, y), radius, marking = dial.centre, dial.radius, colours.marking
    for ring in range(14):
        reach, tone = radius + 14 - ring, 60 + 9 * ring
        pen.ellipse([x - reach, y - reach, x + reach, y + reach], outline=(tone, tone, tone))
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colours.face)
    marks = round(dial.top_value / dial.step)
    for tick in range(marks * 5 + 1):
        angle, is_numbered = math.radians(135 + 270 * tick / (marks * 5)), tick % 5 == 0
        cosine, sine = math.cos(angle), math.sin(angle)
        start = (0.80 if is_numbered else 0.88) * radius
        fill = (230, 40, 30) if tick / 5 * dial.step >= dial.red_from else marking
        ends = [x + start * cosine, y + start * sine, x + radius * 0.95 * cosine, y + radius * 0.95 * sine]
        pen.line(ends, fill=fill, width=6 if is_numbered else 3)
        if is_numbered:
            place = (x + radius * 0.64 * cosine, y + radius * 0.64 * sine)
            font = ImageFont.load_default(radius * 0.125)
            pen.text(place, f"{tick / 5 * dial.step:.0f}", font=font, fill=marking, anchor="mm")
    font = ImageFont.load_default(radius * 0.092)
    pen.text((x, y - radius * 0.30), dial.caption, font=font, fill=marking, anchor="mm")
    angle = math.radians(135 + 270 * dial.needle_share)
    cosine, sine = math.cos(angle), math.sin(angle)
    tip = (x + radius * 0.86 * cosine, y + radius * 0.86 * sine)
    pen.line([(x - 30 * cosine, y - 30 * sine), tip], fill=colours.needle, width=9)
    hub = radius * 0.14
    pen.ellipse([x - hub, y - hub, x + hub, y + hub], fill=(32, 33, 36), outline=(70, 70, 74), width=3)


def _draw_display(pen: ImageDraw.ImageDraw, layout: int, odometer_km: int, rng: np.random.Generator) -> None:
    width, height = _DRAWING_WH
    x, y = _DISPLAYS[layout][0] * width, _DISPLAYS[layout][1] * height
    is_light = rng.random() < 0.5
    screen, ink = ((176, 196, 178), (22, 28, 24)) if is_light else ((18, 32, 52), (210, 232, 255))
    half_width, half_height = width * 0.098, height * 0.062
    box = [x - half_width, y - half_height, x + half_width, y + half_height]
    pen.rounded_rectangle(box, 14, fill=screen, outline=(50, 50, 52), width=4)
    pen.text((x, y - 22), f"{odometer_km} km", font=ImageFont.load_default(42), fill=ink, anchor="mm")
    trip = f"trip {rng.uniform(3, 900):.1f}"
    pen.text((x, y + 30), trip, font=ImageFont.load_default(28), fill=ink, anchor="mm")
    for number, colour in enumerate(_WARNING_LAMPS):
        left = width * 0.5 - 84 + number * 48
        fill = colour if rng.random() < 0.5 else (30, 30, 30)
        pen.ellipse([left, height * 0.19, left + 22, height * 0.19 + 22], fill=fill)


def _draw_steering_wheel(image: Image.Image, rng: np.random.Generator) -> None:
    """Put the wheel in front of the instruments, out of focus."""
    width, height = _DRAWING_WH
    layer = Image.new("RGBA", _DRAWING_WH)
    pen = ImageDraw.Draw(layer)
    x, y, radius = width / 2 + rng.uniform(-60, 60), height * rng.uniform(1.54, 1.66), height * 0.80
    for ring in range(64):
        across = math.sin(math.pi * ring / 63)
        tone, reach = int(16 + 46 * across**3 + 10 * across), radius + 64 - ring * 2
        pen.ellipse([x - reach, y - reach, x + reach, y + reach], outline=(tone, tone, tone + 1, 255), width=4)
    pen.rounded_rectangle([x - 230, height * 0.90, x + 230, height * 1.4], 90, fill=(30, 30, 32, 255))
    layer = layer.filter(ImageFilter.GaussianBlur(7))
    image.paste(layer, (0, 0), layer)


def _expose(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add the sheen of a window on the cover, and noise."""
    width, height = image.size
    light = np.asarray(image).astype(np.float32) / 255
    row, column = np.mgrid[0:height, 0:width]
    sheen = 0.10 * np.exp(-((column / width - rng.uniform(0.1, 0.9)) ** 2 * 4 + (row / height + 0.1) ** 2 * 8))
    light = light * 1.12 + sheen[..., None] + rng.normal(0, 0.010, light.shape)
    return Image.fromarray((np.clip(light, 0, 1) * 255).astype(np.uint8))
