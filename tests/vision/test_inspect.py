"""Inspection: one record for any bytes, the same in every process, complete for what can be read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from tests.realdata import data_folder

from tamis.records import Inspection
from tamis.vision.decode import Limits
from tamis.vision.inspect import (
    THUMBNAIL_SIDE,
    inspect_image,
    inspect_images,
    pixel_digest,
    sign_image,
    thumbnail,
)
from tamis.vision.signatures import hamming


def photo(width: int = 800, height: int = 600) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.sin(columns / 40) + np.cos(rows / 55) + np.sin((columns + 2 * rows) / 90)
    channels = [waves * 40 + 128, waves * 30 + columns * 0.1 + 60, rows * 0.2 + 50 + waves * 10]
    return Image.fromarray(np.clip(np.stack(channels, axis=2), 0, 255).astype(np.uint8))


def encode(image: Image.Image, format_name: str = "JPEG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def cut_photo(percent: int) -> bytes:
    data = encode(photo(320, 240))
    return data[: len(data) * percent // 100]


def test_a_readable_image_fills_every_column() -> None:
    record = inspect_image(7, encode(photo()))
    assert record.image_id == 7
    assert record.readable
    assert record.reason is None
    missing = [name.name for name in fields(Inspection) if name.name != "reason" and getattr(record, name.name) is None]
    assert missing == []
    assert (record.format, record.mode, record.width, record.height, record.orientation) == ("JPEG", "RGB", 800, 600, 1)


@given(st.one_of(st.binary(max_size=200), st.integers(0, 99).map(cut_photo)))
@settings(max_examples=40, deadline=None)
def test_unreadable_bytes_give_a_reason_and_no_scores(data: bytes) -> None:
    record = inspect_image(1, data)
    assert not record.readable
    assert record.reason
    known = {"image_id", "readable", "reason"}
    assert all(value is None for name, value in asdict(record).items() if name not in known)


def test_many_images_give_what_each_gives_alone_in_their_order() -> None:
    files = [encode(photo(300 + 40 * number, 260)) for number in range(11)]
    files[3], files[8] = b"no picture", files[8][:900]
    found = list(inspect_images(enumerate(files)))
    assert found == [inspect_image(number, data) for number, data in enumerate(files)]
    assert [record.readable for record in found].count(False) == 2


def test_scores_are_the_same_without_signatures() -> None:
    data = encode(photo())
    (scored,) = inspect_images([(1, data)], signed=False)
    keys = dict.fromkeys(("phash", "phash_mirrored", "dhash", "parts", "pixel_digest"))
    assert scored == replace(inspect_image(1, data), **keys)  # type: ignore[arg-type]


def test_limits_reach_the_decoder() -> None:
    record = inspect_image(1, encode(photo()), Limits(max_pixels=1000))
    assert record.reason == "800x600 pixels exceed the limit of 1000"


def test_rewrapping_keeps_the_pixel_digest_and_recompression_does_not() -> None:
    lossless = encode(photo(), "PNG", compress_level=1)
    note = PngImagePlugin.PngInfo()
    note.add_text("Author", "someone")
    rewrapped = encode(photo(), "PNG", compress_level=9, pnginfo=note)
    assert lossless != rewrapped
    assert inspect_image(1, lossless).pixel_digest == inspect_image(2, rewrapped).pixel_digest
    commented = encode(photo(), "JPEG", comment=b"hello")
    assert inspect_image(1, commented).pixel_digest == inspect_image(2, encode(photo(), "JPEG")).pixel_digest
    assert inspect_image(1, encode(photo(), quality=70)).pixel_digest != inspect_image(2, encode(photo())).pixel_digest


@pytest.mark.parametrize("place", [(0, 0), (90, 60), (199, 149)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_changed_pixel_in_colour_changes_the_digest(place: tuple[int, int], channel: int) -> None:
    changed = photo(200, 150)
    colours = list(changed.getpixel(place))  # type: ignore[arg-type]
    colours[channel] ^= 1
    changed.putpixel(place, tuple(colours))
    first = inspect_image(1, encode(photo(200, 150), "PNG"))
    assert first.pixel_digest != inspect_image(2, encode(changed, "PNG")).pixel_digest


@pytest.mark.parametrize("size_wh", [(800, 600), (90, 700), (2600, 1900)])
def test_parts_of_the_inspection_are_those_of_the_whole(size_wh: tuple[int, int]) -> None:
    data = encode(photo(*size_wh))
    record, signed = inspect_image(1, data), sign_image(data)
    assert (signed.width, signed.height) == (record.width, record.height)
    assert record.phash is not None
    assert record.dhash is not None
    assert record.parts is not None
    assert hamming(signed.phash, record.phash) <= 4
    assert hamming(signed.dhash, record.dhash) <= 4
    apart = np.bitwise_count(np.frombuffer(signed.parts, np.uint8) ^ np.frombuffer(record.parts, np.uint8))
    assert apart.reshape(-1, 8).sum(axis=1).mean() <= 4
    assert pixel_digest(data) == record.pixel_digest


def test_orientation_is_applied_before_anything_is_measured() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = inspect_image(1, encode(photo().transpose(Image.Transpose.ROTATE_90), quality=95, exif=exif.tobytes()))
    plain = inspect_image(2, encode(photo(), quality=95))
    assert (turned.width, turned.height, turned.orientation) == (800, 600, 6)
    assert turned.phash is not None
    assert plain.phash is not None
    assert hamming(turned.phash, plain.phash) <= 2


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_signatures_agree_over_formats(format_name: str) -> None:
    reference = inspect_image(1, encode(photo(), quality=95))
    other = inspect_image(2, encode(photo(), format_name))
    assert reference.phash is not None
    assert other.phash is not None
    assert hamming(reference.phash, other.phash) <= 2
    assert other.sharpness == pytest.approx(reference.sharpness, abs=0.3)


def test_another_process_finds_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(photo()))
    script = (
        "import sys; from pathlib import Path; from tamis.vision.inspect import inspect_image;"
        "print(repr(inspect_image(1, Path(sys.argv[1]).read_bytes())))"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == repr(inspect_image(1, path.read_bytes()))


@pytest.mark.real
def test_byte_copies_agree_and_all_photos_are_readable() -> None:
    folder = data_folder("cars", "photos")
    paths = sorted(folder.rglob("*.jpg"))[:60]
    records = [inspect_image(index, path.read_bytes()) for index, path in enumerate(paths)]
    assert all(record.readable for record in records)
    for path, record in zip(paths[:5], records, strict=False):
        assert inspect_image(record.image_id, path.read_bytes()) == record


@pytest.mark.parametrize("size_wh", [(40, 10), (256, 200), (500, 375), (1280, 960), (640, 4000), (9000, 3)])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_thumbnail_shows_the_picture_upright_and_small(size_wh: tuple[int, int], name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = photo(*size_wh)
    data = encode(upright.transpose(Image.Transpose.ROTATE_90), name, exif=exif.tobytes())
    shown = Image.open(BytesIO(thumbnail(data)))
    long_side = max(size_wh)
    assert (min(long_side, 256)) <= max(shown.size) <= min(long_side, THUMBNAIL_SIDE)
    assert shown.width / max(shown.size) == pytest.approx(size_wh[0] / long_side, abs=0.01)
    assert not shown.getexif()
    expected = np.asarray(upright.resize(shown.size, Image.Resampling.BOX), float)
    assert np.abs(np.asarray(shown.convert("RGB"), float) - expected).mean() < 4


def test_thumbnails_are_handed_over_with_the_records() -> None:
    shown: dict[int, bytes] = {}
    files = [(1, encode(photo())), (2, b"no picture"), (3, encode(photo(60, 50), "PNG"))]
    records = list(inspect_images(files, shown=shown.__setitem__))
    assert [record.readable for record in records] == [True, False, True]
    assert shown == {number: thumbnail(data) for number, data in files if number != 2}
    assert records == list(inspect_images(files))
