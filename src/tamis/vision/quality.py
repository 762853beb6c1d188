"""Quality scores of a picture, cheap enough to be measured for every image; thresholds on them are set elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

#: Long side, in pixels, at which detail is measured, so that scores of pictures of any size compare.
REFERENCE_SIDE = 256
#: Colourfulness that viewers call extreme in Hasler and Suesstrunk's study.
_EXTREME_COLOUR = 109.0
_LEVELS = np.arange(256, dtype=np.float64)
_DARK = round(0.04 * 255)
_BRIGHT = round(0.96 * 255)
#: What shares of the grey levels are multiplied by, shape (4, 256): mean, mean square, clipped dark, clipped bright.
_TONES = np.array([_LEVELS, _LEVELS**2, _LEVELS < _DARK, _LEVELS > _BRIGHT], dtype=np.float64)
_NEARLY_ZERO = 1e-300
#: Weight of either neighbour below which a blur changes next to nothing.
_NO_BLUR = 0.018
#: The noise mask is this row times itself as a column.
_NOISE_ROW = np.array([1, -2, 1], dtype=np.float32)
#: Median of the absolute value of a standard normal variable.
_NORMAL_MEDIAN = 0.6745
#: Least luma step, 0 to 1020, of the 3 by 3 Sobel filter that may belong to a letter's edge.
_STROKE_STEP = 120
#: Windows, width in pixels and height in pairs of rows, in which steps and tones are counted.
_STROKE_WINDOW, _TONE_WINDOW = (15, 3), (25, 5)
#: Share of rising and of falling steps within a window of lettering.
_STROKE_DENSITY = 0.085
#: Grey levels that lie apart within a row of a plain band at most, and from its outermost row.
_BAND_SPAN, _BAND_DRIFT = 16, 8
#: A pixel has the tone of paper or ink when it lies within this share of the window's span from either.
_TONE_WIDTH = 0.2
_TWO_TONE_SHARE = 0.7
#: The least line of letters, in pairs of rows and pixels.
_LINE = np.ones((2, 13), dtype=np.uint8)
#: Least span, in grey levels, between ink and paper.
_LETTER_SPAN = 80


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores of one picture; names and ranges as in the table `inspection`."""

    brightness: float
    contrast: float
    clipped_dark: float
    clipped_bright: float
    entropy: float
    sharpness: float
    blockiness: float | None
    noise: float
    colourfulness: float
    text_share: float
    border_share: float


@dataclass(frozen=True, slots=True)
class Views:
    """A picture of shape (h, w, 3), its luma of shape (h, w), and that luma at the reference size.

    It was decoded at 1/`denominator` of its size.
    """

    image_rgb: NDArray[np.uint8]
    denominator: int
    luma: NDArray[np.uint8]
    reference: NDArray[np.uint8]

    @classmethod
    def of(cls, image_rgb: NDArray[np.uint8], denominator: int = 1) -> Views:
        """Derive the luma and its reduction once for all that needs them."""
        luma = to_luma(image_rgb)
        return cls(image_rgb, denominator, luma, soft_reduced(luma))


