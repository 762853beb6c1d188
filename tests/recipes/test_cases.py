"""Each folder below cases/ is a test: a saved page, its address and recipe, and what must be read. No code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.crawl.rude_server import RudeServer, answer, fixed, item_page

from tamis.cli import run
from tamis.errors import UserError
from tamis.recipes.cases import check_case, find_cases

CASES = Path(__file__).parent / "cases"
FOLDERS = find_cases(CASES)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_saved_page_reads_as_expected(folder: Path) -> None:
    assert check_case(folder).differences == ()


def test_what_differs_is_named_field_by_field(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(item_page("Blue chair", ("/1.jpg",)))
    item = {"title": "Red chair", "price": "1000", "attributes": {"colour": "red"}}
    (tmp_path / "expected.json").write_text(json.dumps({"url": "https://x.example/1", "kind": "item", "item": item}))
    found = {one.name: (one.expected, one.read) for one in check_case(tmp_path).differences}
    assert found == {"item.title": ("Red chair", "Blue chair"), "item.attributes.colour": ("red", None)}


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "at least the page's address"),
        ('{"url": "https://x.example"}', "lacks its page"),
    ],
)
def test_a_wrong_case_is_one_clear_line(tmp_path: Path, expected: str, message: str) -> None:
    (tmp_path / "expected.json").write_text(expected)
    with pytest.raises(UserError, match=message):
        check_case(tmp_path)


def test_a_folder_without_cases_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no test case"):
        find_cases(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_try_shows_each_field_and_its_source_and_keeps_a_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "mine"
    (project / "recipes").mkdir(parents=True)
    (project / "recipes" / "chairs.toml").write_text(
        'description = "chairs of one shop"\ndomains = ["127.0.0.1"]\n'
        '[item]\ntitle = "h1::text"\n[item.attributes]\nsum = "p::text"\n'
    )
    with RudeServer() as server:
        server.routes["/chair"] = fixed(answer(item_page("Blue chair", ("/1.jpg", "/2.jpg"))), keep=True)
        common = ("recipe", "try", server.url("/chair"), "--project", str(project), "--allow-private")
        assert run(list(common)) == 0
        shown = capsys.readouterr().out
        case = project / "cases" / "chair"
        code, read = printed(capsys, *common, "--case", str(case))
    for text in ("recipe chairs", "Blue chair", "recipe:chairs", "json-ld", "/2.jpg", "sum"):
        assert text in shown
    assert code == 0
    assert read["recipe"] == "chairs"
    assert read["item"]["sources"]["title"] == "recipe:chairs"
    code, checked = printed(capsys, "recipe", "check", str(project / "cases"), "--project", str(project))
    assert (code, checked["failed"], len(checked["cases"])) == (0, 0, 1)
    (project / "recipes" / "chairs.toml").write_text('[item]\ntitle = "p::text"\n')
    code, checked = printed(capsys, "recipe", "check", str(case), "--project", str(project))
    assert code == 1
    assert [one["name"] for one in checked["cases"][0]["differences"]] == ["item.title", "item.attributes.sum"]
    assert run([*common, "--case", str(case)]) == 2


def test_list_names_recipes_and_their_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, listed = printed(capsys, "recipe", "list", "--project", str(tmp_path))
    by_name = {one["name"]: one for one in listed}
    assert by_name["autoscout24"]["domains"] == ["autoscout24.*"]
    assert {"generic", "shopify", "woocommerce"} <= by_name.keys()


def test_a_result_page_is_shown_with_its_slices(capsys: pytest.CaptureFixture[str]) -> None:
    page = CASES / "autoscout24-search" / "page.html"
    address = "https://www.autoscout24.de/lst/volkswagen/golf?fregfrom=2018"
    assert run(["recipe", "try", str(page), "--url", address]) == 0
    shown = capsys.readouterr().out
    assert "recipe autoscout24" in shown
    assert "4 listings of 412" in shown
    assert shown.count("slice: ") == 2
