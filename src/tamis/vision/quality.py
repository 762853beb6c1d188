"""Quality scores of a picture, cheap enough to be measured for every image; thresholds on them are set elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Long side, in pixels, at which detail is measured, so that scores of pictures of any size compare.
REFERENCE_SIDE = 256
#: Colourfulness that viewers call extreme in Hasler and Suesstrunk's study.
_EXTREME_COLOUR = 109.0
_DARK = round(0.04 * 255)
_BRIGHT = round(0.96 * 255)
#: The noise mask is this row times itself as a column.
_NOISE_ROW = np.array([1, -2, 1], dtype=np.float32)
#: Median of the absolute value of a standard normal variable.
_NORMAL_MEDIAN = 0.6745
#: Least luma step, 0 to 1020, of the 3 by 3 Sobel filter that may belong to a letter's edge.
_STROKE_STEP = 120
#: Windows, width and height in pixels, in which steps and tones are counted.
_STROKE_WINDOW, _TONE_WINDOW = (15, 5), (25, 11)
#: Share of rising and of falling steps within a window of lettering.
_STROKE_DENSITY = 0.09
#: A pixel has the tone of paper or ink when it lies within this share of the window's span from either.
_TONE_WIDTH = 0.2
_TWO_TONE_SHARE = 0.7
#: Least span, in grey levels, between ink and paper.
_LETTER_SPAN = 80


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores of one picture; names and ranges as in the table `inspection`."""

    sharpness: float
    brightness: float
    contrast: float
    clipped_dark: float
    clipped_bright: float
    blockiness: float | None
    noise: float
    entropy: float
    colourfulness: float
    text_share: float


@dataclass(frozen=True, slots=True)
class Views:
    """A picture of shape (h, w, 3), its luma of shape (h, w), and that luma at the reference size."""

    image_rgb: NDArray[np.uint8]
    luma: NDArray[np.uint8]
    reference: NDArray[np.uint8]

    @classmethod
    def of(cls, image_rgb: NDArray[np.uint8]) -> Views:
        """Derive the luma and its reduction once for all that needs them."""
        luma = to_luma(image_rgb)
        return cls(image_rgb, luma, to_reference(luma))


