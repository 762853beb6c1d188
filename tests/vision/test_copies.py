"""Verification: edits are copies of the right kind, look-alikes are not, whatever the order."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.realdata import data_folder

from tamis.vision.copies import INVERSE, Orientation, Picture, compare, verify
from tamis.vision.inspect import small_picture

from .pictures import EDITS, Image, as_image, grey, recompressed, resized, shot, stand


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_recompression_and_scaling_are_told_from_edits(seed: int) -> None:
    original = Picture(shot(seed))
    for copy in (recompressed(shot(seed)), resized(shot(seed)), resized(recompressed(shot(seed), 60), 0.7)):
        verdict = verify(original, Picture(copy))
        assert verdict is not None
        assert (verdict.kind, verdict.score > 0.9) == ("recompressed", True)


@pytest.mark.parametrize("name", sorted(EDITS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_edits_are_copies(name: str, seed: int) -> None:
    verdict = verify(Picture(shot(seed)), Picture(recompressed(EDITS[name](shot(seed)), 80)))
    assert verdict is not None
    assert verdict.kind == "edited"
    assert verdict.score > 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mirrored_and_turned_copies_are_seen_when_turned_back(seed: int) -> None:
    original = Picture(shot(seed))
    mirrored = Picture(as_image(shot(seed)[:, ::-1]))
    assert getattr(verify(original, mirrored, 4), "kind", None) == "mirrored"
    assert getattr(verify(original, mirrored), "kind", "same_scene") == "same_scene"
    back: tuple[Orientation, ...] = (3, 2, 1)
    for turns, orientation in zip((1, 2, 3), back, strict=True):
        turned = Picture(as_image(np.rot90(shot(seed), -turns)))
        assert getattr(verify(original, turned, orientation), "kind", None) == "rotated"


@pytest.mark.parametrize("seed", range(10, 18))
def test_another_car_on_the_same_stand_is_no_copy(seed: int) -> None:
    verdict = verify(Picture(stand(seed)), Picture(stand(seed + 50)))
    assert verdict is None or verdict.kind == "same_scene"
    assert getattr(verify(Picture(stand(seed)), Picture(recompressed(stand(seed)))), "kind", None) == "recompressed"


@pytest.mark.parametrize("seed", range(20, 26))
def test_strangers_are_nothing(seed: int) -> None:
    verdict = verify(Picture(shot(seed)), Picture(shot(seed + 100)))
    assert verdict is None or verdict.kind == "same_scene"


def test_the_same_shape_in_another_colour_is_no_copy_but_its_grey_version_is() -> None:
    blue = np.full((240, 320, 3), 250, dtype=np.uint8)
    texture = shot(5, 160, 160).mean(axis=2, keepdims=True) * 0.5
    blue[40:200, 80:240] = as_image(texture + np.array([20.0, 60.0, 120.0]))
    red = blue.copy()
    red[40:200, 80:240] = as_image(texture + np.array([120.0, 40.0, 30.0]))
    verdict = verify(Picture(blue), Picture(red))
    assert verdict is None or verdict.kind == "same_scene"
    assert getattr(verify(Picture(blue), Picture(grey(blue))), "kind", None) == "edited"


@pytest.mark.parametrize("name", sorted(EDITS))
def test_order_and_repetition_change_nothing(name: str) -> None:
    original, copy = shot(4), EDITS[name](shot(4))
    found = compare(Picture(original), Picture(copy))
    assert found == compare(Picture(original), Picture(copy))
    other_way = compare(Picture(copy), Picture(original))
    assert found is not None
    assert other_way is not None
    assert found.merit() == pytest.approx(other_way.merit(), abs=0.15)


@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pictures_of_one_size_may_change_places(seed: int, orientation: Orientation) -> None:
    original = shot(seed)
    copy = recompressed(original, 40)
    mirrored = copy[:, ::-1] if orientation >= 4 else copy
    first, second = Picture(original), Picture(as_image(np.rot90(mirrored, -(orientation % 4))))
    back = INVERSE[orientation]
    assert verify(first, second, back) == verify(second, first, orientation)
    assert verify(first, second, back) is not None


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (40, 40), (256, 256)])
def test_pictures_without_texture_have_nothing_to_compare(shape: tuple[int, int]) -> None:
    flat = Picture(np.full((*shape, 3), 200, dtype=np.uint8))
    assert compare(flat, flat) is None
    assert verify(flat, Picture(shot(1))) is None


@pytest.mark.real
@pytest.mark.parametrize("pair", [("6/1", "6/3"), ("10/1", "10/3"), ("38/1", "38/3"), ("ne17/4", "ne17/8")])
def test_the_two_sides_of_a_car_in_a_studio_are_no_mirrored_copies(pair: tuple[str, str]) -> None:
    folder = data_folder("cars", "photos")
    small = small_picture((folder / f"{pair[0]}.jpg").read_bytes())
    left, right = Picture(small), Picture(small_picture((folder / f"{pair[1]}.jpg").read_bytes()))
    assert getattr(verify(left, right, 4), "kind", "same_scene") == "same_scene"
    mirrored = Picture(recompressed(as_image(small[:, ::-1]), 60))
    assert getattr(verify(left, mirrored, 4), "kind", None) == "mirrored"


@pytest.mark.real
def test_a_mirrored_copy_of_the_one_side_of_a_car_is_not_the_other_side_seen_upright() -> None:
    folder = data_folder("cars", "photos", "ne17")
    left = small_picture((folder / "4.jpg").read_bytes())
    right = Picture(small_picture((folder / "8.jpg").read_bytes()))
    height, width = left.shape[:2]
    crop = as_image(left[height // 20 : height - height // 20, width // 20 : width - width // 20][:, ::-1])
    assert getattr(verify(Picture(crop), right), "kind", "same_scene") == "same_scene"
    assert getattr(verify(Picture(left), Picture(crop), 4), "kind", None) == "mirrored"


@pytest.mark.real
def test_blur_does_not_hide_the_other_side_of_a_car() -> None:
    folder = data_folder("cars", "photos", "6")
    left, right = (small_picture((folder / f"{number}.jpg").read_bytes()) for number in (1, 3))
    soft = [as_image(cv2.GaussianBlur(side, (0, 0), 1.2)) for side in (left, right)]
    assert getattr(verify(Picture(soft[0]), Picture(soft[1]), 4), "kind", "same_scene") == "same_scene"
    mirrored = Picture(as_image(soft[0][:, ::-1]))
    assert getattr(verify(Picture(left), mirrored, 4), "kind", None) == "mirrored"


@pytest.mark.real
def test_a_dealers_banner_over_a_photo_leaves_it_a_copy() -> None:
    folder = data_folder("cars", "photos", "16")
    banner, plain = (Picture(small_picture((folder / f"{number}.jpg").read_bytes())) for number in (1, 2))
    assert getattr(verify(banner, plain), "kind", None) == "edited"


def article(
    seed: int, colour: tuple[int, int, int], ground: int = 252
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A catalogue picture: a dark thing with stitches and a faint grain, on a plain ground."""
    canvas = np.full((300, 300, 3), float(ground))
    random = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(random.normal(0, 1, (140, 200)), (0, 0), 2.0)
    canvas[80:220, 50:250] = np.array(colour) + 4.0 * (grain / grain.std())[..., None]
    canvas[90:94, 60:240] += 25.0
    canvas[205:209, 60:240] += 25.0
    canvas[80:220, 146:150] += 25.0
    return as_image(canvas)


