"""Copies put aside and put back: a kill between any two calls to the system is undone, and nothing is overwritten."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tamis.cli import run
from tamis.errors import Interrupted, UserError
from tamis.vision import aside
from tamis.vision.aside import put_aside, put_back

from .pictures import resized, shot

#: What changes the disk, and may be the last thing that a process does.
_CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """The process is gone; nothing it still tries has an effect."""


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("tamis-undo")
    }


def fill(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


class dying:  # noqa: N801 - reads as a state
    """Within it the process dies at the `last`-th call, or none dies if there are fewer; `other` are two systems."""

    def __init__(self, last: int, other: bool) -> None:
        self.last, self.other = last, other
        self.calls = 0
        self.whole = {name: getattr(os, name) for name in _CALLS}

    def __enter__(self) -> dying:
        for name, real in self.whole.items():
            setattr(os, name, self._wrap(name, real))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self.whole.items():
            setattr(os, name, real)

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls >= self.last:
                if self.calls == self.last and name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])  # a torn line
                raise Killed
            # Files of the same folder are on one system: the part of a copy takes its place by a rename.
            if name == "replace" and self.other and Path(args[0]).parent != Path(args[1]).parent:
                raise OSError(errno.EXDEV, "another file system")
            return real(*args, **kwargs)

        return call


CLUSTERS = [("a/keep.jpg", ["a/copy.jpg", "b/copy.jpg"]), ("keep.png", ["copy.png"])]
CONTENT = {
    "a/keep.jpg": b"shot 1", "a/copy.jpg": b"shot 1", "b/copy.jpg": b"shot 1, smaller",
    "keep.png": b"shot 2", "copy.png": b"shot 2", "b/other.jpg": b"shot 3",
}  # fmt: skip


@pytest.mark.parametrize("other", [False, True], ids=["one system", "two systems"])
def test_a_kill_at_any_call_is_undone(other: bool, tmp_path: Path) -> None:
    for last in range(1, 1000):
        folder, away = tmp_path / f"{last}" / "folder", tmp_path / f"{last}" / "away"
        fill(folder, CONTENT)
        fill(away, {"copy.png": b"somebody's own"})
        with dying(last, other):
            try:
                put_aside(folder, CLUSTERS, away)
            except Killed:
                alive = False
            else:
                alive = True
        undo = away / "tamis-undo.jsonl"
        if undo.is_file() and b"\n" in undo.read_bytes():
            restored = put_back(undo)
            assert restored["failed"] == []
        assert files(folder) == CONTENT, last
        assert files(away) == {"copy.png": b"somebody's own"}, last
        if alive:
            assert restored["restored"] == 3
            return
    raise AssertionError("the moves never came to their end")


@pytest.mark.parametrize("other", [False, True], ids=["one system", "two systems"])
def test_an_undo_that_is_killed_is_taken_up_again(other: bool, tmp_path: Path) -> None:
    for last in range(1, 1000):
        folder, away = tmp_path / f"{last}" / "folder", tmp_path / f"{last}" / "away"
        fill(folder, CONTENT)
        undo = put_aside(folder, CLUSTERS, away)["undo"]
        assert undo is not None
        with dying(last, other):
            try:
                put_back(Path(undo))
            except Killed:
                alive = False
            else:
                alive = True
        again = put_back(Path(undo))
        assert (again["failed"], files(folder), files(away)) == ([], CONTENT, {}), last
        if alive:
            assert again == {"restored": 0, "present": 3, "failed": []}
            return
    raise AssertionError("the undo never came to its end")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 60
)


def top(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.tuples(NAMES, NAMES).map("/".join), min_size=2, max_size=8, unique_by=top),
    taken=st.booleans(), last=st.integers(1, 80), other=st.booleans(),
)  # fmt: skip
def test_any_names_come_back(
    names: list[str], taken: bool, last: int, other: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    content = {name: f"content of {number}".encode() for number, name in enumerate(names)}
    own = dict.fromkeys(names[1::2], b"own") if taken else {}
    fill(root / "folder", content)
    fill(root / "away", own)
    with dying(last, other), suppress(Killed):
        put_aside(root / "folder", [(names[0], names[1:])], root / "away")
    everything = sorted([*files(root / "folder").values(), *files(root / "away").values()])
    for data in [*content.values(), *own.values()]:
        assert data in everything
    for undo in (root / "away").glob("tamis-undo*.jsonl"):
        if b"\n" in undo.read_bytes():
            assert put_back(undo)["failed"] == []
    assert files(root / "folder") == content
    assert files(root / "away") == own


def test_moves_keep_paths_times_and_what_is_there(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    fill(folder, CONTENT)
    os.utime(folder / "b/copy.jpg", (1_000_000, 1_000_000))
    fill(away, {"copy.png": b"somebody's own", "copy-2.png": b"too"})
    moves = put_aside(folder, CLUSTERS, away)
    assert moves["moved"] == [
        {"file": "a/copy.jpg", "to": "a/copy.jpg"}, {"file": "b/copy.jpg", "to": "b/copy.jpg"},
        {"file": "copy.png", "to": "copy-3.png"},
    ]  # fmt: skip
    assert (away / "b/copy.jpg").stat().st_mtime == 1_000_000
    assert (away / "copy.png").read_bytes() == b"somebody's own"
    assert set(files(folder)) == {"a/keep.jpg", "keep.png", "b/other.jpg"}


def test_a_second_run_writes_a_second_undo_file(tmp_path: Path) -> None:
    fill(tmp_path / "folder", CONTENT)
    first = put_aside(tmp_path / "folder", CLUSTERS[:1], tmp_path / "away")["undo"]
    second = put_aside(tmp_path / "folder", CLUSTERS[1:], tmp_path / "away")["undo"]
    assert first is not None
    assert second is not None
    assert first != second
    for undo in (first, second):
        put_back(Path(undo))
    assert files(tmp_path / "folder") == CONTENT


def test_really_across_file_systems(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    away = memory / f"tamis-test-{os.getpid()}"
    fill(tmp_path / "folder", CONTENT)
    (tmp_path / "folder/copy.png").chmod(0o440)
    try:
        undo = put_aside(tmp_path / "folder", CLUSTERS, away)["undo"]
        assert undo is not None
        assert set(files(away)) == {"a/copy.jpg", "b/copy.jpg", "copy.png"}
        assert (away / "copy.png").stat().st_mode & 0o777 == 0o440
        assert put_back(Path(undo))["restored"] == 3
        assert files(tmp_path / "folder") == CONTENT
        assert files(away) == {}
    finally:
        subprocess.run(["rm", "-rf", str(away)], check=True)


def test_links_and_what_they_point_to_stay(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    fill(folder, {"z.jpg": b"shot", "y.jpg": b"shot"})
    (folder / "a.jpg").symlink_to("z.jpg")
    (folder / "hard.jpg").hardlink_to(folder / "y.jpg")
    moves = put_aside(folder, [("a.jpg", ["hard.jpg", "y.jpg", "z.jpg"])], tmp_path / "away")
    assert [row["file"] for row in moves["moved"]] == ["hard.jpg", "y.jpg"]
    assert moves["left"] == [{"file": "z.jpg", "reason": "the symbolic link a.jpg points to it"}]
    assert (folder / "a.jpg").read_bytes() == b"shot"
    assert (tmp_path / "away/hard.jpg").samefile(tmp_path / "away/y.jpg")
    link = put_aside(folder, [("z.jpg", ["a.jpg"])], tmp_path / "away")
    assert link == {"moved": [], "left": [{"file": "a.jpg", "reason": "is a symbolic link"}], "undo": None}
    assert moves["undo"] is not None
    assert put_back(Path(moves["undo"]))["restored"] == 2
    assert (folder / "hard.jpg").samefile(folder / "y.jpg")


def test_nothing_goes_when_what_stays_is_gone(tmp_path: Path) -> None:
    fill(tmp_path / "folder", CONTENT)
    (tmp_path / "folder/keep.png").unlink()
    (tmp_path / "folder/b/copy.jpg").unlink()
    moves = put_aside(tmp_path / "folder", CLUSTERS, tmp_path / "away")
    assert [row["file"] for row in moves["moved"]] == ["a/copy.jpg"]
    assert {row["file"]: row["reason"] for row in moves["left"]} == {
        "b/copy.jpg": "is gone", "copy.png": "keep.png, which stays for it, is gone",
    }  # fmt: skip


@pytest.mark.parametrize("where", ["folder/away", "folder", "."])
def test_folders_within_each_other_are_refused(where: str, tmp_path: Path) -> None:
    fill(tmp_path / "folder", CONTENT)
    with pytest.raises(UserError, match="lie within each other"):
        put_aside(tmp_path / "folder", CLUSTERS, tmp_path / where)
    assert files(tmp_path / "folder") == CONTENT


def test_a_read_only_folder_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "folder", CONTENT)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "b" and real(path, mode))
    with pytest.raises(UserError, match=r"folder/b is read-only: .*nothing was moved"):
        put_aside(tmp_path / "folder", CLUSTERS, tmp_path / "away")
    assert files(tmp_path / "folder") == CONTENT


def test_a_move_that_is_refused_names_the_undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "folder", CONTENT)
    real = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "copy.png":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"cannot move .*copy.png .*not permitted; `tamis dedupe --undo .*jsonl` puts"):
        put_aside(tmp_path / "folder", CLUSTERS, tmp_path / "away")
    assert put_back(tmp_path / "away/tamis-undo.jsonl") == {"restored": 2, "present": 1, "failed": []}
    assert files(tmp_path / "folder") == CONTENT
    assert files(tmp_path / "away") == {}


def test_a_name_that_is_taken_in_the_meantime_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "folder", CONTENT)

    def late(folder: Path, name: Any) -> Iterator[Any]:
        fill(folder, {str(name): b"came late"})
        yield name
        yield name.with_name("free.png")

    monkeypatch.setattr(aside, "_free_names", late)
    moves = put_aside(tmp_path / "folder", CLUSTERS[1:], tmp_path / "away")
    assert moves["moved"] == [{"file": "copy.png", "to": "free.png"}]
    assert moves["undo"] is not None
    assert put_back(Path(moves["undo"])) == {"restored": 1, "present": 0, "failed": []}
    assert files(tmp_path / "away") == {"copy.png": b"came late"}
    assert files(tmp_path / "folder") == CONTENT


def test_an_undo_never_overwrites(tmp_path: Path) -> None:
    fill(tmp_path / "folder", CONTENT)
    undo = put_aside(tmp_path / "folder", CLUSTERS, tmp_path / "away")["undo"]
    assert undo is not None
    fill(tmp_path / "folder", {"copy.png": b"new work"})
    (tmp_path / "away/b/copy.jpg").unlink()
    restored = put_back(Path(undo))
    assert restored["restored"] == 1
    assert [row["file"] for row in restored["failed"]] == ["copy.png", "b/copy.jpg"]
    assert (tmp_path / "folder/copy.png").read_bytes() == b"new work"
    assert (tmp_path / "away/copy.png").read_bytes() == b"shot 2"


def test_a_stop_ends_between_two_moves(tmp_path: Path) -> None:
    fill(tmp_path / "folder", CONTENT)
    stop = Event()
    with pytest.raises(Interrupted, match=r"stopped after 1 of 3 moves; `tamis dedupe --undo"):
        put_aside(tmp_path / "folder", CLUSTERS, tmp_path / "away", lambda *_: stop.set(), stop)
    assert put_back(tmp_path / "away/tamis-undo.jsonl")["restored"] == 1


HEAD = '{"kind": "tamis dedupe", "version": 1, "token": "t", "folder": "/f", "aside": "/a"}\n'


@pytest.mark.parametrize(
    "text",
    [
        "", "no json\n", '{"kind": "another"}\n', "[1, 2]\n",
        HEAD + '{"n": 0, "from": "../../etc/passwd", "to": "x", "size": 1}\n',
    ],
)  # fmt: skip
def test_what_is_no_undo_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "undo").write_text(text)
    with pytest.raises(UserError, match="is no undo file"):
        put_back(tmp_path / "undo")


def test_the_command_moves_and_undoes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, away = tmp_path / "photos", tmp_path / "copies"
    (folder / "sub").mkdir(parents=True)
    PillowImage.fromarray(shot(1)).save(folder / "large.jpg", quality=95)
    PillowImage.fromarray(resized(shot(1))).save(folder / "sub/small.png")
    PillowImage.fromarray(shot(2)).save(folder / "alone.jpg")
    before = files(folder)
    assert run(["dedupe", str(folder), "--move", str(away), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["moved"] == [{"file": "sub/small.png", "to": "sub/small.png"}]
    assert [cluster["keep"] for cluster in told["clusters"]] == ["large.jpg"]
    assert set(files(away)) == {"sub/small.png"}
    assert run(["dedupe", "--undo", told["undo"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"restored": 1, "present": 0, "failed": []}
    assert files(folder) == before
    for wrong in (["dedupe"], ["dedupe", str(folder), "--undo", told["undo"]]):
        assert run(wrong) == 2
    assert "name the FOLDER" in capsys.readouterr().err


def test_the_command_takes_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PillowImage.fromarray(resized(shot(1))).save(tmp_path / "a.png")
    PillowImage.fromarray(shot(1)).save(tmp_path / "b.png")
    PillowImage.fromarray(shot(1)[:, ::-1]).save(tmp_path / "c.png")
    PillowImage.fromarray(np.rot90(shot(1))).save(tmp_path / "d.png")

    def kept(*options: str) -> list[tuple[str, list[str]]]:
        assert run(["dedupe", str(tmp_path), "--json", *options]) == 0
        clusters = json.loads(capsys.readouterr().out)["clusters"]
        return [(one["keep"], [member["file"] for member in one["members"]]) for one in clusters]

    assert kept() == [("b.png", ["a.png", "c.png"])]
    assert kept("--keeper", "first") == [("a.png", ["b.png", "c.png"])]
    assert kept("--no-mirrored") == [("b.png", ["a.png"])]
    assert kept("--rotated") == [("b.png", ["a.png", "c.png", "d.png"])]
    assert kept("--threshold", "1") == []


def written(away: Path) -> int:
    undo = away / "tamis-undo.jsonl"
    return undo.read_bytes().count(b"\n") if undo.is_file() else 0


@pytest.mark.slow
def test_killed_processes_leave_an_undo_that_restores_everything(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    content = {f"{number % 7}/{number}.jpg": os.urandom(20_000) for number in range(600)}
    fill(folder, content)
    code = (
        "import sys, json; from pathlib import Path; from tamis.vision.aside import put_aside;"
        "put_aside(Path(sys.argv[1]), [('0/0.jpg', json.loads(sys.argv[3]))], Path(sys.argv[2]))"
    )
    moved = 0
    for lines in (1, 2, 30, 200):
        away = tmp_path / f"away {lines}"
        command = [sys.executable, "-c", code, str(folder), str(away), json.dumps(list(content)[1:])]
        with subprocess.Popen(command) as process:
            while process.poll() is None and written(away) < lines:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        for undo in away.glob("tamis-undo*.jsonl"):
            if b"\n" in undo.read_bytes():
                restored = put_back(undo)
                assert restored["failed"] == []
                moved += restored["restored"]
        assert files(folder) == content
        assert files(away) == {}
    assert moved
