"""The model card: round trip, refusals, and the files that it vouches for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tamis.errors import UserError
from tamis.vision.card import CARD, AttributeHead, ModelCard, file_sha256
from tamis.vision.preprocess import Preprocessing


def card(**changes: Any) -> ModelCard:
    heads = {
        "view": AttributeHead("choice", ("front", "rear"), "region", 1.5),
        "sold": AttributeHead("flag", ("no", "yes")),
    }
    whole = ModelCard("view-1", "resnet18", heads, Preprocessing(64), {"name": "cars-1", "digest": "ab" * 32})
    return replace(whole, **changes)


def test_written_card_is_read_back_equal(tmp_path: Path) -> None:
    written = card(metrics={"view": {"macro_f1": 0.9}}, files={"model.onnx": "00"})
    written.write(tmp_path)
    assert ModelCard.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [CARD]


def test_digest_follows_what_changes_the_answers() -> None:
    base = card()
    assert card(name="other", metrics={"view": 1}).digest == base.digest
    others = [
        card(files={"model.onnx": "01"}),
        card(preprocessing=Preprocessing(65)),
        card(attributes={"view": AttributeHead("choice", ("front", "rear"))}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 2}, "format 2"),
        ({"attributes": {}}, "attributes"),
        (
            {"attributes": {"view": {"type": "choice", "classes": ["a", "b"], "scope": "region"}}},
            "view lacks 'temperature'",
        ),
        (
            {"attributes": {"view": {"type": "choice", "classes": ["a"], "scope": "region", "temperature": 1}}},
            "two or more classes",
        ),
        (
            {"attributes": {"view": {"type": "choice", "classes": ["a", "b"], "scope": "region", "temperature": 0}}},
            "temperature 0",
        ),
        ({"attributes": {"view": {"type": "box", "classes": "ab", "scope": "region", "temperature": 1}}}, "type 'box'"),
        ({"attributes": {"view": 3}}, "view"),
        ({"preprocessing": {"size": 3}}, "preprocessing"),
        ({"files": []}, "files"),
    ],
)
def test_wrong_cards_are_refused_in_one_line(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    (tmp_path / CARD).write_text(json.dumps(card().to_json() | change))
    with pytest.raises(UserError, match=named) as caught:
        ModelCard.read(tmp_path)
    assert str(tmp_path / CARD) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CARD).write_text(text)
    with pytest.raises(UserError, match=CARD):
        ModelCard.read(tmp_path)


def test_folder_without_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        ModelCard.read(tmp_path)


def test_files_are_verified(tmp_path: Path) -> None:
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"weights")
    whole = card(files={"model.onnx": file_sha256(weights), "lost": "00"})
    assert whole.verify(tmp_path, "model.onnx") == weights
    with pytest.raises(UserError, match="lists no"):
        whole.verify(tmp_path, "other.onnx")
    with pytest.raises(UserError, match="missing"):
        whole.verify(tmp_path, "lost")
    weights.write_bytes(b"weightz")
    with pytest.raises(UserError, match="other SHA-256"):
        whole.verify(tmp_path, "model.onnx")
