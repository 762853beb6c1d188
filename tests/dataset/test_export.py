"""Every exporter: complete, resumable, in its own folder; then what each format promises."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.blobs import BlobStore
from tamis.dataset.export import DESCRIPTION, EXPORTERS, export, export_sizes, folder_names
from tamis.dataset.manifest import Sample, Snapshot
from tamis.dataset.target import ExportOptions
from tamis.errors import Interrupted, UserError
from tamis.labels import Attribute
from tamis.vision.render import Rendering


def picture(number: int, size_wh: tuple[int, int] = (200, 150)) -> bytes:
    """A JPEG with EXIF that says: turn me by a quarter, taken at a secret place."""
    pixels = np.random.default_rng(number).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret place"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    store = BlobStore(tmp_path / "blobs")
    rows = [
        ("keep", {"view": "front", "colour": "red"}, "a car"),
        ("keep", {"view": "Front", "colour": "dark/blue"}, '=cmd|"/c calc"!A1'),
        ("keep", {"colour": "red"}, "no view"),
        ("questionable", {"view": "front"}, "x"),
        ("questionable", {}, "y"),
    ]
    samples = []
    for number, (verdict, labels, title) in enumerate(rows):
        key = store.put(picture(number))
        samples.append(
            Sample(
                id=f"{number:016x}", sha256=key, box_xyxy=(10.25, 20.0, 110.0, 120.0), crop_xyxy=(10, 20, 110, 120),
                split="train", verdict=verdict, labels=labels, group=f"g{number}", item_url=f"http://s/{number}",  # type: ignore[arg-type]
                item_title=title, picture_url=f"http://s/{number}.jpg", reason="because",
            )
        )  # fmt: skip
    attributes = (
        Attribute.of("view", "choice", ["front", "Front"]),
        Attribute.of("colour", "choice", ["red", "dark/blue"]),
    )
    return Snapshot(tmp_path / "snapshots" / "s-1", "s-1", 1, attributes, tuple(samples), str(tmp_path / "blobs"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("form", EXPORTERS)
class TestEveryExporter:
    def test_same_bytes_every_time_and_nothing_left_over(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        reports = [export(snapshot, form, tmp_path / name) for name in ("one", "two")]
        assert files(tmp_path / "one") == files(tmp_path / "two")
        assert reports[0].written > 0
        assert reports[0].written + 1 == len(files(tmp_path / "one"))
        assert (reports[0].skipped, reports[0].failed) == (0, ())
        assert not list(tmp_path.rglob("*.part"))

    def test_a_second_run_writes_what_is_missing(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        out = tmp_path / "out"
        first = export(snapshot, form, out)
        whole = files(out)
        again = export(snapshot, form, out)
        assert (again.written, again.skipped) == (0, first.written)
        lost = max(name for name in whole if name != DESCRIPTION)
        (out / lost).unlink()
        mended = export(snapshot, form, out)
        assert (mended.written, mended.skipped) == (1, first.written - 1)
        assert files(out) == whole

    def test_other_folders_are_refused(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        out = tmp_path / "out"
        export(snapshot, form, out)
        with pytest.raises(UserError, match="another export"):
            export(snapshot, form, out, ExportOptions(rendering=Rendering((32, 32))))
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "diary.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(UserError, match="is not empty"):
            export(snapshot, form, tmp_path / "mine")
        assert files(tmp_path / "mine") == {"diary.txt": b"mine"}

    def test_a_folder_that_cannot_be_made_is_told(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(UserError, match="cannot write the export"):
            export(snapshot, form, tmp_path / "file" / "out")

    def test_an_unknown_attribute_is_told(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no attribute 'hue'; it has: view, colour"):
            export(snapshot, form, tmp_path / "out", ExportOptions(attribute="hue"))

    def test_it_is_described(self, form: str, snapshot: Snapshot, tmp_path: Path) -> None:
        assert EXPORTERS[form].name == form
        assert EXPORTERS[form].help
        export(snapshot, form, tmp_path / "out")
        facts = json.loads((tmp_path / "out" / DESCRIPTION).read_text(encoding="utf-8"))
        assert (facts["format"], facts["snapshot"], facts["digest"]) == (form, "s-1", snapshot.digest)


def test_an_unknown_format_is_told(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown format 'tiff'; there are: csv, folders"):
        export(snapshot, "tiff", tmp_path / "out")


def test_csv_holds_all_labels_and_where_they_came_from(snapshot: Snapshot, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(snapshot, "csv", out)
    with (out / "samples.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 5
    first = rows[0]
    assert (first["id"], first["label_view"], first["label_colour"]) == ("0" * 16, "front", "red")
    assert (first["item_url"], first["picture_url"]) == ("http://s/0", "http://s/0.jpg")
    assert (first["sha256"], first["box_x0"], first["crop_x1"]) == (snapshot.samples[0].sha256, "10.25", "110")
    assert (first["split"], first["verdict"], first["reason"], first["group"]) == ("train", "keep", "because", "g0")
    assert rows[2]["label_view"] == ""
    assert rows[1]["item_title"].startswith("'=")
    classes = json.loads((out / "classes.json").read_text(encoding="utf-8"))
    assert classes == {"view": {"front": 0, "Front": 1}, "colour": {"red": 0, "dark/blue": 1}}


def test_folders_by_class_and_verdict(snapshot: Snapshot, tmp_path: Path) -> None:
    report = export(snapshot, "folders", tmp_path / "out")
    assert set(files(tmp_path / "out")) == {
        "classes.json",
        DESCRIPTION,
        "clean/front/0000000000000000.jpg",
        "clean/Front-2/0000000000000001.jpg",
        "questionable/front/0000000000000003.jpg",
        "questionable/unlabelled/0000000000000004.jpg",
    }
    assert report.left_out == {"no label of view": 1}
    by_colour = export(snapshot, "folders", tmp_path / "colours", ExportOptions(attribute="colour"))
    assert by_colour.left_out == {}
    assert (tmp_path / "colours" / "clean" / "dark_blue" / "0000000000000001.jpg").is_file()


def test_without_any_label_all_pictures_are_in_one_folder(snapshot: Snapshot, tmp_path: Path) -> None:
    bare = tuple(replace(sample, labels={}) for sample in snapshot.samples)
    empty = Attribute.of("view", "choice", [])
    for number, attributes in enumerate([(), (empty,)]):
        out = tmp_path / str(number)
        report = export(replace(snapshot, attributes=attributes, samples=bare), "folders", out)
        assert report.left_out == {}
        assert sorted(path.parent.name for path in out.rglob("*.jpg")) == ["all"] * 5


def test_pictures_are_the_upright_crop_without_metadata(snapshot: Snapshot, tmp_path: Path) -> None:
    export(snapshot, "folders", tmp_path / "out", ExportOptions(rendering=Rendering(format="png")))
    with Image.open(tmp_path / "out" / "clean" / "front" / "0000000000000000.png") as shown:
        assert shown.size == (100, 100)
        assert not shown.getexif()
        assert "secret" not in str(shown.info)
        upright = np.asarray(Image.open(io.BytesIO(picture(0))).transpose(Image.Transpose.ROTATE_270))
        assert np.abs(np.asarray(shown, np.int16) - upright[20:120, 10:110]).max() <= 2


@pytest.mark.parametrize(
    ("rendering", "size"),
    [
        (Rendering((50, 50)), (50, 50)),
        (Rendering((400, 400)), (100, 100)),
        (Rendering((400, 400), shape="stretch"), (100, 100)),
        (Rendering((80, 40), shape="crop"), (80, 40)),
        (Rendering((64, 32), shape="letterbox", format="webp"), (64, 32)),
    ],
)
def test_sizes_are_met_and_nothing_is_enlarged(
    rendering: Rendering, size: tuple[int, int], snapshot: Snapshot, tmp_path: Path
) -> None:
    export(snapshot, "folders", tmp_path / "out", ExportOptions(rendering=rendering))
    with Image.open(tmp_path / "out" / "clean" / "front" / f"0000000000000000{rendering.suffix}") as shown:
        assert shown.size == size


def test_a_missing_and_a_broken_image_are_rows_with_a_reason(snapshot: Snapshot, tmp_path: Path) -> None:
    gone, broken = snapshot.samples[0], snapshot.samples[3]
    snapshot.blobs.delete(gone.sha256)
    Path(snapshot.blobs.path(broken.sha256)).write_bytes(b"something else")
    report = export(snapshot, "folders", tmp_path / "out")
    assert [sample for sample, _ in report.failed] == [gone.id, broken.id]
    assert "is not in the store" in report.failed[0][1]
    assert "does not hold what its name says" in report.failed[1][1]
    assert report.written == 3


def test_a_stopped_export_goes_on(snapshot: Snapshot, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Interrupted, match="stopped after 0 of 4 files") as stopped:
        export(snapshot, "folders", tmp_path / "out", stop=stop)
    assert stopped.value.then == "the same command goes on from there"
    assert export(snapshot, "folders", tmp_path / "out").written == 5


def test_a_half_written_file_is_not_taken_for_a_picture(snapshot: Snapshot, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(snapshot, "folders", out)
    whole = out / "clean" / "front" / "0000000000000000.jpg"
    expected = sha256(whole.read_bytes()).hexdigest()
    whole.replace(whole.with_name(".left.part"))
    export(snapshot, "folders", out)
    assert sha256(whole.read_bytes()).hexdigest() == expected


def test_progress_ends_at_the_number_of_pictures(snapshot: Snapshot, tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    export(snapshot, "folders", tmp_path / "out", progress=lambda *facts: told.append(facts))
    assert [done for done, _, _ in told] == [1, 2, 3, 4]
    assert told[-1] == (4, 4, "")


@given(st.lists(st.text(max_size=120), unique=True, max_size=20))
def test_class_folders_are_safe_and_distinct(values: list[str]) -> None:
    names = folder_names(values)
    assert set(names) == set(values)
    assert len({name.casefold() for name in names.values()}) == len(values)
    for name in names.values():
        assert 1 <= len(name) <= 100
        assert not set(name) & set('/\\:*?"<>|\0\n')
        assert name not in (".", "..")
        assert not name.startswith(".")
        assert not name.endswith((".", " "))


@pytest.mark.parametrize(
    ("value", "name"), [("../../etc", "_.._etc"), ("CON", "_CON"), ("", "_"), ("station wagon", "station wagon")]
)
def test_hostile_names(value: str, name: str) -> None:
    assert folder_names([value])[value] == name


def test_several_sizes_are_exports_of_their_own(snapshot: Snapshot, tmp_path: Path) -> None:
    options = {
        "40": ExportOptions(rendering=Rendering((40, 40), "letterbox")),
        "200": ExportOptions(rendering=Rendering((200, 200))),
        "larger": ExportOptions(rendering=Rendering((200, 200), enlarge=True)),
    }
    reports = export_sizes(snapshot, "folders", tmp_path / "out", options)
    assert {name: report.written for name, report in reports.items()} == dict.fromkeys(options, 5)
    sizes = {
        name: {Image.open(io.BytesIO(path.read_bytes())).size for path in (tmp_path / "out" / name).rglob("*.jpg")}
        for name in options
    }
    assert sizes == {"40": {(40, 40)}, "200": {(100, 100)}, "larger": {(200, 200)}}
    alone = export(snapshot, "folders", tmp_path / "alone", options["40"])
    assert alone.written == 5
    assert files(tmp_path / "alone") == files(tmp_path / "out" / "40")
    again = export_sizes(snapshot, "folders", tmp_path / "out", options)
    assert [report.written for report in again.values()] == [0, 0, 0]
    with pytest.raises(UserError, match="holds an export of one size"):
        export_sizes(snapshot, "folders", tmp_path / "alone", options)


def test_a_stop_between_sizes_goes_on(snapshot: Snapshot, tmp_path: Path) -> None:
    options = {str(side): ExportOptions(rendering=Rendering((side, side))) for side in (20, 30)}
    stop = Event()

    def progress(done: int, total: int | None, text: str) -> None:
        assert text.startswith("20")
        if done == total:
            stop.set()

    with pytest.raises(Interrupted, match="stopped after 0 of 4 files"):
        export_sizes(snapshot, "folders", tmp_path / "out", options, progress=progress, stop=stop)
    reports = export_sizes(snapshot, "folders", tmp_path / "out", options)
    assert (reports["20"].written, reports["30"].written) == (0, 5)
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 8
