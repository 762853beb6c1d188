"""Decoding: every format, orientation and depth against Pillow, and nothing but `Unreadable` on hostile bytes."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.realdata import data_folder

from tamis.errors import Unreadable
from tamis.vision.decode import Limits, decode, decode_luma, decode_rgb, probe
from tamis.vision.formats import exif_orientation, extension, media_type, sniff

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture without symmetry: no two orientations of it look alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (columns * 255 / width, rows * 255 / height, (columns * rows) * 255 / (width * height))
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def mean_error(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


SAMPLES = {name: encode(picture(), name) for name in FORMATS} | {
    "progressive": encode(picture(), "JPEG", progressive=True),
    "CMYK": encode(picture().convert("CMYK"), "JPEG"),
    "tiled": encode(picture(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_and_decoded(name: str) -> None:
    decoded = decode(SAMPLES[name])
    assert (decoded.header.format, decoded.header.width, decoded.header.height) == (name, 96, 64)
    assert decoded.image_rgb.shape == (64, 96, 3)
    assert decoded.image_rgb.dtype == np.uint8
    tolerance = 12 if name == "GIF" else 4
    assert mean_error(decoded.image_rgb, np.asarray(picture())) < tolerance
    assert sniff(SAMPLES[name]) == media_type(name)
    assert extension(name).startswith(".")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation_is_applied_as_pillow_does(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture(), name, exif=exif.tobytes() if name != "TIFF" else exif)
    with Image.open(BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    decoded = decode(data)
    assert decoded.header.orientation == orientation
    assert (decoded.header.width, decoded.header.height) == expected.shape[1::-1]
    assert mean_error(decoded.image_rgb, expected) < 1.5


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(order: str) -> None:
    head = {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(f"{order}I", 8)
    entry = struct.pack(f"{order}HHHIHH", 1, 0x0112, 3, 1, 6, 0)
    assert exif_orientation(head + entry) == 6
    assert exif_orientation(b"Exif\x00\x00" + head + entry) == 6
    assert exif_orientation(head + entry[:-6]) == 1


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("asked", "denominator"),
    [
        ((96, 64), 1),
        ((48, 33), 1),
        ((48, 32), 2),
        ((40, 20), 2),
        ((24, 16), 4),
        ((13, 8), 4),
        ((12, 8), 8),
        ((1, 1), 8),
    ],
)
def test_scaled_decode_yields_the_smallest_size_that_suffices(
    name: str, asked: tuple[int, int], denominator: int
) -> None:
    decoded = decode(SAMPLES[name], at_least_wh=asked)
    assert decoded.denominator == denominator
    assert decoded.image_rgb.shape == (64 // denominator, 96 // denominator, 3)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4, 8]), st.sampled_from(["JPEG", "PNG"]))
@settings(max_examples=60, deadline=None)
def test_scaled_sides_are_rounded_up_alike_in_all_formats(width: int, height: int, divisor: int, name: str) -> None:
    asked = -(-width // divisor), -(-height // divisor)
    decoded = decode(encode(picture(width, height), name), at_least_wh=asked)
    assert decoded.denominator >= divisor
    expected = -(-height // decoded.denominator), -(-width // decoded.denominator), 3
    assert decoded.image_rgb.shape == expected


def test_asked_size_counts_in_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(96, 64), "JPEG", exif=exif.tobytes())
    assert decode_rgb(data, at_least_wh=(32, 48)).shape == (48, 32, 3)
    assert decode_rgb(data, at_least_wh=(48, 32)).shape == (96, 64, 3)


def test_alpha_lies_over_white() -> None:
    layered = Image.new("RGBA", (4, 4), (200, 0, 0, 128))
    half = decode_rgb(encode(layered, "PNG"))
    assert half[0, 0].tolist() == [227, 127, 127]
    clear = Image.new("LA", (4, 4), (0, 0))
    assert (decode_rgb(encode(clear, "PNG")) == 255).all()
    palette = Image.new("P", (4, 4), 0)
    assert (decode_rgb(encode(palette, "GIF", transparency=0)) == 255).all()


def test_sixteen_bits_and_floats_are_scaled() -> None:
    deep = Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16))
    assert decode_rgb(encode(deep, "PNG"))[0, :, 0].tolist() == [0, 128, 255]
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert decode_rgb(encode(unit, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_bilevel_and_palette_become_rgb() -> None:
    assert mean_error(decode_rgb(SAMPLES["CMYK"]), np.asarray(picture())) < 4
    assert decode(SAMPLES["CMYK"]).header.mode == "CMYK"
    assert decode_rgb(encode(picture().convert("1"), "PNG")).shape == (64, 96, 3)
    assert mean_error(decode_rgb(encode(picture().quantize(64), "PNG")), np.asarray(picture())) < 10
    grey = encode(picture().convert("L"), "JPEG")
    assert decode(grey).header.mode == "L"
    assert decode_rgb(grey).shape == (64, 96, 3)


def test_an_animation_gives_its_first_frame() -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    for name in ("GIF", "WEBP", "PNG"):
        data = encode(first, name, save_all=True, append_images=[second], duration=100)
        assert mean_error(decode_rgb(data), np.asarray(first)) < 3


@pytest.mark.parametrize("name", ["JPEG", "progressive", "PNG", "WEBP", "AVIF", "GIF", "BMP", "tiled"])
@pytest.mark.parametrize("asked", [None, (12, 8)])
def test_a_cut_file_is_refused_at_every_scale(name: str, asked: tuple[int, int] | None) -> None:
    data = SAMPLES[name]
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(Unreadable):
            decode(data[: int(len(data) * share)], at_least_wh=asked)


@pytest.mark.parametrize("asked", [None, (12, 8)])
def test_a_cut_jpeg_is_called_truncated_even_with_a_forged_end(asked: tuple[int, int] | None) -> None:
    data = encode(picture(640, 480), "JPEG", quality=95)
    for cut in (data[:-2], data[: len(data) // 2], data[:400]):
        with pytest.raises(Unreadable, match=r"^truncated$"):
            decode(cut, at_least_wh=asked)
    with pytest.raises(Unreadable, match="truncated or damaged"):
        decode(data[: len(data) // 2] + b"\xff\xd9", at_least_wh=asked)


def test_bytes_after_the_end_and_stray_bytes_within_do_no_harm() -> None:
    data = SAMPLES["JPEG"]
    assert np.array_equal(decode_rgb(data + b"trailing" * 50), decode_rgb(data))
    stray = data[:-2] + b"\x00\x11\x22" + data[-2:]
    assert decode_rgb(stray).shape == (64, 96, 3)


def _png_of_claimed_size(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    empty = b"IDAT" + zlib.compress(b"")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(empty) - 4) + empty + struct.pack(">I", zlib.crc32(empty))
    )


def _jpeg_of_claimed_size(width: int, height: int) -> bytes:
    data = bytearray(SAMPLES["JPEG"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [_png_of_claimed_size, _jpeg_of_claimed_size])
def test_bombs_are_refused_by_their_header(make: Any) -> None:
    with pytest.raises(Unreadable, match="40000x40000 pixels exceed the limit of 100000000"):
        decode(make(40_000, 40_000))
    with pytest.raises(Unreadable, match="50000x20 pixels exceed the limit of 30000 a side"):
        decode(make(50_000, 20))
    with pytest.raises(Unreadable, match=r"zero-sized|damaged PNG data"):
        decode(make(0, 20))


def test_a_webp_bomb_is_refused_before_memory_is_taken() -> None:
    canvas = (16_383 - 1).to_bytes(3, "little")
    data = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\x00" * 4 + canvas * 2
    with pytest.raises(Unreadable, match="16383x16383"):
        decode(data)


def test_limits_can_be_set() -> None:
    with pytest.raises(Unreadable, match="bytes exceed the limit of 100"):
        probe(SAMPLES["JPEG"], Limits(max_bytes=100))
    with pytest.raises(Unreadable, match="pixels exceed the limit of 6000"):
        probe(SAMPLES["WEBP"], Limits(max_pixels=6000))
    assert probe(SAMPLES["WEBP"], Limits(max_pixels=6144)).width == 96


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not a picture (text/html)"),
        (b'{"error": "gone"}', "not a picture (application/json)"),
        (b"\x00" * 100, "not a picture (unknown bytes)"),
        (b"%PDF-1.7\n", "not a picture (application/pdf)"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "kind of picture that is not decoded (image/svg+xml)"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "kind of picture that is not decoded (image/jxl)"),
        (b"\xff\xd8\xff\xe0", "truncated"),
    ],
)
def test_reasons_are_short_and_say_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_many_scans_are_refused_where_a_decoder_would_read_them() -> None:
    progressive, baseline = SAMPLES["progressive"], SAMPLES["JPEG"]
    again = progressive[progressive.rfind(b"\xff\xda") : -2] * 600
    with pytest.raises(Unreadable, match="more than 500 scans"):
        decode(progressive[:-2] + again + progressive[-2:])
    marks = b"\xff\xda" * 600
    comment = b"\xff\xfe" + struct.pack(">H", len(marks) + 2) + marks
    assert decode(baseline[:2] + comment + baseline[2:]).header.width == 96
    scan = baseline.rfind(b"\xff\xda")
    one_of_three = baseline[: scan + 4] + b"\x01" + baseline[scan + 5 :]
    with pytest.raises(Unreadable, match="more than 500 scans"):
        decode(one_of_three[:-2] + marks + one_of_three[-2:])


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=250, deadline=None)
def test_damaged_files_raise_nothing_but_unreadable(name: str, draw: st.DataObject) -> None:
    damaged = bytearray(SAMPLES[name])
    for _ in range(draw.draw(st.integers(1, 6))):
        position = draw.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(1, len(damaged)))
    asked = draw.draw(st.sampled_from([None, (12, 8)]))
    try:
        decoded = decode(bytes(damaged[:cut]), limits=Limits(max_pixels=1_000_000), at_least_wh=asked)
    except Unreadable:
        pass
    else:
        expected = -(-decoded.header.height // decoded.denominator), -(-decoded.header.width // decoded.denominator), 3
        assert decoded.image_rgb.shape == expected


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}, {"mode": "CMYK"}])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_luma_alone_is_that_of_the_colours(options: dict[str, Any], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = picture(640, 426).convert(options.get("mode", "RGB"))
    data = encode(plain, "JPEG", exif=exif.tobytes(), **{key: options[key] for key in options if key != "mode"})
    for asked in (None, (300, 200), (80, 50)):
        colours = decode(data, at_least_wh=asked)
        header, luma = decode_luma(data, limits=Limits(), at_least_wh=asked)
        assert header == colours.header
        expected = np.asarray(cv2.cvtColor(colours.image_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        assert luma.shape == expected.shape
        assert np.abs(luma.astype(int) - expected).max() <= 3


LARGE = [
    encode(picture(320, 240), "JPEG", **options)
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": 0}, {"subsampling": 1})
]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_luma_alone_is_refused_when_the_colours_are_and_for_the_same_reason(draw: st.DataObject) -> None:
    damaged = bytearray(draw.draw(st.sampled_from(LARGE)))
    for _ in range(draw.draw(st.integers(0, 6))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    data = bytes(damaged[: draw.draw(st.integers(1, len(damaged)))]) if draw.draw(st.booleans()) else bytes(damaged)

    def verdict(read: Any) -> str:
        try:
            read(data, limits=Limits(max_pixels=1_000_000), at_least_wh=(60, 60))
        except Unreadable as error:
            return error.reason
        return ""

    assert verdict(decode_luma) == verdict(decode)


@given(st.binary(max_size=300), st.sampled_from([sample[:12] for sample in SAMPLES.values()] + [b""]))
@settings(max_examples=250, deadline=None)
def test_random_bytes_raise_nothing_but_unreadable(tail: bytes, head: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(head + tail)


@pytest.mark.real
def test_the_corrupt_photo_is_unreadable_and_the_sound_ones_are_not() -> None:
    folder = data_folder("duplicates", "imagededup", "mixed_images")
    for path in sorted(folder.glob("*.jpg")):
        data = path.read_bytes()
        if "corrupt" in path.name:
            with pytest.raises(Unreadable):
                decode(data)
        else:
            assert decode_rgb(data, at_least_wh=(64, 64)).size > 0
