"""A corpus of planted copies and look-alikes, drawn by seed from the real photos, with its truth.

    python -m benchmarks.planted FOLDER [--data FOLDER] [--images N] [--seed N] [--more]

One in eight pictures is an original with four copies, each edited in another way; the other three are photos that look
like them and are no copies: other views of the same car, clothing of the same sender, catalogue pictures of one kind.
Originals alternate between the halves `tune` and `held`, so that what is tuned on one half is judged on the other.
With `--more` the edits are others (`benchmarks.edits`).
`truth.csv` says for each file: shot (pictures of one shot are copies of each other), edit, whether it is plain or
hard, the half, and the photo it was made from.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.edits import EDITS, MORE_EDITS, Random
from benchmarks.rules import default_data

#: Photos of the real data, by their names there, that show one shot, as told by eye.
SAME_SHOTS: tuple[tuple[str, ...], ...] = (
    ("cars/photos/4/1.jpg", "cars/photos/4/2.jpg"),
    ("cars/photos/16/1.jpg", "cars/photos/16/2.jpg"),
    ("cars/photos/32/1.jpg", "cars/photos/32/2.jpg"),
    ("fashion/images/13246.jpg", "fashion/images/13247.jpg"),
    ("fashion/images/13248.jpg", "fashion/images/13249.jpg"),
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


def generate(folder: Path, data: Path, count: int = 4000, seed: int = 0, *, more: bool = False) -> list[Row]:
    """Write the corpus and its truth, or read the truth of one that is there already; `more` takes `MORE_EDITS`.

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
        rows += _plant(folder, data, source, (number, shots(source), half, seed), more=more)
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


def _plant(folder: Path, data: Path, source: str, place: tuple[int, int, str, int], *, more: bool) -> list[Row]:
    number, shot, half, seed = place
    random = np.random.default_rng((seed, number))
    body = (data / source).read_bytes()
    image = np.asarray(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    name = _file_name(seed, source, "original")
    (folder / name).write_bytes(body)
    rows = [Row(name, shot, "original", "", half, source)]
    edits = MORE_EDITS if more else EDITS
    for edit in random.choice(sorted(edits), _COPIES_EACH, replace=False).tolist():
        work, difficulty = edits[edit]
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
    parser.add_argument("--more", action="store_true", help="other edits")
    options = parser.parse_args(arguments)
    rows = generate(options.folder, options.data, options.images, options.seed, more=options.more)
    print(f"{len(rows)} pictures of {len({row.shot for row in rows})} shots in {options.folder}")


if __name__ == "__main__":
    main()
