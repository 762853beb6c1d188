"""Exports of cut-outs and masks: what is off becomes ground, and samples without a mask are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from tamis.blobs import BlobStore
from tamis.cli import cli
from tamis.dataset.export import DESCRIPTION, export
from tamis.dataset.manifest import MANIFEST, Sample, Snapshot
from tamis.dataset.maskfile import MASKS, FrozenMask
from tamis.dataset.target import ExportOptions
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.vision.masks import from_coco, to_coco
from tamis.vision.render import Rendering, encode

RED, GREY = (200, 30, 30), (90, 90, 90)
TRANSPARENT = ExportOptions(rendering=Rendering(format="png"), cut_out=True)


def disc(side: int = 80) -> NDArray[np.bool_]:
    """A round thing in the left half of a picture twice as wide as high."""
    y, x = np.mgrid[:side, : 2 * side]
    return np.asarray((x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Three samples of a red disc on grey; the last one has no mask."""
    store = BlobStore(tmp_path / "blobs")
    mask = disc()
    pixels = np.where(mask[..., None], np.asarray(RED, np.uint8), np.asarray(GREY, np.uint8))
    samples, lines = [], []
    for number in range(3):
        pixels[-1, -1] = number
        key = store.put(encode(pixels, "png"))
        sample = Sample(
            f"{number:016x}", key, (5, 0, 75, 80), (0, 0, 80, 80), "train", "keep", {"view": "front"}, f"g{number}"
        )
        if number < 2:
            frozen = FrozenMask(sample.id, "grabcut", (160, 80), to_coco(mask))
            lines.append(frozen.to_json().encode() + b"\n")
            sample = replace(sample, mask=frozen.digest)
        samples.append(sample)
    made = Snapshot(
        tmp_path / "snapshots" / "s-1", "s-1", 1, (Attribute.of("view", "choice", ["front"]),), tuple(samples),
        str(tmp_path / "blobs"), {"snapshot": {}},
    )  # fmt: skip
    made.write(lines)
    return Snapshot.read(made.folder)


