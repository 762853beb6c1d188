"""Small numeric helpers that the renderer's modules share: interpolation, unit vectors and seeded noise."""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]

# Cells beyond the edge that bicubic enlargement looks at.
_NOISE_MARGIN = 2


def seeded_generator(seed: int, purpose: str) -> np.random.Generator:
    """Give the generator of one purpose (a view, the scene), independent of all others of the same seed."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def smoothstep(low: float, high: float, value: Any) -> Any:
    """Rise smoothly from 0 at `low` to 1 at `high`; falls where `low` is the larger one."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def lerp(start: Any, end: Any, share: Any) -> Any:
    """Interpolate linearly between `start` (share 0) and `end` (share 1)."""
    return start + (end - start) * share


def dot(first: FloatArray, second: FloatArray) -> FloatArray:
    """Multiply vectors along the last axis, (..., 3) with (..., 3) to (...)."""
    return np.asarray(np.einsum("...i,...i->...", first, second))


def normalise(vectors: FloatArray) -> FloatArray:
    """Scale vectors (..., 3) to length 1; a zero vector stays zero."""
    length = np.sqrt(dot(vectors, vectors))[..., None]
    return np.asarray(vectors / np.maximum(length, 1e-9))


def fractal_noise(
    size_wh: tuple[int, int], cells: int, rng: np.random.Generator, octaves: int = 5, gain: float = 0.55
) -> FloatArray:
    """Sum octaves of smoothly enlarged random grids, `cells` across at first.

    Gives (height, width) float32 in 0 to 1 that repeats without a seam in both directions.
    """
    width, height = size_wh
    total = np.zeros((height, width), np.float32)
    amplitude, weight = 1.0, 0.0
    for octave in range(octaves):
        columns = max(2, cells * 2**octave)
        rows = max(2, columns * height // width)
        grid = np.pad(rng.random((rows, columns)).astype(np.float32), _NOISE_MARGIN, "wrap")
        area = (_NOISE_MARGIN, _NOISE_MARGIN, _NOISE_MARGIN + columns, _NOISE_MARGIN + rows)
        total += amplitude * np.asarray(Image.fromarray(grid).resize(size_wh, Image.Resampling.BICUBIC, box=area))
        weight += amplitude
        amplitude *= gain
    return np.asarray(total / weight)
