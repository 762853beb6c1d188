"""The documents of the JSON API about pairs of copies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tamis.annotate.messages import Answer, Request, StepKey
from tamis.records import Level

#: SHA-256 of an image, or public id of a sample.
SideId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{16}|[0-9a-f]{64})$")]


class PairsQuery(Request):
    """Which pairs are shown, in which order."""

    level: Level = Field("image", description="image, or region: what was cropped from the images")
    show: Literal["open", "judged", "all"] = Field(
        "open", description="open: neither agreed on by people nor seen by this person; judged: agreed on"
    )
    order: Literal["near", "spread"] = Field(
        "near",
        description="near: nearest to the threshold first; spread: of all scores, for the calibration",
    )
    count: int = Field(20, ge=1, le=200)


class SideView(Answer):
    """One picture of a pair."""

    id: str = Field(description="SHA-256 of the image, or public id of the sample")
    picture_url: str = Field(description="the picture; add `&size=` in pixels of the longer side")
    size_wh: tuple[int, int] | None = Field(description="pixels of the upright image, or of the raw box")
    bytes: int = Field(description="of the image's file")
    item: int | None = Field(description="the first item that shows it")
    title: str | None
    keeper: bool = Field(description="whether it is the one of its cluster that stays, as of the last run")


class PairView(Answer):
    """Two pictures that were compared, and what is said of them."""

    level: Level
    kind: str = Field(description="what the second is to the first")
    score: float = Field(description="0 to 1, of the verification")
    first: SideView
    second: SideView
    joined: bool = Field(description="whether they share a cluster, as of the last run")
    votes: dict[str, bool] = Field(description="person to whether the two are the same")
    same: bool | None = Field(description="what people agree on; null: nothing")


class PairsView(Answer):
    """Pairs to judge."""

    pairs: tuple[PairView, ...]
    threshold: float = Field(description="score from which pairs of this level join")
    remaining: int = Field(description="pairs that still ask this person")
    judged: int = Field(description="pairs that people agree on")


class ComparisonRequest(Request):
    """What a person says of a pair; sending the same key again adds nothing."""

    key: StepKey
    level: Level = "image"
    first: SideId
    second: SideId
    same: bool | None = Field(description="whether both show the same shot; null: seen and passed over")


class ComparisonView(Answer):
    """The rows that a step added, the first time or now."""

    key: str
    rows: tuple[int, ...]


class TakenBackView(Answer):
    """The pairs about which something was taken back."""

    pairs: tuple[PairView, ...]
