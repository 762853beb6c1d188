"""The survey: fresh after what this process does, renewed for what others do."""

from __future__ import annotations

import time
from threading import Event

from tamis.annotate.claims import NewClaim, record
from tamis.annotate.kept import Kept
from tamis.annotate.survey import Surveyor
from tamis.database import writing
from tamis.project import Project
from tests.annotate.factory import Made, fill


def say(project: Project, one: Made, key: str, value: str | None) -> None:
    with writing(project.engine) as connection:
        record(connection, "anna", key, [NewClaim("view", value, one.region_id)])


def test_it_holds_gold_and_verdict_of_every_sample(project: Project) -> None:
    made = fill(project)
    entries = Surveyor(project).current().entries
    assert set(entries) == {one.region_id for one in made}
    for one in made:
        view, colour, damaged = entries[one.region_id].gold
        assert view is not None
        assert (view.value, view.by_person, view.settled) == (one.view, False, False)
        assert colour is not None
        assert (colour.value, colour.confidence) == (one.colour, 0.9)
        assert damaged is None
        assert entries[one.region_id].verdict == "keep"


def test_what_is_touched_is_looked_up_again_at_once(project: Project) -> None:
    made = fill(project)
    surveyor = Surveyor(project)
    before = surveyor.current()
    say(project, made[0], "step-0001", "interior")
    say(project, made[1], "step-0002", None)
    surveyor.touch([made[0].image_id, made[1].image_id])
    after = surveyor.current()
    first, second = after.entries[made[0].region_id].gold[0], after.entries[made[1].region_id].gold[0]
    assert first is not None
    assert (first.value, first.settled) == ("interior", True)
    assert second is not None
    assert (second.value, second.passed_over, second.settled) == (made[1].view, True, False)
    assert after.entries[made[2].region_id] is before.entries[made[2].region_id]
    assert surveyor.current() is after, "nothing was touched since"


def test_what_others_do_is_seen_after_a_while(project: Project) -> None:
    made = fill(project)
    surveyor = Surveyor(project)
    surveyor.current()
    say(project, made[0], "step-0001", "interior")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        mark = surveyor.current().entries[made[0].region_id].gold[0]
        if mark is not None and mark.settled:
            return
        time.sleep(0.2)
    raise AssertionError("the survey was never renewed")


def test_a_costly_value_is_renewed_in_the_background() -> None:
    made: list[int] = []
    go_on = Event()

    def make() -> int:
        if made:
            go_on.wait(30)
        else:
            time.sleep(0.35)
        made.append(len(made))
        return made[-1]

    kept = Kept(make)
    assert kept.current() == 0
    kept.renew_soon()
    started = time.monotonic()
    assert kept.current() == 0, "the old value is there meanwhile"
    assert time.monotonic() - started < 5
    go_on.set()
    until = time.monotonic() + 30
    while kept.current() == 0:
        assert time.monotonic() < until
        time.sleep(0.05)
