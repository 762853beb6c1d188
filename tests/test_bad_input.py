"""Wrong use and wrong input: one clear line and exit code 2, or a row with a reason; never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from tamis import schema
from tamis.cli import run
from tamis.database import insert_new, writing
from tamis.display import printable
from tamis.engine.lease import held
from tamis.project import open_project
from tests.conftest import MakeProject
from tests.engine.sample_stages import key_of


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """Run a command that must fail; return its one line."""
    assert run([str(argument) for argument in arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    line = printed.err.strip()
    assert "Traceback" not in line
    return line


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tamis.toml").write_text('[project]\nname = "cars"\n')
    return tmp_path


@pytest.mark.parametrize("command", ["run", "status", "crawl", "download", "snapshot", "serve", "train"])
def test_no_project_here(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, command, "--project", tmp_path)
    assert line.startswith("tamis: no project in")
    assert "tamis init" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project", "tamis.toml: "),
        ("[crawl]\nspeed = 1", "line 2: unknown key 'crawl.speed'"),
        ('[project]\ndatabase = "none"', "is no database URL"),
        ('[project]\ndatabase = "postgresql://127.0.0.1:1/x"', "cannot open the database postgresql"),
    ],
)
def test_wrong_settings(text: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tamis.toml").write_text(text)
    assert message in complaint(capsys, "status", "--project", project)


def test_unknown_stage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "run", "inspct", "--project", project)
    assert "unknown stage 'inspct'; the stages are: crawl, download, inspect" in line


def test_unknown_recipe(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "tamis.toml").open("a") as file:
        file.write('[source.shop]\naddress = "http://127.0.0.1:9/"\nrecipe = "autoscout42"\n')
    assert "autoscout42" in complaint(capsys, "crawl", "--project", project)


def test_a_url_that_is_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'not a url' is no URL of a site" in complaint(capsys, "crawl", "not a url", "--project", project)


def test_a_database_of_a_newer_version(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_project(project)
    with writing(opened.engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    opened.close()
    assert "newer than this tamis knows" in complaint(capsys, "status", "--project", project)


def test_a_store_that_cannot_be_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "tamis.toml").open("a") as file:
        file.write('store = "/proc/none"\n')
    assert "project.store: the folder /proc/none cannot be made" in complaint(capsys, "run", "--project", project)


@pytest.mark.skipif(os.getuid() == 0 and not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_writing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = project / "pictures" / "car"
    pictures.mkdir(parents=True)
    Image.new("RGB", (80, 60), "red").save(pictures / "a.png")
    with (project / "tamis.toml").open("a") as file:
        file.write('[source.own]\nkind = "folder"\naddress = "pictures"\n')
    (project / "blobs").mkdir()
    (project / "blobs" / "temporary").symlink_to("/dev/full")
    line = complaint(capsys, "run", "--project", project)
    assert "cannot write to the store" in line


def test_no_snapshot_yet(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no snapshot yet" in complaint(capsys, "train", "--project", project)


def test_an_empty_snapshot(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "snapshot", "--project", project)
    assert "\n" not in line
    assert "nothing to freeze: no picture has been inspected yet" in line


def test_unknown_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown model 'view-9'" in complaint(capsys, "predict", "--model", "view-9", "--project", project)


def test_a_detector_that_is_not_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "tamis.toml").open("a") as file:
        file.write('[detect]\nmodel = "models/yolov8n.onnx"\n')
    opened = open_project(project)
    with writing(opened.engine) as connection:
        insert_new(connection, schema.image, [{"sha256": key_of("ok-0"), "size": 1, "first_seen": 0.0}])
    opened.close()
    line = complaint(capsys, "run", "detect", "--project", project)
    assert "yolov8n.onnx not found; put the weights there" in line


def test_two_processes_at_once(make_project: MakeProject, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project()
    with writing(project.engine) as connection:
        insert_new(connection, schema.image, [{"sha256": key_of("ok-0"), "size": 1, "first_seen": 0.0}])
    with held(project.engine, "stage inspect"):
        line = complaint(capsys, "run", "inspect", "--project", project.folder)
    assert f"is being worked on by process {os.getpid()}" in line


def test_a_missing_blob_is_a_row_with_its_reason(make_project: MakeProject, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project()
    with writing(project.engine) as connection:
        insert_new(connection, schema.image, [{"sha256": key_of("ok-0"), "size": 1, "first_seen": 0.0}])
    assert run(["run", "inspect", "--project", str(project.folder)]) == 1
    capsys.readouterr()
    assert run(["status", "--json", "--project", str(project.folder)]) == 1
    document = json.loads(capsys.readouterr().out)
    [(reason, count)] = document["failures"]["inspect"].items()
    assert count == 1
    assert "is not in the store" in reason


def test_wrong_options_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--no-such-option"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_an_override_that_there_is_not(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "train", "--set", "speed=9", "--project", project)
    assert "--set speed=9: give NAME=VALUE with one of" in line


def test_names_that_are_no_text_stay_valid_json_and_on_their_line(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"pictures\xff")
    folder.mkdir()
    names = [b"caf\xe9.jpg", b"red\x1b[31m.jpg", b"two\nlines.jpg"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"no picture")
    Image.new("RGB", (80, 60)).save(folder / "a.jpg")
    sizes = ["report", "sizes", "--folder", str(folder), "--out", str(tmp_path / "sizes.html")]
    for command in (["dedupe", str(folder)], sizes):
        call = [sys.executable, "-m", "tamis", *command]
        told = subprocess.run([*call, "--json"], capture_output=True, timeout=60, check=True).stdout
        document = json.loads(told.decode("utf-8", "strict"))
        rows = document.get("unreadable_files", document["unreadable"])
        assert [os.fsencode(row["file"]) for row in rows] == names
        shown = subprocess.run(call, capture_output=True, timeout=60, check=True).stdout.decode("utf-8", "strict")
        lines = [line.split(": ")[1] for line in shown.splitlines() if line.startswith("unreadable: ")]
        assert lines == [r"caf\xe9.jpg", r"red\x1b[31m.jpg", r"two\nlines.jpg"]


def test_names_are_shown_on_one_line() -> None:
    assert printable("Zoë\u00a0\U0001f600 a b") == "Zoë\u00a0\U0001f600 a b"
    assert printable("a\nb\tc\x7f\x9b\u2028\udcff\ud800\\") == r"a\nb\tc\x7f\x9b\u2028\xff\ud800" + "\\"


def test_ctrl_c_ends_with_130(project: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "the next run goes on from here" in done.stderr


_INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from tamis import schema
from tamis.cli import run
from tamis.database import insert_new, writing
from tamis.project import open_project
import tamis.engine.runner as runner

folder = Path(sys.argv[1])
project = open_project(folder)
with writing(project.engine) as connection:
    rows = [{"sha256": f"{n:064x}", "size": 1, "first_seen": 0.0} for n in range(8)]
    insert_new(connection, schema.image, rows)
project.close()
before = runner.commit
def commit(run_, batches):
    before(run_, batches)
    if batches:
        runner.commit = before
        os.kill(os.getpid(), signal.SIGINT)
runner.commit = commit
runner.COMMIT_SECONDS = 0.0
sys.exit(run(["run", "inspect", "--project", str(folder)]))
"""


def test_the_counters_agree_with_the_ledger(make_project: MakeProject) -> None:
    project = make_project()
    with writing(project.engine) as connection:
        rows = [{"sha256": key_of(f"ok-{n}"), "size": 1, "first_seen": 0.0} for n in range(3)]
        insert_new(connection, schema.image, rows)
    assert run(["run", "inspect", "--project", str(project.folder)]) == 1
    with project.engine.connect() as connection:
        counted = connection.execute(sa.select(schema.counter.c.amount).where(schema.counter.c.name == "failed"))
        assert counted.scalar_one() == 3
