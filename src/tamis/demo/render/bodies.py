"""Body styles and designs: the measures of a car, and the shapes of its nose, tail and wheels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np

Profile = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class BodyStyle:
    """Measures of one body style, in metres; places along x are shares of the length."""

    name: str
    length: float
    width: float
    height: float
    wheelbase: float
    front_overhang: float
    wheel_radius: float
    floor_height: float
    shoulder_line: Profile  # (x share, z) of bonnet, belt line and boot lid
    windscreen: tuple[float, float]  # foot and head, x share
    rear_screen: tuple[float, float]  # head and foot, x share
    pillars: tuple[float, ...]  # B (and C) pillar, x share
    doors_per_side: int = 2
    plastic_cladding: bool = False
    panel_sides: bool = False  # no glass behind the B pillar
    bed_start: float = 0.0  # x share where a pickup's load bed starts; 0 for none


BODY_STYLES: dict[str, BodyStyle] = {
    style.name: style
    for style in (
        BodyStyle(
            "hatchback", 3.92, 1.75, 1.49, 2.52, 0.76, 0.312, 0.18,
            ((0, 0.68), (0.03, 0.76), (0.10, 0.86), (0.24, 0.985), (0.35, 0.98), (0.7, 1.03), (1, 1.04)),
            (0.205, 0.41), (0.80, 0.962), (0.575,), doors_per_side=1,
        ),
        BodyStyle(
            "sedan", 4.68, 1.82, 1.45, 2.78, 0.86, 0.325, 0.18,
            ((0, 0.64), (0.03, 0.72), (0.10, 0.82), (0.26, 0.95), (0.35, 0.95), (0.7, 0.99), (0.85, 1.05),
             (0.97, 1.03), (1, 0.98)),
            (0.24, 0.42), (0.69, 0.86), (0.525,),
        ),
        BodyStyle(
            "estate", 4.72, 1.82, 1.47, 2.80, 0.86, 0.325, 0.18,
            ((0, 0.64), (0.03, 0.72), (0.10, 0.82), (0.26, 0.95), (0.35, 0.95), (0.7, 0.99), (1, 1.02)),
            (0.24, 0.40), (0.90, 0.985), (0.51, 0.735),
        ),
        BodyStyle(
            "suv", 4.50, 1.88, 1.71, 2.68, 0.86, 0.370, 0.26,
            ((0, 0.86), (0.03, 0.95), (0.10, 1.02), (0.24, 1.11), (0.35, 1.10), (0.7, 1.14), (1, 1.16)),
            (0.215, 0.37), (0.89, 0.985), (0.55, 0.745), plastic_cladding=True,
        ),
        BodyStyle(
            "pickup", 5.25, 1.88, 1.80, 3.20, 0.90, 0.385, 0.32,
            ((0, 0.96), (0.03, 1.05), (0.10, 1.10), (0.21, 1.17), (0.35, 1.15), (0.55, 1.17), (0.60, 1.17), (1, 1.17)),
            (0.195, 0.31), (0.585, 0.625), (0.425,), plastic_cladding=True, bed_start=0.635,
        ),
        BodyStyle(
            "van", 4.95, 1.93, 1.97, 3.05, 0.92, 0.345, 0.21,
            ((0, 0.80), (0.03, 0.90), (0.08, 1.02), (0.16, 1.14), (0.3, 1.10), (0.7, 1.10), (1, 1.10)),
            (0.115, 0.30), (0.965, 0.982), (0.44, 0.70), doors_per_side=1, panel_sides=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paint:
    """A body colour: linear RGB and the share of metallic flakes."""

    base_rgb: tuple[float, float, float]
    metallic: float


PAINTS: dict[str, Paint] = {
    "white": Paint((0.80, 0.80, 0.78), 0.0),
    "silver": Paint((0.205, 0.213, 0.225), 0.8),
    "grey": Paint((0.062, 0.066, 0.071), 0.55),
    "black": Paint((0.010, 0.010, 0.012), 0.25),
    "red": Paint((0.45, 0.015, 0.02), 0.25),
    "blue": Paint((0.018, 0.085, 0.38), 0.5),
    "green": Paint((0.02, 0.14, 0.055), 0.4),
    "yellow": Paint((0.78, 0.45, 0.012), 0.0),
    "orange": Paint((0.68, 0.16, 0.012), 0.3),
    "brown": Paint((0.115, 0.052, 0.024), 0.5),
    "beige": Paint((0.50, 0.41, 0.27), 0.3),
}

GrilleShape = Literal["wide", "tall", "slit", "hexagon", "twin", "closed"]
GrillePattern = Literal["bars", "mesh", "slats", "plain"]
FrontLamp = Literal["swept", "oval", "slim", "round", "block"]
LightBar = Literal["below", "above", "outside", "none"]
FogLamp = Literal["round", "slot", "none"]
RearLamp = Literal["column", "wrap", "square", "round", "band", "wedge"]
RimStyle = Literal["spokes", "two_tone", "turbine", "multi", "cover"]

_PATTERNS: tuple[GrillePattern, ...] = get_args(GrillePattern)
_FRONT_LAMPS: tuple[FrontLamp, ...] = get_args(FrontLamp)
_LIGHT_BARS: tuple[LightBar, ...] = get_args(LightBar)
_FOG_LAMPS: tuple[FogLamp, ...] = get_args(FogLamp)
_REAR_LAMPS: tuple[RearLamp, ...] = get_args(RearLamp)
_RIMS: tuple[RimStyle, ...] = get_args(RimStyle)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrontDesign:
    """Everything that makes one nose unlike another; lengths in metres."""

    grille: GrilleShape
    pattern: GrillePattern
    chrome_frame: bool
    lamp: FrontLamp
    light_bar: LightBar
    fog_lamp: FogLamp
    intake_width: float  # share of the half width
    nose_lift: float  # added to the height of the bonnet's edge
    nose_rake: float  # how far the top of the nose lies behind its middle
    nose_rounding: float  # how far the corners lie behind the middle, seen from above


@dataclass(frozen=True, slots=True)
class RearDesign:
    """Everything that makes one tail unlike another; lengths in metres."""

    lamp: RearLamp
    plate_in_bumper: bool
    chrome_strip: bool
    dark_bumper: float  # height of the unpainted part
    exhausts: int
    spoiler: bool
    wiper: bool
    tail_rake: float
    tail_rounding: float


@dataclass(frozen=True, slots=True)
class CarDesign:
    """One car's own measures, paint and details."""

    body: BodyStyle
    paint: Paint
    front: FrontDesign
    rear: RearDesign
    rim: RimStyle
    spokes: int
    rim_dark: bool
    glass_transmission: float
    chrome_windows: bool
    roof_rails: bool
    plate_text: str


