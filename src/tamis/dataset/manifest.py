"""The frozen snapshot on disk: `manifest.json`, `samples.jsonl`, `masks.jsonl`. All that training and exporting read.

A snapshot holds no pixels. A sample names an image of the blob store by its SHA-256 and the box to cut from it, so
that a thousand snapshots of one project cost a thousand lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Literal, cast

from tamis.blobs import BlobStore
from tamis.dataset.maskfile import MASKS, MaskFile
from tamis.errors import UserError
from tamis.labels import Attribute, Scope
from tamis.records import Box

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MANIFEST, SAMPLES = "manifest.json", "samples.jsonl"
FORMAT = 2
#: Of snapshots without masks, which every version reads.
_FORMAT_WITHOUT_MASKS = 1
#: What every manifest states.
_KEYS = {"format", "name", "number", "attributes", "files", "blobs", "settings", "created_at"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a snapshot.

    `crop_xyxy` is what is cut from the upright image (raw box plus margin, whole pixels, inside the image);
    `labels` maps attributes to gold values and leaves out what nobody labelled; `group` is shared by samples that
    must not be parted by a split. `mask` is the digest of its mask in `masks.jsonl`, empty where it has none.
    """

    id: str
    sha256: str
    box_xyxy: Box
    crop_xyxy: tuple[int, int, int, int]
    split: Split
    verdict: Literal["keep", "questionable"]
    labels: Mapping[str, str]
    group: str
    item_url: str = ""
    item_title: str = ""
    picture_url: str = ""
    reason: str = ""
    mask: str = ""

    def to_json(self) -> str:
        """One line of `samples.jsonl`."""
        values = asdict(self)
        if not self.mask:
            del values["mask"]
        return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Sample:
        """Read one line of `samples.jsonl`."""
        values = json.loads(line)
        values["box_xyxy"] = tuple(values["box_xyxy"])
        values["crop_xyxy"] = tuple(values["crop_xyxy"])
        return cls(**values)


@dataclass(frozen=True)
class Snapshot:
    """A frozen, numbered data set. `blobs_url` is where the images lie, relative to the snapshot's folder or a URL."""

    folder: Path
    name: str
    number: int
    attributes: tuple[Attribute, ...]
    samples: tuple[Sample, ...]
    blobs_url: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    created_at: float = 0.0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows and the attributes: equal for equal data, whenever and wherever it was frozen."""
        state = sha256()
        for attribute in self.attributes:
            state.update(json.dumps(_attribute_to_json(attribute), sort_keys=True).encode())
        for sample in self.samples:
            state.update(sample.to_json().encode())
            state.update(b"\n")
        return state.hexdigest()

    @cached_property
    def blobs(self) -> BlobStore:
        """The store that holds the images."""
        address = self.blobs_url if "://" in self.blobs_url else str((self.folder / self.blobs_url).resolve())
        return BlobStore(address)

    @cached_property
    def masks(self) -> MaskFile:
        """The masks of the samples that have one."""
        return MaskFile(self.folder / MASKS)

    def attribute(self, name: str) -> Attribute:
        """Return the attribute of that name; raises UserError that lists those there are."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        known = ", ".join(attribute.name for attribute in self.attributes) or "none"
        raise UserError(f"snapshot {self.name} has no attribute {name!r}; it has: {known}")

    def split(self, name: Split) -> tuple[Sample, ...]:
        """The samples of one split, in their stored order."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def write(self, masks: Iterable[bytes] = ()) -> None:
        """Write the folder: the rows first, the manifest last, so that a manifest vouches for complete rows.

        Args:
            masks: the lines of `masks.jsonl`, where samples have masks.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        masked = sum(1 for sample in self.samples if sample.mask)
        rows = "".join(f"{sample.to_json()}\n" for sample in self.samples)
        (self.folder / SAMPLES).write_text(rows, encoding="utf-8", newline="\n")
        files = {SAMPLES: sha256(rows.encode()).hexdigest()}
        if masked:
            with (self.folder / MASKS).open("w+b") as handle:
                handle.writelines(masks)
                handle.seek(0)
                files[MASKS] = file_digest(handle, "sha256").hexdigest()
        facts = {
            "format": FORMAT if masked else _FORMAT_WITHOUT_MASKS, "name": self.name, "number": self.number,
            "created_at": self.created_at, "digest": self.digest, "samples": len(self.samples), "blobs": self.blobs_url,
            "attributes": [_attribute_to_json(attribute) for attribute in self.attributes],
            "splits": {name: len(self.split(name)) for name in SPLITS},
            "files": files, "settings": dict(self.settings),
        } | ({"masks": masked} if masked else {})  # fmt: skip
        text = json.dumps(facts, indent=2, ensure_ascii=False, sort_keys=True)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Snapshot:
        """Read a snapshot's folder and verify its rows.

        Raises:
            UserError: the folder is no snapshot, of a newer format, or its rows are not the ones that were frozen.
        """
        path = folder / MANIFEST
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            rows = (folder / SAMPLES).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"{folder} is no snapshot: {Path(error.filename).name} is missing") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        if not isinstance(facts, dict) or not facts.keys() >= _KEYS:
            raise UserError(f"{path} is no manifest of a snapshot")
        if facts["format"] > FORMAT:
            raise UserError(f"{path} has format {facts['format']}; this tamis reads up to {FORMAT}: update it")
        if sha256(rows).hexdigest() != facts["files"][SAMPLES]:
            raise UserError(f"{folder / SAMPLES} is not what was frozen: its SHA-256 differs from the manifest's")
        return cls(
            folder=folder,
            name=facts["name"],
            number=facts["number"],
            attributes=tuple(_attributes_from_json(facts["attributes"])),
            samples=tuple(Sample.from_json(line) for line in rows.decode().split("\n") if line),
            blobs_url=facts["blobs"],
            settings=facts["settings"],
            created_at=facts["created_at"],
        )


def _attribute_to_json(attribute: Attribute) -> dict[str, Any]:
    return {
        "name": attribute.name, "type": attribute.type.name, "classes": list(attribute.classes),
        "scope": attribute.scope, "help": attribute.help,
    }  # fmt: skip


def _attributes_from_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[Attribute]:
    for row in rows:
        scope = cast(Scope, row["scope"])
        yield Attribute.of(row["name"], row["type"], row["classes"], scope, row["help"])
