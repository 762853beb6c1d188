"""The queue: leases, order, what is asked of whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.annotate.claims import NewClaim, record, undo
from tamis.annotate.queue import SampleQueue
from tamis.annotate.survey import Surveyor
from tamis.database import reading, writing
from tamis.project import Project
from tamis.records import Region
from tests.annotate.factory import SETTINGS, Made, add_label, add_region, fill
from tests.conftest import MakeProject

ASKED = ("view", "colour", "damaged")


class Clock:
    """Time that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def queue_of(project: Project, clock: Clock | None = None) -> SampleQueue:
    surveyor = Surveyor(project)
    return SampleQueue(project, surveyor, clock) if clock else SampleQueue(project, surveyor)


def claim(project: Project, person: str, key: str, *claims: NewClaim) -> None:
    with writing(project.engine) as connection:
        record(connection, person, key, claims)


def answer_all(project: Project, person: str, made: Made, value: str = "front") -> None:
    claim(
        project,
        person,
        f"all-{made.public_id}",
        NewClaim("view", value, region_id=made.region_id),
        NewClaim("colour", made.colour, item_id=made.item_id),
        NewClaim("damaged", "no", region_id=made.region_id),
    )


def test_nobody_gets_what_somebody_holds(make_project: MakeProject, database_address: str) -> None:
    project = make_project(SETTINGS, database=database_address)
    made = fill(project, items=4, pictures=2)
    queue = queue_of(project)
    first = {lease.region_id for lease in queue.lease("anna", 3)}
    second = {lease.region_id for lease in queue.lease("ben", 50)}
    assert len(first) == 3
    assert not first & second
    assert first | second == {one.region_id for one in made}
    assert queue.lease("carl", 5) == []


def test_two_people_at_once_never_get_the_same_sample(make_project: MakeProject, database_address: str) -> None:
    """Five people, each with a server of their own, take and answer until nothing is left."""
    project = make_project(SETTINGS, database=database_address)
    made = {one.region_id: one for one in fill(project, items=12, pictures=3)}
    taken: list[tuple[int, str]] = []

    def work(person: str) -> None:
        random, queue = Random(person), queue_of(project)
        while leases := queue.lease(person, random.randint(1, 3)):
            for lease in leases:
                one = made[lease.region_id]
                taken.append((lease.region_id, person))
                values = {"view": one.view, "colour": one.colour, "damaged": "no"}
                claims = [
                    NewClaim(name, values[name], item_id=one.item_id)
                    if name == "colour"
                    else NewClaim(name, values[name], region_id=one.region_id)
                    for name in lease.asked
                ]
                with writing(project.engine) as connection:
                    record(connection, person, f"step-{one.public_id}-{len(taken)}", claims)
                    queue.release_answered(connection, person, [one.region_id])

    with ThreadPoolExecutor(5) as pool:
        for future in [pool.submit(work, name) for name in ("anna", "ben", "carl", "dora", "emil")]:
            future.result()
    queue_of(project).lease("finn", 50)  # whatever the others left because one of them was at the item
    with reading(project.engine) as connection:
        label = schema.label.c
        rows = connection.execute(sa.select(label.region_id, label.item_id, label.attribute, label.actor))
        people = [tuple(row) for row in rows if row.actor not in ("mine", "view-1")]
    assert len({row[:3] for row in people}) == len(people), "something was asked twice"
    assert {row[0] for row in people if row[2] == "view"} == set(made)


def test_an_item_is_asked_of_one_person_at_a_time(project: Project) -> None:
    made = fill(project, items=1, pictures=2)
    queue = queue_of(project)
    (first,) = queue.lease("anna", 1)
    (second,) = queue.lease("ben", 1)
    assert first.asked == ASKED
    assert second.asked == ("view", "damaged")
    with writing(project.engine) as connection:
        queue.release(connection, "anna", [first.region_id])
        queue.release(connection, "ben", [second.region_id])
    claim(project, "anna", "one-colour", NewClaim("colour", "red", item_id=made[0].item_id))
    assert {lease.asked for lease in queue.lease("ben", 2)} == {("view", "damaged")}


@pytest.mark.parametrize("walk", [1, 250])
def test_what_belongs_to_an_item_is_asked_with_one_of_its_samples(
    project: Project, monkeypatch: pytest.MonkeyPatch, walk: int
) -> None:
    fill(project, items=2, pictures=3)
    monkeypatch.setattr("tamis.annotate.queue._WALK", walk)  # samples a step of one request
    queue = queue_of(project)
    first = queue.lease("anna", 1)
    later = queue.lease("anna", 5, holding=[lease.region_id for lease in first])
    assert (len(first), len(later)) == (1, 5)
    asked = [lease for lease in (*first, *later) if "colour" in lease.asked]
    assert len(asked) == 2, "once for each item"


def test_an_expired_lease_goes_to_somebody_else_and_a_renewed_one_does_not(project: Project, clock: Clock) -> None:
    fill(project, items=1, pictures=2)
    queue = queue_of(project, clock)
    first, second = queue.lease("anna", 2)
    clock.now += project.settings.annotate.lease - 1
    assert queue.lease("ben", 2) == []
    assert queue.renew("anna", [first.region_id]) == []
    clock.now += 2
    (taken,) = queue.lease("ben", 2)
    assert taken.region_id == second.region_id
    assert queue.renew("anna", [first.region_id, second.region_id]) == [second.region_id]


