"""Quality scores: each moves with the fault that it is named after and stays within its range."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.vision.quality import Quality, Views, border_share, lettering, sharpness, soft_reduced, to_luma, to_reference
from tamis.vision.quality import measure as measure_views


def measure(picture: Any, denominator: int = 1) -> Quality:
    (found,) = measure_views([Views.of(picture, denominator)])
    return found


def scene(width: int = 512, height: int = 384, seed: int = 3) -> NDArray[np.uint8]:
    """A coloured picture with soft shapes and fine detail."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 220, (8, 10, 3)).astype(np.uint8)
    fine = random.integers(0, 60, (height, width, 1)).astype(np.uint8).repeat(3, axis=2)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    detail = cv2.GaussianBlur(fine, (0, 0), 1.5)
    return np.asarray(cv2.add(soft, detail), dtype=np.uint8)


def recoded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, stream = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), dtype=np.uint8)


def in_range(scores: Quality) -> bool:
    return (
        scores.sharpness >= 0
        and all(
            0 <= value <= 1 for value in (scores.brightness, scores.clipped_dark, scores.clipped_bright, scores.noise)
        )
        and 0 <= scores.contrast <= 0.5
        and 0 <= scores.entropy <= 8
        and 0 <= scores.text_share <= 1
        and scores.colourfulness >= 0
    )


def test_blur_lowers_sharpness_step_by_step() -> None:
    picture = scene()
    sharpness = [measure(picture).sharpness]
    sharpness += [measure(cv2.GaussianBlur(picture, (0, 0), sigma)).sharpness for sigma in (2, 4, 8)]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > sharpness[1] + 1


def test_sharpness_compares_over_sizes() -> None:
    large = scene(1024, 768)
    small = to_reference(large, 512)
    assert measure(large).sharpness == pytest.approx(measure(small).sharpness, abs=0.3)


