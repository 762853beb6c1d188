"""Lanczos filtering: Pillow's pixels, whatever the sizes; even grounds stay even."""

from __future__ import annotations

from itertools import count
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.vision.pictures import Image as Picture
from tests.vision.pictures import shot

from tamis.vision.lanczos import shrink
from tamis.vision.render import Rendering, encode, render_crop


def by_pillow(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    """Widths first, then heights; which one Pillow begins with depends on the sizes."""
    narrow = Image.fromarray(picture).resize((size_wh[0], picture.shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(narrow.resize(size_wh, Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size_wh", [(384, 288), (101, 77), (16, 12), (480, 100), (1, 1), (479, 359)])
def test_the_pixels_are_those_of_pillow(size_wh: tuple[int, int]) -> None:
    picture = shot(3)
    expected = by_pillow(picture, size_wh)
    np.testing.assert_array_equal(shrink(picture, size_wh), expected)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 89), st.integers(0, 89), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_the_pixels_of_noise_are_those_of_pillow(width: int, height: int, less: int, lower: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    size_wh = max(width - less, 1), max(height - lower, 1)
    expected = by_pillow(noise, size_wh)
    np.testing.assert_array_equal(shrink(noise, size_wh), expected)


def test_many_pictures_are_rendered_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rendering = encode(shot(8), "jpeg"), Rendering((200, 200))
    monkeypatch.setattr("tamis.vision.render._FEW", 1)
    monkeypatch.setattr("tamis.vision.render._shrunk", count())
    loops = Mock(side_effect=shrink)
    monkeypatch.setattr("tamis.vision.render.shrink", loops)
    first = render_crop(data, None, rendering)
    assert not loops.called
    assert render_crop(data, None, rendering) == first
    assert loops.call_count == 1


def test_rows_wider_than_a_block() -> None:
    picture = np.ascontiguousarray(np.tile(shot(5, 200, 40), (1, 16, 1)))
    expected = by_pillow(picture, (1600, 20))
    np.testing.assert_array_equal(shrink(picture, (1600, 20)), expected)


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
