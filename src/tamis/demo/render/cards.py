"""Pictures without a car: a dealer's advertising card."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class DealerCard:
    """What stands on a dealer's card, and how it is laid out."""

    layout: Literal["banner", "sidebar", "badge", "stripes"]
    colour: Rgb
    paper: Rgb
    lines: tuple[str, ...]


DEALER_CARDS: dict[str, DealerCard] = {
    "Harbour Street Motors": DealerCard(
        "banner", (24, 62, 120), (246, 245, 240),
        ("12 months warranty", "Part exchange welcome", "Finance from 119 a month", "Open Monday to Saturday"),
    ),
    "Nordhof Automobile": DealerCard(
        "sidebar", (150, 28, 36), (250, 250, 250),
        ("Inspected at 120 points", "Delivery to your door", "All makes serviced"),
    ),
    "Two Oaks Car Sales": DealerCard(
        "badge", (20, 96, 84), (232, 240, 232),
        ("Family business since 1974", "Every car test driven"),
    ),
    "Autohaus Lindenau": DealerCard(
        "stripes", (236, 164, 24), (34, 36, 42),
        ("Fair prices", "Full history", "No surprises"),
    ),
}  # fmt: skip


def draw_dealer_card(dealer: str, size_wh: tuple[int, int]) -> Image.Image:
    """Draw the card of one of `DEALER_CARDS`; raises KeyError for another name."""
    card = DEALER_CARDS[dealer]
    image = Image.new("RGB", (640, 480), card.paper)
    pen = ImageDraw.Draw(image)
    {"banner": _draw_banner, "sidebar": _draw_sidebar, "badge": _draw_badge, "stripes": _draw_stripes}[card.layout](
        pen, dealer, card
    )
    return image if size_wh == image.size else image.resize(size_wh, Image.Resampling.LANCZOS)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, fill: Rgb, anchor: str = "mm"
) -> None:
    pen.text(place, text, font=ImageFont.load_default(size), fill=fill, anchor=anchor)


def _darker(colour: Rgb) -> Rgb:
    return colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3


def _draw_banner(pen: ImageDraw.ImageDraw, dealer: str, card: DealerCard) -> None:
    pen.rectangle([0, 0, 640, 96], fill=card.colour)
    _write(pen, (320, 48), dealer, 44, (255, 255, 255))
    for number, line in enumerate(card.lines):
        y = 150 + number * 66
        pen.ellipse([90, y, 118, y + 28], fill=card.colour)
        _write(pen, (140, y + 14), line, 32, (40, 40, 44), "lm")
    pen.rectangle([0, 434, 640, 480], fill=_darker(card.colour))


def _draw_sidebar(pen: ImageDraw.ImageDraw, dealer: str, card: DealerCard) -> None:
    pen.rectangle([0, 0, 210, 480], fill=card.colour)
    pen.polygon([(210, 0), (270, 0), (210, 480)], fill=_darker(card.colour))
    for number, word in enumerate(dealer.split()):
        _write(pen, (105, 190 + number * 56), word, 34, (255, 255, 255))
    for number, line in enumerate(card.lines):
        y = 130 + number * 100
        pen.line([(290, y + 34), (600, y + 34)], fill=card.colour, width=3)
        _write(pen, (290, y + 8), line, 27, (50, 50, 54), "lm")


def _draw_badge(pen: ImageDraw.ImageDraw, dealer: str, card: DealerCard) -> None:
    pen.ellipse([170, 30, 470, 330], fill=card.colour)
    pen.ellipse([184, 44, 456, 316], outline=(255, 255, 255), width=5)
    for x in (265, 375):  # two trees
        pen.rectangle([x - 7, 190, x + 7, 262], fill=(120, 84, 52))
        for shift_x, shift_y in ((-26, 6), (26, 6), (0, -28), (0, 8)):
            pen.ellipse(
                [x + shift_x - 32, 150 + shift_y - 32, x + shift_x + 32, 150 + shift_y + 32], fill=(150, 200, 120)
            )
    _write(pen, (320, 368), dealer, 42, card.colour)
    for number, line in enumerate(card.lines):
        _write(pen, (320, 414 + number * 34), line, 25, (60, 70, 64))


def _draw_stripes(pen: ImageDraw.ImageDraw, dealer: str, card: DealerCard) -> None:
    for start in range(-480, 640, 120):
        pen.polygon([(start, 480), (start + 40, 480), (start + 520, 0), (start + 480, 0)], fill=(48, 50, 58))
    pen.rectangle([40, 170, 600, 262], fill=card.colour)
    _write(pen, (320, 216), dealer, 48, card.paper)
    for number, line in enumerate(card.lines):
        _write(pen, (120 + number * 200, 330), line, 28, card.colour)
    pen.rectangle([40, 400, 600, 406], fill=card.colour)
