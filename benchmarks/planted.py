"""A corpus of planted copies and look-alikes, drawn by seed from the real photos, with its truth.

    python -m benchmarks.planted FOLDER [--data FOLDER] [--images N] [--seed N]

One in eight pictures is an original with four copies, each edited in another way; the other three are photos that look
like them and are no copies: other views of the same car, clothing of the same sender, catalogue pictures of one kind.
Originals alternate between the halves `tune` and `held`, so that what is tuned on one half is judged on the other.
`truth.csv` says for each file: shot (pictures of one shot are copies of each other), edit, whether it is plain or
hard, the half, and the photo it was made from.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rules import default_data

Image = NDArray[np.uint8]
Random = np.random.Generator

#: Photos of the real data, by their names there, that show one shot, as told by eye.
SAME_SHOTS: tuple[tuple[str, ...], ...] = (
    ("cars/photos/4/1.jpg", "cars/photos/4/2.jpg"),
    ("cars/photos/16/1.jpg", "cars/photos/16/2.jpg"),
    ("cars/photos/32/1.jpg", "cars/photos/32/2.jpg"),
)
_COPIES_EACH = 4
_TRUTH = "truth.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of the corpus; photos that nobody edited are `original` or `look-alike`."""

    file: str
    shot: int
    edit: str
    difficulty: str
    half: str
    source: str


# --- edits --------------------------------------------------------------------------------------------------------


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


Edit = Callable[[Image, Random], Image]


def several(image: Image, random: Random) -> Image:
    """Two or three edits, of which one at most moves the frame, and a strong compression at the end."""
    framing: list[Edit] = [mirrored, cropped_5, cropped_15, bordered, turned_3]
    look: list[Edit] = [recoloured, greyed, watermarked, bannered, resized]
    chosen = [framing[int(random.integers(len(framing)))]]
    chosen += [look[int(place)] for place in random.choice(len(look), int(random.integers(1, 3)), replace=False)]
    for edit in chosen:
        image = edit(image, random)
    return recompressed(image, random)


#: Name to edit and difficulty.
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


# --- the corpus ---------------------------------------------------------------------------------------------------


def photos(data: Path) -> dict[str, list[str]]:
    """Return the photos by what they may be mistaken for (a listing, a sender, a kind of article), byte copies once."""
    groups: dict[str, list[str]] = defaultdict(list)
    seen: set[bytes] = set()

    def take(group: str, name: str) -> None:
        path = data / name
        digest = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
        if digest and digest not in seen:
            seen.add(digest)
            groups[group].append(name)

    for row in _table(data / "cars" / "photos.csv"):
        take(f"car {row['listing']}", f"cars/{row['file']}")
    for row in _table(data / "clothing" / "clothing.csv"):
        take(f"sender {row['sender_id']}", f"clothing/{row['file']}")
    for row in _table(data / "fashion" / "products.csv"):
        take(f"article {row['articleType']}", f"fashion/{row['file']}")
    return groups


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def generate(folder: Path, data: Path, count: int = 4000, seed: int = 0) -> list[Row]:
    """Write the corpus and its truth, or read the truth of one that is there already.

    Raises:
        SystemExit: there are too few photos for so many pictures.
    """
    truth = folder / _TRUTH
    if truth.is_file():
        return [Row(**{**row, "shot": int(row["shot"])}) for row in _table(truth)]  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    originals, others = _choose(photos(data), count, np.random.default_rng(seed))
    shots = _Shots()
    rows: list[Row] = []
    for number, source in enumerate(originals):
        half = "held" if number % 2 else "tune"
        rows += _plant(folder, data, source, (number, shots(source), half, seed))
    for number, source in enumerate(others):
        file = _file_name(seed, source, "look-alike")
        (folder / file).write_bytes((data / source).read_bytes())
        rows.append(Row(file, shots(source), "look-alike", "", "held" if number % 2 else "tune", source))
    with truth.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(Row.__slots__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return rows


def _choose(groups: dict[str, list[str]], count: int, random: Random) -> tuple[list[str], list[str]]:
    """Choose originals evenly from cars, clothing and catalogue, and look-alikes from the groups of the originals."""
    with_copies = count // (2 * _COPIES_EACH)
    kinds: dict[str, list[str]] = defaultdict(list)
    group_of: dict[str, str] = {}
    for group, names in groups.items():
        for name in names:
            kinds[name.split("/")[0]].append(name)
            group_of[name] = group
    originals: list[str] = []
    for turn, kind in enumerate(sorted(kinds)):
        wanted = (with_copies - len(originals)) // (len(kinds) - turn)
        originals += [str(name) for name in random.permutation(sorted(kinds[kind]))[:wanted]]
    taken, alike_groups = set(originals), {group_of[name] for name in originals}
    rest = [str(name) for name in random.permutation(sorted(set(group_of) - taken))]
    # Stable: what shares a group with an original goes first, and cars before all, which are most alike.
    rest.sort(key=lambda name: (group_of[name] not in alike_groups, not name.startswith("cars/")))
    wanted = count - (1 + _COPIES_EACH) * len(originals)
    if len(originals) < with_copies or len(rest) < wanted:
        raise SystemExit(f"too few photos for a corpus of {count} pictures: {len(group_of)}")
    return [str(name) for name in random.permutation(originals)], rest[:wanted]


class _Shots:
    """Numbers photos by the shot they show."""

    def __init__(self) -> None:
        self._same = {name: names[0] for names in SAME_SHOTS for name in names}
        self._numbers: dict[str, int] = {}

    def __call__(self, source: str) -> int:
        return self._numbers.setdefault(self._same.get(source, source), len(self._numbers))


def _plant(folder: Path, data: Path, source: str, place: tuple[int, int, str, int]) -> list[Row]:
    number, shot, half, seed = place
    random = np.random.default_rng((seed, number))
    body = (data / source).read_bytes()
    image = np.asarray(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    name = _file_name(seed, source, "original")
    (folder / name).write_bytes(body)
    rows = [Row(name, shot, "original", "", half, source)]
    for edit in random.choice(sorted(EDITS), _COPIES_EACH, replace=False).tolist():
        work, difficulty = EDITS[edit]
        file = _file_name(seed, source, edit)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(75, 93))]
        cv2.imwrite(str(folder / file), work(image, random), quality)
        rows.append(Row(file, shot, edit, difficulty, half, source))
    return rows


def _file_name(seed: int, source: str, edit: str) -> str:
    """Name a picture so that the order of the names tells nothing."""
    return hashlib.sha256(f"{seed} {source} {edit}".encode()).hexdigest()[:16] + ".jpg"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the corpus")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the real data")
    parser.add_argument("--images", type=int, default=4000, help="pictures in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = generate(options.folder, options.data, options.images, options.seed)
    print(f"{len(rows)} pictures of {len({row.shot for row in rows})} shots in {options.folder}")


if __name__ == "__main__":
    main()
