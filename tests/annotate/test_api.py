"""The JSON API over a real server: steps, undo, review, items, dashboard, events, pictures."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image

from tamis import schema
from tamis.annotate.server import serving
from tamis.crawl.history import ItemChange, record
from tamis.database import reading, writing
from tamis.project import Project
from tests.annotate.conftest import Connect
from tests.annotate.factory import SETTINGS, Made, fill
from tests.conftest import MakeProject


def post(client: httpx.Client, path: str, body: dict[str, Any], status: int = 200) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(client: httpx.Client, path: str, status: int = 200, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def step(client: httpx.Client, key: str, sample: str, status: int = 200, **values: str | None) -> Any:
    claims = [{"sample": sample, "attribute": name, "value": value} for name, value in values.items()]
    return post(client, "/api/labels", {"key": key, "claims": claims}, status)


def rows_of_people(project: Project) -> list[dict[str, Any]]:
    label = schema.label
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(label).where(label.c.who == "person").order_by(label.c.id)).mappings()
        return [dict(row) for row in rows]


def test_project_tells_what_is_asked(anna: httpx.Client) -> None:
    project = get(anna, "/api/project")
    assert project["name"] == "project"
    assert project["person"] == "anna"
    assert project["asked"] == ["view", "colour", "damaged"]
    assert project["attributes"][2]["classes"] == ["no", "yes"]
    assert [one["name"] for one in get(anna, "/api/attributes")] == ["view", "colour", "damaged", "verdict"]


def test_a_sample_carries_its_item_and_the_proposals(anna: httpx.Client, made: list[Made]) -> None:
    truth = {one.public_id: one for one in made}
    queue = get(anna, "/api/queue", count=3)
    assert len(queue["samples"]) == 3
    assert queue["remaining"] == queue["total"] == len(made)
    items = set()
    for sample in queue["samples"]:
        one = truth[sample["id"]]
        told = sample["item"]["id"] in items
        assert sample["asked"] == (["view", "damaged"] if told else ["view", "colour", "damaged"])
        items.add(sample["item"]["id"])
        assert sample["item"]["title"]
        assert sample["gold"]["view"]["value"] == one.view
        assert sample["gold"]["colour"] | {"confidence": 0} == {
            "value": one.colour, "who": "rule", "actor": "mine", "confidence": 0, "disputed": False,
            "evidence": f"title: {one.colour}",
        }  # fmt: skip
        assert sample["position"][1] == 3


def test_a_step_is_written_once_however_often_it_is_sent(
    anna: httpx.Client, project: Project, made: list[Made]
) -> None:
    one = made[0]
    first = step(anna, "key-00001", one.public_id, view="front", colour="red")
    again = step(anna, "key-00001", one.public_id, view="front", colour="red")
    assert first == again
    rows = rows_of_people(project)
    assert [(row["attribute"], row["value"], row["region_id"], row["item_id"]) for row in rows] == [
        ("view", "front", one.region_id, None),
        ("colour", "red", None, one.item_id),
    ]
    assert {row["actor"] for row in rows} == {"anna"}
    assert len({row["batch"] for row in rows}) == 1


def test_two_people_may_choose_one_key(connect: Connect, project: Project, made: list[Made]) -> None:
    step(connect("anna"), "key-00001", made[0].public_id, view="front")
    step(connect("ben"), "key-00001", made[0].public_id, view="rear")
    assert [row["value"] for row in rows_of_people(project)] == ["front", "rear"]


def test_undo_goes_back_across_samples_step_by_step(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    for number, one in enumerate(made[:3]):
        step(anna, f"step-000{number}", one.public_id, view="front")
    for number, one in reversed(list(enumerate(made[:3]))):
        taken_back = post(anna, "/api/undo", {"key": f"undo-000{number}"})
        again = post(anna, "/api/undo", {"key": f"undo-000{number}"})
        assert taken_back["claims"] == again["claims"], "a lost answer must not undo twice"
        assert [sample["id"] for sample in taken_back["samples"]] == [one.public_id]
        assert "view" in taken_back["samples"][0]["asked"]
    assert post(anna, "/api/undo", {"key": "undo-nothing"}) == {"claims": [], "samples": []}
    rows = rows_of_people(project)
    assert [row["retracts"] for row in rows] == [None, None, None, rows[2]["id"], rows[1]["id"], rows[0]["id"]]
    assert [row["value"] for row in rows[:3]] == ["front"] * 3, "the rows that were taken back stay as they were"


def test_undo_by_key_takes_back_that_step_alone_and_only_ones_own(connect: Connect, made: list[Made]) -> None:
    anna, ben = connect("anna"), connect("ben")
    step(anna, "step-0001", made[0].public_id, view="front")
    step(anna, "step-0002", made[1].public_id, view="rear")
    assert post(ben, "/api/undo", {"key": "undo-0001", "step": "step-0001"})["claims"] == []
    assert post(ben, "/api/undo", {"key": "undo-0002"})["claims"] == []
    (claim,) = post(anna, "/api/undo", {"key": "undo-0001", "step": "step-0001"})["claims"]
    assert claim["value"] == "front"
    assert post(anna, "/api/undo", {"key": "undo-0002", "step": "step-0001"})["claims"] == []
    sample = get(anna, f"/api/samples/{made[1].public_id}")
    assert sample["gold"]["view"] | {"evidence": None} == {
        "value": "rear", "who": "person", "actor": "anna", "confidence": 1.0, "disputed": False, "evidence": None,
    }  # fmt: skip


def test_a_changed_mind_supersedes_and_undo_restores_it(anna: httpx.Client, made: list[Made]) -> None:
    step(anna, "step-0001", made[0].public_id, view="front")
    step(anna, "step-0002", made[0].public_id, view="rear")
    assert get(anna, f"/api/samples/{made[0].public_id}")["gold"]["view"]["value"] == "rear"
    post(anna, "/api/undo", {"key": "undo-0001"})
    assert get(anna, f"/api/samples/{made[0].public_id}")["gold"]["view"]["value"] == "front"


@pytest.mark.parametrize(
    ("claim", "status", "told"),
    [
        ({"attribute": "view", "value": "above"}, 422, "'above' is none of front, rear, side, interior"),
        ({"attribute": "shape", "value": "x"}, 422, "'shape' is none of view, colour, damaged, verdict"),
        ({"attribute": "view", "value": "front", "sample": "0" * 16}, 404, "no sample 0000000000000000"),
        ({"attribute": "view", "value": "front", "sample": "../../etc"}, 422, "pattern"),
        ({"attribute": "view", "value": "front", "sample": None, "item": 1}, 422, "give `sample`"),
        ({"attribute": "view", "value": "front", "surprise": 1}, 422, "surprise"),
    ],
)
def test_wrong_claims_are_refused_whole(
    anna: httpx.Client, project: Project, made: list[Made], claim: dict[str, Any], status: int, told: str
) -> None:
    good = {"sample": made[0].public_id, "attribute": "view", "value": "front"}
    body = {"key": "step-0001", "claims": [good, {"sample": made[0].public_id} | claim]}
    assert told in str(post(anna, "/api/labels", body, status)["detail"])
    assert rows_of_people(project) == []


def test_what_one_decides_the_other_sees(connect: Connect, made: list[Made]) -> None:
    anna, ben = connect("anna"), connect("ben")
    cursor = get(ben, "/api/events")["cursor"]
    step(anna, "step-0001", made[0].public_id, view="front", colour="red")
    post(anna, "/api/undo", {"key": "undo-0001"})
    events = get(ben, "/api/events", since=cursor)
    told = [(one["sample"], one["item"], one["attribute"], one["value"], one["actor"]) for one in events["events"]]
    assert told[:2] == [
        (made[0].public_id, None, "view", "front", "anna"),
        (None, made[0].item_id, "colour", "red", "anna"),
    ]
    assert [one["retracts"] for one in events["events"]][2:] == [one["id"] for one in events["events"]][:2]
    assert get(ben, "/api/events", since=events["cursor"])["cursor"] == events["cursor"]


def test_released_samples_are_free_at_once_and_renewal_tells_what_is_lost(connect: Connect) -> None:
    anna, ben = connect("anna"), connect("ben")
    held = [one["id"] for one in get(anna, "/api/queue", count=50)["samples"]]
    assert get(ben, "/api/queue", count=5)["samples"] == []
    assert post(anna, "/api/leases/renew", {"samples": held}) == {"lost": []}
    assert post(ben, "/api/leases/renew", {"samples": held[:1]}) == {"lost": held[:1]}
    post(anna, "/api/leases/release", {"samples": held[:2]})
    assert {one["id"] for one in get(ben, "/api/queue", count=5)["samples"]} == set(held[:2])


def test_holding_keeps_samples_from_coming_twice(anna: httpx.Client) -> None:
    first = [one["id"] for one in get(anna, "/api/queue", count=4)["samples"]]
    second = [one["id"] for one in get(anna, "/api/queue", count=4, holding=",".join(first))["samples"]]
    assert len(second) == 4
    assert not set(first) & set(second)


# --- review -------------------------------------------------------------------------------------------------------


def test_a_class_is_reviewed_page_by_page_and_each_page_is_one_step(
    anna: httpx.Client, project: Project, made: list[Made]
) -> None:
    fronts = {one.public_id for one in made if one.view == "front"}
    page = get(anna, "/api/review", attribute="view", value="front", count=2)
    shown = [one["id"] for one in page["samples"]]
    assert page["counts"]["front"] == len(fronts)
    assert set(shown) <= fronts
    confidences = [one["gold"]["view"]["confidence"] for one in page["samples"]]
    assert confidences == sorted(confidences), "the doubtful ones come first"
    body = {
        "key": "page-0001", "attribute": "view", "value": "front", "confirmed": shown[:1],
        "wrong": [{"sample": shown[1], "value": "rear"}],
    }  # fmt: skip
    assert post(anna, "/api/review/confirm", body) == post(anna, "/api/review/confirm", body)
    rest = get(anna, "/api/review", attribute="view", value="front", cursor=page["cursor"])
    assert {one["id"] for one in rest["samples"]} == fronts - set(shown)
    afresh = get(anna, "/api/review", attribute="view", value="front")
    assert {one["id"] for one in afresh["samples"]} == fronts - set(shown)
    confirmed = get(anna, "/api/review", attribute="view", value="front", show="confirmed")
    assert [one["id"] for one in confirmed["samples"]] == shown[:1]
    assert len(post(anna, "/api/undo", {"key": "undo-0001"})["claims"]) == 2
    afresh = get(anna, "/api/review", attribute="view", value="front")
    assert {one["id"] for one in afresh["samples"]} == fronts
    assert len(rows_of_people(project)) == 4


def test_wrong_without_a_right_value_becomes_questionable_with_the_reason(anna: httpx.Client, made: list[Made]) -> None:
    one = next(one for one in made if one.view == "side")
    body = {
        "key": "page-0001", "attribute": "view", "value": "side", "confirmed": [], "wrong": [{"sample": one.public_id}]
    }  # fmt: skip
    post(anna, "/api/review/confirm", body)
    verdict = get(anna, f"/api/samples/{one.public_id}")["verdict"]
    assert verdict == {"value": "questionable", "cause": "person", "reason": "anna says questionable: view is not side"}
    doubted = get(anna, "/api/review", attribute="verdict", value="questionable", show="confirmed")
    assert [sample["id"] for sample in doubted["samples"]] == [one.public_id]


def test_verdicts_are_reviewed_like_classes(anna: httpx.Client, made: list[Made]) -> None:
    page = get(anna, "/api/review", attribute="verdict", value="keep")
    assert len(page["samples"]) == len(made)
    shown = [one["id"] for one in page["samples"]]
    body = {
        "key": "page-0001", "attribute": "verdict", "value": "keep", "confirmed": shown[2:],
        "wrong": [{"sample": shown[0], "value": "reject"}, {"sample": shown[1]}],
    }  # fmt: skip
    assert "say which" in post(anna, "/api/review/confirm", body, 422)["detail"]
    body["wrong"] = [{"sample": one, "value": "reject"} for one in shown[:2]]
    post(anna, "/api/review/confirm", body)
    rejected = get(anna, "/api/review", attribute="verdict", value="reject", show="all")
    assert {one["id"] for one in rejected["samples"]} == set(shown[:2])
    assert get(anna, "/api/dashboard")["verdicts"] == {"keep": len(made) - 2, "reject": 2}


def test_an_attribute_of_the_item_is_confirmed_once_for_all_its_pictures(
    anna: httpx.Client, project: Project, made: list[Made]
) -> None:
    of_item = [one for one in made if one.item_id == made[0].item_id]
    body = {
        "key": "page-0001", "attribute": "colour", "value": made[0].colour,
        "confirmed": [one.public_id for one in of_item],
    }  # fmt: skip
    post(anna, "/api/review/confirm", body)
    assert [(row["item_id"], row["value"]) for row in rows_of_people(project)] == [(made[0].item_id, made[0].colour)]


# --- items, dashboard, pictures -----------------------------------------------------------------------------------


def test_items_are_found_by_words_and_paged(anna: httpx.Client, made: list[Made]) -> None:
    everything = get(anna, "/api/items", count=3)
    assert everything["total"] == 4
    rest = get(anna, "/api/items", count=3, cursor=everything["cursor"])
    assert len(everything["items"]) + len(rest["items"]) == 4
    assert rest["cursor"] is None
    title = everything["items"][0]["title"]
    found = get(anna, "/api/items", query=title.upper().split()[0])
    assert title in [one["title"] for one in found["items"]]
    assert get(anna, "/api/items", query="100%_nothing")["items"] == []


def test_an_item_shows_its_pictures_raw_record_labels_and_history(anna: httpx.Client, made: list[Made]) -> None:
    step(anna, "step-0001", made[0].public_id, view="front", colour="red")
    post(anna, "/api/undo", {"key": "undo-0001"})
    item = get(anna, f"/api/items/{made[0].item_id}")
    assert len(item["pictures"]) == 3
    assert [one["id"] for one in item["pictures"][0]["samples"]] == [made[0].public_id]
    assert item["raw"]["offers"] == {"priceCurrency": "EUR"}
    assert item["gold"]["colour"]["value"] == made[0].colour
    mine = [row for row in item["history"] if row["actor"] == "anna"]
    assert [(row["attribute"], row["retracted"]) for row in mine if row["retracts"] is None] == [
        ("colour", True),
        ("view", True),
    ]
    get(anna, "/api/items/999", 404)


def test_an_item_shows_what_it_was_before(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    assert get(anna, f"/api/items/{made[0].item_id}")["changes"] == []
    fields: dict[str, list[Any]] = {"price": [900.0, 750.0], "sku": [None, "A1"]}
    cheaper = ItemChange(made[0].item_id, 10.0, "changed", "crawl", fields=fields)
    gone = ItemChange(made[0].item_id, 20.0, "vanished", "listing", "no result page names it")
    other = ItemChange(made[-1].item_id, 30.0, "returned", "crawl")
    with writing(project.engine) as connection:
        record(connection, [cheaper, gone, other])
    latest, first = get(anna, f"/api/items/{made[0].item_id}")["changes"]
    assert (latest["kind"], latest["cause"], latest["reason"]) == ("vanished", "listing", "no result page names it")
    assert (first["at"], first["fields"]) == (10.0, fields)


def test_dashboard_counts_what_the_runner_counted(anna: httpx.Client, project: Project, made: list[Made]) -> None:
    with project.engine.begin() as connection:
        for name, amount in (("done", 11.0), ("failed", 1.0)):
            connection.execute(sa.insert(schema.counter), {"stage": "detect", "name": name, "amount": amount})
        connection.execute(
            sa.insert(schema.ledger),
            {
                "stage": "detect", "subject_id": 12, "fingerprint": "0" * 32, "input_digest": "", "state": "failed",
                "reason": "out of memory", "attempts": 1, "commits": 0, "finished_at": 1.0,
            },
        )  # fmt: skip
    step(anna, "step-0001", made[0].public_id, view="front")
    dashboard = get(anna, "/api/dashboard")
    assert {name: one["rows"] for name, one in dashboard["inventory"].items() if name in ("items", "pictures")} == {
        "items": 4, "pictures": 12,
    }  # fmt: skip
    assert dashboard["inventory"]["pictures"]["parts"] == {"ok": 12}
    (detect,) = (one for one in dashboard["stages"] if one["stage"] == "detect")
    assert (detect["done"], detect["failed"]) == (11, 1)
    assert dashboard["failures"] == [{"step": "detect", "reason": "out of memory", "count": 1}]
    assert dashboard["people"] == {"anna": 1}
    assert sum(one["person"] for one in dashboard["classes"]["view"]) == 1
    assert sum(one["machine"] for one in dashboard["classes"]["view"]) == 11


def test_pictures_are_rendered_in_the_size_asked_for_and_kept(
    anna: httpx.Client, project: Project, made: list[Made]
) -> None:
    sample = get(anna, f"/api/samples/{made[0].public_id}")
    answer = anna.get(f"{sample['crop_url']}&size=320")
    x0, y0, x1, y1 = sample["crop"]
    with Image.open(BytesIO(answer.content)) as crop:
        assert max(crop.size) == 320
        assert crop.width / crop.height == pytest.approx((x1 - x0) / (y1 - y0), rel=0.02)
    assert "immutable" in answer.headers["cache-control"]
    whole = anna.get(f"{sample['image_url']}&size=100")
    assert whole.content == project.thumbnails.get(sample["image_url"].split("/")[2])
    assert (
        anna.get(f"{sample['image_url']}&size=100", headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    )
    cached = [path.read_bytes() for path in project.path("cache", "pictures").glob("??/*")]
    assert answer.content in cached


def test_only_pictures_of_the_project_are_shown(anna: httpx.Client, project: Project) -> None:
    stranger = project.blobs.put(b"a file that lies in the store but is no picture of the project")
    assert anna.get(f"/image/{stranger}/thumb").status_code == 404
    assert anna.get("/image/..%2F..%2Ftamis.toml/thumb").status_code in (404, 422)
    assert anna.get("/image/0000000000000000/crop").status_code == 404
    assert anna.get("/image/0000000000000000/crop?size=99999").status_code == 422


def test_the_api_documents_itself(anna: httpx.Client) -> None:
    paths = get(anna, "/api/openapi.json")["paths"]
    assert {"/api/queue", "/api/labels", "/api/undo", "/api/review", "/api/items/{item_id}", "/api/dashboard"} <= set(
        paths
    )
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} says nothing"
    assert get(anna, "/api/health")["status"] == "ok"


def test_the_whole_way_on_every_database(make_project: MakeProject, database_address: str) -> None:
    project = make_project(SETTINGS, database=database_address)
    made = fill(project, items=3, pictures=2)
    with serving(project) as served, httpx.Client(base_url=served.url, headers={"X-Tamis-Person": "anna"}) as anna:
        samples = get(anna, "/api/queue", count=3)["samples"]
        for number, sample in enumerate(samples):
            step(anna, f"step-000{number}", sample["id"], view="rear")
        assert len(post(anna, "/api/undo", {"key": "undo-0001"})["samples"]) == 1
        page = get(anna, "/api/review", attribute="view", value="rear", show="confirmed")
        assert {one["id"] for one in page["samples"]} == {one["id"] for one in samples[:2]}
        assert get(anna, "/api/items", query=made[0].colour)["total"] >= 1
        assert get(anna, f"/api/items/{made[0].item_id}")["pictures"]
        assert get(anna, "/api/dashboard")["people"] == {"anna": 3}
        assert len(get(anna, "/api/events", since=0)["events"]) == 4
