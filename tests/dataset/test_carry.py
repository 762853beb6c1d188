"""Labels that wait for review are listed, whatever the reason."""

from __future__ import annotations

from pathlib import Path

from tamis.database import open_engine, reading, writing
from tamis.dataset.carry import waiting_labels
from tamis.migrations import migrate
from tamis.settingsfile import parse_settings
from tests.dataset.world import World

SETTINGS = parse_settings('[detect]\nmodel = "y.onnx"\n')


def test_only_labels_without_a_sample_wait(database_address: str, tmp_path: Path) -> None:
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    with writing(engine) as connection:
        world = World(connection)
        image = world.image()
        whole = world.region(image)
        now = world.region(image, "detected", (0, 0, 500, 500))
        between = world.region(image, "detected", (0, 0, 499, 500), superseded_at=6.0, superseded_by=now)
        carried = world.region(image, "detected", (0, 0, 498, 500), superseded_at=5.0, superseded_by=between)
        lost = world.region(image, "detected", (600, 600, 700, 700), superseded_at=5.0)
        for region in (whole, now, carried, lost):
            world.claim("front", region=region, attribute="view")
        world.claim("front", region=lost, attribute="view", who="model", actor="m")
        world.retract(world.claim("red", region=lost, actor="ben"))
    with reading(engine) as connection:
        waiting = list(waiting_labels(connection, SETTINGS))
    assert [(one.claim.region_id, one.claim.actor, one.why) for one in waiting] == [
        (whole, "anna", "not chosen"),
        (lost, "anna", "superseded"),
    ]
    assert (waiting[1].image_id, waiting[1].box_xyxy) == (image, (600, 600, 700, 700))
    assert len(waiting[1].sha256) == 64
    engine.dispose()
