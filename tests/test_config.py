from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from tamis.config import Settings
from tamis.errors import ProjectError, UserError
from tamis.settingsfile import load_settings, parse_settings
from tamis.templates import add_source, create_project, templates


def test_an_empty_file_has_all_defaults() -> None:
    assert parse_settings("") == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[crawl]\ndelay = "fast"\n', r"line 2: crawl.delay: .*number.*given: 'fast'"),
        ("[crawl]\n\ndelayy = 2\n", r"line 3: unknown key 'crawl.delayy'; did you mean 'delay'\?"),
        ("[detct]\nmodel = 'x'\n", r"line 1: unknown key 'detct'; did you mean 'detect'\?"),
        ("[detect]\nmin_score = 1.5\n", r"line 2: detect.min_score: .*less than or equal to 1"),
        ('[detect]\nchoose = "biggest"\n', r"line 2: detect.choose: .*'largest', 'central', 'best' or 'all'"),
        ('[detect]\naspect = "4:0"\n', r"line 2: detect.aspect: .*'4:0' is no aspect such as 4:3 or 1"),
        ("[source.shop]\nkind = 'site'\n", r"line 1: source.shop.address: field required"),
        ("[attribute.view]\ntype = 'choise'\n", r"attribute view: type 'choise' is none of choice, flag"),
        ("[attribute.verdict]\nclasses = ['a']\n", r"the name is taken"),
        ("[attribute.view]\nclasses = ['a', 'a']\n", r"stands there twice"),
        ("x =", r"tamis.toml: .*\(at end of document\)"),
    ],
)
def test_wrong_settings_name_the_line_the_key_and_what_was_meant(text: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message) as caught:
        parse_settings(text)
    assert "\n" not in str(caught.value)


def test_no_project_here_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no project in .*tamis.toml is missing; `tamis init"):
        load_settings(tmp_path)


def test_the_environment_names_another_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_DATABASE", "postgresql://127.0.0.1/cars")
    assert parse_settings("").project.database == "postgresql://127.0.0.1/cars"


def test_only_settings_that_compute_change_the_fingerprint() -> None:
    base = parse_settings("").detect.fingerprint()
    assert parse_settings("[detect]\nmin_score = 0.9\nmargin = 0.3\n").detect.fingerprint() == base
    assert parse_settings("[detect]\nfloor = 0.1\n").detect.fingerprint() != base


@pytest.mark.parametrize(
    ("lines", "aspect"),
    [
        ("", None),
        ("square = true", 1.0),
        ('aspect = "4:3"', 4 / 3),
        ("aspect = 1.5", 1.5),
        ("aspect = 0", None),
        ('square = true\naspect = "3:4"', 0.75),
    ],
)
def test_the_aspect_of_crops(lines: str, aspect: float | None) -> None:
    assert parse_settings(f"[detect]\n{lines}\n").detect.crop_aspect == aspect


def test_every_setting_is_explained_and_says_whether_it_computes() -> None:
    for name, field in Settings.model_fields.items():
        model = field.annotation
        arguments = getattr(model, "__args__", ())
        model = arguments[-1] if arguments else model
        assert isinstance(model, type), name
        assert issubclass(model, BaseModel), name
        for key, setting in model.model_fields.items():
            assert setting.description, f"{name}.{key}"
            assert isinstance(setting.json_schema_extra, dict), f"{name}.{key}"
            assert setting.json_schema_extra["role"] in ("computes", "decides")


@pytest.mark.parametrize("name", sorted(templates()))
def test_every_template_makes_a_project_that_opens(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "my cars"
    create_project(folder, name)
    assert load_settings(folder).project.name == "my-cars"
    with pytest.raises(ProjectError.__base__, match="exists already"):  # type: ignore[arg-type]
        create_project(folder, name)


def test_a_source_is_added_once_and_the_file_keeps_its_comments(tmp_path: Path) -> None:
    path = create_project(tmp_path / "p", "empty")
    before = path.read_text()
    assert add_source(path.parent, "https://www.cars.example/used") == "cars-example"
    assert add_source(path.parent, "https://www.cars.example/used") == "cars-example"
    assert add_source(path.parent, "https://cars.example/new") == "cars-example-2"
    added = path.read_text()
    with pytest.raises(UserError, match=r"'http://127\.0\.0\.1:8000/' cannot be crawled: .*crawl\.allow_private"):
        add_source(path.parent, "http://127.0.0.1:8000/")
    assert path.read_text() == added
    assert path.read_text().startswith(before.rstrip())
    assert load_settings(path.parent).source["cars-example"].address == "https://www.cars.example/used"
