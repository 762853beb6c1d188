"""The copies page: pairs through the API on every database, and by keyboard in a real Chromium."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.annotate.server import serving
from tamis.database import reading, writing
from tamis.project import Project
from tamis.stages.comparisons import agreed, read_said, select_said
from tests.annotate.browser import Watched
from tests.annotate.conftest import Connect
from tests.annotate.factory import SETTINGS, Made, fill
from tests.annotate.test_api import get, post
from tests.conftest import MakeProject

#: Places of two pictures among those made, kind and score.
RELATED = ((0, 1, "edited", 0.9), (0, 2, "mirrored", 0.55), (1, 2, "edited", 0.2), (3, 4, "same_scene", 0.5))


def relate(project: Project, made: list[Made]) -> None:
    """Store relations of some images, as a comparison of their pixels would, and of the regions of two of them."""
    rows = [
        {"level": "image", "first_id": made[a].image_id, "second_id": made[b].image_id, "kind": kind, "score": score}
        for a, b, kind, score in RELATED
    ]
    rows.append(
        {
            "level": "region",
            "first_id": made[0].region_id,
            "second_id": made[1].region_id,
            "kind": "edited",
            "score": 0.4,
        }
    )
    with writing(project.engine) as connection:
        connection.execute(sa.insert(schema.relation), [row | {"distance": 3} for row in rows])


def shas(project: Project, made: list[Made]) -> list[str]:
    with reading(project.engine) as connection:
        names = {row[0]: row[1] for row in connection.execute(sa.select(schema.image.c.id, schema.image.c.sha256))}
    return [names[one.image_id] for one in made]


def rows_of(project: Project) -> list[tuple[Any, ...]]:
    column = schema.comparison.c
    statement = sa.select(
        column.level, column.first_id, column.second_id, column.same, column.actor, column.retracts
    ).order_by(column.id)
    with reading(project.engine) as connection:
        return [tuple(row) for row in connection.execute(statement)]


def scores(page: dict[str, Any]) -> list[float]:
    return [pair["score"] for pair in page["pairs"]]


def test_a_pair_is_asked_said_and_taken_back_on_every_database(
    make_project: MakeProject, database_address: str
) -> None:
    project = make_project(SETTINGS, database=database_address)
    made = fill(project, items=2, pictures=3)
    relate(project, made)
    names = shas(project, made)
    with serving(project) as served, httpx.Client(base_url=served.url, headers={"X-Tamis-Person": "anna"}) as anna:
        page = get(anna, "/api/copies")
        assert scores(page) == [0.55, 0.2, 0.9], "nearest to the threshold first, and what never joins is not asked"
        assert (page["remaining"], page["judged"], page["threshold"]) == (3, 0, 0.5)
        assert sorted(scores(get(anna, "/api/copies", order="spread"))) == [0.2, 0.55, 0.9]
        assert {page["pairs"][0]["first"]["id"], page["pairs"][0]["second"]["id"]} == {names[0], names[2]}
        step = {"key": "step-0001", "first": names[2], "second": names[0], "same": False}
        first = post(anna, "/api/copies", step)
        assert post(anna, "/api/copies", step) == first, "a step that is sent twice is stored once"
        post(anna, "/api/copies", {"key": "step-0002", "first": names[1], "second": names[2], "same": None})
        page = get(anna, "/api/copies")
        assert (scores(page), page["remaining"], page["judged"]) == ([0.9], 1, 1)
        (judged,) = get(anna, "/api/copies", show="judged")["pairs"]
        assert (judged["same"], judged["votes"], judged["score"]) == (False, {"anna": False}, 0.55)
        for number, expected in enumerate((0.2, 0.55, None, None)):
            undone = post(anna, "/api/copies/undo", {"key": f"undo-000{number}"})
            assert scores(undone) == ([] if expected is None else [expected])
        assert scores(post(anna, "/api/copies/undo", {"key": "undo-0000"})) == [0.2], "a lost answer undoes once"
        assert len(get(anna, "/api/copies")["pairs"]) == 3
        rows = rows_of(project)
        assert [row[3] for row in rows] == [False, None, None, None], "what was taken back stays as it was"
        assert [row[5] is not None for row in rows] == [False, False, True, True]


def test_people_who_disagree_are_put_before_a_third(connect: Connect, project: Project, made: list[Made]) -> None:
    relate(project, made)
    names = shas(project, made)
    for number, (person, same) in enumerate((("anna", True), ("ben", False))):
        pair = {"first": names[0], "second": names[1], "same": same}
        post(connect(person), "/api/copies", {"key": f"step-000{number}", **pair})
    cleo = connect("cleo")
    assert 0.9 in scores(get(cleo, "/api/copies"))
    assert 0.9 not in scores(get(connect("anna"), "/api/copies"))
    post(cleo, "/api/copies", {"key": "step-0003", "first": names[0], "second": names[1], "same": True})
    assert 0.9 not in scores(get(connect("dora"), "/api/copies"))
    with reading(project.engine) as connection:
        found = agreed(read_said(connection.execute(select_said("image"))))
    assert list(found.values()) == [True]


def test_regions_are_compared_by_their_public_ids(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    relate(project, made)
    (pair,) = get(anna, "/api/copies", level="region")["pairs"]
    assert {pair["first"]["id"], pair["second"]["id"]} == {made[0].public_id, made[1].public_id}
    assert anna.get(pair["first"]["picture_url"] + "&size=96").headers["content-type"] == "image/jpeg"
    said = {"level": "region", "first": made[0].public_id, "second": made[5].public_id, "same": True}
    post(anna, "/api/copies", {"key": "step-0001", **said})
    (judged,) = get(anna, "/api/copies", level="region", show="judged")["pairs"]
    assert judged["kind"] == "confirmed"
    assert get(anna, "/api/copies")["judged"] == 0


def test_wrong_pairs_are_refused(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    names = shas(project, made)
    step = {"key": "step-0001", "same": True}
    unknown = post(anna, "/api/copies", {**step, "first": names[0], "second": "0" * 64}, 404)
    assert unknown["detail"] == f"no image {'0' * 64}"
    assert (
        "two different ones"
        in post(anna, "/api/copies", {**step, "first": names[0], "second": names[0]}, 422)["detail"]
    )
    post(anna, "/api/copies", {**step, "first": names[0], "second": "x"}, 422)
    assert rows_of(project) == []


@pytest.mark.browser
@pytest.mark.slow
def test_pairs_are_judged_by_keyboard(browser: Any, address: str, project: Project, made: list[Made]) -> None:
    relate(project, made)
    anna = Watched(browser, address, "anna")
    anna.open("copies", "body[data-pair]")
    anna.page.wait_for_function("() => [...document.images].every((one) => one.naturalWidth > 0)")
    assert "mirrored" in anna.text(".dock .pair")
    assert anna.page.locator(".side.flipped").count() == 1, "a mirrored copy is shown as its original would be"
    anna.press("m")
    assert anna.page.locator(".side.flipped").count() == 0
    first = anna.page.evaluate("document.body.dataset.pair")
    anna.press("d")
    assert anna.page.evaluate("document.body.dataset.pair") != first, "a key press waits for no server"
    anna.press(" ", "s")
    anna.page.wait_for_selector(".empty-note")
    anna.wait_saved()
    assert [row[3] for row in rows_of(project)] == [False, None, True]
    anna.press("Backspace")
    anna.page.wait_for_selector("body[data-pair]")
    assert "90 %" in anna.text(".dock .pair")
    anna.press("?")
    assert "The same shot" in anna.text("dialog[open]")
    anna.press("Escape")
    anna.press("s")
    anna.wait_saved()
    anna.press("g", "r")
    anna.page.wait_for_url("**/review*")
    anna.context.close()
    assert anna.errors == []
    with reading(project.engine) as connection:
        said = agreed(read_said(connection.execute(select_said("image"))))
    assert said == {
        (made[0].image_id, made[2].image_id): False,
        (made[0].image_id, made[1].image_id): True,
    }


def test_the_one_that_stays_of_a_cluster_is_told(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    relate(project, made)
    pair = get(anna, "/api/copies")["pairs"][0]
    assert not pair["first"]["keeper"]
    assert not pair["second"]["keeper"]
    with writing(project.engine) as connection:
        first, second = (
            connection.execute(
                sa.select(schema.image.c.id).where(schema.image.c.sha256 == pair[side]["id"])
            ).scalar_one()
            for side in ("first", "second")
        )
        both = {"level": "image", "keeper_id": second, "score": 1.0}
        rows = [both | {"member_id": first, "kind": "edited"}, both | {"member_id": second, "kind": "keeper"}]
        connection.execute(sa.insert(schema.cluster), rows)
    pair = get(anna, "/api/copies")["pairs"][0]
    assert (pair["joined"], pair["first"]["keeper"], pair["second"]["keeper"]) == (True, False, True)