def measure(views: Views, denominator: int = 1) -> Quality:
    """Return the quality scores of a picture that was decoded at 1/`denominator` of its size.

    Luma is ITU-R BT.601's. Sharpness, noise and lettering are measured at 256 pixels along the long side (smaller
    pictures as they are), tones on all decoded pixels.
    """
    luma, reference = views.luma, views.reference
    counts = _histogram(luma)
    shares = counts / counts.sum()
    levels = np.arange(256, dtype=np.float64)
    mean = float(shares @ levels)
    deviation = float(np.sqrt(max(shares @ (levels - mean) ** 2, 0.0)))
    present = shares[shares > 0]
    return Quality(
        sharpness=sharpness(reference),
        brightness=mean / 255.0,
        contrast=deviation / 255.0,
        clipped_dark=float(shares[:_DARK].sum()),
        clipped_bright=float(shares[_BRIGHT + 1 :].sum()),
        blockiness=_blockiness(luma, 8 // denominator),
        noise=_noise(reference),
        entropy=max(0.0, float(-(present @ np.log2(present)))),
        colourfulness=_colourfulness(views.image_rgb),
        text_share=cv2.countNonZero(lettering(reference).view(np.uint8)) / reference.size,
    )


def to_luma(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma (ITU-R BT.601) of a picture of shape (h, w, 3), of shape (h, w)."""
    return np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def to_reference(image: NDArray[np.uint8], side: int = REFERENCE_SIDE) -> NDArray[np.uint8]:
    """Return the picture averaged down so that its long side is `side` pixels; a smaller one is returned as it is."""
    height, width = image.shape[:2]
    long_side = max(height, width)
    if long_side <= side:
        return image
    size_wh = max(1, round(width * side / long_side)), max(1, round(height * side / long_side))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def sharpness(reference: NDArray[np.uint8]) -> float:
    """Natural logarithm of 1 + the variance of the Laplacian (J. Pech-Pacheco et al., ICPR 2000)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(reference, cv2.CV_16S))
    return float(np.log1p(deviation[0, 0] ** 2))


def _noise(reference: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, 0 to 1, from the median response to a mask that is blind to slopes.

    The mask is J. Immerkaer's ("Fast noise variance estimation", 1996); the median, not the mean, so that edges and
    texture count little.
    """
    response = cv2.sepFilter2D(reference, cv2.CV_16S, _NOISE_ROW, _NOISE_ROW)
    sizes = _histogram(np.asarray(cv2.convertScaleAbs(response), dtype=np.uint8))
    if sizes[-1] > response.size // 2:  # the median lies among responses that eight bits cut off
        sizes = np.bincount(np.abs(response).ravel()).astype(np.float64)
    # Interpolated within the whole numbers that the responses are.
    below = np.concatenate(([0], np.cumsum(sizes))) / response.size
    level = int(np.searchsorted(below, 0.5, side="right")) - 1
    median = level + (0.5 - below[level]) / (below[level + 1] - below[level])
    return float(min(1.0, median / _NORMAL_MEDIAN / 6.0 / 255.0))


def _histogram(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts: NDArray[np.float64] = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    return counts


def _blockiness(luma: NDArray[np.uint8], period: int) -> float | None:
    """Mean step at the grid of coding blocks over the mean step elsewhere, 1 without blocks.

    `period` is the size of a block in pixels here. The phase of the grid is the one that shows it most, since a
    picture may have been cropped or turned. None where blocks are single pixels or the picture shows fewer than two.
    """
    if period < 2 or min(luma.shape) <= 2 * period:
        return None
    steps_across = cv2.reduce(cv2.absdiff(luma[:, 1:], luma[:, :-1]), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    steps_down = cv2.reduce(cv2.absdiff(luma[1:], luma[:-1]), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    ratios = [_grid_ratio(np.asarray(steps, dtype=np.float64).ravel(), period) for steps in (steps_across, steps_down)]
    return sum(ratios) / 2


def _grid_ratio(steps: NDArray[np.float64], period: int) -> float:
    whole = steps[: len(steps) // period * period].reshape(-1, period).mean(axis=0)
    strongest = int(whole.argmax())
    elsewhere = float(np.delete(whole, strongest).mean())
    # Half a grey level a row and column keeps flat pictures at 1.
    calm = 0.5 * len(steps)
    return (float(whole[strongest]) + calm) / (elsewhere + calm)


def _colourfulness(image_rgb: NDArray[np.uint8]) -> float:
    """Colourfulness, 1 for extremely colourful (D. Hasler and S. Suesstrunk, "Measuring colourfulness", 2003)."""
    # Statistics of single pixels: every ninth tells as much as all.
    red, green, blue = (image_rgb[::3, ::3, channel].astype(np.float32) for channel in range(3))
    mean, deviation = zip(*map(cv2.meanStdDev, (red - green, 0.5 * (red + green) - blue)), strict=True)
    spread, centre = (np.hypot(float(pair[0][0, 0]), float(pair[1][0, 0])) for pair in (deviation, mean))
    return float((spread + 0.3 * centre) / _EXTREME_COLOUR)


def lettering(reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a mask, of the shape (h, w) of the picture, of what looks like lines of letters, as on a banner.

    Letters are many strong steps up and as many down, side by side, in two tones: within a window of 25 by 11 pixels
    nearly all are as dark as the darkest or as bright as the brightest. Foliage, engines and fabrics have the steps
    without the two tones.
    """
    step = cv2.Sobel(reference, cv2.CV_16S, 1, 0)
    rising, falling = _count(step > _STROKE_STEP, _STROKE_WINDOW), _count(step < -_STROKE_STEP, _STROKE_WINDOW)
    window = np.ones(_TONE_WINDOW[::-1], dtype=np.uint8)
    darkest, brightest = cv2.erode(reference, window), cv2.dilate(reference, window)
    span = cv2.subtract(brightest, darkest)
    off_tone = cv2.min(cv2.subtract(reference, darkest), cv2.subtract(brightest, reference))
    two_tone = _count(off_tone < cv2.convertScaleAbs(span, alpha=_TONE_WIDTH), _TONE_WINDOW)
    strokes = cv2.min(rising, falling) > int(_STROKE_DENSITY * _area(_STROKE_WINDOW))
    letters = strokes & (two_tone > int(_TWO_TONE_SHARE * _area(_TONE_WINDOW))) & (span > _LETTER_SPAN)
    lines = cv2.morphologyEx(letters.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 13), dtype=np.uint8))
    return np.asarray(lines, dtype=np.bool_)


def _count(mask: NDArray[np.bool_], window_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Number of set pixels in the window around each pixel, 255 where there are more."""
    return np.asarray(cv2.boxFilter(mask.view(np.uint8), cv2.CV_8U, window_wh, normalize=False), dtype=np.uint8)


def _area(window_wh: tuple[int, int]) -> int:
    return window_wh[0] * window_wh[1]
