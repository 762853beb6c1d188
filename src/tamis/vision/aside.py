"""Files put aside into another folder, and put back: nothing is ever overwritten, and a kill at any moment is undone.

Each move is written to an undo file, and on the disk, before it begins. The undo file is JSON lines: a head with the
two folders, then one line a move. What a move that was killed left behind (an empty file that holds the place, a part
of a copy, a copy whose original still stands) is recognised from that line: the undo file alone restores everything.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any, TypedDict
from uuid import uuid4

from tamis.errors import Interrupted, UserError

_KIND = "tamis dedupe"
_UNDO_NAME = "tamis-undo{}.jsonl"


class Reason(TypedDict):
    """A file that was left where it is, and why."""

    file: str
    reason: str


class Moved(TypedDict):
    """A file that was moved: its path in the folder, and in the folder where it is now."""

    file: str
    to: str


class Moves(TypedDict):
    """What was put aside, what was left, and the undo file (null where nothing was moved)."""

    moved: list[Moved]
    left: list[Reason]
    undo: str | None


class Restored(TypedDict):
    """How many files were put back, how many were in their place already, and those that could not be."""

    restored: int
    present: int
    failed: list[Reason]


#: Called with what is done, how much there is, and a text.
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One move as the undo file has it: paths below the two folders, and the file's size in bytes."""

    number: int
    source: PurePosixPath
    target: PurePosixPath
    size: int