@pytest.mark.parametrize("width", [260, 300, 330, 365, 420, 500, 513, 700])
def test_the_quick_reduction_is_as_sharp_as_the_average(width: int) -> None:
    luma = to_luma(scene(width, width * 3 // 4))
    average, quick = to_reference(luma), soft_reduced(luma)
    assert quick.shape == average.shape
    assert sharpness(quick) == pytest.approx(sharpness(average), abs=0.2)
    assert np.abs(quick.astype(int) - average).mean() < 1.5


def test_colourfulness_is_that_of_its_definition() -> None:
    picture = scene()
    red, green, blue = (picture[::3, ::3, channel].astype(float) for channel in range(3))
    opponents = red - green, (red + green) / 2 - blue
    spread = np.hypot(*(values.std() for values in opponents))
    centre = np.hypot(*(values.mean() for values in opponents))
    assert measure(picture).colourfulness == pytest.approx((spread + 0.3 * centre) / 109, rel=0.02)


def test_exposure_shows_in_brightness_and_clipping() -> None:
    picture = scene()
    dark, bright = cv2.convertScaleAbs(picture, alpha=0.05), cv2.convertScaleAbs(picture, beta=200)
    assert measure(dark).brightness < measure(picture).brightness < measure(bright).brightness
    assert measure(dark).clipped_dark > 0.5 > measure(picture).clipped_dark
    assert measure(bright).clipped_bright > 0.5 > measure(picture).clipped_bright
    assert measure(cv2.convertScaleAbs(picture, alpha=0.3)).contrast < measure(picture).contrast


def test_noise_is_estimated_in_order_and_size() -> None:
    picture = to_reference(scene(512, 384))
    flat = cv2.GaussianBlur(picture, (0, 0), 6)
    estimates = []
    for sigma in (2, 8, 20):
        noise = np.random.default_rng(1).normal(0, sigma, flat.shape[:2])[..., None]
        estimates.append(measure(np.clip(np.rint(flat + noise), 0, 255).astype(np.uint8)).noise * 255)
    assert estimates == sorted(estimates)
    assert estimates[1] == pytest.approx(8, rel=0.15)
    assert estimates[2] == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("denominator", [1, 2, 4])
def test_strong_compression_shows_as_blockiness_at_each_scale(denominator: int) -> None:
    picture = scene(640, 480)
    sizes = (640 // denominator, 480 // denominator)

    def blockiness(image: NDArray[np.uint8]) -> float:
        scaled = np.asarray(cv2.resize(image, sizes, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        value = measure(scaled, denominator).blockiness
        assert value is not None
        return value

    assert blockiness(recoded(picture, 5)) > blockiness(recoded(picture, 40)) >= blockiness(picture) - 0.1
    assert 0.9 < blockiness(picture) < 1.3


def test_blockiness_is_unknown_where_blocks_are_pixels() -> None:
    assert measure(scene(), 8).blockiness is None
    assert measure(scene(12, 12)).blockiness is None


def test_grey_has_no_colour_and_pure_hues_have_much() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert measure(grey).colourfulness == pytest.approx(0, abs=1e-6)
    hues = np.zeros((90, 90, 3), dtype=np.uint8)
    hues[:, :30, 0] = hues[:, 30:60, 1] = hues[:, 60:, 2] = 255
    assert measure(hues).colourfulness > 1


def test_lettering_is_found_on_a_banner_and_not_in_texture() -> None:
    picture = scene()
    banner = picture.copy()
    cv2.rectangle(banner, (0, 320), (511, 383), (20, 20, 160), -1)
    cv2.putText(banner, "AUTOHAUS 0123 456789", (8, 362), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (255, 255, 255), 3)
    texture = np.random.default_rng(0).integers(0, 256, (384, 512, 3)).astype(np.uint8)
    assert measure(banner).text_share > 0.03
    assert measure(picture).text_share < 0.005
    assert measure(texture).text_share < 0.005
    found = lettering(to_reference(to_luma(banner)))
    assert found[:150].mean() < 0.002 < found[160:].mean()


@pytest.mark.parametrize("banner_wh", [(40, 12), (60, 10), (256, 192)])
def test_lettering_lies_where_the_letters_are_up_to_the_edges(banner_wh: tuple[int, int]) -> None:
    width, height = banner_wh
    picture = np.full((192, 256), 200, dtype=np.uint8)
    picture[:height, :width] = np.where(np.arange(width) // 3 % 2, 20, 230).astype(np.uint8)
    found = lettering(picture)
    assert found[2 : height - 2, 6 : width - 6].mean() > 0.9
    assert not found[height + 6 :].any()
    assert not found[:, width + 14 :].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3), (16, 400)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_and_tiny_pictures_stay_in_range(shape: tuple[int, int], value: int) -> None:
    scores = measure(np.full((*shape, 3), value, dtype=np.uint8))
    assert in_range(scores)
    assert scores.entropy == 0
    assert scores.noise == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("tone", [0, 128, 250])
@pytest.mark.parametrize(("across", "down"), [(0, 0), (10, 0), (0, 7), (12, 20)])
def test_bands_along_the_edges_are_measured(tone: int, across: int, down: int) -> None:
    inner = scene(200, 150)
    framed = cv2.copyMakeBorder(inner, down, down, across, across, cv2.BORDER_CONSTANT, value=(tone,) * 3)
    share = 1 - inner[..., 0].size / framed[..., 0].size
    assert border_share(to_luma(np.asarray(framed, np.uint8))) == pytest.approx(share, abs=0.01)
    noisy = np.clip(framed + np.random.default_rng(1).normal(0, 1.5, framed.shape), 0, 255).astype(np.uint8)
    assert border_share(to_luma(noisy)) == pytest.approx(share, abs=0.02)


def test_a_plain_picture_is_all_border_and_bands_of_two_tones_are_one_each() -> None:
    assert border_share(np.full((40, 60), 90, np.uint8)) == 1
    assert border_share(np.zeros((1, 1), np.uint8)) == 1
    split = np.repeat(np.array([[10], [200]], np.uint8), 30, axis=0) * np.ones((1, 50), np.uint8)
    assert border_share(split) == 1


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_colourfulness_is_that_of_the_mirrored_and_of_the_turned_picture(height: int, width: int) -> None:
    picture = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    colours = {
        round(measure(np.ascontiguousarray(np.rot90(side, turns))).colourfulness, 9)
        for side in (picture, picture[:, ::-1])
        for turns in range(4)
    }
    assert len(colours) == 1
