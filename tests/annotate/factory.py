"""Fills a project with items, drawn pictures, regions and labels, written straight into the tables."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from random import Random
from typing import Any

import sqlalchemy as sa
from PIL import Image, ImageDraw
from sqlalchemy import Connection

from tamis import schema
from tamis.annotate.samples import public_id_of
from tamis.database import writing
from tamis.project import Project
from tamis.records import Box, Region, digest

COLOURS = {
    "black": (28, 28, 32), "white": (236, 236, 232), "silver": (168, 172, 178), "red": (178, 34, 40),
    "blue": (38, 74, 150), "green": (40, 104, 72),
}  # fmt: skip
VIEWS = ("front", "rear", "side", "interior")
MAKES = ("Volvo V60", "Skoda Octavia", "Fiat Panda", "Toyota Yaris", "BMW 320d", "Mazda 3")
DETECTOR = "f00d" * 8

SETTINGS = f"""
[detect]
model = "models/cars.onnx"

[attribute.view]
classes = {list(VIEWS)}
help = "the side that the camera sees"

[attribute.colour]
classes = {list(COLOURS)}
scope = "item"
help = "of the paint, not of the light"

[attribute.damaged]
type = "flag"
"""


@dataclass(frozen=True)
class Made:
    """What a picture shows, by the public id of its sample."""

    public_id: str
    region_id: int
    item_id: int
    image_id: int
    view: str
    colour: str


def fill(project: Project, items: int = 4, pictures: int = 3, seed: int = 0, *, predicted: bool = True) -> list[Made]:
    """Add items with pictures, a detected region in each, model labels of the view and rule labels of the colour."""
    random = Random(seed)
    made: list[Made] = []
    with writing(project.engine) as connection:
        source = insert(
            connection,
            schema.source,
            name=f"shop-{seed}",
            kind="site",
            address="https://cars.example/",
            recipe="generic",
        )
        for number in range(items):
            colour = random.choice(list(COLOURS))
            name = random.choice(MAKES)
            item = add_item(connection, source, f"{seed}-{number}", name, colour)
            if predicted:
                add_label(connection, "colour", colour, "rule", "mine", 0.9, item_id=item, evidence=f"title: {colour}")
            for position in range(pictures):
                view = random.choice(VIEWS)
                data, box = draw(view, colour, random)
                image, region = add_picture(project, connection, item, position, data, box)
                public_id = public_id_of(region[1])
                if predicted:
                    confidence = round(random.uniform(0.4, 0.99), 3)
                    add_label(connection, "view", view, "model", "view-1", confidence, region_id=region[0])
                made.append(Made(public_id, region[0], item, image, view, colour))
    return made


def insert(connection: Connection, table: sa.Table, **values: Any) -> int:
    """Add a row and return its id."""
    result = connection.execute(sa.insert(table).values(**values))
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def add_item(connection: Connection, source: int, place: str, name: str, colour: str, *, title: str = "") -> int:
    """Add an item that states its colour in free words."""
    random = Random(place)
    year = random.randint(2004, 2023)
    title = title or f"{name} {year}, {colour}, well kept"
    url = f"https://cars.example/offers/{place}"
    return insert(
        connection,
        schema.item,
        item_key=digest("item", url),
        source_id=source,
        url=url,
        title=title,
        brand=name.split(maxsplit=1)[0],
        model=name.split(maxsplit=1)[1],
        price=float(random.randint(2, 40) * 500),
        currency="EUR",
        seller="Autohaus Example",
        description=f"A {colour} {name} of {year} from its second owner. Service book complete, winter tyres included.",
        attributes={"Mileage": f"{random.randint(20, 220)} 000 km", "Colour": colour},
        sources={"title": "json-ld", "price": "json-ld"},
        raw={"name": title, "offers": {"priceCurrency": "EUR"}},
        digest=digest(title),
        first_seen=time.time(),
        last_seen=time.time(),
    )


def add_picture(
    project: Project, connection: Connection, item: int, position: int, data: bytes, box: Box
) -> tuple[int, tuple[int, str]]:
    """Add a downloaded, inspected picture with its whole and one detected region; return image and region."""
    key = project.blobs.put(data)
    assert key == sha256(data).hexdigest()
    image = insert(connection, schema.image, sha256=key, size=len(data), first_seen=time.time())
    with Image.open(BytesIO(data)) as opened:
        width, height = opened.size
    insert(
        connection, schema.inspection, image_id=image, readable=True, format="JPEG", mode="RGB", width=width,
        height=height, orientation=1, sharpness=5.0, contrast=0.2, text_share=0.0,
    )  # fmt: skip
    url = f"https://cars.example/pictures/{key[:16]}.jpg"
    insert(
        connection, schema.picture, item_id=item, position=position, url_key=digest(url), url=url, host="cars.example",
        state="done", outcome="ok", status=200, attempts=1, not_before=0.0, downloaded_at=time.time(), image_id=image,
    )  # fmt: skip
    add_region(connection, Region(image, key, "whole", (0.0, 0.0, float(width), float(height))))
    return image, add_region(connection, Region(image, key, "detected", box, DETECTOR, "car", 0.9))


def add_region(connection: Connection, region: Region) -> tuple[int, str]:
    """Add a region; return its id and key."""
    x0, y0, x1, y1 = region.box_xyxy
    region_id = insert(
        connection, schema.region, region_key=region.region_key, image_id=region.image_id, kind=region.kind,
        origin=region.origin, class_name=region.class_name, score=region.score, x0=x0, y0=y0, x1=x1, y1=y1,
        created_at=time.time(),
    )  # fmt: skip
    return region_id, region.region_key


def add_label(
    connection: Connection,
    attribute: str,
    value: str | None,
    who: str,
    actor: str,
    confidence: float = 1.0,
    **more: Any,
) -> int:
    """Add a claim."""
    return insert(
        connection, schema.label, attribute=attribute, value=value, who=who, actor=actor, confidence=confidence,
        created_at=time.time(), **more,
    )  # fmt: skip


def draw(view: str, colour: str, random: Random) -> tuple[bytes, Box]:
    """Draw a car in a street from one side; return the JPEG and the car's box."""
    width, height = random.choice(((640, 480), (720, 480), (480, 640)))
    horizon = int(height * random.uniform(0.35, 0.5))
    picture = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(picture)
    sky, road = random.randint(150, 230), random.randint(70, 120)
    for row in range(height):
        shade = sky - row // 6 if row < horizon else road + (row - horizon) // 8
        pen.line(((0, row), (width, row)), fill=(shade, shade, min(255, shade + (20 if row < horizon else 0))))
    for _ in range(4):
        left = random.randint(-40, width)
        tone = random.randint(90, 200)
        pen.rectangle((left, random.randint(10, horizon), left + 110, horizon), fill=(tone, tone - 20, tone - 40))
    body_width = int(width * (0.72 if view == "side" else 0.5))
    body_height = int(body_width * (0.34 if view == "side" else 0.72))
    x0 = random.randint(10, width - body_width - 10)
    y0 = min(horizon - body_height // 3, height - body_height - 20)
    _draw_car(pen, view, COLOURS[colour], (x0, y0, x0 + body_width, y0 + body_height))
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return stream.getvalue(), (float(x0), float(y0), float(x0 + body_width), float(y0 + body_height))


def _draw_car(pen: ImageDraw.ImageDraw, view: str, paint: tuple[int, int, int], box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    glass, tyre = (60, 78, 92), (22, 22, 24)
    if view == "interior":
        pen.rectangle(box, fill=(44, 40, 38))
        pen.ellipse(
            (x0 + wide * 0.12, y0 + high * 0.3, x0 + wide * 0.55, y0 + high * 0.9), outline=(120, 118, 114), width=9
        )
        pen.rectangle((x0 + wide * 0.6, y0 + high * 0.25, x0 + wide * 0.9, y0 + high * 0.5), fill=(70, 96, 120))
        return
    if view == "side":
        pen.polygon([(x0 + wide * 0.2, y0 + high * 0.45), (x0 + wide * 0.32, y0), (x0 + wide * 0.72, y0),
                     (x0 + wide * 0.86, y0 + high * 0.45)], fill=paint)  # fmt: skip
        pen.polygon([(x0 + wide * 0.26, y0 + high * 0.42), (x0 + wide * 0.34, y0 + high * 0.1),
                     (x0 + wide * 0.7, y0 + high * 0.1), (x0 + wide * 0.8, y0 + high * 0.42)], fill=glass)  # fmt: skip
        pen.rounded_rectangle((x0, y0 + high * 0.4, x1, y0 + high * 0.85), 14, fill=paint)
        for centre in (0.22, 0.78):
            middle, radius = x0 + wide * centre, high * 0.2
            pen.ellipse((middle - radius, y1 - 2 * radius, middle + radius, y1), fill=tyre)
        return
    pen.rounded_rectangle((x0 + wide * 0.12, y0, x1 - wide * 0.12, y0 + high * 0.6), 24, fill=paint)
    pen.rounded_rectangle((x0 + wide * 0.18, y0 + high * 0.08, x1 - wide * 0.18, y0 + high * 0.38), 10, fill=glass)
    pen.rounded_rectangle((x0, y0 + high * 0.42, x1, y0 + high * 0.9), 18, fill=paint)
    lamp = (250, 244, 200) if view == "front" else (190, 20, 28)
    for left in (0.05, 0.75):
        pen.rounded_rectangle(
            (x0 + wide * left, y0 + high * 0.5, x0 + wide * (left + 0.2), y0 + high * 0.62), 6, fill=lamp
        )
    pen.rectangle((x0 + wide * 0.36, y0 + high * 0.68, x0 + wide * 0.64, y0 + high * 0.78), fill=(235, 235, 230))
    for left in (0.04, 0.8):
        pen.rectangle((x0 + wide * left, y0 + high * 0.88, x0 + wide * (left + 0.16), y1), fill=tyre)
