"""The masks of a snapshot on disk: `masks.jsonl`, one mask of a whole upright picture a line, read one at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.errors import UserError

if TYPE_CHECKING:
    from tamis.vision.masks import MaskArray

MASKS = "masks.jsonl"


@dataclass(frozen=True, slots=True)
class FrozenMask:
    """The mask of a sample: who made it ("model" or "grabcut"), and COCO's compressed run lengths."""

    sample: str
    method: str
    size_wh: tuple[int, int]
    counts: str

    @property
    def digest(self) -> str:
        """SHA-256 of the line, by which the sample's row vouches for it."""
        return sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """One line of `masks.jsonl`; `size` (height, width) and `counts` are what COCO takes as a segmentation."""
        values = {"id": self.sample, "method": self.method, "size": list(self.size_wh[::-1]), "counts": self.counts}
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> FrozenMask:
        """Read one line of `masks.jsonl`."""
        values = json.loads(line)
        return cls(values["id"], values["method"], (values["size"][1], values["size"][0]), values["counts"])

    def array(self) -> MaskArray:
        """Boolean (height, width) of the whole upright picture.

        Raises:
            ValueError: the run lengths are damaged.
        """
        from tamis.vision.masks import from_coco  # noqa: PLC0415 - lists of samples are read without numpy

        return from_coco(self.counts, self.size_wh)


@dataclass(frozen=True)
class MaskFile:
    """The masks of one snapshot; only where each begins is held in memory, so a million may be there."""

    path: Path

    @cached_property
    def _places(self) -> Mapping[str, int]:
        places: dict[str, int] = {}
        try:
            with self.path.open("rb") as file:
                at = 0
                for line in file:
                    places[line.split(b'"', 4)[3].decode()] = at  # the id comes first
                    at += len(line)
        except (OSError, IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path} cannot be read: {error}") from error
        return places

    def read(self, sample: str, digest: str) -> FrozenMask:
        """Return the mask of a sample whose row gives that digest.

        Raises:
            UserError: the file is missing or holds another mask.
        """
        if sample in self._places:
            with self.path.open("rb") as file:
                file.seek(self._places[sample])
                line = file.readline().rstrip(b"\n")
            if sha256(line).hexdigest() == digest:
                return FrozenMask.from_json(line.decode())
        raise UserError(f"{self.path} is not what was frozen: the mask of sample {sample} is another, or missing")
