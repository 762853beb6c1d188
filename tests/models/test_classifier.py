"""Classifiers: a model folder gives calibrated probabilities, and nothing else passes for a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.models.networks import answer_network, black, white

from tamis.errors import UserError
from tamis.models.classifier import OnnxClassifier, softmax
from tamis.vision.card import AttributeHead, ModelCard, file_sha256
from tamis.vision.preprocess import Preprocessing

VIEW = AttributeHead("choice", ("front", "rear", "other"), temperature=2.0)
SOLD = AttributeHead("flag", ("no", "yes"))
LOGITS = {"view": np.asarray([2.0, 0.0, -2.0], np.float32), "sold": np.asarray([0.0, 1.0], np.float32)}
PLAIN = Preprocessing(16, mean=(0, 0, 0), std=(1, 1, 1), pad_rgb=(0, 0, 0))


def model_folder(folder: Path, *, batch: int | str = "batch", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = answer_network(folder / "model.onnx", LOGITS, frame=16, batch=batch)
    card = ModelCard("cars-1", "none", {"view": VIEW, "sold": SOLD}, PLAIN, {"name": "cars-1", "digest": "0" * 64})
    replace(card, **{"files": {"model.onnx": file_sha256(path)}, **changes}).write(folder)
    return folder


@pytest.mark.parametrize("batch", ["batch", 1, 5])
def test_probabilities_are_calibrated_and_in_order(tmp_path: Path, batch: int | str) -> None:
    model = OnnxClassifier.open(model_folder(tmp_path / "model", batch=batch), threads=1)
    pictures = [white(40, 20), black(9, 9)] * 20
    answers = model.predict(pictures)
    assert set(answers) == {"view", "sold"}
    expected = np.exp([1.0, 0.0, -1.0]) / np.exp([1.0, 0.0, -1.0]).sum()
    np.testing.assert_allclose(answers["view"][::2], np.tile(expected, (20, 1)), atol=1e-6)
    np.testing.assert_allclose(answers["view"][1::2], np.full((20, 3), 1 / 3), atol=1e-6)
    np.testing.assert_allclose(answers["sold"][0], [1 / (1 + np.e), np.e / (1 + np.e)], atol=1e-6)
    assert {name: rows.shape for name, rows in model.predict([]).items()} == {"view": (0, 3), "sold": (0, 2)}


def test_digest_is_that_of_the_card(tmp_path: Path) -> None:
    model = OnnxClassifier.open(model_folder(tmp_path / "model"))
    assert model.digest == model.card.digest
    warmer = replace(VIEW, temperature=3.0)
    other = OnnxClassifier.open(model_folder(tmp_path / "other", attributes={"view": warmer, "sold": SOLD}))
    assert other.digest != model.digest


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"files": {"model.onnx": "0" * 64}}, "other SHA-256"),
        ({"files": {}}, "lists no model.onnx"),
        ({"attributes": {"colour": VIEW}}, "no output colour"),
        ({"preprocessing": Preprocessing(32)}, "32"),
    ],
)
def test_folders_that_do_not_fit_together_are_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        OnnxClassifier.open(model_folder(tmp_path / "model", **changes))


def test_other_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    folder = model_folder(
        tmp_path / "model", attributes={"view": AttributeHead("choice", ("front", "rear")), "sold": SOLD}
    )
    with pytest.raises(UserError, match=r"output view is 1x3, model\.json lists 2 classes"):
        OnnxClassifier.open(folder).predict([white(4, 4)])


@given(st.lists(st.lists(st.floats(-500, 500), min_size=3, max_size=3), min_size=1, max_size=5), st.floats(0.05, 20))
def test_softmax_rows_sum_to_one_and_keep_the_order(rows: list[list[float]], temperature: float) -> None:
    logits: NDArray[np.float32] = np.asarray(rows, np.float32)
    shares = softmax(logits, temperature)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    best = shares[np.arange(len(logits)), logits.argmax(axis=1)]
    np.testing.assert_array_equal(best, shares.max(axis=1))