def _choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _draw_front(rng: np.random.Generator, tall_nose: bool) -> FrontDesign:
    grilles: tuple[GrilleShape, ...] = ("wide", "tall", "hexagon", "twin", "slit", "closed")
    return FrontDesign(
        grille=_choose(rng, grilles[:4] if tall_nose else grilles),
        pattern=_choose(rng, _PATTERNS),
        chrome_frame=bool(rng.random() < 0.55),
        lamp=_choose(rng, _FRONT_LAMPS),
        light_bar=_choose(rng, _LIGHT_BARS),
        fog_lamp=_choose(rng, _FOG_LAMPS),
        intake_width=float(rng.uniform(0.45, 0.82)),
        nose_lift=float(rng.uniform(-0.05, 0.06)),
        nose_rake=float(rng.uniform(0.03, 0.16)),
        nose_rounding=float(rng.uniform(0.09, 0.26)),
    )


def _draw_rear(rng: np.random.Generator, body: BodyStyle) -> RearDesign:
    upright = body.name in {"van", "pickup"}
    lamps = _REAR_LAMPS
    if upright:
        lamps = ("column", "square")
    elif body.name == "sedan":
        lamps = _REAR_LAMPS[1:]  # a sedan's lid leaves no room for a column
    return RearDesign(
        lamp=_choose(rng, lamps),
        plate_in_bumper=bool(rng.random() < 0.35) and not upright,
        chrome_strip=bool(rng.random() < 0.5),
        dark_bumper=float(rng.uniform(0.10, 0.30)),
        exhausts=int(rng.integers(0, 3)),
        spoiler=bool(rng.random() < 0.5) and body.name in {"hatchback", "suv", "estate", "sedan"},
        wiper=body.name in {"hatchback", "suv", "estate"},
        tail_rake=float(rng.uniform(0.0, 0.02 if upright else 0.10)),
        tail_rounding=float(rng.uniform(0.05, 0.09 if upright else 0.18)),
    )


def _draw_plate(rng: np.random.Generator) -> str:
    letters, digits = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"
    return " ".join(
        "".join(alphabet[int(rng.integers(len(alphabet)))] for _ in range(count))
        for alphabet, count in ((letters, 2), (digits, 3), (letters, 2))
    )


def draw_design(body_name: str, paint_name: str, rng: np.random.Generator) -> CarDesign:
    """Draw one car of a body style and a paint: measures within a few per cent, and all its details."""
    style = BODY_STYLES[body_name]
    scale, tallness = rng.uniform(0.965, 1.035), rng.uniform(0.985, 1.02)
    style = replace(
        style,
        length=style.length * scale,
        wheelbase=style.wheelbase * scale,
        front_overhang=style.front_overhang * scale,
        height=style.height * tallness,
    )
    front = _draw_front(rng, tall_nose=style.plastic_cladding or style.panel_sides)
    (_, edge), *line = style.shoulder_line
    lifted = (
        (0.0, edge + front.nose_lift),
        *((x, z + front.nose_lift * (1 - x / 0.2)) if x < 0.2 else (x, z) for x, z in line),
    )
    return CarDesign(
        body=replace(style, shoulder_line=lifted),
        paint=PAINTS[paint_name],
        front=front,
        rear=_draw_rear(rng, style),
        rim=_choose(rng, _RIMS),
        spokes=int(rng.choice([5, 5, 6, 7, 9])),
        rim_dark=bool(rng.random() < 0.25),
        glass_transmission=float(rng.uniform(0.30, 0.62)),
        chrome_windows=bool(rng.random() < 0.4),
        roof_rails=style.name in {"suv", "estate"} and bool(rng.random() < 0.75),
        plate_text=_draw_plate(rng),
    )
