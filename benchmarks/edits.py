"""Edits that copies of photographs undergo, each drawn by chance within its bounds.

`EDITS` are those of the standard corpus. `MORE_EDITS` are others that a site or a person
makes. Pictures are BGR, shape (h, w, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Random = np.random.Generator
Edit = Callable[[Image, Random], Image]


def _as_image(values: NDArray[np.floating] | NDArray[np.integer]) -> Image:
    return np.ascontiguousarray(np.clip(values, 0, 255), dtype=np.uint8)


def recompressed(image: Image, random: Random) -> Image:
    _, stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(15, 50))])
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), dtype=np.uint8)


def resized(image: Image, random: Random) -> Image:
    factor = float(random.choice([random.uniform(0.35, 0.8), random.uniform(1.2, 1.6)]))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=kind), dtype=np.uint8)


def recoloured(image: Image, random: Random) -> Image:
    """Brightness, contrast, gamma, saturation and white balance."""
    tones = 255.0 * (np.arange(256) / 255.0) ** random.uniform(0.7, 1.4)
    toned = tones[image] * random.uniform(0.8, 1.2) + random.uniform(-25, 25)
    mean = toned.mean(axis=2, keepdims=True)
    return _as_image((mean + (toned - mean) * random.uniform(0.4, 1.6)) * random.uniform(0.92, 1.08, 3))


def greyed(image: Image, _: Random) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def watermarked(image: Image, random: Random) -> Image:
    """Half-transparent lettering: tiled over the picture, or once across it."""
    height, width = image.shape[:2]
    layer, text = image.copy(), str(random.choice(["www.shop.example", "SAMPLE 2026", "DEALER 0123 456"]))
    colour = (255, 255, 255) if random.random() < 0.7 else (20, 20, 20)
    if random.random() < 0.5:
        scale = width / 900.0
        for y in range(int(0.15 * height), height, max(12, height // 5)):
            for x in range(int(random.integers(-width // 5, 0)), width, max(40, width // 2)):
                cv2.putText(layer, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1 + width // 400, cv2.LINE_AA)
    else:
        place = int(0.05 * width), int(random.uniform(0.3, 0.9) * height)
        scale, stroke = 1.1 * width / 360.0, max(1, width // 130)
        cv2.putText(layer, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, colour, stroke, cv2.LINE_AA)
    share = random.uniform(0.35, 0.7)
    return np.asarray(cv2.addWeighted(layer, share, image, 1 - share, 0), dtype=np.uint8)


def bannered(image: Image, random: Random) -> Image:
    changed, (height, width) = image.copy(), image.shape[:2]
    rows = int(random.uniform(0.08, 0.16) * height)
    top = 0 if random.random() < 0.4 else height - rows
    changed[top : top + rows] = random.integers(0, 256, 3)
    place, scale = (int(0.04 * width), top + int(0.7 * rows)), rows / 45.0
    cv2.putText(changed, "BEST PRICE 0123", place, cv2.FONT_HERSHEY_DUPLEX, scale, (255, 255, 255), 1 + rows // 40)
    return changed


def bordered(image: Image, random: Random) -> Image:
    down, across = (int(random.uniform(0.03, 0.1) * side) for side in image.shape[:2])
    colour = [int(value) for value in random.choice([[255] * 3, [0] * 3, random.integers(0, 256, 3).tolist()])]
    framed = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(framed, dtype=np.uint8)


def mirrored(image: Image, _: Random) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


def _cropped(image: Image, random: Random, share: float) -> Image:
    height, width = image.shape[:2]
    rows, columns = round(height * (1 - share)), round(width * (1 - share))
    top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
    return np.ascontiguousarray(image[top : top + rows, left : left + columns])


def cropped_5(image: Image, random: Random) -> Image:
    return _cropped(image, random, 0.05)


def cropped_15(image: Image, random: Random) -> Image:
    return _cropped(image, random, 0.15)


def turned_3(image: Image, random: Random) -> Image:
    """Turned by three degrees either way; the corners filled, repeated, or cut away by a tighter frame."""
    height, width = image.shape[:2]
    angle = float(random.choice([-3.0, 3.0]))
    way = int(random.integers(3))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.1 if way == 2 else 1.0)
    border = cv2.BORDER_REPLICATE if way == 1 else cv2.BORDER_CONSTANT
    fill = (255, 255, 255) if random.random() < 0.5 else (0, 0, 0)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill)
    return np.asarray(turned, dtype=np.uint8)


def several(image: Image, random: Random) -> Image:
    """Two or three edits, of which one at most moves the frame, and a strong compression at the end."""
    framing: list[Edit] = [mirrored, cropped_5, cropped_15, bordered, turned_3]
    look: list[Edit] = [recoloured, greyed, watermarked, bannered, resized]
    chosen = [framing[int(random.integers(len(framing)))]]
    chosen += [look[int(place)] for place in random.choice(len(look), int(random.integers(1, 3)), replace=False)]
    for edit in chosen:
        image = edit(image, random)
    return recompressed(image, random)


#: The standard edits: name to edit and difficulty.
EDITS: dict[str, tuple[Edit, str]] = {
    "recompressed": (recompressed, "plain"),
    "resized": (resized, "plain"),
    "colour": (recoloured, "plain"),
    "grey": (greyed, "plain"),
    "watermark": (watermarked, "plain"),
    "banner": (bannered, "plain"),
    "mirrored": (mirrored, "plain"),
    "crop 5 %": (cropped_5, "plain"),
    "crop 15 %": (cropped_15, "hard"),
    "border": (bordered, "hard"),
    "turned 3": (turned_3, "hard"),
    "several": (several, "hard"),
}


# --- further edits ------------------------------------------------------------------------------------------------


def thumbnail(image: Image, _: Random) -> Image:
    """Reduced to three tenths and compressed as strongly as one bears."""
    small = cv2.resize(image, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    _, stream = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 15])
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), dtype=np.uint8)


def with_sticker(image: Image, random: Random) -> Image:
    """A smiling face in a corner."""
    changed, (height, width) = image.copy(), image.shape[:2]
    reach = int(random.uniform(0.07, 0.11) * max(height, width))
    x = reach + 4 if random.random() < 0.5 else width - reach - 4
    y = reach + 4 if random.random() < 0.5 else height - reach - 4
    cv2.circle(changed, (x, y), reach, (40, 200, 250), -1, cv2.LINE_AA)
    for eye in (-1, 1):
        cv2.circle(changed, (x + eye * reach // 3, y - reach // 4), max(1, reach // 8), (30, 30, 30), -1, cv2.LINE_AA)
    cv2.ellipse(changed, (x, y), (reach // 2, reach // 2), 0, 20, 160, (30, 30, 30), max(1, reach // 10), cv2.LINE_AA)
    return changed


def date_stamped(image: Image, _: Random) -> Image:
    changed, (height, width) = image.copy(), image.shape[:2]
    place, scale = (int(0.55 * width), int(0.95 * height)), width / 600
    cv2.putText(changed, "2026-11-30 14:05", place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 140, 255), 1 + width // 400)
    return changed


def letterboxed(image: Image, random: Random) -> Image:
    """Black or white bars at two opposite sides."""
    share, colour = random.uniform(0.06, 0.16), (0, 0, 0) if random.random() < 0.5 else (255, 255, 255)
    down, across = (int(share * side) for side in image.shape[:2])
    down, across = (down, 0) if random.random() < 0.6 else (0, across)
    boxed = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(boxed, dtype=np.uint8)


def with_gamma(image: Image, random: Random) -> Image:
    return _as_image((255.0 * (np.arange(256) / 255.0) ** float(random.choice([0.6, 1.6])))[image])


def blurred(image: Image, random: Random) -> Image:
    spread = random.uniform(0.002, 0.006) * max(image.shape[:2])
    return np.asarray(cv2.GaussianBlur(image, (0, 0), spread), dtype=np.uint8)


def sharpened(image: Image, random: Random) -> Image:
    soft = cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.float64)
    return _as_image(image + random.uniform(0.5, 1.5) * (image - soft))


def noisy(image: Image, random: Random) -> Image:
    return _as_image(image + random.normal(0, random.uniform(6, 14), image.shape))


def stretched(image: Image, random: Random) -> Image:
    """Width and height scaled apart by a tenth."""
    size = (round(1.1 * image.shape[1]), image.shape[0])
    if random.random() < 0.5:
        size = image.shape[1], round(1.1 * image.shape[0])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def squared(image: Image, _: Random) -> Image:
    """The middle square, as galleries cut it; squares are cut to four fifths of their width."""
    height, width = image.shape[:2]
    side = min(height, width)
    rows, columns = (side, side) if height != width else (height, 4 * width // 5)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(image[top : top + rows, left : left + columns])


def screenshot(image: Image, random: Random) -> Image:
    """A picture as an application shows it: a bar with its title above, buttons below, narrow margins."""
    height, width = image.shape[:2]
    above, below, beside = (int(share * height) for share in (0.09, 0.12, 0.02))
    ground = (250, 250, 250) if random.random() < 0.5 else (28, 28, 28)
    ink = (60, 60, 60) if ground[0] > 128 else (220, 220, 220)
    shown = cv2.copyMakeBorder(image, above, below, beside, beside, cv2.BORDER_CONSTANT, value=ground)
    scale = above / 40
    cv2.putText(shown, "< Listing", (beside, int(0.7 * above)), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    for number in range(4):
        place = int((number + 0.5) * width / 4), above + height + below // 2
        cv2.circle(shown, place, below // 4, ink, max(1, below // 16), cv2.LINE_AA)
    return np.asarray(shown, dtype=np.uint8)


def mirrored_and_cropped(image: Image, random: Random) -> Image:
    return _cropped(mirrored(image, random), random, 0.1)


def toned(image: Image, _: Random) -> Image:
    """Half of the way to sepia."""
    grey = image.astype(np.float64).mean(axis=2, keepdims=True)
    return _as_image(0.5 * image + 0.5 * grey * np.array([0.75, 0.95, 1.1]))


def vignetted(image: Image, _: Random) -> Image:
    """Corners two fifths darker than the middle."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return _as_image(image * (1.0 - 0.2 * (x * x + y * y))[..., None])


#: Further edits, apart from those that thresholds were fitted on: name to edit and difficulty.
MORE_EDITS: dict[str, tuple[Edit, str]] = {
    "thumbnail": (thumbnail, "more"),
    "sticker": (with_sticker, "more"),
    "date stamp": (date_stamped, "more"),
    "letterbox": (letterboxed, "more"),
    "gamma": (with_gamma, "more"),
    "blurred": (blurred, "more"),
    "sharpened": (sharpened, "more"),
    "noisy": (noisy, "more"),
    "stretched": (stretched, "more"),
    "squared": (squared, "more"),
    "screenshot": (screenshot, "more"),
    "mirrored crop": (mirrored_and_cropped, "more"),
    "toned": (toned, "more"),
    "vignette": (vignetted, "more"),
}
