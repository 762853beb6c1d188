"""The documents of the JSON API about items."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tamis.annotate.messages import Answer, ClaimView, GoldView, ItemSummary, SampleView


class ItemRow(Answer):
    """An item in the list."""

    id: int
    title: str
    price: float | None
    currency: str | None
    source: str
    pictures: int
    cover: str | None = Field(description="address of its first picture")
    vanished: bool


class ItemsView(Answer):
    """A page of items."""

    items: tuple[ItemRow, ...]
    cursor: int | None
    total: int


class PictureView(Answer):
    """A picture of an item and what became of it."""

    position: int
    url: str
    state: str
    outcome: str | None
    reason: str | None
    sha256: str | None
    image_url: str | None
    size_wh: tuple[int, int] | None
    samples: tuple[SampleView, ...]


class HistoryRow(Answer):
    """A row of the label table."""

    id: int
    sample: str | None
    attribute: str
    value: str | None
    who: str
    actor: str
    confidence: float
    evidence: str | None
    created_at: float
    retracts: int | None
    retracted: bool


class ChangeRow(Answer):
    """A change of the item on its site, or that it vanished or returned."""

    at: float
    kind: str = Field(description="changed, vanished or returned")
    cause: str = Field(description="crawl, listing or replay")
    reason: str | None
    fields: dict[str, tuple[Any, Any]] = Field(
        description="field to what it was and what it is; of lists, what left and what came"
    )


class ItemView(Answer):
    """One item: its fields, where each was read, its pictures, labels, their history and its own."""

    summary: ItemSummary
    source: str
    sku: str | None
    availability: str | None
    first_seen: float
    last_seen: float
    vanished_at: float | None
    sources: dict[str, Any]
    raw: Any
    pictures: tuple[PictureView, ...]
    claims: tuple[ClaimView, ...]
    gold: dict[str, GoldView]
    history: tuple[HistoryRow, ...]
    changes: tuple[ChangeRow, ...] = Field(description="the latest first, 1,000 at most")