class _UndoFile:
    """An undo file that is being written; every line is on the disk before its move begins."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self.token = uuid4().hex
        self._entries = 0
        for number in count(1):
            self.path = aside / _UNDO_NAME.format(f"-{number}" if number > 1 else "")
            with suppress(FileExistsError):
                self._handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                break
        self._write({"kind": _KIND, "version": 1, "token": self.token, "folder": str(folder), "aside": str(aside)})
        _sync_folder(aside)

    def announce(self, source: PurePosixPath, target: PurePosixPath, size: int) -> _Entry:
        """Write down a move that is about to begin."""
        entry = _Entry(self._entries, source, target, size)
        self._write({"n": entry.number, "from": str(source), "to": str(target), "size": size})
        self._entries += 1
        return entry

    def withdraw(self, entry: _Entry) -> None:
        """Write down that a move was not made."""
        self._write({"void": entry.number})

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _write(self, line: dict[str, Any]) -> None:
        # Names that are no valid text have lone surrogates, which only ASCII escapes carry.
        data = (json.dumps(line) + "\n").encode("ascii")
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)


def put_aside(
    folder: Path, clusters: Iterable[tuple[str, Sequence[str]]], aside: Path, progress: Progress | None = None,
    stop: Event | None = None,
) -> Moves:  # fmt: skip
    """Move files of a folder into another one, under the same relative paths, and write an undo file there.

    A name that is taken gets a number. Left where they are: symbolic links, files that a link in the same cluster
    points to, files that are gone, and all of a cluster whose first file is gone.

    Args:
        folder: the folder that holds the files.
        clusters: of each the file that stays and the files to move, relative to the folder.
        aside: where to; made if missing. Neither folder may lie within the other.
        progress: called with moves done and all moves.
        stop: set it to end after the move under way.

    Raises:
        UserError: the folders lie within each other, or something cannot be moved or written; one clear line.
        Interrupted: `stop` was set.
    """
    folder, aside = folder.resolve(), aside.resolve()
    if folder.is_relative_to(aside) or aside.is_relative_to(folder):
        raise UserError(f"{aside} and {folder} lie within each other: name a folder outside for the copies")
    report: Moves = {"moved": [], "left": [], "undo": None}
    wanted = list(_movable(folder, clusters, report["left"]))
    if not wanted:
        return report
    _check_writable(folder, wanted)
    try:
        aside.mkdir(parents=True, exist_ok=True)
        undo = _UndoFile(folder, aside)
    except OSError as error:
        raise UserError(f"cannot put files into {aside}: {error.strerror}; nothing was moved") from error
    report["undo"] = str(undo.path)
    try:
        for done, name in enumerate(wanted, 1):
            if stop is not None and stop.is_set():
                raise Interrupted(f"stopped after {done - 1} of {len(wanted)} moves; {_restore_hint(undo.path)}")
            _put_one_aside(folder, name, aside, undo, report)
            if progress is not None:
                progress(done, len(wanted), "")
    finally:
        undo.close()
    return report


def _movable(folder: Path, clusters: Iterable[tuple[str, Sequence[str]]], left: list[Reason]) -> Iterator[str]:
    for keep, losers in clusters:
        if not (folder / keep).exists():
            left += [{"file": name, "reason": f"{keep}, which stays for it, is gone"} for name in losers]
            continue
        links = {str((folder / name).resolve()): name for name in (*losers, keep) if (folder / name).is_symlink()}
        for name in losers:
            path = folder / name
            if path.is_symlink():
                left.append({"file": name, "reason": "is a symbolic link"})
            elif link := links.get(str(path.resolve())):
                left.append({"file": name, "reason": f"the symbolic link {link} points to it"})
            else:
                yield name


def _check_writable(folder: Path, names: Iterable[str]) -> None:
    for parent in sorted({(folder / name).parent for name in names}):
        if parent.is_dir() and not os.access(parent, os.W_OK):
            raise UserError(f"{parent} is read-only: allow writing there, or leave --move out; nothing was moved")


def _put_one_aside(folder: Path, name: str, aside: Path, undo: _UndoFile, report: Moves) -> None:
    source = PurePosixPath(name)
    try:
        size = (folder / source).lstat().st_size
        for target in _free_names(aside, source):
            entry = undo.announce(source, target, size)
            try:
                _move(folder / source, aside / target, _part_name(undo.token, entry))
            except FileExistsError:  # it came since the name was found free
                undo.withdraw(entry)
                continue
            except FileNotFoundError:
                undo.withdraw(entry)
                raise
            report["moved"].append({"file": name, "to": str(target)})
            return
    except FileNotFoundError:
        report["left"].append({"file": name, "reason": "is gone"})
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"cannot move {folder / source} to {aside}: {why}; {_restore_hint(undo.path)}") from error


def _restore_hint(undo: Path) -> str:
    return f"`tamis dedupe --undo {undo}` puts back what was moved"


def _free_names(aside: Path, name: PurePosixPath) -> Iterator[PurePosixPath]:
    for number in count(1):
        target = name if number == 1 else name.with_name(f"{name.stem}-{number}{name.suffix}")
        if not os.path.lexists(aside / target):
            yield target


def _part_name(token: str, entry: _Entry) -> str:
    return f".{token}-{entry.number}.part"


def _move(source: Path, target: Path, part_name: str) -> None:
    """Move a file to a name that is free, across file systems too; raises FileExistsError where the name is taken."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # The empty file holds the place: replacing it overwrites nothing, which a bare rename could.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    part = target.with_name(part_name)
    try:
        try:
            source.replace(target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        shutil.copyfile(source, part)
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        with suppress(OSError):  # not every file system keeps times and permissions
            shutil.copystat(source, part)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError:
        for left in (part, target):
            with suppress(OSError):
                left.unlink()
        raise
    try:
        source.unlink()
    except OSError:
        with suppress(OSError):
            target.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- undo ---------------------------------------------------------------------------------------------------------


def put_back(undo: Path, progress: Progress | None = None, stop: Event | None = None) -> Restored:
    """Put back all that an undo file names; doing it again, or after a kill, is safe.

    Raises:
        UserError: the file is no undo file, or something cannot be written; one clear line.
        Interrupted: `stop` was set.
    """
    head, entries = _read_undo(undo)
    folder, aside = Path(head["folder"]), Path(head["aside"])
    report: Restored = {"restored": 0, "present": 0, "failed": []}
    for done, entry in enumerate(reversed(entries), 1):
        if stop is not None and stop.is_set():
            raise Interrupted(f"stopped after {done - 1} of {len(entries)} files")
        try:
            reason = _put_one_back(folder, aside, entry, _part_name(head["token"], entry))
        except OSError as error:
            why = error.strerror or error
            raise UserError(
                f"cannot put back {folder / entry.source}: {why}; mend that and give the same command again"
            ) from error
        if reason is None:
            report["restored"] += 1
        elif reason:
            report["failed"].append({"file": str(entry.source), "reason": reason})
        else:
            report["present"] += 1
        if progress is not None:
            progress(done, len(entries), "")
    return report


def _put_one_back(folder: Path, aside: Path, entry: _Entry, part_name: str) -> str | None:
    """Put a file back; returns None, or an empty text if it was there already, or why it could not be done."""
    home, away = folder / entry.source, aside / entry.target
    for place in (home, away):
        place.with_name(part_name).unlink(missing_ok=True)
    if _holds_place(home, entry) and os.path.lexists(away):
        home.unlink()
    if not os.path.lexists(away):
        _remove_empty(away.parent, aside)
        return "" if os.path.lexists(home) else f"is neither there nor at {away}"
    if not os.path.lexists(home):
        _move(away, home, part_name)
        _remove_empty(away.parent, aside)
        return None
    if not _holds_place(away, entry) and not filecmp.cmp(home, away, shallow=False):
        return f"another file has its name; it stays at {away}"
    away.unlink()
    _remove_empty(away.parent, aside)
    return ""


def _holds_place(path: Path, entry: _Entry) -> bool:
    """Whether it is the empty file with which a move begins; pictures are never empty."""
    return entry.size > 0 and not path.is_symlink() and path.is_file() and path.stat().st_size == 0


def _remove_empty(folder: Path, root: Path) -> None:
    with suppress(OSError):
        while folder != root and folder.is_relative_to(root):
            folder.rmdir()
            folder = folder.parent


def _read_undo(path: Path) -> tuple[dict[str, str], list[_Entry]]:
    """The head and the moves that were begun; a last line that is torn belongs to a move that was not."""
    refusal = UserError(f"{path} is no undo file of `tamis dedupe --move`")
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        head, *rest = [json.loads(line) for line in lines]
        if head["kind"] != _KIND or head["version"] != 1 or not all(head[key] for key in ("token", "folder", "aside")):
            raise refusal
        entries: dict[int, _Entry] = {}
        for line in rest:
            if "void" in line:
                entries.pop(line["void"])
                continue
            entry = _Entry(line["n"], PurePosixPath(line["from"]), PurePosixPath(line["to"]), int(line["size"]))
            if any(name.is_absolute() or ".." in name.parts for name in (entry.source, entry.target)):
                raise refusal
            entries[entry.number] = entry
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refusal from error
    return head, list(entries.values())
