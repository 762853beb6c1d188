"""Routes of the review page: a grid of one class or verdict, confirmed a page at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection

from tamis.annotate.claims import NewClaim, images_about, record
from tamis.annotate.messages import (
    ClaimRequest,
    ConfirmRequest,
    ReviewQuery,
    ReviewView,
    SampleView,
    StepView,
    VerdictFilter,
)
from tamis.annotate.survey import Entry
from tamis.annotate.web import InWeb, Person, Reader, Web, parse_value
from tamis.database import retrying, writing
from tamis.labels import VERDICT

#: Nobody looked at it, somebody passed it over, or people said what it is.
_State = Literal["open", "passed_over", "confirmed"]

router = APIRouter(prefix="/api/review", tags=["review"])


@dataclass(frozen=True, slots=True)
class _Listed:
    """A sample as the grid sorts it."""

    region_id: int
    value: str
    confidence: float
    region_key: str
    state: _State

    @property
    def place(self) -> tuple[float, str]:
        return (self.confidence, self.region_key)


@router.get("")
def review_page(web: InWeb, _: Reader, asked: Annotated[ReviewQuery, Query()]) -> ReviewView:
    """Samples whose gold value, or verdict, is the one asked for."""
    value = parse_value(web.attribute(asked.attribute), asked.value) or ""
    listed = [one for one in _listed(web, asked.attribute, asked.verdict) if asked.show in ("all", one.state)]
    surest_first = asked.order == "sure"
    of_class = sorted((one for one in listed if one.value == value), key=lambda one: one.place, reverse=surest_first)
    if (after := _read_cursor(asked.cursor)) is not None:
        of_class = [one for one in of_class if (one.place < after if surest_first else one.place > after)]
    page, samples = of_class[: asked.count], list[SampleView]()
    # The survey is a moment old: what people changed since is looked up.
    for view in web.views([one.region_id for one in page]).values():
        now = _current(view, asked.attribute)
        if now is not None and now[0] == value and asked.show in ("all", now[1]):
            samples.append(view)
    last = page[-1] if len(of_class) > asked.count else None
    cursor = f"{last.confidence!r}:{last.region_key}" if last else None
    return ReviewView(samples=tuple(samples), cursor=cursor, counts=dict(Counter(one.value for one in listed)))


def _listed(web: Web, attribute: str, verdict: VerdictFilter) -> Iterator[_Listed]:
    names = [one.name for one in web.project.settings.attributes]
    for entry in web.surveyor.current().entries.values():
        if attribute == VERDICT:
            confidence = min((mark.confidence for mark in entry.gold if mark), default=1.0)
            state: _State = "confirmed" if entry.cause == "person" else "open"
            yield _Listed(entry.region_id, entry.verdict, confidence, entry.region_key, state)
        elif _passes(entry, verdict) and (mark := entry.gold[names.index(attribute)]) and mark.value is not None:
            state = _state(mark.by_person, mark.passed_over)
            yield _Listed(entry.region_id, mark.value, mark.confidence, entry.region_key, state)


def _passes(entry: Entry, verdict: VerdictFilter) -> bool:
    if verdict == "usable":
        return entry.verdict != "reject"
    return verdict in ("any", entry.verdict)


def _state(by_person: bool, passed_over: bool) -> _State:
    if by_person:
        return "confirmed"
    return "passed_over" if passed_over else "open"


def _current(view: SampleView, attribute: str) -> tuple[str | None, _State] | None:
    """Value and state as of now."""
    if attribute == VERDICT:
        return view.verdict.value, _state(view.verdict.cause == "person", False)
    gold = view.gold.get(attribute)
    if gold is None:
        return None
    nothing = (one for one in view.claims if one.who == "person" and one.attribute == attribute and one.value is None)
    return gold.value, _state(gold.who == "person", any(nothing))


def _read_cursor(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    confidence, _, key = cursor.partition(":")
    try:
        return float(confidence), key
    except ValueError as error:
        raise HTTPException(422, f"{cursor[:80]!r} is no cursor") from error


@router.post("/confirm")
def confirm_page(body: ConfirmRequest, web: InWeb, person: Person) -> StepView:
    """Confirm a page: one step, undone as one.

    The wrong ones get the value that was said. Where none was said the sample becomes questionable, with the reason,
    until somebody says what it is; of a verdict the right one must be said.
    """
    attribute = web.attribute(body.attribute)
    value = parse_value(attribute, body.value)
    requests = [ClaimRequest(attribute=attribute.name, value=value, sample=one) for one in body.confirmed]
    for wrong in body.wrong:
        if wrong.value is not None:
            requests.append(ClaimRequest(attribute=attribute.name, value=wrong.value, sample=wrong.sample))
            continue
        if attribute.name == VERDICT:
            raise HTTPException(422, f"sample {wrong.sample}: say which verdict is right")
        told = f"{attribute.name} is not {value}"
        requests.append(ClaimRequest(attribute=attribute.name, value=None, sample=wrong.sample, evidence=told))
        requests.append(ClaimRequest(attribute=VERDICT, value="questionable", sample=wrong.sample, evidence=told))
    if not requests:
        raise HTTPException(422, "the page is empty")

    def work() -> tuple[list[int], set[int]]:
        with writing(web.project.engine) as connection:
            claims = list(_once_each(connection, web, requests))
            return record(connection, person, body.key, claims), images_about(connection, claims)

    ids, images = retrying(work)
    web.surveyor.touch(images)
    return StepView(key=body.key, labels=tuple(ids))


def _once_each(connection: Connection, web: Web, requests: list[ClaimRequest]) -> Iterator[NewClaim]:
    """Two pictures of one item claim the item's attribute once; the last word counts."""
    claims = web.parse_claims(connection, requests)
    last = {(claim.region_id, claim.item_id, claim.attribute): claim for claim in claims}
    yield from last.values()
