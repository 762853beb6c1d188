"""Rendering: crops, sizes, grounds, cut-outs, and nothing but pixels in the output."""

from __future__ import annotations

from io import BytesIO
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tamis.errors import Unreadable
from tamis.vision.render import OutputFormat, Rendering, Shape, encode, render_crop

sides = st.integers(1, 120)


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


def file(image: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(opened(data))


def test_crop_without_a_size_is_cut_out_exactly() -> None:
    image = picture(60, 40)
    crop = pixels(render_crop(file(image), (10, 5, 50, 30), Rendering(format="png")))
    np.testing.assert_array_equal(crop, image[5:30, 10:50])
    beyond = pixels(render_crop(file(image), (-10, -10, 20, 100), Rendering(format="png")))
    np.testing.assert_array_equal(beyond, image[:, :20])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("output", get_args(OutputFormat))
def test_metadata_are_dropped_and_orientation_applied(kind: str, output: OutputFormat) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret"
    data = file(picture(80, 40), kind, exif=exif.tobytes())
    rendered = render_crop(data, None, Rendering(format=output))
    image = opened(rendered)
    assert image.size == (40, 80)
    assert b"secret" not in rendered
    assert not image.getexif()
    assert {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}[output] == image.format


@given(sides, sides, sides, sides, st.sampled_from(get_args(Shape)), st.booleans())
@settings(max_examples=150, deadline=None)
def test_sizes(width: int, height: int, target_w: int, target_h: int, shape: Shape, enlarge: bool) -> None:
    rendering = Rendering((target_w, target_h), shape, "png", enlarge=enlarge)
    data = render_crop(encode(picture(width, height), "png"), None, rendering)
    size = opened(data).size
    assert data == render_crop(encode(picture(width, height), "png"), None, rendering)
    assert size[0] <= target_w
    assert size[1] <= target_h
    if shape == "letterbox" or (enlarge and shape != "inside"):
        assert size == (target_w, target_h)
    elif not enlarge:
        assert size[0] <= width
        assert size[1] <= height
    if enlarge or (width >= target_w and height >= target_h):
        assert size[0] == target_w or size[1] == target_h


def test_letterbox_keeps_a_small_crop_as_it_is_in_the_middle() -> None:
    image = picture(20, 10)
    ground = Rendering((40, 40), "letterbox", "png", background_rgb=(1, 2, 3))
    framed = pixels(render_crop(file(image), None, ground))
    np.testing.assert_array_equal(framed[15:25, 10:30], image)
    assert (framed[:15] == (1, 2, 3)).all()


@pytest.mark.parametrize("size", [40, 100, 200])
def test_scaled_decoding_shows_the_same_part(size: int) -> None:
    image = picture(1600, 1200)
    rendering = Rendering((size, size), format="png")
    crop = (400, 300, 1200, 900)
    shown = pixels(render_crop(file(image, "JPEG", quality=97), crop, rendering)).astype(int)
    exact = pixels(render_crop(file(image), crop, rendering)).astype(int)
    assert shown.shape == exact.shape == (size * 3 // 4, size, 3)
    assert np.abs(shown - exact).max() <= 8


def test_cut_out_on_transparent_and_plain_ground() -> None:
    image = picture(60, 40)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    clear = pixels(render_crop(file(image), (10, 0, 60, 40), Rendering(format="png"), mask=mask))
    np.testing.assert_array_equal(clear[..., 3] > 0, mask[:, 10:])
    np.testing.assert_array_equal(clear[..., :3][mask[:, 10:]], image[:, 10:][mask[:, 10:]])
    plain = Rendering(format="jpeg", background_rgb=(255, 255, 255), quality=98)
    white = pixels(render_crop(file(image), None, plain, mask=mask))
    assert (white[:8] > 245).all()
    assert abs(int(white[20, 35, 2]) - 60) < 12
    framed = Rendering((80, 80), "letterbox", "webp")
    assert (pixels(render_crop(file(image), None, framed, mask=mask))[..., 3] == 0).sum() == 80 * 80 - mask.sum()


def test_what_cannot_be_rendered_is_refused() -> None:
    data = file(picture(20, 10))
    mask = np.ones((10, 20), bool)
    with pytest.raises(ValueError, match="holds nothing"):
        render_crop(data, (30, 0, 40, 10))
    with pytest.raises(ValueError, match="no transparency"):
        render_crop(data, None, mask=mask)
    with pytest.raises(ValueError, match="no transparency"):
        encode(np.zeros((4, 4, 4), np.uint8), "jpeg")
    with pytest.raises(ValueError, match="mask of"):
        render_crop(data, None, Rendering(format="png"), mask=mask[:5])
    with pytest.raises(Unreadable):
        render_crop(b"<html>", None)
    with pytest.raises(Unreadable, match=r"truncated|damaged"):
        render_crop(file(picture(200, 200), "JPEG")[:-500], None)
    with pytest.raises(ValueError, match="cannot be a webp"):
        encode(np.zeros((2, 17_000, 3), np.uint8), "webp")


@pytest.mark.parametrize("options", [{"size_wh": (0, 5)}, {"shape": "odd"}, {"format": "bmp"}, {"quality": 0}])
def test_wrong_renderings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"size|shape|quality"):
        Rendering(**options)


@pytest.mark.parametrize("side", [100, 180, 256, 390, 600])
def test_fine_detail_shrinks_better_than_by_averaging(side: int) -> None:
    rows, columns = np.mgrid[0:1200, 0:1600]
    rings = (127.5 + 127.5 * np.cos((rows**2 + columns**2) / 3000)).astype(np.uint8)
    image = np.repeat(rings[..., None], 3, axis=2)
    size_wh = (side, side * 3 // 4)
    shown = pixels(render_crop(file(image, "JPEG", quality=97), None, Rendering(size_wh, "stretch", "png")))
    careful = np.asarray(Image.fromarray(image).resize(size_wh, Image.Resampling.LANCZOS), dtype=float)
    averaged = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    assert np.square(shown - careful).mean() < 0.7 * np.square(averaged - careful).mean()
