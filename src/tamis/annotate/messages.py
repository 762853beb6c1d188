"""The documents of the JSON API: what requests must hold, and what answers do hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PublicId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
StepKey = Annotated[str, StringConstraints(pattern=r"^[\w-]{8,64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Show = Literal["open", "confirmed", "all"]
VerdictFilter = Literal["keep", "questionable", "reject", "any", "usable"]
Value = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Request(BaseModel):
    """A document that a client sends; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A document that the server sends."""

    model_config = ConfigDict(frozen=True)


# --- project and people -------------------------------------------------------------------------------------------


class AttributeView(Answer):
    """A property to label."""

    name: str
    type: str = Field(description="label type: choice or flag")
    widget: str
    scope: Literal["item", "region"]
    classes: tuple[str, ...] = Field(description="values, in the order of the digit keys")
    help: str


class ProjectView(Answer):
    """The project and who is asking."""

    name: str
    person: str | None = Field(description="who is asking; null before a name was given")
    sign_in: bool = Field(description="whether a password is needed")
    attributes: tuple[AttributeView, ...] = Field(description="declared attributes, in order")
    asked: tuple[str, ...] = Field(description="attributes that the annotation page asks for")
    verdict: AttributeView
    lease: float = Field(description="seconds that a sample stays with a person")


class NameRequest(Request):
    """Who is annotating, where no password is needed."""

    name: Name


class SessionRequest(Request):
    """Name and password."""

    name: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class PersonView(Answer):
    """Who is asking."""

    person: str | None


# --- samples ------------------------------------------------------------------------------------------------------


class ClaimView(Answer):
    """One claim in force."""

    attribute: str
    value: str | None
    who: str
    actor: str
    confidence: float
    evidence: str | None
    created_at: float


class VerdictView(Answer):
    """What becomes of a sample, and why."""

    value: str = Field(description="keep, questionable or reject")
    cause: str = Field(description="one word for counting")
    reason: str


class GoldView(Answer):
    """The value that wins, and whose claim it is."""

    value: str | None = Field(description="null where people disagree")
    who: str
    actor: str
    confidence: float
    disputed: bool
    evidence: str | None


class ItemSummary(Answer):
    """An item, as far as it helps to label its pictures."""

    id: int
    title: str
    brand: str | None
    model: str | None
    price: float | None
    currency: str | None
    url: str
    seller: str | None
    description: str
    attributes: dict[str, Any]


class SampleView(Answer):
    """A region with its picture, its item and all that is claimed of it."""

    id: str = Field(description="stable public id")
    sha256: str = Field(description="the image")
    image_wh: tuple[int, int] = Field(description="pixels of the upright image")
    box: tuple[float, float, float, float] = Field(description="raw box in those pixels")
    crop: tuple[int, int, int, int] = Field(description="what the crop shows, with its margin")
    crop_url: str = Field(description="the crop; add `&size=` in pixels of the longer side")
    image_url: str = Field(description="the whole picture; add `&size=`")
    kind: str
    class_name: str
    score: float
    verdict: VerdictView
    item: ItemSummary | None
    gallery: tuple[str, ...] = Field(description="the item's pictures in order; add `&size=`")
    position: tuple[int, int] | None = Field(
        description="place of the picture in the item's gallery, from 1, and of how many"
    )
    claims: tuple[ClaimView, ...] = Field(description="claims in force, of the region and of its item")
    gold: dict[str, GoldView] = Field(description="attribute to the value that wins")


class QueueSample(SampleView):
    """A sample under a lease."""

    asked: tuple[str, ...] = Field(description="attributes that are still to be asked of this person")
    until: float = Field(description="end of the lease")


class QueueView(Answer):
    """Next samples for a person."""

    samples: tuple[QueueSample, ...]
    remaining: int = Field(description="samples that still ask something of anybody, as of a few seconds ago")
    total: int = Field(description="samples in all")


class LeaseRequest(Request):
    """Samples that a page holds."""

    samples: list[PublicId] = Field(max_length=200)


class LeaseView(Answer):
    """What became of leases."""

    lost: tuple[str, ...] = Field(description="samples that somebody else holds by now")


# --- steps --------------------------------------------------------------------------------------------------------


class ClaimRequest(Request):
    """One claim. An attribute of the item is claimed through any of its samples, or by the item's number."""

    attribute: Name
    value: Value | None = Field(description="a class; null: seen and passed over")
    sample: PublicId | None = None
    item: int | None = None
    evidence: Annotated[str, StringConstraints(max_length=500)] | None = None


