"""Drawn pictures of different cars are no copies of each other; what the site serves twice is found."""

from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tamis.demo.copies import Rendition, render_bytes
from tamis.demo.gallery import stored_pictures
from tamis.demo.listings import build_listings
from tamis.records import Relation
from tamis.vision.duplicates import find_relations, signature_of
from tamis.vision.inspect import small_picture


def relations_of(pictures: list[NDArray[np.uint8]]) -> list[Relation]:
    signatures = [signature_of(number, picture) for number, picture in enumerate(pictures)]
    found = find_relations(signatures, [], pictures.__getitem__)
    return [relation for relation in found if relation.score >= 0.5]


@pytest.fixture(scope="module")
def renditions() -> list[Rendition]:
    slots = (slot for listing in build_listings() for slot in listing.slots)
    return sorted({slot.rendition for slot in slots if slot.rendition}, key=lambda one: (one.file, one.edit))


def test_all_pictures_that_are_joined_are_of_one_file(renditions: list[Rendition]) -> None:
    found = relations_of([small_picture(render_bytes(rendition)) for rendition in renditions])
    joined = {(renditions[relation.first_id].file, renditions[relation.second_id].file) for relation in found}
    assert all(first == second for first, second in joined), joined
    edited = {one.file for one, other in combinations(renditions, 2) if one.file == other.file}
    assert {first for first, _ in joined} == edited


@pytest.mark.parametrize("degrees", [-7.0, -4.0, 0.0, 4.0, 7.0])
def test_instruments_of_one_make_are_told_apart_however_they_are_turned(degrees: float) -> None:
    files = [picture.file for picture in stored_pictures() if picture.view == "odometer"]
    pictures = []
    for number, file in enumerate(files):
        image = Image.open(BytesIO(render_bytes(Rendition(file, "none", "webp")))).convert("RGB")
        turned = image.rotate(degrees if number % 2 else 0.0, Image.Resampling.BICUBIC, fillcolor=(40, 40, 40))
        pictures.append(small_picture(_png(turned)))
    found = relations_of(pictures)
    assert not [(files[relation.first_id], files[relation.second_id]) for relation in found]


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