def joined(first: Picture, second: Picture) -> bool:
    verdict = verify(first, second)
    return verdict is not None and verdict.kind != "same_scene"


@pytest.mark.parametrize("colour", [(30, 60, 40), (75, 38, 30), (24, 32, 70)])
def test_a_dark_article_in_another_dark_colour_is_no_copy(colour: tuple[int, int, int]) -> None:
    black = Picture(article(1, (42, 42, 42)))
    coloured = Picture(article(1, colour))
    assert not joined(black, coloured)
    assert joined(coloured, Picture(recompressed(article(1, colour), 50)))
    assert joined(coloured, Picture(grey(article(1, colour))))


@pytest.mark.parametrize("seed", range(2, 6))
def test_an_article_of_the_same_outline_and_another_grain_is_no_copy(seed: int) -> None:
    brown = (70, 55, 45)
    assert not joined(Picture(article(1, brown)), Picture(article(seed, brown)))
    assert joined(Picture(article(seed, brown)), Picture(recompressed(article(seed, brown), 60)))


def test_a_blurred_picture_has_a_mirrored_copy() -> None:
    blurred = as_image(cv2.GaussianBlur(shot(6), (0, 0), 4.0))
    assert getattr(
        verify(Picture(blurred), Picture(recompressed(as_image(blurred[:, ::-1]), 70)), 4), "kind", None
    ) == ("mirrored")