class StepRequest(Request):
    """Claims that belong together; sending the same key again adds nothing."""

    key: StepKey
    claims: list[ClaimRequest] = Field(min_length=1, max_length=1000)


class StepView(Answer):
    """The labels that the step added, the first time or now."""

    key: str
    labels: tuple[int, ...]


class UndoRequest(Request):
    """Take back a step by its key, or the last step of the person."""

    key: StepKey
    step: StepKey | None = None


class UndoView(Answer):
    """What was taken back, and the samples that it was about."""

    claims: tuple[ClaimView, ...]
    samples: tuple[QueueSample, ...]


# --- review -------------------------------------------------------------------------------------------------------


class ReviewQuery(Request):
    """Which samples the grid shows, in which order."""

    attribute: Name
    value: Value
    verdict: VerdictFilter = Field("usable", description="usable: keep and questionable")
    show: Show = Field("open", description="open: not yet confirmed by people")
    order: Literal["doubtful", "sure"] = Field("doubtful", description="by the machine's confidence")
    cursor: str | None = None
    count: int = Field(60, ge=1, le=200)


class ReviewView(Answer):
    """A page of samples of one class or verdict."""

    samples: tuple[SampleView, ...]
    cursor: str | None = Field(description="give it to get the next page; null at the end")
    counts: dict[str, int] = Field(description="samples of each class under the same filter")


class WrongRequest(Request):
    """A sample that does not belong on the page; `value` is what it is, null when that is not said."""

    sample: PublicId
    value: Value | None = None


class ConfirmRequest(Request):
    """A reviewed page: the wrong ones and the others, as one step."""

    key: StepKey
    attribute: Name
    value: Value
    confirmed: list[PublicId] = Field(max_length=500)
    wrong: list[WrongRequest] = Field(default_factory=list, max_length=500)


# --- items, dashboard, events -------------------------------------------------------------------------------------


class InventoryView(Answer):
    """How many rows of a kind the project holds, and their parts by outcome or origin."""

    rows: int
    parts: dict[str, int]


class StageView(Answer):
    """A stage and the rows that it worked on."""

    stage: str
    help: str
    done: int
    pending: int
    failed: int
    skipped: int
    unreadable: int
    seconds: float
    idle: str | None = Field(description="why the stage cannot run; null when it can")


class FailureView(Answer):
    """A reason for which work failed, and how often."""

    step: str
    reason: str
    count: int


class ClassCount(Answer):
    """Samples of a class, by who says so."""

    value: str | None = Field(description="null: people disagree, or nothing is known")
    person: int
    machine: int
    unknown: int = 0


class DashboardView(Answer):
    """Progress by step, class distributions, what failed and why."""

    inventory: dict[str, InventoryView]
    stages: tuple[StageView, ...]
    failures: tuple[FailureView, ...]
    classes: dict[str, tuple[ClassCount, ...]]
    verdicts: dict[str, int]
    causes: dict[str, int] = Field(description="cause of a verdict other than keep to how many samples")
    people: dict[str, int] = Field(description="person to the labels that they wrote")
    remaining: int = Field(description="samples that still ask something of somebody")
    total: int = Field(description="samples that are not rejected")


class EventView(Answer):
    """A label that a person added."""

    id: int
    sample: str | None
    item: int | None
    attribute: str
    value: str | None
    actor: str
    retracts: int | None


class EventsView(Answer):
    """What people did since the cursor."""

    cursor: int
    events: tuple[EventView, ...]
