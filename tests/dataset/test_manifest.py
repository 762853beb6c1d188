"""The snapshot on disk: what is written is read, whatever the texts hold, and nothing that was changed is taken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.dataset.manifest import MANIFEST, SAMPLES, Sample, Snapshot
from tamis.errors import UserError
from tamis.labels import Attribute

ATTRIBUTES = (Attribute.of("view", "choice", ["front", "rear"]), Attribute.of("sold", "flag", [], "item", "is it sold"))


def sample(number: int = 0, **values: object) -> Sample:
    made = Sample(
        f"{number:016x}", "a" * 64, (0.1, 2.0, 30.5, 40.0), (0, 1, 32, 42), "train", "keep", {"view": "front"}, "g"
    )
    return replace(made, **values)  # type: ignore[arg-type]


def snapshot(folder: Path, *samples: Sample) -> Snapshot:
    return Snapshot(folder, "cars-1", 1, ATTRIBUTES, samples, "../blobs", {"snapshot": {"seed": 0}}, 12.5)


def texts() -> st.SearchStrategy[str]:
    """Any text of the web, line separators of all kinds among it."""
    return st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u2028\u2029\x85\x0b\x1c\r\n"))


@given(st.lists(st.builds(sample, item_title=texts(), item_url=texts(), reason=texts()), max_size=5))
def test_what_is_written_is_read(samples: list[Sample]) -> None:
    with TemporaryDirectory() as folder:
        made = snapshot(Path(folder) / "cars-1", *samples)
        made.write()
        found = Snapshot.read(made.folder)
        assert found == made
        assert found.digest == made.digest


@given(st.lists(st.builds(sample, st.integers(0, 99), item_title=texts()), max_size=4))
def test_the_digest_is_of_the_data_alone(samples: list[Sample]) -> None:
    here = snapshot(Path("here"), *samples)
    there = replace(here, folder=Path("there"), name="other", number=7, created_at=99.0, settings={})
    assert here.digest == there.digest
    assert here.digest != replace(here, samples=(*samples, sample(100))).digest
    assert here.digest != replace(here, attributes=ATTRIBUTES[:1]).digest


def test_changed_rows_are_refused(tmp_path: Path) -> None:
    made = snapshot(tmp_path, sample())
    made.write()
    rows = (tmp_path / SAMPLES).read_text(encoding="utf-8")
    (tmp_path / SAMPLES).write_text(rows.replace("front", "rear"), encoding="utf-8")
    with pytest.raises(UserError, match="is not what was frozen"):
        Snapshot.read(tmp_path)


@pytest.mark.parametrize("missing", [MANIFEST, SAMPLES])
def test_a_folder_without_its_files_is_no_snapshot(tmp_path: Path, missing: str) -> None:
    snapshot(tmp_path, sample()).write()
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=f"is no snapshot: {missing} is missing"):
        Snapshot.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is no manifest"),
        ('{"format": 1}', "is no manifest"),
        ("\udcff", "cannot be read"),
    ],
)
def test_other_manifests_are_refused(tmp_path: Path, text: str, message: str) -> None:
    snapshot(tmp_path, sample()).write()
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message):
        Snapshot.read(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    snapshot(tmp_path, sample()).write()
    facts = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps(facts | {"format": 99}), encoding="utf-8")
    with pytest.raises(UserError, match="has format 99; this tamis reads up to 2"):
        Snapshot.read(tmp_path)


def test_splits_attributes_and_blobs(tmp_path: Path) -> None:
    made = snapshot(tmp_path / "snapshots" / "cars-1", sample(1), sample(2, split="test"), sample(3))
    assert [one.id for one in made.split("train")] == [sample(1).id, sample(3).id]
    assert made.attribute("sold").classes == ("no", "yes")
    with pytest.raises(UserError, match="no attribute 'hue'; it has: view, sold"):
        made.attribute("hue")
    key = made.blobs.put(b"bytes")
    assert (tmp_path / "snapshots" / "blobs" / key[:2] / key[2:4] / key).is_file()
    assert replace(made, blobs_url="memory://tamis").blobs.address == "memory://tamis"


def test_a_snapshot_can_be_moved_with_its_project(tmp_path: Path) -> None:
    made = snapshot(tmp_path / "old" / "snapshots" / "cars-1", sample())
    made.write()
    key = made.blobs.put(b"bytes")
    shutil.move(tmp_path / "old", tmp_path / "new")
    moved = Snapshot.read(tmp_path / "new" / "snapshots" / "cars-1")
    assert moved.blobs.get(key) == b"bytes"