def opened(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_manifest_counts_the_masks_and_vouches_for_them(snapshot: Snapshot) -> None:
    facts = json.loads((snapshot.folder / MANIFEST).read_text(encoding="utf-8"))
    assert (facts["masks"], facts["format"], sorted(facts["files"])) == (2, 2, [MASKS, "samples.jsonl"])
    sample = snapshot.samples[1]
    assert (snapshot.masks.read(sample.id, sample.mask).array() == disc()).all()
    path = snapshot.folder / MASKS
    path.write_bytes(path.read_bytes().replace(b"grabcut", b"grabbed"))
    with pytest.raises(UserError, match="is not what was frozen: the mask of sample 0000000000000001"):
        snapshot.masks.read(sample.id, sample.mask)


def test_cut_outs_are_transparent_where_the_mask_is_off(snapshot: Snapshot, tmp_path: Path) -> None:
    report = export(snapshot, "folders", tmp_path / "out", TRANSPARENT)
    assert (report.failed, report.left_out, report.remarks) == ((), {"no mask to cut it out by": 1}, {})
    shown = opened(tmp_path / "out" / "clean" / "front" / f"{0:016x}.png")
    assert shown.shape == (80, 80, 4)
    assert ((shown[..., 3] > 127) == disc()[:, :80]).all()
    assert (shown[disc()[:, :80], :3] == RED).all()
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2
    facts = json.loads((tmp_path / "out" / DESCRIPTION).read_text(encoding="utf-8"))
    assert facts["options"]["cut_out"] == {"unmasked": "left out"}


def test_cut_outs_on_plain_ground_and_samples_without_a_mask_whole(snapshot: Snapshot, tmp_path: Path) -> None:
    on_white = Rendering((40, 40), format="png", background_rgb=(255, 255, 255))
    options = ExportOptions(rendering=on_white, cut_out=True, keep_unmasked=True)
    report = export(snapshot, "folders", tmp_path / "out", options)
    assert (report.left_out, report.remarks) == ({}, {"exported whole: no mask to cut it out by": 1})
    cut, whole = (opened(tmp_path / "out" / "clean" / "front" / f"{number:016x}.png") for number in (0, 2))
    assert (cut.shape, whole.shape) == ((40, 40, 3), (40, 40, 3))
    assert (cut[0, 0] == 255).all()
    assert (cut[20, 20] == RED).all()
    assert (whole[0, 0] == GREY).all()


@pytest.mark.parametrize("shape", ["inside", "letterbox", "crop", "stretch"])
def test_masks_have_the_geometry_of_their_pictures(shape: str, snapshot: Snapshot, tmp_path: Path) -> None:
    wide = tuple(replace(sample, crop_xyxy=(0, 0, 160, 80)) for sample in snapshot.samples)
    rendering = Rendering((50, 40), shape, "png")  # type: ignore[arg-type]
    report = export(
        replace(snapshot, samples=wide), "folders", tmp_path / "out", ExportOptions(rendering=rendering, masks=True)
    )
    assert report.remarks == {"exported without a mask: it has none": 1}
    name = f"clean/front/{1:016x}.png"
    picture, mask = opened(tmp_path / "out" / name), opened(tmp_path / "out" / "masks" / name)
    assert picture.shape[:2] == mask.shape
    assert set(np.unique(mask)) == {0, 255}
    # Where the picture is redder than grey the mask is on, edges apart, which are mixed.
    assert ((picture[..., 0] > 145) == (mask > 0)).mean() > 0.98
    assert 0.05 < (mask > 0).mean() < 0.5


def test_csv_writes_the_masks_as_coco_has_them(snapshot: Snapshot, tmp_path: Path) -> None:
    report = export(snapshot, "csv", tmp_path / "out", ExportOptions(masks=True))
    rows = [json.loads(line) for line in (tmp_path / "out" / MASKS).read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [sample.id for sample in snapshot.samples[:2]]
    assert (rows[0]["size"], rows[0]["method"]) == ([80, 160], "grabcut")
    assert (from_coco(rows[0]["counts"], (160, 80)) == disc()).all()
    assert report.remarks == {"exported without a mask: it has none": 1}
    with pytest.raises(UserError, match="csv holds no pictures that could be cut out; these formats do: folders"):
        export(snapshot, "csv", tmp_path / "cut", TRANSPARENT)


def test_a_snapshot_without_masks_says_how_to_get_them(snapshot: Snapshot, tmp_path: Path) -> None:
    bare = replace(snapshot, samples=tuple(replace(sample, mask="") for sample in snapshot.samples))
    for options in (TRANSPARENT, ExportOptions(masks=True)):
        with pytest.raises(UserError, match="snapshot s-1 has no masks: set "):
            export(bare, "folders", tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_picture_is_a_row_with_a_reason(snapshot: Snapshot, tmp_path: Path) -> None:
    other = snapshot.blobs.put(encode(np.zeros((60, 60, 3), np.uint8), "png"))
    samples = (replace(snapshot.samples[0], sha256=other), *snapshot.samples[1:])
    report = export(replace(snapshot, samples=samples), "folders", tmp_path / "out", TRANSPARENT)
    assert report.failed == ((f"{0:016x}", "mask of 160x80 for a picture of 60x60"),)


def test_the_command_says_what_became_of_samples_without_a_mask(snapshot: Snapshot, tmp_path: Path) -> None:
    def run(*arguments: str) -> Result:
        name = str(snapshot.folder)
        return CliRunner().invoke(cli, ["export", name, "--format", "folders", "--project", str(tmp_path), *arguments])

    made = CliRunner().invoke(cli, ["init", str(tmp_path / "project")])
    assert made.exit_code == 0, made.output
    tmp_path /= "project"
    cut = run("--out", str(tmp_path / "cut"), "--cut-out")
    assert cut.exit_code == 0, cut.output
    assert "1 left out: no mask to cut it out by" in cut.output
    assert opened(tmp_path / "cut" / "clean" / "front" / f"{0:016x}.png").shape == (80, 80, 4)
    white = run("--out", str(tmp_path / "white"), "--cut-out", "--ground", "#ffffff", "--unmasked", "whole")
    assert "1 exported whole: no mask to cut it out by" in white.output
    assert opened(tmp_path / "white" / "clean" / "front" / f"{0:016x}.jpg")[0, 0].min() > 250
    masked = run("--out", str(tmp_path / "masked"), "--masks")
    assert "3 pictures and 3 other files written, 0 files there already" in masked.output
    again = run("--out", str(tmp_path / "masked"), "--masks")
    assert "0 files written, 3 pictures and 3 other files there already" in again.output
    for wrong, told in [
        (["--ground", "#ffffff"], "--ground needs --cut-out"),
        (["--cut-out", "--image-format", "jpeg"], "a JPEG has no transparency"),
    ]:
        refused = run("--out", str(tmp_path / "no"), *wrong)
        assert (refused.exit_code, told in refused.output) == (2, True), refused.output
