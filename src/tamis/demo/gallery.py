"""The stored pictures of the market place and what is known of them: `pictures/*.webp` and `pictures/truth.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tamis.demo.catalogue import CarFacts
from tamis.demo.render.subject import PICTURE_SIZE_WH, View

TRUTH_FILE = "truth.json"
WEBP_QUALITY = 84

_FOLDER = resources.files("tamis.demo") / "pictures"

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One drawn picture of 640x480 pixels and the truth about it."""

    file: str
    listing: int
    view: View
    seed: int
    body: str
    colour: str
    dealer: str
    odometer_km: int
    plate: str
    box_xyxy: Box | None
    """Visible part of the car in pixels (in a wheel's picture a piece of the car); None for odometer and card."""


def picture_file(car: CarFacts, view: View) -> str:
    """Name the file of one view; a dealer has one card for all cars."""
    if view == "card":
        return f"card-{car.subject.dealer.lower().replace(' ', '-')}.webp"
    return f"{car.number:02d}-{view.replace('_', '-')}.webp"


def encode_picture(image: Image.Image) -> bytes:
    """Encode a drawn picture as it is stored."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=WEBP_QUALITY, method=6)
    return buffer.getvalue()


def describe_picture(car: CarFacts, view: View, plate: str, box_xyxy: Box | None) -> StoredPicture:
    """State what is known of one view of a car."""
    subject = car.subject
    return StoredPicture(
        file=picture_file(car, view),
        listing=car.number,
        view=view,
        seed=subject.seed,
        body=subject.body,
        colour=subject.colour,
        dealer=subject.dealer,
        odometer_km=subject.odometer_km,
        plate=plate,
        box_xyxy=box_xyxy,
    )


def write_truth(folder: Path, pictures: Iterable[StoredPicture]) -> None:
    """Write what is known of all pictures, one a line."""
    rows = ",\n".join(json.dumps(asdict(picture)) for picture in pictures)
    head = f'"size_wh": {json.dumps(PICTURE_SIZE_WH)}'
    (folder / TRUTH_FILE).write_text(f'{{{head}, "pictures": [\n{rows}\n]}}\n', encoding="utf-8")


@lru_cache(maxsize=1)
def stored_pictures() -> tuple[StoredPicture, ...]:
    """Read the truth about the pictures in the package."""
    document: dict[str, Any] = json.loads((_FOLDER / TRUTH_FILE).read_text(encoding="utf-8"))
    return tuple(_read_row(row) for row in document["pictures"])


def _read_row(row: dict[str, Any]) -> StoredPicture:
    box = row.pop("box_xyxy")
    return StoredPicture(**row, box_xyxy=None if box is None else (box[0], box[1], box[2], box[3]))


def read_picture(file: str) -> bytes:
    """Read the stored WebP of one picture."""
    return (_FOLDER / file).read_bytes()
