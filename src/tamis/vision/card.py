"""`model.json`: what a trained model is, what it answers, and the files that belong to it.

Training writes it, inference reads it; it is plain JSON, so that either side works without the other's libraries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from tamis.errors import UserError
from tamis.labels import LABEL_TYPES, Scope
from tamis.vision.preprocess import Preprocessing

CARD = "model.json"
FORMAT = 1
_KEYS = ("format", "name", "backbone", "attributes", "preprocessing", "snapshot", "metrics", "files")


@dataclass(frozen=True, slots=True)
class AttributeHead:
    """One attribute that a model answers: `classes` in the order of the logits, which `temperature` divides.

    Dividing by a temperature fitted on held-out labels calibrates the probabilities (Guo et al. 2017, "On Calibration
    of Modern Neural Networks").
    """

    type: str
    classes: tuple[str, ...]
    scope: Scope = "region"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.type not in LABEL_TYPES:
            raise ValueError(f"type {self.type!r} is none of {', '.join(LABEL_TYPES)}")
        if self.scope not in ("item", "region"):
            raise ValueError(f"scope {self.scope!r} is neither item nor region")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError("it needs two or more classes, each once")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature {self.temperature} is not a positive number")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The content of `model.json`. `files` maps names inside the folder to the SHA-256 of their bytes."""

    name: str
    backbone: str
    attributes: Mapping[str, AttributeHead]
    preprocessing: Preprocessing
    snapshot: Mapping[str, str]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights and of all that changes their answers; the name and the metrics do not."""
        facts = {
            "format": FORMAT,
            "attributes": _heads_to_json(self.attributes),
            "preprocessing": self.preprocessing.digest,
            "files": dict(self.files),
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "backbone": self.backbone,
            "attributes": _heads_to_json(self.attributes),
            "preprocessing": self.preprocessing.to_json(),
            "snapshot": dict(self.snapshot),
            "metrics": dict(self.metrics),
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelCard:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a key is missing, the format is another, or a value is wrong; the message names it.
        """
        if missing := [key for key in _KEYS if key not in values]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r} is not {FORMAT}, the one that this version reads")
        if not all(isinstance(values[key], Mapping) for key in _KEYS[3:]) or not values["attributes"]:
            raise ValueError(f"{', '.join(_KEYS[3:])} must be tables, and attributes not empty")
        return cls(
            name=str(values["name"]),
            backbone=str(values["backbone"]),
            attributes={name: _head_from_json(name, head) for name, head in values["attributes"].items()},
            preprocessing=Preprocessing.from_json(values["preprocessing"]),
            snapshot=dict(values["snapshot"]),
            metrics=dict(values["metrics"]),
            files=dict(values["files"]),
        )

    def write(self, folder: Path) -> None:
        """Write `model.json`, in one step and as the folder's last file, so that a card vouches for a whole model."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"
        temporary = folder / f"{CARD}.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / CARD)

    @classmethod
    def read(cls, folder: Path) -> ModelCard:
        """Read `model.json` of a model folder; the files that it lists are checked by `verify`.

        Raises:
            UserError: there is no such file, or it is not a model card.
        """
        path = folder / CARD
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{folder} is no model folder: it holds no {CARD}; give the folder that training wrote"
            ) from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"{path} cannot be read as a model card: {error}") from error
        if not isinstance(values, dict):
            raise UserError(f"{path} is no model card: it holds no table")
        try:
            return cls.from_json(values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no model card: {error}") from error

    def verify(self, folder: Path, name: str) -> Path:
        """Return the path of one of the model's files, its bytes checked against the card.

        Raises:
            UserError: the card does not list it, or it is missing or has other bytes.
        """
        path = folder / name
        if name not in self.files:
            raise UserError(f"{folder / CARD} lists no {name}; train the model again or copy its whole folder")
        try:
            found = file_sha256(path)
        except OSError as error:
            raise UserError(
                f"{path} is missing or unreadable ({error.strerror}); copy the model's whole folder"
            ) from error
        if found != self.files[name]:
            raise UserError(f"{path} is not the file that {CARD} lists (other SHA-256); copy the model's whole folder")
        return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal, read piece by piece."""
    state = sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            state.update(piece)
    return state.hexdigest()


def _heads_to_json(heads: Mapping[str, AttributeHead]) -> dict[str, Any]:
    return {
        name: {"type": head.type, "classes": list(head.classes), "scope": head.scope, "temperature": head.temperature}
        for name, head in heads.items()
    }


def _head_from_json(name: str, values: Mapping[str, Any]) -> AttributeHead:
    try:
        return AttributeHead(
            type=values["type"],
            classes=tuple(str(label) for label in values["classes"]),
            scope=cast("Scope", values["scope"]),
            temperature=float(values["temperature"]),
        )
    except KeyError as error:
        raise ValueError(f"attribute {name} lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"attribute {name}: {error}") from error
