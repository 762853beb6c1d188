"""Copies within a folder: the report, byte copies, unreadable files, and the labelled copies of real photos."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from tests.realdata import data_folder

from tamis.errors import UserError
from tamis.vision.clusters import Clustering
from tamis.vision.dedupe import DedupeSettings, Report, dedupe_folder
from tamis.vision.proposals import Search

from .pictures import Image, as_image, bannered, cropped, framed, resized, shot


def save(image: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(path, quality=95)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(shot(1), tmp_path / "a" / "original.jpg")
    (tmp_path / "a" / "same bytes.jpg").write_bytes((tmp_path / "a" / "original.jpg").read_bytes())
    save(resized(shot(1)), tmp_path / "b" / "small.png")
    save(bannered(shot(1)), tmp_path / "b" / "banner.webp")
    save(as_image(shot(1)[:, ::-1]), tmp_path / "b" / "mirror.jpg")
    save(cropped(shot(1), 0.15), tmp_path / "b" / "crop.jpg")
    save(framed(shot(2)), tmp_path / "framed.jpg")
    save(shot(2), tmp_path / "plain.jpg")
    save(shot(3), tmp_path / "alone.jpg")
    save(shot(4), tmp_path / "twin-1.jpg")
    (tmp_path / "twin-2.jpg").write_bytes((tmp_path / "twin-1.jpg").read_bytes())
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "alone.jpg").read_bytes()[:3000])
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "notes.txt").write_text("no picture, and not named like one")
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "no extension").write_bytes((tmp_path / "alone.jpg").read_bytes())
    return tmp_path


def relations(report: Report) -> dict[str, dict[str, str]]:
    return {
        cluster["keep"]: {member["file"]: member["relation"] for member in cluster["members"]}
        for cluster in report["clusters"]
    }


def test_the_report_tells_copies_relations_and_unreadable_files(folder: Path) -> None:
    report = dedupe_folder(folder)
    assert report["images"] == 14
    assert report["unreadable"] == [
        {"file": "cut.jpg", "reason": "truncated"},
        {"file": "page.jpg", "reason": "not a picture (text/html)"},
    ]
    found = relations(report)
    assert found.pop("plain.jpg") == {"framed.jpg": "edited"}
    assert found.pop("alone.jpg") == {"no extension": "same_bytes"}
    assert found.pop("twin-1.jpg") == {"twin-2.jpg": "same_bytes"}
    assert found == {
        "a/original.jpg": {
            "a/same bytes.jpg": "same_bytes",
            "b/small.png": "recompressed",
            "b/banner.webp": "edited",
            "b/crop.jpg": "edited",
            "b/mirror.jpg": "mirrored",
        }
    }
    scores = [member["score"] for cluster in report["clusters"] for member in cluster["members"]]
    assert all(0.5 <= score <= 1 for score in scores)


def test_equal_pixels_in_other_bytes_are_told_from_another_colour(tmp_path: Path) -> None:
    save(shot(1), tmp_path / "1.png")
    PillowImage.open(tmp_path / "1.png").save(tmp_path / "2.png", compress_level=1)
    tinted = shot(1)
    tinted[40:44, 40:44] = as_image(tinted[40:44, 40:44] ^ np.array([0, 0, 1], dtype=np.uint8))
    save(tinted, tmp_path / "3.png")
    assert relations(dedupe_folder(tmp_path)) == {"1.png": {"2.png": "same_pixels", "3.png": "recompressed"}}


def test_settings_reach_the_search(folder: Path) -> None:
    plain = DedupeSettings(search=Search(mirrored=False), clustering=Clustering(keeper="first"))
    found = relations(dedupe_folder(folder, plain))
    assert "b/mirror.jpg" not in found["a/original.jpg"]


def test_progress_is_told_to_the_end(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    dedupe_folder(folder, progress=lambda step, done, total: told.append((step, done, total)))
    assert told[0] == ("inspect", 14, 14)
    step, done, total = told[-1]
    assert (step, done) == ("verify", total)


def test_an_empty_folder_and_a_missing_one(tmp_path: Path) -> None:
    assert dedupe_folder(tmp_path) == {"images": 0, "unreadable": [], "clusters": []}
    with pytest.raises(UserError, match="missing is no folder"):
        dedupe_folder(tmp_path / "missing")


@pytest.mark.slow
def test_processes_find_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6):
        save(shot(seed), tmp_path / f"{seed}.jpg")
        save(resized(shot(seed)), tmp_path / f"{seed} small.jpg")
    alone = dedupe_folder(tmp_path, DedupeSettings(processes=1))
    monkeypatch.setattr("tamis.vision.dedupe._WORTH_PROCESSES", 0)
    assert dedupe_folder(tmp_path, DedupeSettings(processes=2)) == alone
    assert len(alone["clusters"]) == 6


@pytest.mark.real
@pytest.mark.slow
def test_the_labelled_copies_are_found_and_nothing_else() -> None:
    folder = data_folder("duplicates")
    with (folder / "truth.csv").open(newline="") as stream:
        truth = {row["file"]: row for row in csv.DictReader(stream)}
    settings = DedupeSettings(Search(rotated=True), Clustering(rotated=True))
    report = dedupe_folder(folder, settings)
    together = set()
    for cluster in report["clusters"]:
        files = sorted([cluster["keep"], *(member["file"] for member in cluster["members"])])
        together |= set(combinations(files, 2))
    false = [pair for pair in together if truth[pair[0]]["group"] != truth[pair[1]]["group"]]
    assert false == []
    originals = {row["group"]: row["file"] for row in truth.values() if row["role"] == "original"}
    copies = [row for row in truth.values() if row["role"] == "copy" and "corrupt" not in row["expected"]]
    found = [(min(pair), max(pair)) in together for row in copies if (pair := (row["file"], originals[row["group"]]))]
    assert sum(found) / len(found) > 0.98
    assert [row["file"] for row in report["unreadable"]] == [
        row["file"] for row in truth.values() if "corrupt" in row["expected"]
    ]


@pytest.mark.real
def test_planted_byte_copies_among_cars_are_found() -> None:
    folder = data_folder("cars")
    with (folder / "photos.csv").open(newline="") as stream:
        planted = {row["file"]: row["same_bytes_as"] for row in csv.DictReader(stream) if row["same_bytes_as"]}
    found = relations(dedupe_folder(folder))
    home = {file: keep for keep, members in found.items() for file in (keep, *members)}
    assert planted
    assert all(home[file] == home[other] for file, other in planted.items())
