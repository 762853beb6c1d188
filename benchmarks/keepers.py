"""How often the photo stays beside a copy of it, by policy, by what was done to the copy, and by half of the photos.

    python -m benchmarks.keepers [--data FOLDER] [--every N]

Photos are drawn from the real data by a fixed rule, or every N-th of them. The ranking was fitted on the half `tune`;
no listing of cars is in both halves. Marks, frames and banners come twice: coded as well as the photo was, and better.
The last line sets all copies but the enlarged one beside the photo at once. Ties go against the photo.
"""

from __future__ import annotations

import argparse
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont, JpegImagePlugin

from benchmarks.rules import default_data
from tamis.records import KeeperPolicy
from tamis.vision.inspect import inspect_image
from tamis.vision.keepers import Facts, Ranking, facts_of

Picture = Image.Image
Random = np.random.Generator
Mark = Callable[[Picture, Random], Picture]

#: Folders of the real data, and which of their photos are drawn.
DRAWN = {"cars": slice(7, None, 6), "clothing": slice(5, None, 16), "fashion": slice(5, None, 55)}
POLICIES = [policy for policy in get_args(KeeperPolicy) if policy != "first"]
ORIGINAL, ENLARGED = "original", "larger by half"
#: By how much better a copy is coded than the photo, and the best quality of all.
_BETTER, _BEST = 12, 97
_TEXTS = ("www.shop.example", "AUTOHAUS MEYER", "SAMPLE 2026", "@vintage_anna", "DEALER 0171 2345")


def photos(data: Path) -> list[tuple[Path, str]]:
    """The photos, and the half of each."""
    found = []
    for name, drawn in DRAWN.items():
        for place, path in enumerate(sorted((data / name).rglob("*.jpg"))[drawn]):
            parity = zlib.crc32(path.parent.name.encode()) if name == "cars" else place
            found.append((path, "tune" if parity % 2 else "held"))
    return found


def jpeg(picture: Picture, quality: int) -> bytes:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def quantisation(data: bytes) -> int:
    """Sum of the first table by which a JPEG was quantised."""
    picture = Image.open(BytesIO(data))
    assert isinstance(picture, JpegImagePlugin.JpegImageFile)
    return sum(picture.quantization[0])


@lru_cache(maxsize=1)
def _qualities() -> dict[int, int]:
    return {quality: quantisation(jpeg(Image.new("RGB", (8, 8)), quality)) for quality in range(20, 99)}


def quality_of(data: bytes) -> int:
    """The quality at which a JPEG was coded, as far as its table tells."""
    wanted = quantisation(data)
    return min(_qualities(), key=lambda quality: abs(_qualities()[quality] - wanted))


def lettered(picture: Picture, random: Random, height: float, opacity: float, place: tuple[float, float]) -> Picture:
    """Letters of a height as a share of the picture's, at a place as shares of what they leave free."""
    layer, font = Image.new("RGBA", picture.size), ImageFont.load_default(max(8, round(height * picture.height)))
    draw, text = ImageDraw.Draw(layer), str(random.choice(_TEXTS))
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    x, y = place[0] * (picture.width - right + left) - left, place[1] * (picture.height - bottom + top) - top
    draw.text((x, y), text, _ink(random, opacity), font)
    if place == (0.5, 0.5) and random.random() < 0.5:
        layer = layer.rotate(30, Image.Resampling.BICUBIC)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _ink(random: Random, opacity: float) -> tuple[int, int, int, int]:
    tone = 255 if random.random() < 0.7 else 15
    return tone, tone, tone, round(255 * opacity)


def _corner(random: Random) -> tuple[float, float]:
    x, y = random.choice([0.03, 0.97], 2)
    return float(x), float(y)


