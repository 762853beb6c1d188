"""A served project follows its settings: new ones hold at once, wrong ones leave the last good ones in force."""

from __future__ import annotations

import os
import time
from pathlib import Path
from shutil import rmtree
from threading import Event
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tamis.annotate.server import serving
from tamis.annotate.signin import add_person
from tamis.annotate.survey import Survey, Surveyor
from tamis.config import Settings
from tamis.project import Project
from tests.annotate.browser import Watched
from tests.annotate.factory import SETTINGS, Made
from tests.test_filter import write_model

HEADER = "x-tamis-settings"


def write(project: Project, text: str) -> None:
    """Replace the settings at once: a file that is written anew is empty for a moment, and empty settings are valid."""
    fresh = project.folder / "tamis.toml.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(project.folder / "tamis.toml")


def problem(answer: httpx.Response) -> str:
    return unquote(answer.headers[HEADER].partition(" ")[2])


def verdicts(client: httpx.Client) -> dict[str, int]:
    return client.get("/api/dashboard").json()["verdicts"]  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a request waits for the new settings."""
    monkeypatch.setattr("tamis.annotate.live._PATIENCE_SECONDS", 60.0)


def test_a_large_project_goes_on_under_the_settings_before_until_it_is_judged(
    anna: httpx.Client, project: Project, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, judge = Event(), Surveyor.kept
    assert verdicts(anna) == {"keep": len(made)}

    def slowly(surveyor: Surveyor) -> Survey:
        if surveyor._project.settings.detect.min_side == 4000:
            judged.wait(60)
        return judge(surveyor)

    monkeypatch.setattr(Surveyor, "kept", slowly)
    monkeypatch.setattr("tamis.annotate.live._PATIENCE_SECONDS", 0.0)
    write(project, SETTINGS.replace("[detect]", "[detect]\nmin_side = 4000"))
    for _ in range(3):
        assert verdicts(anna) == {"keep": len(made)}
    judged.set()
    for _ in range(600):
        if verdicts(anna) == {"reject": len(made)}:
            break
        time.sleep(0.05)
    assert verdicts(anna) == {"reject": len(made)}


def test_new_thresholds_hold_from_the_next_request_on(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    before = anna.get("/api/dashboard")
    assert before.json()["verdicts"] == {"keep": len(made)}
    write(project, SETTINGS.replace("[detect]", "[detect]\nmin_side = 4000"))
    after = anna.get("/api/dashboard")
    assert after.json()["verdicts"] == {"reject": len(made)}
    assert before.headers[HEADER] != after.headers[HEADER]
    write(project, SETTINGS)
    assert anna.get("/api/dashboard").json()["verdicts"] == {"keep": len(made)}
    assert anna.get("/api/dashboard").headers[HEADER] == before.headers[HEADER]


def test_new_attributes_are_asked(anna: httpx.Client, project: Project) -> None:
    write(project, SETTINGS + '\n[attribute.doors]\nclasses = ["2", "4"]\n')
    assert anna.get("/api/project").json()["asked"] == ["view", "colour", "damaged", "doors"]
    (sample,) = anna.get("/api/queue", params={"count": 1}).json()["samples"]
    assert sample["asked"] == ["view", "colour", "damaged", "doors"]
    said = {"key": "12345678", "claims": [{"attribute": "doors", "sample": sample["id"], "value": "4"}]}
    assert anna.post("/api/labels", json=said).status_code == 200


def test_a_model_that_is_trained_anew_brings_its_thresholds(anna: httpx.Client, project: Project) -> None:
    filtered = '\n[classify]\nmodel = "models/view-1"\nattribute = "view"\nkeep = ["front"]\nprecision = 0.95\n'
    write(project, SETTINGS + filtered)
    versions = [anna.get("/api/project").headers[HEADER]]
    folder = write_model(project.folder / "models" / "view-1")
    versions.append(anna.get("/api/project").headers[HEADER])
    rmtree(folder)
    write_model(folder, least_right=0.7)
    versions += [anna.get("/api/project").headers[HEADER] for _ in range(2)]
    assert len(set(versions[:3])) == 3
    assert versions[2] == versions[3]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("[detect]\nmin_side = \n", "tamis.toml: Invalid value (at line 2, column 12)"),
        ("[detect]\nmin_sid = 5\n", "tamis.toml, line 2: unknown key 'detect.min_sid'; did you mean 'min_side'?"),
        ('[project]\nname = "a"\n[attribute.view]\nclasses = ["a", "a"]\n', "tamis.toml, line 3: attribute view: "),
        (None, "tamis.toml is missing"),
    ],
)
def test_wrong_settings_leave_the_ones_before_in_force(
    wrong: str | None, told: str, anna: httpx.Client, project: Project, made: list[Made]
) -> None:
    good = anna.get("/api/project")
    assert problem(good) == ""
    if wrong is None:
        (project.folder / "tamis.toml").unlink()
    else:
        write(project, wrong)
    for _ in range(2):
        answer = anna.get("/api/project")
        assert told in problem(answer)
        assert "The settings from before hold" in problem(answer)
        assert str(project.folder) not in problem(answer)
        assert answer.json() == good.json()
        assert verdicts(anna) == {"keep": len(made)}
    write(project, SETTINGS)
    assert problem(anna.get("/api/project")) == ""


def test_another_database_waits_for_the_next_start(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    write(project, '[project]\ndatabase = "sqlite:///other.db"\n' + SETTINGS)
    answer = anna.get("/api/project")
    assert problem(answer) == "tamis.toml: project.database will hold from the next `tamis serve` on."
    assert verdicts(anna) == {"keep": len(made)}
    assert not (project.folder / "other.db").exists()


def test_an_unchanged_file_is_read_once(anna: httpx.Client, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def load(folder: Path) -> Settings:
        reads.append(folder)
        return project.settings

    monkeypatch.setattr("tamis.annotate.live.load_settings", load)
    for _ in range(3):
        anna.get("/api/project")
    assert len(reads) == 0
    os.utime(project.folder / "tamis.toml", (time.time() + 5, time.time() + 5))
    for _ in range(3):
        anna.get("/api/project")
    assert len(reads) == 1


def test_strangers_learn_nothing_of_the_settings(project: Project, made: list[Made]) -> None:
    add_person(project, "anna", "a long password")
    with serving(project, "0.0.0.0") as served, httpx.Client(base_url=served.url) as client:
        write(project, "[detect]\nmin_sid = 5\n")
        assert HEADER not in client.get("/api/project").headers
        assert HEADER not in client.get("/api/dashboard").headers
        client.post("/api/session", json={"name": "anna", "password": "a long password"}).raise_for_status()
        assert "line 2" in problem(client.get("/api/project"))


@pytest.mark.browser
@pytest.mark.slow
def test_pages_show_a_banner_with_file_and_line(browser: Any, address: str, project: Project, made: list[Made]) -> None:
    anna = Watched(browser, address, "anna")
    anna.open()
    assert anna.page.locator(".banner").count() == 0
    write(project, "[detect]\nmin_sid = 5\n")
    anna.page.wait_for_selector(".banner.bad")  # the page asks what others did every other second
    assert "tamis.toml, line 2: unknown key 'detect.min_sid'" in anna.text(".banner")
    assert not anna.page.get_by_role("button", name="Reload").is_visible()
    anna.open("dashboard", ".banner.bad")
    write(project, SETTINGS)
    anna.open("", "body[data-sample]")
    assert anna.page.locator(".banner").count() == 0
    write(project, SETTINGS.replace("[detect]", "[detect]\nmin_share = 0.001"))
    anna.page.wait_for_selector(".banner:not(.bad)")
    assert "settings changed" in anna.text(".banner")
    anna.page.get_by_role("button", name="Reload").click()
    anna.page.wait_for_selector("body[data-sample]")
    assert anna.page.locator(".banner").count() == 0
    anna.context.close()
    assert anna.errors == []
