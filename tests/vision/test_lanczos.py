"""Lanczos filtering: Pillow's pixels, whatever the sizes; even grounds stay even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.vision.pictures import shot

from tamis.vision.lanczos import shrink


@pytest.mark.parametrize("size_wh", [(384, 288), (101, 77), (16, 12), (480, 100), (1, 1), (479, 359)])
def test_the_pixels_are_those_of_pillow(size_wh: tuple[int, int]) -> None:
    picture = shot(3)
    expected = np.asarray(Image.fromarray(picture).resize(size_wh, Image.Resampling.LANCZOS), np.int16)
    difference = np.abs(shrink(picture, size_wh) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.001


def test_rows_wider_than_a_block() -> None:
    picture = np.ascontiguousarray(np.tile(shot(5, 200, 40), (1, 16, 1)))
    expected = np.asarray(Image.fromarray(picture).resize((1600, 20), Image.Resampling.LANCZOS), np.int16)
    assert np.abs(shrink(picture, (1600, 20)) - expected).max() <= 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_an_even_ground_stays_even(width: int, height: int, less: int, lower: int, level: int) -> None:
    ground = np.full((height, width, 3), level, np.uint8)
    found = shrink(ground, (max(width - less, 1), max(height - lower, 1)))
    assert (found == level).all()
    assert found.shape == (max(height - lower, 1), max(width - less, 1), 3)


def test_parts_of_larger_arrays_and_the_same_size() -> None:
    picture = shot(4)
    part = picture[20:220, 30:330]
    assert not part.flags.c_contiguous
    np.testing.assert_array_equal(shrink(part, (120, 80)), shrink(part.copy(), (120, 80)))
    np.testing.assert_array_equal(shrink(part, (300, 200)), part)
