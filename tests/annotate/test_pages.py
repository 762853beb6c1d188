"""The pages in a real Chromium: by keyboard, several people, a server that goes away, hostile texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.annotate.server import serving
from tamis.annotate.signin import add_person
from tamis.crawl.history import ItemChange, record
from tamis.database import reading, writing
from tamis.project import Project
from tests.annotate.browser import Watched
from tests.annotate.factory import SETTINGS, Made, fill
from tests.conftest import MakeProject

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Watched]


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """Open browsers of people: `visit("anna")`. At the end none may have logged an error."""
    opened: list[Watched] = []

    def start(person: str, **options: Any) -> Watched:
        opened.append(Watched(browser, address, person, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.context.close()
        assert one.errors == [], f"{one.person}'s page logged errors"


def labels(project: Project) -> list[tuple[Any, ...]]:
    """Rows of people: sample, item, attribute, value, actor, whether it takes something back."""
    label, region = schema.label.c, schema.region.c
    statement = (
        sa.select(region.region_key, label.item_id, label.attribute, label.value, label.actor, label.retracts)
        .select_from(schema.label.outerjoin(schema.region, region.id == label.region_id))
        .where(label.who == "person")
        .order_by(label.id)
    )
    with reading(project.engine) as connection:
        return [(row[0] and row[0][:16], *row[1:5], row[5] is not None) for row in connection.execute(statement)]


def test_five_samples_by_keyboard(visit: Visit, project: Project, made: list[Made]) -> None:
    anna = visit("anna")
    anna.open()
    truth = {one.public_id: one for one in made}
    expected: list[tuple[Any, ...]] = []
    asked_items: set[int] = set()
    for _ in range(5):
        one = truth[anna.sample]
        anna.press("3")
        expected.append((one.public_id, None, "view", "side", "anna", False))
        if one.item_id not in asked_items:
            anna.press("Enter")
            expected.append((None, one.item_id, "colour", one.colour, "anna", False))
            asked_items.add(one.item_id)
        anna.press("1")
        expected.append((one.public_id, None, "damaged", "no", "anna", False))
        anna.page.wait_for_function("id => document.body.dataset.sample !== id", arg=one.public_id)
    anna.wait_saved()
    assert labels(project) == expected


def test_undo_goes_back_across_samples_and_over_a_reload(visit: Visit, project: Project) -> None:
    anna = visit("anna")
    anna.open()
    first = anna.sample
    anna.press("1", "Enter", "1")
    second = anna.sample
    assert second != first
    anna.press("2")
    anna.press("Backspace", "Backspace")
    assert anna.sample == first
    assert anna.text(".question[data-focus=true] h3") == "damaged"
    anna.wait_saved()
    rows = labels(project)
    assert [row[5] for row in rows] == [False] * 4 + [True] * 2
    anna.open()
    anna.press("Backspace")
    anna.page.wait_for_selector(".toast")
    assert anna.sample == first or anna.text(".toast").startswith("Undone")
    anna.wait_saved()
    assert [row[5] for row in labels(project)] == [False] * 4 + [True] * 3


def test_skip_verdict_tab_and_help(visit: Visit, project: Project) -> None:
    anna = visit("anna")
    anna.open()
    first = anna.sample
    anna.press("Tab", "Tab")
    assert anna.text(".question[data-focus=true] h3") == "damaged"
    anna.press("Shift+Tab", "Shift+Tab", "k")
    assert anna.sample == first, "keep leaves the questions open"
    anna.press("Space")
    second = anna.sample
    assert second != first
    anna.press("r")
    third = anna.sample
    assert third not in (first, second)
    anna.press("?")
    anna.page.wait_for_selector("dialog[open]")
    anna.press("1")
    anna.press("Escape")
    assert anna.sample == third, "keys do nothing below a dialog"
    anna.wait_saved()
    rows = labels(project)
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (first, "verdict", "keep"), (first, "view", None), (None, "colour", None), (first, "damaged", None),
        (second, "verdict", "reject"),
    ]  # fmt: skip


def test_the_whole_picture_shows_where_the_crop_is(visit: Visit) -> None:
    anna = visit("anna")
    anna.open()
    anna.press("f")
    anna.page.wait_for_function("() => document.querySelector('.picture img').naturalWidth > 0")
    anna.page.wait_for_function("() => document.querySelector('.picture .frame').clientWidth > 20")
    inside = anna.page.evaluate(
        """() => {
            const frame = document.querySelector('.picture .frame').getBoundingClientRect();
            const image = document.querySelector('.picture img').getBoundingClientRect();
            return frame.left >= image.left - 2 && frame.right <= image.right + 2 && frame.width < image.width;
        }"""
    )
    assert inside
    anna.press("f")
    assert anna.page.locator(".picture .frame").count() == 0


def test_two_people_work_at_once_and_see_each_other(visit: Visit, project: Project) -> None:
    anna, ben = visit("anna"), visit("ben")
    anna.open()
    ben.open()
    for _ in range(12):
        for one in (anna, ben):
            if one.page.evaluate("() => Boolean(document.body.dataset.sample)"):
                one.press("Shift+Enter", "1")
    anna.wait_saved()
    ben.wait_saved()
    rows = [row for row in labels(project) if row[2] == "view"]
    assert len({row[0] for row in rows}) == len(rows), "a sample was asked twice"
    assert {row[4] for row in rows} == {"anna", "ben"}


def test_a_decision_appears_on_the_page_of_the_other(visit: Visit, made: list[Made]) -> None:
    anna, ben = visit("anna"), visit("ben")
    front = f"review?attribute=view&value={made[0].view}"
    ben.open(front, ".tile")
    shown = ben.page.locator(".tile").count()
    anna.open(front, ".tile")
    anna.press("x", "Enter")
    anna.page.wait_for_selector(".empty-note")
    ben.page.wait_for_function(
        "count => document.querySelectorAll('.tile[data-gone=true]').length === count", arg=shown
    )


def test_a_page_is_reviewed_by_keyboard_and_undone_as_one(visit: Visit, project: Project, made: list[Made]) -> None:
    anna = visit("anna")
    view = max({one.view for one in made}, key=lambda view: sum(one.view == view for one in made))
    other = "1" if view != "front" else "2"
    anna.open(f"review?attribute=view&value={view}", ".tile")
    ids = anna.page.eval_on_selector_all(".tile", "tiles => tiles.map((tile) => tile.dataset.id)")
    assert len(ids) >= 3
    anna.press("x", "ArrowRight", other, "Enter")
    anna.page.wait_for_selector(".empty-note")
    rows = labels(project)
    assert sorted(row[0] for row in rows if row[3] == view) == sorted(ids[2:])
    assert (ids[0], None, "verdict", "questionable", "anna", False) in rows
    assert (ids[1], None, "view", {"1": "front", "2": "rear"}[other], "anna", False) in rows
    anna.press("Backspace")
    anna.page.wait_for_selector(".tile")
    assert sum(row[5] for row in labels(project)) == len(rows)


def test_a_range_is_marked_with_the_mouse(visit: Visit, made: list[Made]) -> None:
    anna = visit("anna")
    anna.open("review?attribute=verdict&value=keep", ".tile")
    anna.page.locator(".tile").nth(1).click()
    anna.page.locator(".tile").nth(4).click(modifiers=["Shift"])
    assert anna.page.locator(".tile[aria-selected=true]").count() == 4
    assert "8, 4 wrong" in anna.text(".dock .primary")
    anna.page.locator(".tile").nth(2).click()
    assert anna.page.locator(".tile[aria-selected=true]").count() == 3


def test_nothing_is_lost_when_the_server_goes_away(browser: Any, project: Project, made: list[Made]) -> None:
    with serving(project) as served:
        port = int(re.findall(r":(\d+)/", served.url)[0])
        anna = Watched(browser, served.url, "anna")
        anna.open()
        first = anna.sample
    anna.press("1", "Enter", "1")
    assert anna.sample != first, "a key press waits for no server"
    anna.press("2")
    anna.page.wait_for_selector(".saved[data-state=waiting]")
    assert anna.text(".saved") == "4 not saved yet"
    assert labels(project) == []
    with serving(project, port=port):
        anna.wait_saved()
        rows = labels(project)
        assert rows[0][3] == "front"
        assert len(rows) == 4
    anna.press("1")
    anna.page.wait_for_selector(".saved[data-state=waiting]")
    anna.page.close()
    with serving(project, port=port):
        anna.page = anna.context.new_page()
        anna.open()
        anna.wait_saved()
        assert len(labels(project)) == 5, "a step survives the page"
    anna.context.close()
    assert anna.errors == []


def test_texts_from_the_web_stay_texts(visit: Visit, project: Project, made: list[Made]) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script> \"'`${1} red\u202e"
    with writing(project.engine) as connection:
        for table, column in ((schema.item, "title"), (schema.item, "description"), (schema.item, "seller")):
            connection.execute(sa.update(table).values({column: hostile}))
        values = {"url": "javascript:alert(3)", "attributes": {hostile: hostile}, "raw": {hostile: hostile}}
        connection.execute(sa.update(schema.item).values(values))
    anna = visit("anna")
    anna.page.on("dialog", lambda dialog: anna.errors.append(f"a script ran: {dialog.message}"))
    for path, selector in (
        ("", "body[data-sample]"), ("items", ".card"), (f"items/{made[0].item_id}", ".shot"),
        (f"review?attribute=view&value={made[0].view}", ".tile"),
    ):  # fmt: skip
        anna.open(path, selector)
        assert hostile.split(maxsplit=1)[0] in anna.page.content().replace("&lt;", "<").replace("&gt;", ">")
        assert anna.page.locator("main img[src=x], main script").count() == 0
        assert anna.page.locator("a[href^=javascript]").count() == 0


def test_items_and_one_item(visit: Visit, made: list[Made]) -> None:
    anna = visit("anna")
    anna.open("items", ".card")
    assert anna.page.locator(".card").count() == 4
    anna.press("/")
    anna.page.keyboard.type("no such thing")
    anna.page.wait_for_selector(".empty-note")
    anna.open("items", ".card")
    title = anna.text(".card .title")
    anna.page.locator(".card").first.click()
    anna.page.wait_for_selector(".shot")
    assert anna.text("main h1") == title
    assert anna.page.locator(".shot").count() == 3
    assert anna.page.locator(".frame").count() == 3


def test_an_item_tells_what_changed(visit: Visit, project: Project, made: list[Made]) -> None:
    fields: dict[str, list[Any]] = {
        "price": [9900.0, 9450.0],
        "attributes": [{"Mileage": "84,000 km"}, {"Mileage": "86,200 km"}],
    }
    with writing(project.engine) as connection:
        record(connection, [
            ItemChange(made[0].item_id, 1.7e9, "changed", "crawl", fields=fields),
            ItemChange(made[0].item_id, 1.71e9, "vanished", "listing", "no result page names it"),
        ])  # fmt: skip
    anna = visit("anna")
    anna.open(f"items/{made[0].item_id}", ".shot")
    told = anna.page.locator(".box", has_text="What changed").inner_text()
    for part in ("9,450", "Mileage: 84,000 km", "Mileage: 86,200 km", "vanished", "no result page names it"):
        assert part in told


def test_dashboard_and_documentation(visit: Visit) -> None:
    anna = visit("anna")
    anna.open("dashboard", ".tiles")
    assert "12" in anna.text(".tiles")
    assert {"Verdicts", "Pictures", "Steps", "view"} <= set(anna.page.locator(".box h2").all_inner_texts())
    anna.open("api/docs", ".operation")
    assert "/api/labels" in anna.page.locator("main").inner_text()


def test_a_name_is_asked_once(visit: Visit) -> None:
    anna = visit("anna")
    anna.page.goto(anna.address)
    anna.page.wait_for_selector("dialog[open] input")
    anna.page.keyboard.type("Anna Ünal")
    anna.press("Enter")
    anna.page.wait_for_selector("body[data-sample]")
    anna.page.reload()
    anna.page.wait_for_selector("body[data-sample]")
    assert "Anna Ünal" in anna.text(".bar")


def test_people_sign_in_where_others_can_reach_the_server(browser: Any, make_project: MakeProject) -> None:
    project = make_project(SETTINGS)
    fill(project, items=2, pictures=2)
    add_person(project, "anna", "correct horse")
    with serving(project, "0.0.0.0") as served:
        anna = Watched(browser, served.url, "anna")
        anna.page.goto(served.url)
        anna.page.wait_for_selector("form input[type=password]")
        anna.page.keyboard.type("anna")
        anna.press("Tab")
        anna.page.keyboard.type("wrong horse")
        anna.press("Enter")
        anna.page.wait_for_function(
            "() => document.querySelector('[role=alert]').textContent.includes('do not belong')"
        )
        anna.page.fill("input[type=password]", "correct horse")
        anna.press("Enter")
        anna.page.wait_for_selector("body[data-sample]")
        anna.press("1")
        anna.wait_saved()
        assert [row[4] for row in labels(project)] == ["anna"]
        anna.context.close()
        assert [error for error in anna.errors if "401" not in error] == []


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (820, 1180)])
def test_it_fits_the_screen(visit: Visit, size: tuple[int, int]) -> None:
    anna = visit("anna")
    anna.page.set_viewport_size({"width": size[0], "height": size[1]})
    for path, selector in (("", "body[data-sample]"), ("review", ".tile"), ("items", ".card"), ("dashboard", ".tiles")):
        anna.open(path, selector)
        assert anna.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"/{path} scrolls sideways"
