"""Resizing JPEG files: images a second and nearness to a careful resize, beside what others would be used for it.

python -m benchmarks.resize [FOLDER] [--images N] [--sides PIXELS ...]

Bytes in, bytes out, fitted inside a square, JPEG of quality 92, on one core, in time of the processor. Nearness is PSNR
and SSIM (Z. Wang et al., 2004, luma) of the pixels before they are encoded, against a full decode with Lanczos
filtering. Peers are used where they are installed, here or in the interpreter that TAMIS_PEER_PYTHON names. The
pictures are those of benchmarks.fetch, 1280x960 and about 200 KB, unless a folder is named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
QUALITY = 92
ROUNDS = 3
#: Pictures before the clock starts: what a process loads once is not what a picture costs.
WARM = 210


class Way(NamedTuple):
    """How a file becomes pixels, and how it becomes another file; both take the bytes and the longest side."""

    pixels: Callable[[bytes, int], Picture]
    file: Callable[[bytes, int], object]


def reference(data: bytes, side: int) -> Picture:
    picture = Image.open(BytesIO(data)).convert("RGB")
    scale = side / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


def psnr(first: Picture, second: Picture) -> float:
    error = ((first.astype(float) - second.astype(float)) ** 2).mean()
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def ssim(first: Picture, second: Picture) -> float:
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second))

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), dtype=np.float64)

    mean_a, mean_b = blur(a), blur(b)
    spread = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    common = blur(a * b) - mean_a * mean_b
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_a * mean_b + low) * (2 * common + high)
    return float((likeness / ((mean_a**2 + mean_b**2 + low) * (spread + high))).mean())


def ours() -> dict[str, Way]:
    from tamis.vision.decode import decode_rgb
    from tamis.vision.render import Rendering, render_crop

    def pixels(data: bytes, side: int) -> Picture:
        return decode_rgb(render_crop(data, None, Rendering((side, side), format="png")))

    return {"tamis": Way(pixels, lambda data, side: render_crop(data, None, Rendering((side, side), quality=QUALITY)))}


def pillow_ways() -> dict[str, Way]:
    def thumbnail(data: bytes, side: int) -> Image.Image:
        picture = Image.open(BytesIO(data))
        picture.thumbnail((side, side))
        return picture

    def file(picture: Image.Image) -> bytes:
        stream = BytesIO()
        picture.save(stream, "JPEG", quality=QUALITY)
        return stream.getvalue()

    return {
        "Pillow thumbnail": Way(
            lambda data, side: np.asarray(thumbnail(data, side)), lambda data, side: file(thumbnail(data, side))
        ),
        "Pillow full decode, Lanczos": Way(reference, lambda data, side: file(Image.fromarray(reference(data, side)))),
    }


def opencv_ways() -> dict[str, Way]:
    def pixels(data: bytes, side: int) -> Picture:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        scale = side / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    return {
        "OpenCV full decode, area (img2dataset)": Way(
            lambda data, side: pixels(data, side)[..., ::-1],
            lambda data, side: cv2.imencode(".jpg", pixels(data, side), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
        )
    }


def torchvision_ways() -> dict[str, Way]:
    import torch
    from torchvision.io import decode_jpeg, encode_jpeg  # type: ignore[import-untyped]
    from torchvision.transforms.v2.functional import resize  # type: ignore[import-untyped]

    torch.set_num_threads(1)

    def tensor(data: bytes, side: int) -> torch.Tensor:
        image = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        scale = side / max(image.shape[1:])
        shrunk: torch.Tensor = resize(image, [round(edge * scale) for edge in image.shape[1:]], antialias=True)
        return shrunk

    return {
        "torchvision, antialias": Way(
            lambda data, side: tensor(data, side).permute(1, 2, 0).numpy(),
            lambda data, side: encode_jpeg(tensor(data, side), quality=QUALITY),
        )
    }


def pyvips_ways() -> dict[str, Way]:
    import pyvips  # type: ignore[import-not-found]

    os.environ.setdefault("VIPS_CONCURRENCY", "1")

    def thumbnail(data: bytes, side: int) -> pyvips.Image:
        return pyvips.Image.thumbnail_buffer(data, side, height=side)

    return {
        "pyvips thumbnail": Way(
            lambda data, side: thumbnail(data, side).numpy(),
            lambda data, side: thumbnail(data, side).jpegsave_buffer(Q=QUALITY),
        )
    }


def show(ways: dict[str, Way], pictures: Sequence[bytes], side: int) -> None:
    seconds = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        for _ in range(WARM):
            way.file(pictures[0], side)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            way.file(pictures[0], side)
            start = time.process_time()
            for data in pictures:
                way.file(data, side)
            seconds[name] = min(seconds[name], time.process_time() - start)
    for name, way in ways.items():
        pairs = [(way.pixels(data, side), reference(data, side)) for data in pictures[:40]]
        near = np.mean([(psnr(*pair), ssim(*pair)) for pair in pairs if pair[0].shape == pair[1].shape], axis=0)
        speed = len(pictures) / seconds[name]
        print(f"  {name:40} {speed:7.0f} images/s   PSNR {near[0]:5.1f} dB   SSIM {near[1]:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of JPEG files")
    parser.add_argument("--images", type=int, default=120, help="number of files")
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 256, 512], help="target sides in pixels")
    parser.add_argument("--peers-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    folder = options.folder or Path(tempfile.gettempdir()) / "tamis-benchmark-resize"
    if options.folder is None and not options.peers_only:
        from benchmarks.fetch import make_pictures
        from benchmarks.rules import default_data

        make_pictures(folder, options.images, default_data())
    pictures = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[: options.images]]
    for side in options.sides:
        ways: dict[str, Way] = {}
        if options.peers_only:
            with suppress(ImportError, OSError):
                ways |= pyvips_ways()
        else:
            print(f"\n{len(pictures)} pictures, inside {side}x{side}", flush=True)
            ways |= ours() | pillow_ways() | opencv_ways()
            with suppress(ImportError, OSError):
                ways |= torchvision_ways()
        show(ways, pictures, side)
        if not options.peers_only and "TAMIS_PEER_PYTHON" in os.environ:
            command = [os.environ["TAMIS_PEER_PYTHON"], __file__, "--peers-only", str(folder), "--sides", str(side)]
            subprocess.run([*command, "--images", str(options.images)], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
