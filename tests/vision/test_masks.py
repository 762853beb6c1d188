"""Masks: run lengths, polygons, scores, prototypes; GrabCut on drawn objects."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.records import Box
from tamis.vision import masks as ms
from tamis.vision.boxes import Placement
from tamis.vision.grabcut import GrabCutSegmenter, grabcut


@st.composite
def mask_arrays(draw: st.DrawFn) -> NDArray[np.bool_]:
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    density = draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    return random.random((height, width)) < density


def ellipse(width: int, height: int, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = box
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.asarray(
        ((columns - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2 + ((rows - (y0 + y1) / 2) / ((y1 - y0) / 2)) ** 2 < 1
    )


@given(mask_arrays())
def test_encoding_round_trip(mask: NDArray[np.bool_]) -> None:
    size_wh = (mask.shape[1], mask.shape[0])
    np.testing.assert_array_equal(ms.decode(ms.encode(mask), size_wh), mask)
    runs = ms.run_lengths(mask)
    assert runs.sum() == mask.size
    assert (runs[1:] > 0).all()
    assert runs[1::2].sum() == mask.sum()


def test_run_lengths_go_down_the_columns_and_start_off() -> None:
    mask = np.asarray([[0, 1, 1], [0, 1, 0]], bool)
    assert ms.run_lengths(mask).tolist() == [2, 3, 1]
    assert ms.run_lengths(~mask).tolist() == [0, 2, 3, 1]
    assert zlib.decompress(ms.encode(mask)) == np.asarray([2, 3, 1], "<u4").tobytes()


@given(mask_arrays())
def test_coco_round_trip(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(ms.from_coco(ms.to_coco(mask), (mask.shape[1], mask.shape[0])), mask)


def test_coco_texts_are_those_of_its_authors() -> None:
    """The texts come from `pycocotools.mask.encode`."""
    mask = np.zeros((7, 9), bool)
    mask[2:6, 3:8], mask[3, 5] = True, False
    assert ms.to_coco(mask) == "g04300MN122005"
    large = np.zeros((2000, 3000), bool)
    large[100:1900, 40:2990], large[500:700, 900:1200] = True, False
    assert (len(ms.to_coco(large)), ms.to_coco(large)[:12]) == (7712, "TW^2Xh1X6000")
    np.testing.assert_array_equal(ms.from_coco(ms.to_coco(large), (3000, 2000)), large)


@pytest.mark.parametrize("counts", ["", "é", "\n", "g04300MN12200", "g04300MN122005P", "p" * 40, "o" * 12 + "0", "4"])
def test_coco_texts_that_are_none_are_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        ms.from_coco(counts, (9, 7))


@pytest.mark.parametrize(
    "counts",
    [
        b"",
        b"junk",
        zlib.compress(b"123"),
        zlib.compress(bytes(4)),
        zlib.compress(bytes(10_000_000)),
        ms.encode(np.ones((9, 9), bool)),
    ],
)
def test_other_bytes_are_refused(counts: bytes) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        ms.decode(counts, (4, 3))


def test_scores() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:8, 0:10] = True
    mask[3:5, 2:4] = False
    mask[6, 6] = False
    record = ms.to_record(5, "test", mask, (0, 0, 10, 10))
    assert (record.region_id, record.width, record.height) == (5, 20, 10)
    assert record.area == pytest.approx((60 - 5) / 100)
    assert record.border == pytest.approx(6 / (2 * 20 + 2 * 8))
    assert record.holes == 2
    assert ms.holes(np.zeros((5, 5), bool)) == 0
    assert ms.holes(np.ones((5, 5), bool)) == 0
    open_bay = np.ones((6, 6), bool)
    open_bay[2:4, :3] = False
    assert ms.holes(open_bay) == 0
    assert ms.border_share(np.ones((1, 1), bool)) == 1


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(1, 12))
def test_polygon_along_pixel_edges_is_the_rectangle(x0: int, y0: int, width: int, height: int) -> None:
    corners = [(x0, y0), (x0 + width, y0), (x0 + width, y0 + height), (x0, y0 + height)]
    mask = ms.from_polygons([corners], (30, 30))
    rows, columns = np.nonzero(mask)
    # OpenCV fills the outline too, which may add one row and column.
    assert set(range(x0, x0 + width)) <= set(columns.tolist()) <= set(range(x0 - 1, x0 + width + 1))
    assert set(range(y0, y0 + height)) <= set(rows.tolist()) <= set(range(y0 - 1, y0 + height + 1))


def test_polygons() -> None:
    assert not ms.from_polygons([], (5, 4)).any()
    with pytest.raises(ValueError, match="three corners"):
        ms.from_polygons([[(0, 0), (3, 3)]], (5, 5))
    ring = ms.from_polygons([[(0, 0), (20, 0), (20, 20), (0, 20)], [(5, 5), (15, 5), (15, 15), (5, 15)]], (20, 20))
    assert ring[2, 2]
    assert not ring[10, 10]


def test_largest_part() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:3, :3] = True
    mask[6:, 6:] = True
    kept = ms.largest_part(mask)
    assert kept.sum() == 16
    assert kept[7, 7]
    assert not ms.largest_part(np.zeros((3, 3), bool)).any()


@given(st.sampled_from([(320, 200), (160, 160), (90, 300)]))
@settings(max_examples=10)
def test_prototype_mask_lies_where_the_object_lies(size_wh: tuple[int, int]) -> None:
    placement = Placement.letterboxed(size_wh, (160, 160))
    width, height = size_wh
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    truth = ellipse(width, height, box)
    framed = np.zeros((160, 160), np.float32)
    x0, y0 = placement.left, placement.top
    inner = cv2.resize(truth.astype(np.float32), placement.inner_wh, interpolation=cv2.INTER_AREA)
    framed[y0 : y0 + placement.inner_wh[1], x0 : x0 + placement.inner_wh[0]] = inner
    prototypes = np.stack(
        [cv2.resize(framed, (40, 40), interpolation=cv2.INTER_AREA), np.full((40, 40), 0.5, np.float32)]
    )
    mask = ms.from_prototypes(prototypes, np.asarray([1, -1], np.float32), as_box(box), placement)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.93
    outside = mask.copy()
    outside[box[1] : box[3], box[0] : box[2]] = False
    assert not outside.any()


def as_box(corners: tuple[int, int, int, int]) -> Box:
    x0, y0, x1, y1 = corners
    return (float(x0), float(y0), float(x1), float(y1))


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red ellipse on a green textured ground."""
    random = np.random.default_rng(1)
    image = np.clip(random.normal((60, 140, 70), 12, (height, width, 3)), 0, 255).astype(np.uint8)
    truth = ellipse(width, height, box)
    image[truth] = np.clip(random.normal((200, 40, 40), 12, (int(truth.sum()), 3)), 0, 255).astype(np.uint8)
    return image, truth


@pytest.mark.parametrize("box", [(60, 40, 220, 130), (0, 20, 150, 180), (5, 5, 315, 195)])
def test_grabcut_finds_a_plain_object(box: tuple[int, int, int, int]) -> None:
    image, truth = scene(320, 200, box)
    (mask,) = GrabCutSegmenter().segment(image, np.asarray([box], np.float32))
    assert mask is not None
    assert mask.shape == truth.shape
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95
    again = grabcut(image, as_box(box))
    np.testing.assert_array_equal(mask, again)


def test_grabcut_works_small_and_answers_large() -> None:
    box = (300, 200, 900, 700)
    image, truth = scene(1200, 900, box)
    mask = grabcut(image, (300.0, 200.0, 900.0, 700.0), side=128)
    assert mask is not None
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95


@pytest.mark.parametrize("box", [(3.0, 3.0, 4.0, 4.0), (0.0, 0.0, 6.0, 6.0)])
def test_grabcut_of_next_to_nothing_is_none(box: tuple[float, float, float, float]) -> None:
    assert grabcut(np.zeros((6, 6, 3), np.uint8), box) is None
