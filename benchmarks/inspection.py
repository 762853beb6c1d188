"""Images a second of one inspection (facts, quality, signatures), beside what bounds it and what others do.

    python benchmarks/inspection.py [FOLDER] [--images N] [--side PIXELS]

The bound is a bare colour decode by libjpeg-turbo at the same scale. imagehash and imagededup, which compute a single
hash, are measured in the same run where they are installed. One thread, one process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from tamis.vision.inspect import inspect_image, inspect_with_parts

#: Each measure is the best of this many rounds: other work on the machine only ever slows it.
ROUNDS = 3


def images_per_second(work: Callable[[bytes], object], pictures: Sequence[bytes]) -> float:
    work(pictures[0])
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for data in pictures:
            work(data)
        best = min(best, time.process_time() - start)
    return len(pictures) / best


def scaled_decode(data: bytes) -> object:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    factor = next((factor for factor in (8, 4, 2) if max(width, height) >= 256 * factor - factor + 1), 1)
    return simplejpeg.decode_jpeg(
        data, "RGB", min_width=-(-width // factor), min_height=-(-height // factor), min_factor=factor
    )


def full_decode(data: bytes) -> object:
    return simplejpeg.decode_jpeg(data, "RGB")


def peers() -> dict[str, Callable[[bytes], object]]:
    found: dict[str, Callable[[bytes], object]] = {}
    try:
        import imagehash  # type: ignore[import-not-found]

        found["imagehash phash alone"] = lambda data: imagehash.phash(Image.open(BytesIO(data)))
    except ImportError:
        print("imagehash is not installed: skipped")
    try:
        from imagededup.methods import PHash  # type: ignore[import-not-found]

        hasher = PHash()
        found["imagededup PHash alone"] = lambda data: hasher.encode_image(
            image_array=np.asarray(Image.open(BytesIO(data)))
        )
    except ImportError:
        print("imagededup is not installed: skipped")
    return found


def read_pictures(folder: Path, count: int, side: int | None) -> list[bytes]:
    pictures = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:count]]
    if side is None:
        return pictures
    resized = []
    for data in pictures:
        image = simplejpeg.decode_jpeg(data, "RGB")
        factor = side / max(image.shape[:2])
        larger = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        resized.append(simplejpeg.encode_jpeg(np.ascontiguousarray(larger), quality=90, colorspace="RGB"))
    return resized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "cars" / "photos"
    parser.add_argument("folder", type=Path, nargs="?", default=default, help="folder of JPEG files")
    parser.add_argument("--images", type=int, default=200, help="number of files")
    parser.add_argument("--side", type=int, help="resize to this long side first")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = read_pictures(options.folder, options.images, options.side)
    print(f"{len(pictures)} pictures, {sum(map(len, pictures)) / len(pictures) / 1000:.0f} kB on average")
    works: dict[str, Callable[[bytes], object]] = {
        "bare decode at the same scale": scaled_decode,
        "bare decode in full": full_decode,
        "inspect": lambda data: inspect_image(1, data),
        "inspect with parts": lambda data: inspect_with_parts(1, data),
        **peers(),
    }
    speeds = {name: images_per_second(work, pictures) for name, work in works.items()}
    bound = speeds["bare decode at the same scale"]
    for name, speed in speeds.items():
        print(f"{name:32} {speed:8.0f} images/s  {speed / bound:6.2f} of the bound")


if __name__ == "__main__":
    main()
