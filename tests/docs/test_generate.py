"""The generated pages are those that the code's comments give, and leave nothing undocumented."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tamis.config import Settings
from tamis.schema import metadata

FOLDER = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["schema.md", "settings.md"])
def test_page_is_current(generate: ModuleType, name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run python docs/generate.py"


def test_outdated_pages_are_named_and_mended(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    (tmp_path / "schema.md").write_text("old", encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.count("is out of date") == 2
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_table_and_column_says_what_it_means() -> None:
    for table in metadata.tables.values():
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"


def test_every_setting_says_what_it_does_and_whether_it_computes(generate: ModuleType) -> None:
    for name, field in Settings.model_fields.items():
        section, _ = generate._section(field)
        assert section.__doc__, name
        for key, setting in section.model_fields.items():
            assert setting.description, f"{name}.{key}"
            assert setting.json_schema_extra["role"] in ("computes", "decides"), f"{name}.{key}"
