from __future__ import annotations

import pytest

from tamis.extract.photos import Photos
from tamis.extract.pictures import Rendition, implied_size, is_photo_url, parse_srcset, photo_key

HOST = "https://cdn.example"


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("/a/shoe_300x300.jpg", "/a/shoe_1140x1140.jpg"),
        ("/a/shoe.jpg?w=200&q=70", "/a/shoe.jpg?w=1600"),
        ("/a/shoe.jpg?imwidth=103", "/a/shoe.jpg?imwidth=1800"),
        ("/g/AbC1/s-l400.jpg", "/g/AbC1/s-l1600.jpg"),
        ("/a/shoe-thumb.jpg", "/a/shoe.jpg"),
        ("/a/shoe,mini.jpg", "/a/shoe,large.jpg"),
        ("/i/41Qz._AC_US40_.jpg", "/i/41Qz._AC_SL1000_.jpg"),
        ("/p/w/400/shoe.jpg", "/p/w/1920/shoe.jpg"),
        ("/c_fill,w_200,h_200/v1/shoe.jpg", "/v1/shoe.jpg"),
        ("/list/a_b.jpg/250x188.webp", "/list/a_b.jpg/1280x960.webp"),
        ("/images/small/7.jpg", "/images/huge/7.jpg"),
    ],
)
def test_renditions_of_a_photo_are_one_and_the_largest_stays(small: str, large: str) -> None:
    assert photo_key(HOST + small) == photo_key(HOST + large)
    for renditions in ([HOST + small, HOST + large], [HOST + large, HOST + small]):
        photos = Photos()
        photos.add(map(Rendition, renditions))
        assert photos.largest([photos.of(HOST + small)]) == [HOST + large]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/p/1.jpg", "/p/2.jpg"),
        ("/img/250.jpg", "/img/251.jpg"),
        ("/photos/img_250.jpg", "/photos/img_251.jpg"),
        ("/photos/h100.jpg", "/photos/h200.jpg"),
        ("/photo?id=1&w=3", "/photo?id=2&w=3"),
        ("/a/front.jpg", "/a/rear.jpg"),
        ("/a/1-zoom.jpg", "/a/2-zoom.jpg"),
    ],
)
def test_different_photos_stay_apart(one: str, other: str) -> None:
    assert photo_key(HOST + one) != photo_key(HOST + other)


def test_shards_of_a_host_are_one_host() -> None:
    assert photo_key("https://img01.cdn.example/x.jpg") == photo_key("https://img2.cdn.example/x.jpg")


@pytest.mark.parametrize(
    ("url", "is_photo"),
    [
        ("/logo.png", False),
        ("/a/icon-cart.png", False),
        ("/x.svg", False),
        ("/spacer.gif", False),
        ("/no-image.jpg", False),
        ("/products/iconic-dress.jpg", True),
        ("/photo/12.webp", True),
    ],
)
def test_what_is_no_photo_is_left_out(url: str, is_photo: bool) -> None:
    assert is_photo_url(HOST + url) is is_photo


def test_a_srcset_with_commas_in_its_urls_is_split_right() -> None:
    value = "https://c.example/w_300,h_200/a.jpg 300w, https://c.example/w_900,h_600/a.jpg 900w , /b.jpg 2x, /c.jpg"
    assert list(parse_srcset(value)) == [
        ("https://c.example/w_300,h_200/a.jpg", 300),
        ("https://c.example/w_900,h_600/a.jpg", 900),
        ("/b.jpg", 2000),
        ("/c.jpg", 0),
    ]


def test_sizes_are_read_from_urls() -> None:
    assert implied_size(f"{HOST}/a_640x480.jpg") == 640
    assert implied_size(f"{HOST}/a.jpg?width=1200&height=900") == 1200
    assert implied_size(f"{HOST}/a_thumb.jpg") < implied_size(f"{HOST}/a.jpg") < implied_size(f"{HOST}/a_original.jpg")


def photos_of(*elements: list[str]) -> Photos:
    photos = Photos()
    renditions = [[Rendition(HOST + url) for url in element] for element in elements]
    for element in renditions:
        photos.add(element)
    photos.join_elements(renditions)
    return photos


def test_the_urls_of_one_element_show_one_photo() -> None:
    photos = photos_of(["/zc1.jpg", "/fr1.jpg"], ["/fr1.jpg", "/vr1.jpg"], ["/zc2.jpg", "/fr2.jpg"])
    assert photos.of(f"{HOST}/zc1.jpg") == photos.of(f"{HOST}/vr1.jpg")
    assert photos.of(f"{HOST}/zc1.jpg") != photos.of(f"{HOST}/zc2.jpg")


def test_a_placeholder_joins_nothing() -> None:
    photos = photos_of(*[["/wait.jpg", f"/photo-{name}.jpg"] for name in "abcd"])
    assert len({photos.of(f"{HOST}/photo-{name}.jpg") for name in "abcd"}) == 4


def test_what_is_named_of_one_photo_is_implied_of_the_others() -> None:
    photos = photos_of(["/a.jpg?imwidth=762", "/a.jpg?imwidth=1800"], ["/b.jpg?imwidth=762"])
    wanted = [photos.of(f"{HOST}/{name}.jpg?imwidth=762") for name in "ab"]
    assert photos.largest(wanted) == [f"{HOST}/a.jpg?imwidth=1800", f"{HOST}/b.jpg?imwidth=1800"]


def test_thumbnails_and_slides_of_equal_number_are_pairs() -> None:
    photos = photos_of(["/x-big.jpg"], ["/y-big.jpg"], ["/q17.jpg"], ["/q18.jpg"])
    slides = [photos.of(f"{HOST}/{name}-big.jpg") for name in "xy"]
    thumbs = [photos.of(f"{HOST}/q{n}.jpg") for n in (17, 18)]
    photos.join_pairs(slides, thumbs)
    assert photos.of(f"{HOST}/q18.jpg") == photos.of(f"{HOST}/y-big.jpg")


def test_a_network_with_a_documented_pattern_gives_its_largest() -> None:
    photos = photos_of(["/g/AbC/s-l64.jpg"])
    assert photos.largest([photos.of(f"{HOST}/g/AbC/s-l64.jpg")]) == [f"{HOST}/g/AbC/s-l1600.jpg"]