def wavered(image: Image, pixels: float) -> Image:
    """Parts moved apart by waves, as depth moves them in another view; no affine map undoes it."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = x + np.float32(pixels) * np.sin(12 * np.pi * y / height)
    down = y + np.float32(pixels) * np.sin(12 * np.pi * x / width)
    return as_image(cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_no_affine_map_lays_upon_the_other_is_no_copy(seed: int) -> None:
    assert not joined(Picture(shot(seed)), Picture(wavered(shot(seed), 2.4)))
    assert joined(Picture(shot(seed)), Picture(recompressed(wavered(shot(seed), 0.3), 60)))


@pytest.mark.parametrize("name", ["recoloured", "tinted"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_saturation_and_white_balance_leave_a_copy(name: str, seed: int) -> None:
    picture = shot(seed).astype(np.float64)
    luma = picture @ np.array([[0.299], [0.587], [0.114]])
    changed = luma + (picture - luma) * 0.5 if name == "recoloured" else picture * np.array([1.07, 1.0, 0.93])
    assert joined(Picture(shot(seed)), Picture(as_image(changed)))


@pytest.mark.parametrize("seed", range(2, 6))
def test_noise_on_a_plain_ground_leaves_a_copy(seed: int) -> None:
    picture = article(seed, (70, 55, 45))
    noise = np.random.default_rng(seed).normal(0, 12, picture.shape)
    assert joined(Picture(picture), Picture(as_image(picture + noise)))


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_banner_beside_a_small_thing_leaves_a_copy(seed: int) -> None:
    picture = np.full((300, 300, 3), 252, dtype=np.uint8)
    for side in (-1, 1):
        cv2.ellipse(picture, (150 + side * 40, 130), (30 + seed, 24), 10, 0, 360, (100, 100, 105), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (150 + side * 40, 130), (30 + seed, 24), 10, 0, 360, (20, 20, 20), 2, cv2.LINE_AA)
        cv2.line(picture, (150 + side * 70, 125), (150 + side * 120, 60), (20, 20, 20), 3, cv2.LINE_AA)
    banner = picture.copy()
    banner[258:] = (40, 40, 40)
    cv2.putText(banner, "BEST PRICE 0123", (8, 288), cv2.FONT_HERSHEY_DUPLEX, 0.9, (255, 255, 255), 2)
    assert joined(Picture(picture), Picture(banner))


def vignetted(image: Image) -> Image:
    """Corners two fifths darker than the middle."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return as_image(image * (1.0 - 0.2 * (x * x + y * y))[..., None])


@pytest.mark.parametrize("picture", [article(1, (70, 55, 45)), *map(shot, range(1, 5))])
def test_darker_corners_leave_a_copy(picture: Image) -> None:
    dark = Picture(recompressed(vignetted(picture), 80))
    assert getattr(verify(Picture(picture), dark), "kind", None) == "edited"
    assert getattr(verify(dark, Picture(picture)), "kind", None) == "edited"


@pytest.mark.parametrize("radius", [60, 80, 110, 130])
def test_a_round_thing_whose_inside_is_lighter_is_no_copy(radius: int) -> None:
    grain = 1 + 0.15 * cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (300, 300, 1)), (0, 0), 1.5)[..., None]
    away = np.hypot(*np.mgrid[-150:150, -150:150])[..., None]

    def drawn(shade: int) -> Image:
        thing = np.where(away < radius, shade * grain, 30 * grain)
        return as_image(np.where(away < radius + 15, thing, np.full((300, 300, 3), 250.0)))

    assert not joined(Picture(drawn(100)), Picture(drawn(170)))
    assert joined(Picture(drawn(100)), Picture(recompressed(drawn(100), 60)))
