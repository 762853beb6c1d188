"""Images a second of one inspection (facts, quality, signatures), beside what bounds it and what others do.

python -m benchmarks.inspection [FOLDER] [--images N] [--sides PIXELS ...]

Each long side (0: as the files are) is measured in turn. First on one core, in time of the processor: bare decoders at
the scale of the inspection and in full, the inspection, and the single hash of imagehash and imagededup. Then a whole
folder with two processes: `inspect`, with and without their start, beside imagededup's PHash encoding and cleanvision,
which fork theirs from what is loaded. Peers are used where they are installed, here or in the interpreter that
TAMIS_PEER_PYTHON names.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

#: Each measure is the best of this many rounds: other work on the machine only ever slows it.
ROUNDS = 3
#: Long side that the inspection needs.
REFERENCE = 256
Work = Callable[[bytes], object]


def factor_of(data: bytes) -> int:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    return next((factor for factor in (8, 4, 2) if max(width, height) >= REFERENCE * factor - factor + 1), 1)


def on_one_core(works: dict[str, Work], pictures: Sequence[bytes]) -> Iterator[tuple[str, float]]:
    """Yield each name with its images a second, all in turn in each round."""
    best = dict.fromkeys(works, float("inf"))
    for name, work in works.items():
        with suppress(Exception):
            work(pictures[0])
            continue
        print(f"{name} does not work here: skipped")
        del best[name]
    for _ in range(ROUNDS):
        for name in best:
            start = time.process_time()
            for data in pictures:
                works[name](data)
            best[name] = min(best[name], time.process_time() - start)
    for name, seconds in best.items():
        yield name, len(pictures) / seconds


def simplejpeg_decode(data: bytes, factor: int) -> object:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    return simplejpeg.decode_jpeg(
        data, "RGB", min_width=-(-width // factor), min_height=-(-height // factor), min_factor=factor
    )


def pillow_decode(data: bytes, factor: int) -> object:
    picture = Image.open(BytesIO(data))
    picture.draft("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    return np.asarray(picture)


def opencv_decode(data: bytes, factor: int) -> object:
    flags = {1: 1, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags[factor])


def other_decoders() -> dict[str, Callable[[bytes, int], object]]:
    found: dict[str, Callable[[bytes, int], object]] = {}
    try:
        import turbojpeg  # type: ignore[import-not-found]

        jpeg = turbojpeg.TurboJPEG()
        found["PyTurboJPEG"] = lambda data, factor: jpeg.decode(data, scaling_factor=(1, factor), pixel_format=0)
    except (ImportError, RuntimeError) as error:
        print(f"PyTurboJPEG cannot be used ({str(error).splitlines()[0]}): skipped")
    try:
        import pyvips  # type: ignore[import-not-found]

        found["pyvips"] = lambda data, factor: pyvips.Image.jpegload_buffer(data, shrink=factor).numpy()
    except (ImportError, OSError) as error:
        print(f"pyvips cannot be used ({error}): skipped")
    return found


def decoders_at(
    decoders: dict[str, Callable[[bytes, int], object]], factors: dict[str, int | None], first: bytes
) -> dict[str, Work]:
    usual = factor_of(first)
    return {
        f"{name}, {label}": lambda data, decode=decode, factor=factor or usual: decode(data, factor)
        for label, factor in factors.items()
        for name, decode in decoders.items()
    }


def hashers(paths: dict[bytes, Path]) -> dict[str, Work]:
    found: dict[str, Work] = {}
    try:
        import imagehash  # type: ignore[import-not-found]

        found["imagehash phash alone"] = lambda data: imagehash.phash(Image.open(BytesIO(data)))
    except ImportError:
        print("imagehash is not installed: skipped")
    try:
        from imagededup.methods import PHash  # type: ignore[import-not-found]

        hasher = PHash(verbose=False)
        found["imagededup PHash alone"] = lambda data: hasher.encode_image(image_file=str(paths[data]))
    except ImportError:
        print("imagededup is not installed: skipped")
    return found


def show(name: str, speed: float) -> None:
    print(f"  {name:44} {speed:8.0f} images/s {1e6 / speed:8.0f} us", flush=True)


def show_folder(name: str, count: int, work: Callable[[], object]) -> None:
    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    start, before = time.perf_counter(), cpu()
    work()
    seconds, busy = time.perf_counter() - start, cpu() - before
    print(f"  {name:44} {count / seconds:8.0f} images/s, CPU {busy / count * 1000:6.2f} ms an image", flush=True)


def peers(folder: Path) -> None:
    """Measure what is installed in this interpreter; needs nothing of tamis."""
    paths = {path.read_bytes(): path for path in sorted(folder.glob("*.jpg"))[:100]}
    pictures = list(paths)
    factors = {"the same scale": None, "in full": 1}
    for name, speed in on_one_core({**decoders_at(other_decoders(), factors, pictures[0]), **hashers(paths)}, pictures):
        show(name, speed)
    count = len(list(folder.glob("*.jpg")))
    with suppress(ImportError):
        from imagededup.methods import PHash

        encode = PHash(verbose=False).encode_images
        show_folder("folder: imagededup PHash", count, lambda: encode(image_dir=str(folder), num_enc_workers=2))
    try:
        from cleanvision import Imagelab  # type: ignore[import-not-found]
    except ImportError:
        print("cleanvision is not installed: skipped")
        return
    issues = ("dark", "light", "odd_aspect_ratio", "low_information", "blurry", "grayscale", "odd_size")
    laboratory = Imagelab(data_path=str(folder))
    show_folder(
        "folder: cleanvision, quality alone",
        count,
        lambda: laboratory.find_issues({name: {} for name in issues}, n_jobs=2, verbose=False),
    )


def inspect_files(paths: Sequence[Path]) -> int:
    from tamis.vision.inspect import inspect_images

    cv2.setNumThreads(1)
    return sum(record.readable for record in inspect_images((1, path.read_bytes()) for path in paths))


def show_inspected(folder: Path, count: int) -> None:
    """Inspect a folder twice: with two processes that are yet to be started, then with the same ones."""
    paths = sorted(folder.glob("*.jpg"))
    parts = [paths[start : start + 32] for start in range(0, len(paths), 32)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for when in ("start of processes included", "processes running"):
            start = time.perf_counter()
            sum(pool.map(inspect_files, parts))
            speed = count / (time.perf_counter() - start)
            print(f"  {f'folder: inspect, {when}':44} {speed:8.0f} images/s", flush=True)


def write_pictures(sources: Sequence[bytes], folder: Path, side: int, count: int) -> None:
    """Write so many files, repeating the pictures at hand, as they are or in another size."""
    for number, data in enumerate(sources[:count]):
        changed = data
        if side:
            image = simplejpeg.decode_jpeg(data, "RGB")
            factor = side / max(image.shape[:2])
            larger = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            changed = simplejpeg.encode_jpeg(np.ascontiguousarray(larger), quality=90, colorspace="RGB")
        first = folder / f"{number:05}.jpg"
        first.write_bytes(changed)
        for copy in range(number + len(sources), count, len(sources)):
            (folder / f"{copy:05}.jpg").hardlink_to(first)


def measure(sources: Sequence[bytes], side: int, count: int) -> None:
    from tamis.vision.inspect import inspect_image, inspect_images

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pictures(sources, folder, side, count)
        pictures = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[: min(100, len(sources))]]
        size = sum(map(len, pictures)) / len(pictures) / 1000
        print(f"\nlong side {side or 'as it is'}, {size:.0f} kB on average; decoded at 1/{factor_of(pictures[0])}")
        decoders = {"simplejpeg": simplejpeg_decode, "OpenCV": opencv_decode, "Pillow draft": pillow_decode}
        works: dict[str, Work] = {
            **decoders_at(decoders, {"the same scale": None}, pictures[0]),
            "simplejpeg, 1/4": lambda data: simplejpeg_decode(data, 4),
            **decoders_at(decoders, {"in full": 1}, pictures[0]),
            "inspect, one at a time": lambda data: inspect_image(1, data),
        }
        for name, speed in on_one_core(works, pictures):
            show(name, speed)
        thumbnails: list[bytes] = []
        batch: dict[str, Work] = {
            "inspect": lambda _: list(inspect_images((1, data) for data in pictures)),
            "inspect, thumbnails too": lambda _: list(
                inspect_images(((1, data) for data in pictures), shown=lambda _, jpeg: thumbnails.append(jpeg))
            ),
        }
        for name, speed in on_one_core(batch, pictures[:1]):
            show(name, speed * len(pictures))
        print(f"  a thumbnail has {sum(map(len, thumbnails)) / len(thumbnails) / 1000:.1f} kB on average")
        show_inspected(folder, count)
        python = os.environ.get("TAMIS_PEER_PYTHON", sys.executable)
        subprocess.run([python, __file__, "--peers-only", str(folder)], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "cars" / "photos"
    parser.add_argument("folder", type=Path, nargs="?", default=default, help="folder of JPEG files")
    parser.add_argument("--images", type=int, default=2000, help="number of files in the folder")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[0, 1280], help="long sides, 0 for the files as they are"
    )
    parser.add_argument("--peers-only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.peers_only is not None:
        peers(options.peers_only)
        return
    sources = [path.read_bytes() for path in sorted(options.folder.rglob("*.jpg"))[:250]]
    for side in options.sides:
        measure(sources, side, options.images)


if __name__ == "__main__":
    main()
