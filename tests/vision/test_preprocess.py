"""Preprocessing: geometry, scale, digest and JSON."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.vision.preprocess import Fit, Interpolation, Preprocessing, fitted_size, resize

sides = st.integers(1, 90)
descriptions = st.builds(
    Preprocessing,
    size=st.tuples(sides, sides),
    fit=st.sampled_from(get_args(Fit)),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.1, 1)] * 3),
    interpolation=st.sampled_from(get_args(Interpolation)),
    pad_rgb=st.tuples(*[st.integers(0, 255)] * 3),
)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(descriptions, sides, sides)
@settings(max_examples=80, deadline=None)
def test_input_has_the_size_and_scale_promised(description: Preprocessing, width: int, height: int) -> None:
    image = noise(width, height)
    fitted = description.fit_image(image)
    tensor = description.apply(image)
    assert fitted.shape == (*description.size_wh[::-1], 3)
    assert tensor.shape == (3, *description.size_wh[::-1])
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    expected = (fitted / 255 - np.array(description.mean)) / np.array(description.std)
    np.testing.assert_allclose(tensor.transpose(1, 2, 0), expected, atol=1e-4)
    np.testing.assert_array_equal(fitted, description.fit_image(image))


@given(descriptions)
@settings(deadline=None)
def test_json_round_trip_keeps_the_digest(description: Preprocessing) -> None:
    again = Preprocessing.from_json(json.loads(json.dumps(description.to_json())))
    assert again == description
    assert again.digest == description.digest


def test_digest_tells_descriptions_apart() -> None:
    variants = [
        Preprocessing(64),
        Preprocessing((64, 65)),
        Preprocessing(64, fit="crop"),
        Preprocessing(64, mean=(0.5, 0.5, 0.5)),
        Preprocessing(64, std=(0.5, 0.5, 0.5)),
        Preprocessing(64, interpolation="bilinear"),
        Preprocessing(64, pad_rgb=(0, 0, 0)),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)
    assert Preprocessing(64) == Preprocessing((64, 64))


def test_letterbox_shows_the_whole_picture_undistorted() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, :10] = (255, 0, 0)
    image[:, -10:] = (0, 255, 0)
    fitted = Preprocessing(40, pad_rgb=(1, 2, 3)).fit_image(image)
    assert (fitted[:10] == (1, 2, 3)).all()
    assert (fitted[30:] == (1, 2, 3)).all()
    assert (fitted[10:30, :4] == (255, 0, 0)).all()
    assert (fitted[10:30, -4:] == (0, 255, 0)).all()


def test_crop_keeps_the_centre_and_stretch_keeps_the_ends() -> None:
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, 40:80] = 200
    assert (Preprocessing(20, fit="crop").fit_image(image) == 200).all()
    stretched = Preprocessing(30, fit="stretch").fit_image(image)
    assert (stretched[:, :9] == 0).all()
    assert (stretched[:, 11:19] == 200).all()


@given(st.integers(1, 40), st.integers(1, 40), sides, sides)
@settings(max_examples=60, deadline=None)
def test_resize_leaves_a_plain_picture_plain(width: int, height: int, new_width: int, new_height: int) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    assert (resize(image, (new_width, new_height)) == 77).all()


@pytest.mark.parametrize("size_wh", [(16, 16), (16, 300), (300, 16)])
def test_shrinking_averages_so_that_a_fine_pattern_turns_grey(size_wh: tuple[int, int]) -> None:
    rows, columns = np.indices((256, 256))
    checks = np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert abs(resize(checks, size_wh).astype(int) - 127).max() <= 2


@given(sides, sides, sides, sides)
def test_fitted_size_fills_one_side_and_fits_both(width: int, height: int, frame_w: int, frame_h: int) -> None:
    fitted = fitted_size((width, height), (frame_w, frame_h))
    assert fitted[0] == frame_w or fitted[1] == frame_h
    assert 1 <= fitted[0] <= frame_w
    assert 1 <= fitted[1] <= frame_h


def test_batch_equals_single_pictures() -> None:
    description = Preprocessing((24, 16))
    images = [noise(30, 20, 1), noise(11, 50, 2)]
    np.testing.assert_array_equal(description.batch(images), np.stack([description.apply(image) for image in images]))
    assert description.batch([]).shape == (0, 3, 16, 24)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": [0, 5]}, "size"),
        ({"size": [5]}, "wrong kind"),
        ({"fit": "squeeze"}, "squeeze"),
        ({"std": [1, 0, 1]}, "std"),
        ({"mean": [1, 0]}, "three"),
        ({"interpolation": "magic"}, "magic"),
        ({"pad_rgb": [1, 2, 300]}, "pad_rgb"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_descriptions_are_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Preprocessing.from_json(Preprocessing(8).to_json() | change)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 5), (5, 5, 4)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        Preprocessing(8).fit_image(np.zeros(shape, np.uint8))
