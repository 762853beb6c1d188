"""HEIF: turned by its own properties, within the limits, and a clear word where its library is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vision.heic import PLAIN, claiming, turned
from tests.vision.test_decode import mean_error, picture

from tamis.crawl.outcomes import Outcome
from tamis.errors import Unreadable
from tamis.fetch.keep import keep
from tamis.fetch.options import FetchOptions
from tamis.vision.decode import Limits, decode, decode_rgb, probe
from tamis.vision.formats import extension, media_type, sniff
from tamis.vision.inspect import inspect_image
from tamis.vision.pillow import heif_opener


@pytest.fixture
def installed() -> None:
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    heif_opener.cache_clear()
    yield
    heif_opener.cache_clear()


@pytest.mark.usefixtures("installed")
def test_a_photo_of_a_phone_is_decoded() -> None:
    decoded = decode(PLAIN)
    assert (decoded.header.format, decoded.header.width, decoded.header.height) == ("HEIF", 96, 64)
    assert mean_error(decoded.image_rgb, np.asarray(picture())) < 4
    assert decode(PLAIN, at_least_wh=(24, 16)).image_rgb.shape == (16, 24, 3)
    assert inspect_image(1, PLAIN).readable
    assert sniff(PLAIN) == media_type("HEIF") == "image/heic"
    assert extension("HEIF") == ".heic"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("quarters", range(4))
def test_turns_and_mirrors_of_the_file_are_applied_once(quarters: int, axis: int) -> None:
    # ISO/IEC 23008-12: irot turns counterclockwise; imir swaps top and bottom (0) or left and right (1).
    expected = np.rot90(decode_rgb(PLAIN), quarters)
    expected = expected[:, ::-1] if axis else expected[::-1]
    decoded = decode(turned(quarters, axis))
    assert (decoded.header.height, decoded.header.width) == expected.shape[:2]
    assert mean_error(decoded.image_rgb, np.ascontiguousarray(expected)) < 0.5


@pytest.mark.usefixtures("installed")
def test_bombs_and_lies_are_refused() -> None:
    with pytest.raises(Unreadable, match="30000x30000 pixels exceed the limit of 100000000"):
        decode(claiming(30_000, 30_000))
    with pytest.raises(Unreadable, match="damaged HEIF data"):
        decode(claiming(48, 32))
    with pytest.raises(Unreadable, match="exceed the limit of 6000"):
        probe(PLAIN, Limits(max_pixels=6000))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("share", "reason"), [(0.8, "truncated"), (0.3, "damaged HEIF data")])
def test_a_cut_file_is_refused(share: float, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decode(PLAIN[: int(len(PLAIN) * share)])


@pytest.mark.usefixtures("installed")
@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_files_raise_nothing_but_unreadable(draw: st.DataObject) -> None:
    damaged = bytearray(turned(draw.draw(st.integers(0, 3)), 1))
    for _ in range(draw.draw(st.integers(1, 6))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(damaged), limits=Limits(max_pixels=1_000_000))
    except Unreadable:
        return
    assert decoded.image_rgb.shape == (decoded.header.height, decoded.header.width, 3)


@pytest.mark.usefixtures("missing")
def test_without_the_library_the_reason_says_what_to_install() -> None:
    record = inspect_image(1, PLAIN)
    assert not record.readable
    assert record.reason == "HEIF pictures need the extra heif: pip install 'tamis[heif]'"
    fetched = keep(PLAIN, FetchOptions())
    assert isinstance(fetched, Outcome)
    assert (fetched.name, fetched.reason) == ("unsupported", record.reason)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"heim", b"mif1"])
def test_all_brands_of_heif_are_told_from_videos(brand: bytes) -> None:
    assert sniff(b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00") == "image/heic"
    assert sniff(b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00") == "video/mp4"
