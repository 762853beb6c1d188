"""One frozen record a table: what stages return and the database stores.

The fields of a record are columns of its table (`tamis.schema`), by name. Ids and times that the database or the
runner fills in are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

Box = tuple[float, float, float, float]
Level = Literal["image", "region"]
RelationKind = Literal["same_pixels", "recompressed", "edited", "mirrored", "rotated", "same_scene"]
#: A box of which a better one of its class covers this share is a part of the same object.
PART_SHARE = 0.9
#: Two boxes of one picture that overlap this much (IoU) show one object, unless a setting says otherwise.
SAME_OBJECT = 0.6
#: Which member of a cluster stays.
KeeperPolicy = Literal["largest", "sharpest", "cleanest", "first"]
RegionKind = Literal["whole", "detected", "drawn"]


def digest(*parts: str | bytes | float | None) -> str:
    """Return a 128-bit key over the parts, each delimited, as 32 hexadecimal digits (BLAKE2b, RFC 7693)."""
    state = blake2b(digest_size=16)
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()


def aspect_of(given: str | float) -> float:
    """Return width over height, given as `4:3` or as a number.

    Raises:
        ValueError: it is no aspect from 1:10 to 10:1.
    """
    width, _, height = str(given).partition(":")
    try:
        ratio = float(width) / float(height or 1)
    except (ValueError, ZeroDivisionError):
        ratio = 0.0
    if not 0.1 <= ratio <= 10:
        raise ValueError(f"{given!r} is no aspect such as 4:3 or 1")
    return ratio


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts, quality scores and signatures of one image; scores are None when it is unreadable."""

    image_id: int
    readable: bool
    reason: str | None = None
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    sharpness: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    clipped_dark: float | None = None
    clipped_bright: float | None = None
    blockiness: float | None = None
    noise: float | None = None
    entropy: float | None = None
    colourfulness: float | None = None
    text_share: float | None = None
    border_share: float | None = None
    phash: int | None = None
    phash_mirrored: int | None = None
    dhash: int | None = None
    parts: bytes | None = None
    pixel_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """What two images or regions are to each other; `first_id` is the smaller id."""

    level: Level
    first_id: int
    second_id: int
    kind: RelationKind
    score: float
    distance: int


@dataclass(frozen=True, slots=True)
class Unclustered:
    """An image or region that stands alone."""

    level: Level
    member_id: int


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """An image or region in a cluster, and its relation to the keeper."""

    level: Level
    member_id: int
    keeper_id: int
    kind: str
    score: float


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image; the raw box is in pixels of the upright image, right and bottom exclusive."""

    image_id: int
    image_sha256: str
    kind: RegionKind
    box_xyxy: Box
    origin: str = ""
    class_name: str = ""
    score: float = 1.0
    phash: int | None = None
    phash_mirrored: int | None = None
    dhash: int | None = None

    @property
    def region_key(self) -> str:
        """Identity: image, kind, origin, class and the raw box to a hundredth of a pixel."""
        corners = ",".join(f"{value:.2f}" for value in self.box_xyxy)
        return digest(self.image_sha256, self.kind, self.origin, self.class_name, corners)


@dataclass(frozen=True, slots=True)
class Mask:
    """The segment of a region; `counts` holds zlib-compressed COCO run lengths of the whole upright image."""

    region_id: int
    method: str
    width: int
    height: int
    counts: bytes
    area: float
    border: float
    holes: int


@dataclass(frozen=True, slots=True)
class Label:
    """One claim. Exactly one of `item_id` and `region_id` is set; `value` None says: seen and passed over."""

    attribute: str
    value: str | None
    who: Literal["rule", "model", "person"]
    actor: str
    confidence: float = 1.0
    item_id: int | None = None
    region_id: int | None = None
    evidence: str | None = None
    retracts: int | None = None
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing for sale, as extracted; `picture_urls` are absolute and in the order of the gallery."""

    url: str
    title: str
    brand: str | None = None
    model: str | None = None
    price: float | None = None
    currency: str | None = None
    sku: str | None = None
    seller: str | None = None
    availability: str | None = None
    description: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    picture_urls: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of all that is mined from the item."""
        listed = (f"{name}={value}" for name, value in sorted(self.attributes.items()))
        return digest(self.title, self.brand, self.model, self.description, *listed)
