"""Rendering for the browser, and the cache on disk."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis.annotate.pictures import SIZES, DiskCache, Pictures, nearest_size
from tamis.blobs import BlobMissing, BlobStore
from tamis.errors import Unreadable
from tamis.thumbnails import Thumbnails
from tamis.vision.decode import DEFAULT_LIMITS, Limits
from tamis.vision.inspect import THUMBNAIL_SIDE, thumbnail


def quarters(width: int, height: int, kind: str = "PNG") -> bytes:
    """A picture of four colours: red, green over blue, white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=95)
    return stream.getvalue()


def rendered_in(folder: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[BlobStore, Pictures]:
    blobs = BlobStore(folder / "blobs")
    return blobs, Pictures(blobs, DiskCache(folder / "cache"), Thumbnails(folder / "thumbnails"), limits)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_crop_shows_its_part_in_its_size(tmp_path: Path, kind: str) -> None:
    blobs, pictures = rendered_in(tmp_path)
    key = blobs.put(quarters(1600, 800, kind))
    for crop, colour in (
        ((0, 0, 800, 400), (255, 0, 0)),
        ((820, 0, 1600, 380), (0, 255, 0)),
        ((0, 420, 760, 800), (0, 0, 255)),
    ):
        with Image.open(BytesIO(pictures.jpeg(key, crop, 160))) as shown:
            assert max(shown.size) == 160
            assert shown.width / shown.height == pytest.approx((crop[2] - crop[0]) / (crop[3] - crop[1]), rel=0.02)
            middle = np.asarray(shown.convert("RGB"))[shown.height // 2, shown.width // 2]
            assert np.abs(middle.astype(int) - colour).max() < 12
    with Image.open(BytesIO(pictures.jpeg(key, None, 512))) as whole:
        assert whole.size == (512, 256)


def test_small_whole_pictures_are_the_thumbnails_of_inspection(tmp_path: Path) -> None:
    blobs, pictures = rendered_in(tmp_path)
    data = quarters(1600, 800)
    key = blobs.put(data)
    thumbnails = Thumbnails(tmp_path / "thumbnails")
    assert pictures.jpeg(key, None, 160) == pictures.jpeg(key, None, THUMBNAIL_SIDE) == thumbnail(data)
    assert thumbnails.get(key) == thumbnail(data)
    other = thumbnail(quarters(400, 400))
    thumbnails.put(key, other)
    assert pictures.jpeg(key, None, 96) == other
    thumbnails.path(key).write_bytes(other[:-2])  # torn by a power failure
    assert pictures.jpeg(key, None, 96) == thumbnail(data) == thumbnails.get(key)


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    blobs, pictures = rendered_in(tmp_path)
    key = blobs.put(quarters(60, 40))
    for size in (160, 512):
        with Image.open(BytesIO(pictures.jpeg(key, None, size))) as shown:
            assert shown.size == (60, 40)


def test_what_cannot_be_shown_says_so(tmp_path: Path) -> None:
    blobs, pictures = rendered_in(tmp_path, Limits(max_pixels=1000))
    with pytest.raises(Unreadable):
        pictures.jpeg(blobs.put(b"<html>not a picture</html>"), None, 160)
    with pytest.raises(Unreadable, match="limit"):
        pictures.jpeg(blobs.put(quarters(200, 200)), None, 160)
    for size in (160, 512):
        with pytest.raises(BlobMissing):
            pictures.jpeg("0" * 64, None, size)


def test_the_cache_makes_each_file_once_and_drops_the_longest_unused(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, limit=1000)
    made: list[str] = []

    def get(key: str) -> bytes:
        return cache.get(key, lambda: made.append(key) or key.encode() * 100)  # type: ignore[func-returns-value]

    keys = ["aa", "bb", "cc", "dd"]
    for age, key in enumerate(keys):
        assert get(key) == get(key) == key.encode() * 100
        os.utime(tmp_path / key / key, (age, age))
    assert made == keys
    get("aa")  # now the one used last
    for path in tmp_path.glob("??/*"):
        if path.name != "aa":
            os.utime(path, (keys.index(path.name), keys.index(path.name)))
    get("ee")
    get("ff")
    left = {path.name for path in tmp_path.glob("??/*")}
    assert {"aa", "ff"} <= left
    assert "bb" not in left
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 1000


def test_a_cache_that_cannot_be_written_costs_no_picture(tmp_path: Path) -> None:
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("a file where the folder should be")
    assert DiskCache(in_the_way).get("aa", lambda: b"picture") == b"picture"


def test_sizes_are_rounded_up() -> None:
    assert [nearest_size(size) for size in (1, 96, 97, 512, 513, 9999)] == [96, 96, 160, 512, 768, SIZES[-1]]
