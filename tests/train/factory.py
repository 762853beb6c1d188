"""Small real snapshots for tests: coloured shapes drawn into a real store."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tamis.blobs import BlobStore
from tamis.dataset.manifest import Sample, Snapshot, Split
from tamis.labels import Attribute

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 200)}
SHAPES = ("circle", "square", "triangle")

ATTRIBUTES = (
    Attribute.of("shape", "choice", SHAPES),
    Attribute.of("colour", "choice", tuple(COLOURS)),
)


def draw(shape: str, colour: str, seed: int, side: int = 96) -> bytes:
    """Return a PNG of one shape of one colour on a noisy grey ground, placed and sized by the seed."""
    generator = np.random.default_rng(seed)
    ground = generator.normal(128, 12, (side, side + 24, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(ground)
    radius = int(generator.integers(side // 5, side // 3))
    across, down = (int(value) for value in generator.integers(side // 3, side - side // 3, 2))
    box = (across - radius, down - radius, across + radius, down + radius)
    pen, fill = ImageDraw.Draw(picture), COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, fill)
    elif shape == "square":
        pen.rectangle(box, fill)
    else:
        pen.polygon([(box[0], box[3]), (box[2], box[3]), (across, box[1])], fill)
    stream = BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def shapes_snapshot(
    folder: Path,
    *,
    per_pair: int = 8,
    shapes: Sequence[str] = SHAPES,
    colours: Sequence[str] = tuple(COLOURS),
    missing_every: int = 5,
) -> Snapshot:
    """Write and return a snapshot of shapes x colours, `per_pair` samples each, two in every group.

    Of eight samples five train, one validates, two test. Every `missing_every`-th sample lacks its colour label.
    """
    store = BlobStore(folder / "blobs")
    samples: list[Sample] = []
    splits: tuple[Split, ...] = ("train", "train", "validation", "test")
    for number in range(per_pair * len(shapes) * len(colours)):
        shape, colour = shapes[number % len(shapes)], colours[number // len(shapes) % len(colours)]
        key = store.put(draw(shape, colour, number))
        labels = {"shape": shape, "colour": colour}
        if number % missing_every == missing_every - 1:
            del labels["colour"]
        # Two rounds over all pairs share a split, so that each split sees every pair.
        split = splits[number // (len(shapes) * len(colours)) % len(splits)]
        samples.append(
            Sample(
                id=f"s{number:04d}",
                sha256=key,
                box_xyxy=(4.0, 0.0, 108.0, 96.0),
                crop_xyxy=(4, 0, 108, 96),
                split=split,
                verdict="keep",
                labels=labels,
                group=f"{split}-{number // 2}",
                item_url=f"http://example.com/item/{number}",
                item_title=f"A {colour} {shape} & <more>",
            )
        )
    snapshot = Snapshot(folder / "snapshots" / "1", "shapes-1", 1, ATTRIBUTES, tuple(samples), "../../blobs")
    snapshot.write()
    return snapshot
