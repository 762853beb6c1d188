"""How large the pictures are, what would be enlarged at each target size, and which target that speaks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading
from tamis.errors import Unreadable, UserError
from tamis.project import Project
from tamis.report.figures import shares_figure, stacked_figure
from tamis.report.judged import crop_of, judged_regions
from tamis.report.page import write_page
from tamis.vision.header import Header, is_whole, probe
from tamis.vision.picturefiles import picture_files, read_picture

#: Sides in pixels that networks are commonly given, and for which shares are told.
TARGETS = (64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1080)
#: Share of enlarged pictures up to which a target is proposed.
MOST_ENLARGED = 0.1
_QUANTILES = {"least": 0.0, "tenth": 0.1, "median": 0.5, "nine_tenths": 0.9, "largest": 1.0}

#: Called with pictures done, pictures in all, and a text.
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Number of pictures by their longer and by their shorter side, in pixels.

    `unreadable` names the files that cannot be read, with the `reason`; `folder` is the plain folder measured.
    """

    longer: Mapping[int, int]
    shorter: Mapping[int, int]
    unreadable: Sequence[Mapping[str, str]] = ()
    folder: Path | None = None

    @classmethod
    def of(
        cls,
        sizes_wh: Iterable[tuple[int, int]],
        unreadable: Sequence[Mapping[str, str]] = (),
        folder: Path | None = None,
    ) -> Sizes:
        """Count sizes; `unreadable` may grow while `sizes_wh` is read."""
        longer, shorter = Counter[int](), Counter[int]()
        for width, height in sizes_wh:
            longer[max(width, height)] += 1
            shorter[min(width, height)] += 1
        return cls(longer, shorter, unreadable, folder)

    @property
    def pictures(self) -> int:
        """Number of pictures that were measured."""
        return sum(self.longer.values())


@dataclass(frozen=True, slots=True)
class Target:
    """A side in pixels, and the share of pictures that would be enlarged: fitted inside it, and cropped to fill it."""

    size: int
    inside: float
    crop: float


def enlarged_at(sizes: Sizes, targets: Sequence[int] = TARGETS) -> list[Target]:
    """Return for each target the share of pictures that would be enlarged.

    A picture that is fitted inside a square is enlarged when its longer side is shorter than that, one that is
    cropped to fill the square when its shorter side is; stretching enlarges in the second case too.
    """
    return [Target(size, _share_below(sizes.longer, size), _share_below(sizes.shorter, size)) for size in targets]


def proposed(targets: Sequence[Target], most: float = MOST_ENLARGED) -> dict[str, int | None]:
    """Return by fit the largest target at which no more than a share of `most` is enlarged, or None."""
    return {
        "letterbox": max((target.size for target in targets if target.inside <= most), default=None),
        "crop": max((target.size for target in targets if target.crop <= most), default=None),
    }


def project_sizes(project: Project, progress: Progress | None = None) -> Sizes:
    """Measure the crops that the project keeps: chosen regions whose verdict is keep, with their margin."""
    with reading(project.engine) as connection:
        total = connection.scalar(sa.select(sa.func.count()).where(schema.inspection.c.readable.is_(sa.true())))

        def kept() -> Iterator[tuple[int, int]]:
            for done, (one, verdict) in enumerate(judged_regions(connection, project.settings), 1):
                if progress is not None and done % 500 == 0:
                    progress(done, max(total or 0, done), "regions judged")
                if verdict.verdict == "keep":
                    x0, y0, x1, y1 = crop_of(one, project.settings)
                    yield x1 - x0, y1 - y0

        return Sizes.of(kept())


def folder_sizes(folder: Path, progress: Progress | None = None) -> Sizes:
    """Measure the pictures of a plain folder, at any depth, upright; no pixel is decoded.

    Which files count is said in `tamis.vision.picturefiles`; those that are cut off cannot be read.

    Raises:
        UserError: no folder, or one that cannot be read.
    """
    files = picture_files(folder)
    unreadable: list[dict[str, str]] = []

    def sizes() -> Iterator[tuple[int, int]]:
        for done, name in enumerate(files, 1):
            try:
                header = _header_of(folder / name)
                yield header.width, header.height
            except Unreadable as error:
                unreadable.append({"file": name, "reason": error.reason})
            if progress is not None:
                progress(done, len(files), "")

    return Sizes.of(sizes(), unreadable, folder)


def _header_of(path: Path) -> Header:
    data = read_picture(path)
    header = probe(data)
    if not is_whole(data, header.format):
        raise Unreadable("truncated")
    return header


def sizes_summary(sizes: Sizes, most: float = MOST_ENLARGED) -> dict[str, Any]:
    """Return the figures of the report as one document.

    Raises:
        UserError: there are no pictures.
    """
    if not sizes.pictures:
        raise UserError(f"there are no pictures to measure{_lacking(sizes)}")
    targets = enlarged_at(sizes)
    return {
        "pictures": sizes.pictures,
        "unreadable": len(sizes.unreadable),
        "unreadable_files": [dict(row) for row in sizes.unreadable],
        "longer_side": _quantiles(sizes.longer),
        "shorter_side": _quantiles(sizes.shorter),
        "targets": [{"size": one.size, "inside": round(one.inside, 4), "crop": round(one.crop, 4)} for one in targets],
        "most_enlarged": most,
        "proposed": proposed(targets, most),
    }


def write_sizes_report(name: str, sizes: Sizes, path: Path, most: float = MOST_ENLARGED) -> dict[str, Any]:
    """Write the report on a project or folder `name` into `path`; returns the summary.

    Raises:
        UserError: there are no pictures, or the file cannot be written.
    """
    summary = sizes_summary(sizes, most)
    targets = enlarged_at(sizes)
    chosen = summary["proposed"]
    curves = {"fitted inside": [one.inside for one in targets], "cropped to fill": [one.crop for one in targets]}
    values = {
        "name": name,
        "summary": summary,
        "longer": _histogram(sizes.longer),
        "shorter": _histogram(sizes.shorter),
        "shares": shares_figure([one.size for one in targets], curves, most, list(chosen.values())),
        "targets": targets,
    }
    write_page("sizes.html.j2", values, path)
    return summary


def _lacking(sizes: Sizes) -> str:
    if sizes.folder is None:
        return ": `tamis run` makes regions, `tamis status` tells what is there"
    if sizes.unreadable:
        first = sizes.unreadable[0]
        return f" in {sizes.folder}: {len(sizes.unreadable)} cannot be read, such as {first['file']}: {first['reason']}"
    return f" in {sizes.folder} and the folders below it"


def _share_below(counts: Mapping[int, int], side: int) -> float:
    return sum(count for value, count in counts.items() if value < side) / (sum(counts.values()) or 1)


def _quantiles(counts: Mapping[int, int]) -> dict[str, int]:
    total = sum(counts.values())
    found: dict[str, int] = {}
    for name, share in _QUANTILES.items():
        seen = 0
        for value in sorted(counts):
            seen += counts[value]
            if seen >= max(1.0, share * total):
                found[name] = value
                break
    return found


def _histogram(counts: Mapping[int, int]) -> Any:
    names = [f"under {TARGETS[0]} px"]
    names += [f"{low} to {high - 1} px" for low, high in pairwise(TARGETS)]
    names.append(f"{TARGETS[-1]} px and over")
    bars = [[0] for _ in names]
    for value, count in counts.items():
        bars[sum(value >= bound for bound in TARGETS)][0] += count
    return stacked_figure(names, bars, ("pictures",), "Pictures by size")
