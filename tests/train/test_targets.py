"""What a snapshot can teach, and the one clear line where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tamis.dataset.manifest import Snapshot
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.train.settings import TrainSettings
from tamis.train.targets import (
    ENOUGH,
    MISSING,
    check_trainable,
    choose_method,
    choose_size,
    class_weights,
    may_flip,
    may_jitter_colour,
    read_targets,
)
from tests.train.factory import shapes_snapshot


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return shapes_snapshot(tmp_path_factory.mktemp("shapes"))


def check(snapshot: Snapshot, *names: str) -> None:
    check_trainable(read_targets(snapshot, names), snapshot.name)


def test_targets_hold_class_indices_and_what_is_missing(snapshot: Snapshot) -> None:
    targets = read_targets(snapshot, ())
    assert [attribute.name for attribute in targets.attributes] == ["shape", "colour"]
    assert targets.indices.shape == (72, 2)
    assert (targets.indices[:, 0] != MISSING).all()
    assert (targets.indices[:, 1] == MISSING).sum() == 14
    assert targets.counts("train", 0).tolist() == [12, 12, 12]
    assert len(np.unique(targets.groups)) == len({sample.group for sample in snapshot.samples})
    check_trainable(targets, snapshot.name)


def test_rows_leave_out_samples_without_the_wanted_label(snapshot: Snapshot) -> None:
    both, colour = read_targets(snapshot, ()), read_targets(snapshot, ("colour",))
    assert len(both.rows("train")) == 36
    assert len(colour.rows("train")) == sum("colour" in sample.labels for sample in snapshot.split("train"))


def test_a_snapshot_that_cannot_teach_is_refused_in_one_line(snapshot: Snapshot) -> None:
    samples = snapshot.samples
    emptied = {
        "holds no samples": replace(snapshot, samples=()),
        "no attributes to learn": replace(snapshot, attributes=()),
        "its train split has no sample": replace(snapshot, samples=snapshot.split("test")),
        "its validation split has no sample": replace(
            snapshot, samples=snapshot.split("train") + snapshot.split("test")
        ),
        "is in the splits test and train": replace(snapshot, samples=(replace(samples[0], split="test"), *samples[1:])),
        "one class alone": replace(snapshot, samples=tuple(s for s in samples if s.labels["shape"] == "circle")),
    }
    for message, broken in emptied.items():
        with pytest.raises(UserError, match=message) as caught:
            check(broken)
        assert "\n" not in str(caught.value)


def test_labels_of_unknown_classes_and_unknown_attributes_are_named(snapshot: Snapshot) -> None:
    strange = replace(snapshot.samples[0], labels={"shape": "hexagon"})
    with pytest.raises(UserError, match=r"shape = 'hexagon' is none of its classes \(circle, square, triangle\)"):
        check(replace(snapshot, samples=(strange, *snapshot.samples[1:])))
    with pytest.raises(UserError, match="no attribute 'size'; it has: shape, colour"):
        check(snapshot, "size")


def test_an_attribute_without_labels_where_they_are_needed_is_named(snapshot: Snapshot) -> None:
    def without(split: str) -> Snapshot:
        return replace(
            snapshot,
            samples=tuple(
                replace(sample, labels={"shape": sample.labels["shape"]}) if sample.split == split else sample
                for sample in snapshot.samples
            ),
        )

    with pytest.raises(UserError, match="attribute colour has no labels in the train split"):
        check(without("train"))
    with pytest.raises(UserError, match="attribute colour has no labels in the validation split"):
        check(without("validation"))


@pytest.mark.parametrize("kind", ["balanced", "sqrt", "none"])
def test_class_weights_have_mean_one_over_the_samples(kind: str) -> None:
    counts = np.array([90, 9, 1, 0], np.int64)
    weights = class_weights(counts, kind)  # type: ignore[arg-type]
    assert (weights * counts).sum() == pytest.approx(counts.sum(), rel=1e-5)
    assert np.isfinite(weights).all()


def test_balanced_weights_make_classes_weigh_alike() -> None:
    counts = np.array([90, 9, 1], np.int64)
    assert (class_weights(counts, "balanced") * counts).tolist() == pytest.approx([100 / 3] * 3)
    assert class_weights(counts, "sqrt")[2] / class_weights(counts, "sqrt")[0] == pytest.approx(90**0.5)


def test_pictures_are_mirrored_unless_a_class_names_a_side() -> None:
    views = Attribute.of("view", "choice", ("front_left", "front_right"))
    plain = Attribute.of("kind", "choice", ("leftover", "bright"))
    assert not may_flip((plain, views), None)
    assert may_flip((plain,), None)
    assert may_flip((views,), True)
    assert not may_flip((plain,), False)


def test_colours_are_changed_unless_an_attribute_names_one() -> None:
    assert not may_jitter_colour((Attribute.of("baseColour", "choice", ("a", "b")),), None)
    assert may_jitter_colour((Attribute.of("kind", "choice", ("a", "b")),), None)
    assert not may_jitter_colour((Attribute.of("paint", "choice", ("dark red", "white", "other")),), None)
    assert may_jitter_colour((Attribute.of("tea", "choice", ("black tea", "herbal")),), None)


def test_linear_needs_pretrained_features() -> None:
    few, enough = ENOUGH - 1, ENOUGH
    assert choose_method(TrainSettings(), enough, pretrained=True, on_card=False) == "linear"
    assert choose_method(TrainSettings(), few, pretrained=True, on_card=True) == "linear"
    assert choose_method(TrainSettings(), enough, pretrained=True, on_card=True) == "finetune"
    assert choose_method(TrainSettings(), few, pretrained=False, on_card=False) == "finetune"
    assert choose_method(TrainSettings(method="finetune"), few, pretrained=True, on_card=False) == "finetune"
    with pytest.raises(UserError, match="needs a pretrained backbone"):
        choose_method(TrainSettings(method="linear"), enough, pretrained=False, on_card=True)


def test_few_samples_are_seen_large_where_only_heads_are_fitted() -> None:
    linear = TrainSettings(method="linear")
    sizes = [choose_size(linear, samples) for samples in (50, 1_000, 2_000, 3_000, 100_000)]
    assert sizes == [512, 512, 384, 320, 224]
    assert choose_size(TrainSettings(method="finetune"), 50) == 224
    assert choose_size(TrainSettings(method="linear", size=96), 50) == 96


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(UserError, match="epochs = 0 must be from 1"):
        TrainSettings(epochs=0)
    with pytest.raises(UserError, match="method = 'magic' is none of auto, linear, finetune"):
        TrainSettings(method="magic")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"size = 16 must be 0 \(automatic\) or from 32"):
        TrainSettings(size=16)
    with pytest.raises(UserError, match="unknown training setting 'epoch'"):
        TrainSettings.from_json({"epoch": 3})


def test_settings_survive_json() -> None:
    settings = TrainSettings(attributes=("a", "b"), flip=False, size=96)
    assert TrainSettings.from_json(settings.to_json()) == settings


def test_a_snapshot_read_back_teaches_the_same(snapshot: Snapshot, tmp_path: Path) -> None:
    again = read_targets(Snapshot.read(snapshot.folder), ())
    assert (again.indices == read_targets(snapshot, ()).indices).all()
