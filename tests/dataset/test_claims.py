"""Which claims are in force, against a plain replay of the label table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from tamis import schema
from tamis.database import open_engine, reading, writing
from tamis.dataset.claims import active_claims, read_claims
from tamis.migrations import migrate
from tests.dataset.world import World, memory


@dataclass(frozen=True)
class Step:
    """A claim, or the retraction of one made before; `pick` chooses which."""

    actor: Literal["anna", "ben"]
    attribute: Literal["colour", "Colour"]
    subject: Literal["region", "item"]
    value: str | None
    retracts: bool
    pick: int


def steps() -> st.SearchStrategy[list[Step]]:
    one = st.builds(
        Step,
        actor=st.sampled_from(["anna", "ben"]),
        attribute=st.sampled_from(["colour", "Colour"]),
        subject=st.sampled_from(["region", "item"]),
        value=st.sampled_from(["red", "blue", None]),
        retracts=st.booleans(),
        pick=st.integers(0, 10),
    )
    return st.lists(one, max_size=12)


def play(connection: Connection, played: list[Step]) -> set[int]:
    """Insert the steps and return the claims that are in force at the end, by replaying them on stacks."""
    world = World(connection)
    _, region = world.shot()
    item = world.item()
    stacks: dict[tuple[str, str, str], list[int]] = {}
    made: list[tuple[tuple[str, str, str], int]] = []
    for step in played:
        if step.retracts and made:
            key, claim = made[step.pick % len(made)]
            world.retract(claim)
            if claim in stacks[key]:
                stacks[key].remove(claim)
            continue
        key = (step.actor, step.attribute, step.subject)
        claim = world.claim(
            step.value,
            actor=step.actor,
            attribute=step.attribute,
            region=region if step.subject == "region" else None,
            item=item if step.subject == "item" else None,
        )
        made.append((key, claim))
        stacks.setdefault(key, []).append(claim)
    return {stack[-1] for stack in stacks.values() if stack}


@settings(max_examples=80, deadline=None)
@given(steps())
def test_last_claim_not_retracted_is_in_force(played: list[Step]) -> None:
    with memory() as connection:
        expected = play(connection, played)
        assert {row.id for row in connection.execute(active_claims())} == expected


def test_same_on_every_database(database_address: str, tmp_path: Path) -> None:
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    made = [
        Step(actor, attribute, subject, value, retracts, pick)
        for pick, (retracts, value) in enumerate([(False, "red"), (False, "blue"), (True, None), (False, None)])
        for actor in ("anna", "ben")
        for attribute in ("colour", "Colour")
        for subject in ("region", "item")
        if (pick + len(actor) + len(subject)) % 3
    ]
    with writing(engine) as connection:
        expected = play(connection, made)
    with reading(engine) as connection:
        assert {row.id for row in connection.execute(active_claims())} == expected
    engine.dispose()


def test_claims_are_read_by_subject_and_attribute() -> None:
    with memory() as connection:
        world = World(connection)
        regions = [world.shot()[1] for _ in range(3)]
        for region in regions:
            world.claim("red", region=region)
            world.claim("keep", region=region, attribute="verdict")
        found = list(read_claims(connection, schema.label.c.region_id, regions[:2], ["colour"]))
    assert [(claim.region_id, claim.attribute, claim.value) for claim in found] == [
        (regions[0], "colour", "red"),
        (regions[1], "colour", "red"),
    ]
    assert (found[0].who, found[0].actor, found[0].item_id) == ("person", "anna", None)
