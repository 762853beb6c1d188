"""Registration: maps are recovered from rough ones, in either direction, and strangers do not agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.vision.quality import to_luma
from tamis.vision.registration import AGREEMENT, inverse_map, register
from tamis.vision.signatures import glance

from .pictures import Image, as_image, cropped, lettered, shot

Map = NDArray[np.float64]
IDENTITY = np.array([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])


def registered(first: Image, second: Image, rough: Map = IDENTITY) -> tuple[float, Map]:
    maps = rough.copy()
    agreement = register(np.stack([glance(to_luma(picture)) for picture in (first, second)]), np.array([[0, 1]]), maps)
    return float(agreement[0]), maps[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_crop_is_found_within_the_original(seed: int) -> None:
    agreement, found = registered(cropped(shot(seed), 0.1), lettered(shot(seed)))
    assert agreement > AGREEMENT
    # `cropped` leaves 60 % of the rest on the left and 40 % above.
    np.testing.assert_allclose(found, [0.9, 0.0, 0.06, 0.0, 0.9, 0.04], atol=0.015)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mirrored_picture_is_found_from_a_mirrored_map(seed: int) -> None:
    rough = np.array([[-1.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    agreement, found = registered(shot(seed), as_image(shot(seed)[:, ::-1]), rough)
    assert agreement > 0.95
    np.testing.assert_allclose(found, rough[0], atol=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_strangers_do_not_agree(seed: int) -> None:
    assert registered(shot(seed), shot(seed + 50))[0] < AGREEMENT


@pytest.mark.parametrize("value", [0, 255])
def test_flat_pictures_agree_with_nothing(value: int) -> None:
    flat = np.full((30, 40, 3), value, dtype=np.uint8)
    assert registered(flat, flat)[0] < AGREEMENT
    assert registered(flat, shot(1))[0] < AGREEMENT


@given(st.floats(0.92, 1.08), st.floats(-4, 4), st.floats(-0.04, 0.04), st.floats(-0.04, 0.04))
@settings(max_examples=30, deadline=None)
def test_small_similarities_are_recovered(scale: float, degrees: float, across: float, down: float) -> None:
    original = shot(7, 320, 320)
    matrix = cv2.getRotationMatrix2D((159.5, 159.5), degrees, scale)
    matrix[:, 2] += np.array([across, down]) * 320
    moved = as_image(cv2.warpAffine(original, matrix, (320, 320), borderMode=cv2.BORDER_REPLICATE))
    agreement, found = registered(moved, original)
    assert agreement > 0.8
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[80.0, 80.0], [240.0, 80.0], [80.0, 240.0], [240.0, 240.0]])
    expected = (corners @ inverse[:, :2].T + inverse[:, 2]) / 320
    np.testing.assert_allclose(
        (corners / 320) @ found.reshape(2, 3)[:, :2].T + found.reshape(2, 3)[:, 2], expected, atol=0.02
    )


@given(st.floats(0.5, 2), st.floats(-0.3, 0.3), st.floats(-0.5, 0.5))
def test_the_way_back_undoes_a_map(scale: float, shear: float, shift: float) -> None:
    there = np.array([scale, shear, shift, -shear, scale, -shift])
    np.testing.assert_allclose(inverse_map(inverse_map(there)), there, atol=1e-9)


def thing_on_white(seed: int) -> Image:
    """A catalogue picture: a small thing on a white ground."""
    canvas = np.full((300, 300, 3), 252, dtype=np.uint8)
    canvas[110:200, 60:240] = shot(seed, 180, 90)
    return canvas


@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize("top", [0, 258])
def test_a_banner_on_a_plain_ground_neither_moves_the_map_nor_counts(seed: int, top: int) -> None:
    original = thing_on_white(seed)
    copy = original.copy()
    copy[top : top + 42] = (200, 40, 90)
    cv2.putText(copy, "BEST PRICE 0123", (8, top + 30), cv2.FONT_HERSHEY_DUPLEX, 0.9, (255, 255, 255), 2)
    agreement, found = registered(copy, original)
    assert agreement > 0.9
    np.testing.assert_allclose(found, IDENTITY[0], atol=0.01)
