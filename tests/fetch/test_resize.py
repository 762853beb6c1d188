from __future__ import annotations

from io import BytesIO
from typing import Any, cast

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.crawl.imagefolder import encode as encode_any
from tamis.crawl.outcomes import Outcome
from tamis.errors import UserError
from tamis.fetch.keep import keep
from tamis.fetch.options import FetchOptions, Kept, Mode
from tamis.fetch.resize import plan
from tamis.vision.decode import ImageRGB


def scene(width: int, height: int) -> ImageRGB:
    """Smooth colours, so that resampling and JPEG change little."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)


def kept(body: bytes, **options: Any) -> tuple[bytes, str, Kept]:
    found = keep(body, FetchOptions(**options))
    assert not isinstance(found, Outcome), found
    return found


def pixels(body: bytes) -> ImageRGB:
    with Image.open(BytesIO(body)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("mode", "upscale", "size_wh", "result_wh"),
    [
        ("longest", False, (1280, 960), (256, 192)),
        ("longest", False, (100, 300), (85, 256)),
        ("longest", False, (200, 100), (200, 100)),
        ("longest", True, (200, 100), (256, 128)),
        ("shortest", False, (1280, 960), (341, 256)),
        ("shortest", False, (1280, 200), (1280, 200)),
        ("crop", False, (1280, 960), (256, 256)),
        ("crop", False, (1280, 200), (256, 200)),
        ("crop", True, (1280, 200), (256, 256)),
        ("border", False, (1280, 960), (256, 256)),
        ("border", False, (20, 10), (256, 256)),
        ("longest", False, (10_000, 3), (256, 1)),
    ],
)
def test_sizes(mode: Mode, upscale: bool, size_wh: tuple[int, int], result_wh: tuple[int, int]) -> None:
    assert plan(*size_wh, FetchOptions(resize=256, mode=mode, upscale=upscale)).result_wh == result_wh


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 600), st.sampled_from(["longest", "shortest", "crop"])
)
def test_nothing_grows_unless_told_and_the_shape_stays(width: int, height: int, side: int, mode: Mode) -> None:
    found = plan(width, height, FetchOptions(resize=side, mode=mode))
    assert found.scaled_wh[0] <= width
    assert found.scaled_wh[1] <= height
    assert (max if mode == "longest" else min)(found.scaled_wh) <= side
    stretched = found.scaled_wh[0] / width - found.scaled_wh[1] / height
    assert abs(stretched) <= 1 / width + 1 / height
    assert plan(*found.scaled_wh, FetchOptions(resize=side, mode="longest" if mode == "longest" else "shortest"))


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_a_resized_picture_looks_like_one_that_was_averaged(form: str) -> None:
    original = encode_any(scene(1000, 700), cast(Any, form))
    body, extension, facts = kept(original, resize=256)
    wanted = cv2.resize(scene(1000, 700), (256, 179), interpolation=cv2.INTER_AREA)
    found = pixels(body)
    assert (extension, facts.format, facts.width, facts.height) == (".jpg", "JPEG", 256, 179)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 2.0
    assert (facts.size, facts.original_size) == (len(body), len(original))
    assert (facts.original_width, facts.original_height) == (1000, 700)


def test_crop_takes_the_middle_and_border_pads_with_white() -> None:
    original = encode_any(scene(800, 400), "png")
    middle = pixels(kept(original, resize=100, mode="crop", encoding="png")[0])
    whole = cv2.resize(scene(800, 400), (200, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(middle.astype(int) - whole[:, 50:150]).max() <= 1
    padded = pixels(kept(original, resize=100, mode="border", encoding="png")[0])
    assert padded.shape == (100, 100, 3)
    assert (padded[:25] == 255).all()
    assert (padded[75:] == 255).all()
    assert np.abs(padded[25:75].astype(int) - cv2.resize(scene(800, 400), (100, 50), interpolation=3)).max() <= 1


def test_a_picture_that_fits_keeps_its_bytes() -> None:
    small = encode_any(scene(200, 100), "jpeg")
    assert kept(small, resize=256)[0] == small
    assert kept(small, resize=256, encoding="png")[1] == ".png"
    assert kept(small)[0] == small


def test_an_orientation_is_applied_and_counts_for_the_size() -> None:
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(400, 200)).save(buffer, "JPEG", exif=exif, quality=95)
    body, _, facts = kept(buffer.getvalue(), resize=100)
    assert (facts.width, facts.height, facts.original_width, facts.original_height) == (50, 100, 200, 400)
    turned = cv2.resize(np.rot90(scene(400, 200), -1).copy(), (50, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(pixels(body).astype(int) - turned).mean() < 3.0


@pytest.mark.parametrize(
    ("body", "options", "outcome"),
    [
        (b"", {}, "empty"),
        (b"<html>", {}, "not_image"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" * 9, {}, "unsupported"),
        (b"\xff\xd8\xff\xe0\x00\x00\xff\xd9", {}, "corrupt"),
        (encode_any(scene(60, 40), "jpeg")[:-300], {}, "truncated"),
        (encode_any(scene(60, 40), "png")[:-60], {}, "truncated"),
        (encode_any(scene(60, 40), "webp")[:-60], {}, "truncated"),
        (encode_any(scene(60, 40), "jpeg"), {"min_side": 50}, "too_small"),
        (encode_any(scene(300, 40), "jpeg"), {"max_aspect": 5}, "too_long"),
        (encode_any(scene(300, 40), "jpeg"), {"max_pixels": 5000}, "too_many_pixels"),
        (encode_any(scene(3000, 2), "jpeg"), {"resize": 600, "mode": "crop", "upscale": True}, "corrupt"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_what_is_not_kept_has_a_reason(body: bytes, options: dict[str, Any], outcome: str) -> None:
    found = keep(body, FetchOptions(**options))
    assert isinstance(found, Outcome)
    assert (found.name, found.passing) == (outcome, False)
    assert found.reason


def test_damaged_pixels_are_found_when_asked_for() -> None:
    body = bytearray(encode_any(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8), "png"))
    body[len(body) // 2 : len(body) // 2 + 40] = bytes(40)
    assert kept(bytes(body))[0] == bytes(body)
    for options in ({"verify": True}, {"resize": 100}):
        found = keep(bytes(body), FetchOptions(**cast(Any, options)))
        assert isinstance(found, Outcome)
        assert found.name == "corrupt"


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_kept_or_refused(body: bytes, resized: bool) -> None:
    for start in (b"", b"\xff\xd8\xff", b"RIFF....WEBP", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\x00\x00\x00\x18ftypavif"):
        assert isinstance(keep(start + body, FetchOptions(resize=64 if resized else None)), Outcome | tuple)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "zip"}, "files, webdataset, parquet"),
        ({"mode": "wide"}, "longest, shortest"),
        ({"quality": 0}, "at least 1"),
        ({"quality": 101}, "at most 100"),
        ({"resize": 2}, "at least 8"),
    ],
)
def test_wrong_options_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FetchOptions(**options)
