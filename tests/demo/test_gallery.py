"""The stored pictures and copies made from them."""

from collections import Counter
from importlib import resources
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.demo.catalogue import LISTING_COUNT, all_cars
from tamis.demo.copies import Edit, Encoding, Rendition, render_bytes, render_thumbnail
from tamis.demo.gallery import Box, picture_file, read_picture, stored_pictures
from tamis.demo.render.subject import EXTERIOR_VIEWS, PICTURE_SIZE_WH
from tamis.demo.render.views import design_of

EDITS: tuple[Edit, ...] = ("none", "reencoded", "resized", "cropped", "watermarked", "mirrored")
FILE = picture_file(all_cars()[4], "front")


def decoded(body: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(Image.open(BytesIO(body)).convert("RGB")).astype(np.int64)


def test_the_package_holds_just_the_pictures_of_the_truth_and_stays_small() -> None:
    folder = resources.files("tamis.demo") / "pictures"
    sizes = {entry.name: len(entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith(".webp")}
    assert set(sizes) == {picture.file for picture in stored_pictures()}
    assert sum(sizes.values()) < 10_000_000


def test_the_truth_has_every_view_of_every_car() -> None:
    by_listing = Counter(picture.listing for picture in stored_pictures())
    assert set(by_listing) == set(range(LISTING_COUNT))
    assert sum(by_listing.values()) / LISTING_COUNT == pytest.approx(8, abs=0.5)
    expected = [(car.number, view) for car in all_cars() for view in car.views]
    assert [(picture.listing, picture.view) for picture in stored_pictures()] == expected


def test_the_truth_agrees_with_the_cars() -> None:
    for picture in stored_pictures():
        car = all_cars()[picture.listing]
        subject = car.subject
        assert (picture.seed, picture.body, picture.colour) == (subject.seed, subject.body, subject.colour)
        assert (picture.dealer, picture.odometer_km) == (subject.dealer, subject.odometer_km)
        assert picture.plate == design_of(subject).plate_text


def test_boxes_lie_in_the_picture_and_are_there_where_a_car_is() -> None:
    width, height = PICTURE_SIZE_WH
    cut_off = []
    for picture in stored_pictures():
        if picture.view in {"odometer", "card"}:
            assert picture.box_xyxy is None
            continue
        assert picture.box_xyxy is not None
        left, top, right, bottom = picture.box_xyxy
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if picture.view in EXTERIOR_VIEWS:
            assert right - left > 0.35 * width, picture.file
            if left == 0 or top == 0 or right == width or bottom == height:
                cut_off.append(picture.file)
    assert len(cut_off) <= 2, cut_off


def test_all_pictures_have_the_same_size() -> None:
    for file in {picture.file for picture in stored_pictures()}:
        with Image.open(BytesIO(read_picture(file))) as image:
            assert (image.format, image.size) == ("WEBP", PICTURE_SIZE_WH)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_renditions_are_what_they_say(edit: Edit, encoding: Encoding) -> None:
    rendition = Rendition(FILE, edit, encoding)
    body = render_bytes(rendition)
    with Image.open(BytesIO(body)) as image:
        assert (image.format, image.size) == (encoding.upper(), rendition.size_wh)
    render_bytes.cache_clear()
    assert render_bytes(rendition) == body


def test_an_original_in_webp_is_the_stored_file() -> None:
    assert render_bytes(Rendition(FILE, "none", "webp")) == read_picture(FILE)


def test_edits_show_the_same_shot() -> None:
    stored = decoded(read_picture(FILE))
    reencoded = decoded(render_bytes(Rendition(FILE, "reencoded", "jpeg")))
    mirrored = decoded(render_bytes(Rendition(FILE, "mirrored", "jpeg")))[:, ::-1]
    cropped = decoded(render_bytes(Rendition(FILE, "cropped", "jpeg")))
    watermarked = decoded(render_bytes(Rendition(FILE, "watermarked", "jpeg")))
    assert 0 < np.abs(stored - reencoded).mean() < 6
    assert 0 < np.abs(stored - mirrored).mean() < 6
    assert np.abs(stored[36:456, 38:618] - cropped).mean() < 6
    changed = np.abs(stored - watermarked).max(2) > 60
    assert 0.01 < changed.mean() < 0.25


@given(st.tuples(st.integers(0, 639), st.integers(0, 479), st.integers(1, 640), st.integers(1, 480)))
def test_mapped_boxes_stay_in_the_picture(numbers: tuple[int, int, int, int]) -> None:
    left, top = numbers[:2]
    box: Box = (left, top, min(640, left + numbers[2]), min(480, top + numbers[3]))
    for edit in EDITS:
        rendition = Rendition(FILE, edit, "jpeg")
        x1, y1, x2, y2 = rendition.map_box(box)
        assert 0 <= x1 <= x2 <= rendition.size_wh[0]
        assert 0 <= y1 <= y2 <= rendition.size_wh[1]
    mirror = Rendition(FILE, "mirrored", "jpeg")
    assert mirror.map_box(mirror.map_box(box)) == box


def test_a_mapped_box_marks_the_same_part_of_the_picture() -> None:
    box: Box = (200, 160, 440, 320)
    part = decoded(read_picture(FILE))[160:320, 200:440]
    for edit in ("cropped", "mirrored"):
        rendition = Rendition(FILE, edit, "jpeg")
        left, top, right, bottom = (round(value) for value in rendition.map_box(box))
        seen = decoded(render_bytes(rendition))[top:bottom, left:right]
        assert np.abs((seen[:, ::-1] if edit == "mirrored" else seen) - part).mean() < 6


def test_thumbnails_have_the_size_asked_for() -> None:
    with Image.open(BytesIO(render_thumbnail(Rendition(FILE, "none", "jpeg"), (320, 240)))) as image:
        assert (image.format, image.size) == ("JPEG", (320, 240))