def tiled(picture: Picture, random: Random) -> Picture:
    """Faint letters all over the picture, level or slanting."""
    width, height = 2 * picture.width, 2 * picture.height
    layer, font = Image.new("RGBA", (width, height)), ImageFont.load_default(max(8, round(0.035 * picture.width)))
    draw, text, ink = ImageDraw.Draw(layer), str(random.choice(_TEXTS)), _ink(random, random.uniform(0.25, 0.5))
    step = round(1.5 * draw.textlength(text, font))
    for row, y in enumerate(range(0, height, max(12, picture.height // 5))):
        for x in range(-(row % 2) * step // 2, width, step):
            draw.text((x, y), text, ink, font)
    layer = layer.rotate(float(random.choice([0, 30])), Image.Resampling.BICUBIC)
    left, top = picture.width // 2, picture.height // 2
    part = layer.crop((left, top, left + picture.width, top + picture.height))
    return Image.alpha_composite(picture.convert("RGBA"), part).convert("RGB")


def framed(picture: Picture, random: Random) -> Picture:
    side = picture.width // 14
    canvas = Image.new("RGB", (picture.width + 2 * side, picture.height + 2 * side), str(random.choice(_FRAMES)))
    canvas.paste(picture, (side, side))
    return canvas


_FRAMES = ("white", "black", "maroon")


def bannered(picture: Picture, random: Random) -> Picture:
    canvas, rows = picture.copy(), round(picture.height * random.uniform(0.08, 0.14))
    top = 0 if random.random() < 0.4 else picture.height - rows
    red, green, blue = (int(value) for value in random.integers(0, 120, 3))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(max(8, round(0.6 * rows)))
    draw.rectangle((0, top, picture.width, top + rows), (red, green, blue))
    draw.text((0.03 * picture.width, top + 0.15 * rows), f"{random.choice(_TEXTS)}  0123", (250, 250, 250), font)
    return canvas


MARKS: dict[str, Mark] = {
    "frame": framed,
    "banner": bannered,
    "small letters in a corner": lambda picture, random: lettered(picture, random, 0.035, 1, _corner(random)),
    "large letters in a corner": lambda picture, random: lettered(picture, random, 0.075, 1, _corner(random)),
    "faint letters in a corner": lambda picture, random: lettered(picture, random, 0.06, 0.5, _corner(random)),
    "faint letters in the middle": lambda picture, random: lettered(picture, random, 0.12, 0.4, (0.5, 0.5)),
    "faint letters all over": tiled,
}


def resized(picture: Picture, factor: float) -> Picture:
    size = round(picture.width * factor), round(picture.height * factor)
    return picture.resize(size, Image.Resampling.LANCZOS)


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the photo and its copies, by what was done to them."""
    data = path.read_bytes()
    picture, own = Image.open(BytesIO(data)).convert("RGB"), quality_of(data)
    better = min(_BEST, own + _BETTER)
    yield ORIGINAL, data
    for quality in (30, 50, 65):
        yield f"quality {quality}", jpeg(picture, quality)
    yield "quality, better", jpeg(picture, better)
    yield "half as large", jpeg(resized(picture, 0.5), 95)
    yield "three quarters as large", jpeg(resized(picture, 0.75), 95)
    yield ENLARGED, jpeg(resized(picture, 1.5), 95)
    yield "halved and doubled", jpeg(resized(picture, 0.5).resize(picture.size, Image.Resampling.BICUBIC), 95)
    for name, mark in MARKS.items():
        marked = mark(picture, np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}/{name}".encode())))
        yield f"{name}, as well", jpeg(marked, own)
        yield f"{name}, better", jpeg(marked, better)


def judge(path: Path) -> dict[tuple[str, KeeperPolicy], bool]:
    """Whether the photo stays, by what was done to the copy beside it and by policy."""
    known = {name: _facts(data, name) for name, data in files(path)}
    stays = {}
    for policy in POLICIES:
        stays |= {(name, policy): _stays(policy, known, [name]) for name in known if name != ORIGINAL}
        stays["all at once", policy] = _stays(
            policy, known, [name for name in known if name not in (ORIGINAL, ENLARGED)]
        )
    return stays


def _facts(data: bytes, name: str) -> Facts:
    record = inspect_image(1, data)
    return facts_of(record, (record.width or 0) * (record.height or 0), len(data), "~" if name == ORIGINAL else name)


def _stays(policy: KeeperPolicy, known: dict[str, Facts], names: list[str]) -> bool:
    facts = dict(enumerate(known[name] for name in (ORIGINAL, *names)))
    copies = {one: [other for other in facts if other != one] for one in facts}
    return min(facts, key=Ranking(policy, facts, frozenset(), copies)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the real data")
    parser.add_argument("--every", type=int, default=1, help="how many photos one stands for")
    options = parser.parse_args()
    drawn = photos(options.data)[:: options.every]
    stays: dict[tuple[str, KeeperPolicy], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for (_, half), found in zip(drawn, pool.map(judge, [path for path, _ in drawn], chunksize=4), strict=True):
            for key, stayed in found.items():
                stays[key][half].append(stayed)
    print(f"{f'per cent of {len(drawn)} photos, tune and held':36}" + "".join(f"{policy:>16}" for policy in POLICIES))
    for name in dict.fromkeys(name for name, _ in stays):
        halves = [stays[name, policy][half] for policy in POLICIES for half in ("tune", "held")]
        print(f"{name:36}" + "".join(f"{100 * sum(half) / len(half):8.0f}" for half in halves))


if __name__ == "__main__":
    main()
