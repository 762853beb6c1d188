"""Displacements of parts: none in what an affine map explains, told apart from tones and noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tamis.vision.evidence import inverse, settle
from tamis.vision.parallax import Grey, Matrix, Plane, parallax

from .pictures import as_image, shot

#: Takes pixels of a picture to where the moved one shows the same.
DRIFT = np.array([[1.002, 0.002, 0.3], [-0.002, 0.997, -0.2], [0.0, 0.0, 1.0]])


def plane(seed: int) -> Plane:
    grey = cv2.cvtColor(cv2.resize(shot(seed), (160, 120), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.2))


def moved(picture: Plane, drift: Matrix) -> Plane:
    """What a pixel shows is found where the map sends it."""
    height, width = picture.shape
    warped = cv2.warpAffine(picture, drift[:2], (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32)


def everywhere(picture: Plane) -> Grey:
    return np.ones(picture.shape, dtype=np.uint8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_map_that_is_a_little_off_settles_and_leaves_nothing(seed: int) -> None:
    first, second = as_image(plane(seed)), as_image(moved(plane(seed), DRIFT))
    outward = inverse(settle((first, second), np.eye(3)[:2]))
    corners = np.array([[20.0, 20.0, 1.0], [140.0, 20.0, 1.0], [80.0, 100.0, 1.0]]).T
    assert np.abs((outward - DRIFT[:2]) @ corners).max() < 0.15
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = np.asarray(cv2.warpAffine(second, outward, (160, 120), flags=flags), np.float32)
    within = everywhere(plane(seed))
    within[:3] = within[-3:] = within[:, :3] = within[:, -3:] = 0
    assert parallax(plane(seed), back, within)[0] < 0.1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parts_that_move_apart_are_measured_whatever_the_tones(seed: int) -> None:
    first = plane(seed)
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    waves = cv2.remap(first, x + np.sin(y / 6), y + np.sin(x / 6), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    toned = 0.7 * first + 20
    assert parallax(first, toned, everywhere(first))[0] < 0.05
    assert parallax(first, np.asarray(0.7 * waves + 20, np.float32), everywhere(first))[0] > 0.3


def test_too_little_to_go_by_is_none() -> None:
    flat = np.full((120, 160), 90, np.float32)
    assert parallax(flat, flat, everywhere(flat)) == (0.0, None)
    assert parallax(plane(1), plane(1), np.zeros((120, 160), np.uint8)) == (0.0, None)
    small = np.zeros((5, 5), np.float32)
    assert parallax(small, small, everywhere(small)) == (0.0, None)