def test_a_page_loaded_anew_gets_the_same_samples_and_a_full_one_gets_others(project: Project) -> None:
    fill(project, items=2, pictures=3)
    queue = queue_of(project)
    first = [lease.region_id for lease in queue.lease("anna", 2)]
    assert [lease.region_id for lease in queue.lease("anna", 2)] == first
    more = [lease.region_id for lease in queue.lease("anna", 2, holding=first)]
    assert not set(first) & set(more)


def test_what_was_answered_is_asked_of_nobody_and_what_was_passed_over_of_others(project: Project) -> None:
    made = fill(project, items=1, pictures=2)
    answer_all(project, "anna", made[0])
    passed_over = [NewClaim(name, None, region_id=made[1].region_id) for name in ("view", "damaged")]
    claim(project, "anna", "passed-over", *passed_over)
    queue = queue_of(project)
    assert queue.lease("anna", 5) == []
    (lease,) = queue.lease("ben", 5)
    assert lease.region_id == made[1].region_id
    assert lease.asked == ("view", "damaged"), "the colour of the item is known since the first picture"


def test_people_who_disagree_are_put_before_a_third(project: Project) -> None:
    (one,) = fill(project, items=1, pictures=1)
    answer_all(project, "anna", one, "front")
    claim(project, "ben", "other-view", NewClaim("view", "rear", region_id=one.region_id))
    queue = queue_of(project)
    assert queue.lease("anna", 1) == queue.lease("ben", 1) == []
    (lease,) = queue.lease("carl", 1)
    assert lease.asked == ("view",)


def test_a_second_opinion_asks_what_others_answered(project: Project) -> None:
    (one,) = fill(project, items=1, pictures=1)
    answer_all(project, "anna", one)
    queue = queue_of(project)
    assert queue.lease("ben", 1) == []
    (lease,) = queue.lease("ben", 1, second_opinion=True)
    assert lease.asked == ASKED
    assert queue.lease("anna", 1, second_opinion=True) == []


def test_a_rejected_sample_is_not_asked(project: Project) -> None:
    (one,) = fill(project, items=1, pictures=1)
    claim(project, "anna", "rejected", NewClaim("verdict", "reject", region_id=one.region_id))
    assert queue_of(project).lease("ben", 5) == []


def test_undo_brings_a_sample_back(project: Project) -> None:
    (one,) = fill(project, items=1, pictures=1)
    answer_all(project, "anna", one)
    queue = queue_of(project)
    assert queue.lease("anna", 1) == []
    with writing(project.engine) as connection:
        assert len(undo(connection, "anna", "undo-once")) == 3
    queue.reopen([one.region_id])
    assert [lease.asked for lease in queue.lease("anna", 1)] == [ASKED]


def test_labels_of_a_superseded_region_answer_for_its_heir(project: Project) -> None:
    (first,) = fill(project, items=1, pictures=1)
    answer_all(project, "anna", first)
    region = schema.region
    with writing(project.engine) as connection:
        newer = Region(first.image_id, "0" * 64, "detected", (10.0, 10.0, 300.0, 300.0), "newer", "car", 0.9)
        heir, _ = add_region(connection, newer)
        taken_over = sa.update(region).where(region.c.id == first.region_id)
        connection.execute(taken_over.values(superseded_at=1.0, superseded_by=heir))
    queue = queue_of(project)
    assert queue.lease("ben", 5) == []
    assert [lease.region_id for lease in queue.lease("ben", 5, second_opinion=True)] == [heir]


@pytest.mark.parametrize("order", ["uncertain", "random", "oldest"])
def test_order(make_project: MakeProject, order: str) -> None:
    project = make_project(f'{SETTINGS}\n[annotate]\norder = "{order}"\n')
    made = fill(project, items=3, pictures=3)
    with reading(project.engine) as connection:
        label, region = schema.label.c, schema.region.c
        of_models = sa.select(label.region_id, label.confidence).where(label.who == "model")
        doubt = {row[0]: row[1] for row in connection.execute(of_models)}
        keys = {row[0]: row[1] for row in connection.execute(sa.select(region.id, region.region_key))}
    expected = {
        "uncertain": sorted(doubt, key=lambda one: (min(doubt[one], 0.9), keys[one])),
        "random": sorted(doubt, key=lambda one: keys[one]),
        "oldest": sorted(doubt),
    }
    found = [lease.region_id for lease in queue_of(project).lease("anna", 50)]
    assert found == expected[order]
    assert len(found) == len(made)


def test_a_project_without_attributes_asks_for_the_verdict(make_project: MakeProject) -> None:
    project = make_project("")
    made = fill(project, items=1, pictures=2, predicted=False)
    queue = queue_of(project)
    leases = queue.lease("anna", 5)
    assert [lease.asked for lease in leases] == [("verdict",), ("verdict",)]
    with writing(project.engine) as connection:
        record(connection, "anna", "keep-first", [NewClaim("verdict", "keep", region_id=leases[0].region_id)])
        add_label(connection, "verdict", "reject", "person", "ben", region_id=leases[1].region_id)
    assert len(made) == 2
    assert queue_of(project).lease("carl", 5) == []