def measure(pictures: Sequence[Views]) -> list[Quality]:
    """Return the quality scores of each picture.

    Luma is ITU-R BT.601's. Sharpness, noise and lettering are measured at 256 pixels along the long side (smaller
    pictures as they are), tones on all decoded pixels.

    One score is taken of all pictures before the next one: processors run code that they ran just before faster.
    """
    tones = [_tones(views.luma) for views in pictures]
    others = zip(
        [sharpness(views.reference) for views in pictures],
        [_blockiness(views.luma, 8 // views.denominator) for views in pictures],
        [_noise(views.reference) for views in pictures],
        [_colourfulness(views.image_rgb) for views in pictures],
        [text_share(views.reference) for views in pictures],
        [border_share(views.reference) for views in pictures],
        strict=True,
    )
    return [Quality(*of_tones, *of_one) for of_tones, of_one in zip(tones, others, strict=True)]


def _tones(luma: NDArray[np.uint8]) -> tuple[float, float, float, float, float]:
    """Brightness, contrast, the shares of clipped pixels, dark and bright, and entropy."""
    # Statistics of single pixels: every fourth row tells as much as all.
    sampled = luma[::4]
    shares = _histogram(sampled) / sampled.size
    mean, mean_square, dark, bright = (_TONES @ shares).tolist()
    contrast = math.sqrt(max(mean_square - mean**2, 0.0)) / 255.0
    entropy = max(0.0, -float(shares @ np.log2(np.maximum(shares, _NEARLY_ZERO))))
    return mean / 255.0, contrast, dark, bright, entropy


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


def soft_reduced(image: NDArray[np.uint8], side: int = REFERENCE_SIDE) -> NDArray[np.uint8]:
    """Return the picture so that its long side is `side` pixels, nearly as `to_reference`, in a quarter of the time.

    Up to half the size, a slight blur and interpolation leave the detail that averaging leaves: on photos, sharpness
    differs by less than 0.1. Where the size changes by less than a sixth, interpolation alone does.
    """
    height, width = image.shape[:2]
    factor = max(height, width) / side
    if not 1 < factor < 2:
        return to_reference(image, side)
    # The variance by which an average over this factor blurs, less that of the interpolation, fitted on photos.
    side = (factor**2 - 1) / 20
    if side > _NO_BLUR:
        row = np.array([side, 1 - 2 * side, side], dtype=np.float32)
        image = np.asarray(cv2.sepFilter2D(image, -1, row, row), dtype=np.uint8)
    size_wh = max(1, round(width / factor)), max(1, round(height / factor))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def sharpness(reference: NDArray[np.uint8]) -> float:
    """Natural logarithm of 1 + the variance of the Laplacian (J. Pech-Pacheco et al., ICPR 2000)."""
    steps = cv2.Laplacian(reference, cv2.CV_16S)
    # Both sums run on vector registers, which cv2.meanStdDev does not for 16 bits.
    mean = cv2.sumElems(steps)[0] / steps.size
    return math.log1p(max(cv2.norm(steps, cv2.NORM_L2SQR) / steps.size - mean**2, 0.0))


def _noise(reference: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, 0 to 1, from the median response to a mask that is blind to slopes.

    The mask is J. Immerkaer's ("Fast noise variance estimation", 1996); the median, not the mean, so that edges and
    texture count little.
    """
    response = cv2.sepFilter2D(reference, cv2.CV_16S, _NOISE_ROW, _NOISE_ROW)[::2]
    sizes = _histogram(cv2.convertScaleAbs(response))
    if sizes[-1] > response.size // 2:  # the median lies among responses that eight bits cut off
        sizes = np.bincount(np.abs(response).ravel()).astype(np.float64)
    return min(1.0, _median(sizes.tolist()) / _NORMAL_MEDIAN / 6.0 / 255.0)


def _median(counts: Sequence[float]) -> float:
    """Interpolated within the whole numbers that occur so many times each, from 0 on."""
    half, below = sum(counts) / 2, 0.0
    for level, count in enumerate(counts):
        if below + count > half:
            return level + (half - below) / count
        below += count
    raise ValueError("nothing is counted")


def _histogram(values: MatLike) -> NDArray[np.float64]:
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
    whole = steps[: len(steps) // period * period].reshape(-1, period).sum(axis=0) / (len(steps) // period)
    strongest = float(whole.max())
    elsewhere = (float(whole.sum()) - strongest) / (period - 1)
    # Half a grey level a row and column keeps flat pictures at 1.
    calm = 0.5 * len(steps)
    return (strongest + calm) / (elsewhere + calm)


def _colourfulness(image_rgb: NDArray[np.uint8]) -> float:
    """Colourfulness, 1 for extremely colourful (D. Hasler and S. Suesstrunk, "Measuring colourfulness", 2003)."""
    red, green, blue = cv2.split(_every_ninth(image_rgb))
    count = red.size
    means = [cv2.sumElems(channel)[0] / count for channel in (red, green, blue)]
    # Of two opponent channels, red less green and the mean of both less blue, the squares follow from the distances
    # between the channels.
    apart, first, second = (
        cv2.norm(one, other, cv2.NORM_L2SQR) / count for one, other in ((red, green), (red, blue), (green, blue))
    )
    centre = (means[0] - means[1]) ** 2 + ((means[0] + means[1]) / 2 - means[2]) ** 2
    spread = max(apart + (2 * first + 2 * second - apart) / 4 - centre, 0.0)
    return (math.sqrt(spread) + 0.3 * math.sqrt(centre)) / _EXTREME_COLOUR


def _every_ninth(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return every third pixel of every third row, the same ones if the picture is mirrored or turned.

    Statistics of single pixels are as good of these as of all. Of a picture of a few pixels all are returned.
    """
    height, width = image_rgb.shape[:2]
    top, left = (2 + (2 * side - 4) % 3 for side in (height, width))
    rows, columns = (height - 2 * top + 2) // 3, (width - 2 * left + 2) // 3
    if min(rows, columns) < 1:
        return image_rgb
    part = image_rgb[top : top + 3 * rows, left : left + 3 * columns]
    return np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def text_share(reference: NDArray[np.uint8]) -> float:
    """Return the share of a picture, at the reference size, that lettering covers; see `lettering`."""
    lines = _lettering(reference)
    return cv2.countNonZero(lines.view(np.uint8)) / lines.size


def border_share(reference: NDArray[np.uint8]) -> float:
    """Return the share of a picture, at the reference size, that plain bands along its edges cover.

    Frames, letterbox bars and the ground around an article are such bands: rows, and columns between them, of one tone.
    """
    top, bottom = _leading(reference), _leading(reference[::-1])
    inner = reference[top : max(top, len(reference) - bottom)].T
    left, right = _leading(inner), _leading(inner[::-1])
    return 1.0 - float(inner.shape[1] * max(len(inner) - left - right, 0)) / reference.size


def _leading(image: NDArray[np.uint8]) -> int:
    """How many rows from the first on are plain and of its tone."""
    if not len(image) or int(image[0].max(initial=0)) - int(image[0].min(initial=255)) > _BAND_SPAN:
        return 0
    edge = np.zeros(0, np.int16)
    for start, end in pairwise((0, 1, 8, len(image))):  # most pictures have no band: its first rows tell
        rows = image[start:end]
        darkest, brightest = rows.min(axis=1, initial=255).astype(np.int16), rows.max(axis=1, initial=0)
        tones = (darkest + brightest) // 2
        edge = tones[:1] if start == 0 else edge
        same = (brightest - darkest <= _BAND_SPAN) & (np.abs(tones - edge) <= _BAND_DRIFT)
        if not same.all():
            return start + int(np.argmin(same))
    return len(image)


def lettering(reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a mask, of the shape (h, w) of the picture, of what looks like lines of letters, as on a banner.

    Letters are many strong steps up and as many down, side by side, in two tones: within a window of 25 by 10 pixels
    nearly all are as dark as the darkest or as bright as the brightest. Foliage, engines and fabrics have the steps
    without the two tones. Rows are looked at in pairs.
    """
    return np.repeat(_lettering(reference), 2, axis=0)[: len(reference)]


def _lettering(reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The mask for each pair of rows."""
    if len(reference) % 2:
        reference = np.concatenate((reference, reference[-1:]))
    upper, lower = reference[::2], reference[1::2]
    step = cv2.Sobel(reference, cv2.CV_16S, 1, 0)
    rising, falling = (
        _count(_in_pairs(steps), _STROKE_WINDOW) for steps in (step > _STROKE_STEP, step < -_STROKE_STEP)
    )
    strokes: NDArray[np.bool_] = np.minimum(rising, falling) > int(_STROKE_DENSITY * _pixels(_STROKE_WINDOW))
    if not strokes.any():
        return strokes
    window = np.ones(_TONE_WINDOW[::-1], dtype=np.uint8)
    darkest, brightest = cv2.erode(cv2.min(upper, lower), window), cv2.dilate(cv2.max(upper, lower), window)
    span = cv2.subtract(brightest, darkest)
    width = cv2.convertScaleAbs(span, alpha=_TONE_WIDTH)
    in_tone = [_two_tone(rows, darkest, brightest, width) for rows in (upper, lower)]
    two_tone = _count(in_tone[0] + in_tone[1], _TONE_WINDOW)
    letters: NDArray[np.bool_] = (
        strokes & (two_tone > int(_TWO_TONE_SHARE * _pixels(_TONE_WINDOW))) & (span > _LETTER_SPAN)
    )
    if not letters.any():
        return letters
    return np.asarray(cv2.morphologyEx(letters.view(np.uint8), cv2.MORPH_OPEN, _LINE), dtype=np.bool_)


def _in_pairs(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many of the upper and the lower pixel of each pair of rows are set."""
    counts = mask.view(np.uint8)
    return np.asarray(cv2.add(counts[::2], counts[1::2]), dtype=np.uint8)


def _two_tone(rows: MatLike, darkest: MatLike, brightest: MatLike, width: MatLike) -> NDArray[np.uint8]:
    """Which pixels lie within so many grey levels of the darkest or the brightest around."""
    off_tone = cv2.min(cv2.subtract(rows, darkest), cv2.subtract(brightest, rows))
    return np.asarray(off_tone < width).view(np.uint8)


def _count(counts: NDArray[np.uint8], window_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Sum over the window around each pixel, 255 where it is more."""
    return np.asarray(cv2.boxFilter(counts, cv2.CV_8U, window_wh, normalize=False), dtype=np.uint8)


def _pixels(window_wh: tuple[int, int]) -> int:
    return 2 * window_wh[0] * window_wh[1]
