"""The threshold of the duplicates, fitted to what people said of pairs, and set in `tamis.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from tamis import schema
from tamis.database import reading
from tamis.errors import ProjectError, UserError
from tamis.project import Project
from tamis.records import Level
from tamis.settingsfile import FILE_NAME, parse_settings
from tamis.stages.comparisons import agreed, read_said, select_said
from tamis.vision.clusters import Clustering
from tamis.vision.threshold import Step, choose_step, threshold_steps

#: Pairs that people must agree on before a threshold is fitted, and how many of each kind.
NEEDED, NEEDED_EACH = 30, 5
SECTIONS: dict[Level, str] = {"image": "duplicates", "region": "regionduplicates"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold fitted to what people said.

    Attributes:
        section: table of `tamis.toml` that holds the threshold.
        current: the threshold in force.
        judged: pairs that people agree on.
        steps: what each threshold would bring, from low to high.
        chosen: the lowest that reaches the wanted precision; None where none does.
        threshold: `chosen` in as few digits as part the same pairs; None where there is none.
    """

    section: str
    current: float
    judged: int
    steps: tuple[Step, ...]
    chosen: Step | None
    threshold: float | None


def calibrate(project: Project, level: Level, precision: float, *, surely: bool = False) -> Calibration:
    """Fit the threshold of a level to what people said.

    Args:
        project: an open project.
        level: images, or regions.
        precision: wanted share of same pairs among those that join, 0 to 1.
        surely: whether the lower end of the precision's interval must reach it.

    Raises:
        UserError: people agree on too few pairs; the message says how many are needed.
    """
    section = SECTIONS[level]
    settings = project.settings.duplicates if level == "image" else project.settings.regionduplicates
    kinds = Clustering(level, mirrored=settings.mirrored, rotated=settings.rotated).joined
    column = schema.relation.c
    statement = sa.select(column.first_id, column.second_id, column.score)
    with reading(project.engine) as connection:
        said = agreed(read_said(connection.execute(select_said(level))))
        rows = connection.execute(statement.where(column.level == level, column.kind.in_(kinds))).all()
    judged = [(row.score, said[row.first_id, row.second_id]) for row in rows if (row.first_id, row.second_id) in said]
    same = np.array([answer for _, answer in judged], bool)
    _check_enough(level, len(same), int(same.sum()))
    scores = np.array([score for score, _ in judged], np.float64)
    everything = np.array([row.score for row in rows], np.float64)
    steps = threshold_steps(everything, scores, same)
    chosen = choose_step(steps, precision, surely=surely)
    threshold = _round_down(chosen.threshold, everything) if chosen else None
    return Calibration(section, settings.threshold, len(same), tuple(steps), chosen, threshold)


def _check_enough(level: Level, judged: int, same: int) -> None:
    lacks = {
        "pairs in all": NEEDED - judged,
        "that are the same": NEEDED_EACH - same,
        "that are not": NEEDED_EACH - (judged - same),
    }
    if missing := [f"{count} more {what}" for what, count in lacks.items() if count > 0]:
        raise UserError(
            f"too few verdicts on pairs of {level}s: people agree on {judged} ({same} same, {judged - same} not), "
            f"and a threshold needs {', '.join(missing)}; judge pairs at /copies of `tamis serve`"
        )


def _round_down(threshold: float, scores: np.typing.NDArray[np.float64]) -> float:
    for digits in (2, 3, 4):
        rounded = float(np.floor(threshold * 10**digits) / 10**digits)
        if not ((scores >= rounded) & (scores < threshold)).any():
            return rounded
    return threshold


def write_threshold(folder: Path, section: str, threshold: float) -> Path:
    """Set the threshold of a section in `tamis.toml`, and change nothing else there; return the file's path.

    Raises:
        ProjectError: the file is written in a way that can't be edited line by line.
    """
    path = folder / FILE_NAME
    text = path.read_bytes().decode()
    edited = set_number(text, section, "threshold", threshold)
    try:
        parse_settings(edited, str(path))
        wanted = tomllib.loads(text)
        wanted.setdefault(section, {})["threshold"] = threshold
        unchanged = tomllib.loads(edited) == wanted
    except (ProjectError, tomllib.TOMLDecodeError, AttributeError, TypeError):
        unchanged = False
    if not unchanged:
        raise ProjectError(
            f"{path} can't be edited safely: write `threshold = {threshold:g}` below [{section}] by hand"
        )
    path.write_bytes(edited.encode())
    return path


def set_number(text: str, section: str, key: str, value: float) -> str:
    """Return a TOML text with `key` of a table set to a number; comments and all other lines stay as they are."""
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"\s*\[\s*{re.escape(section)}\s*\]\s*(#.*)?$")
    start = next((place for place, line in enumerate(lines) if header.match(line)), None)
    if start is None:
        return f"{text.rstrip()}\n\n[{section}]\n{key} = {value!r}\n".lstrip("\n")
    setting = re.compile(rf"(\s*{re.escape(key)}\s*=\s*)([^\s#]+)(.*)", re.DOTALL)
    for place in range(start + 1, len(lines)):
        if re.match(r"\s*\[", lines[place]):
            break
        if found := setting.match(lines[place]):
            lines[place] = f"{found[1]}{value!r}{found[3]}"
            return "".join(lines)
    if not lines[start].endswith("\n"):
        lines[start] += "\n"
    lines.insert(start + 1, f"{key} = {value!r}\n")
    return "".join(lines)
