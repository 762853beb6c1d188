"""Routes of the copies page: pairs that were compared, and what people say of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from tamis.annotate.messages import UndoRequest
from tamis.annotate.messages_copies import ComparisonRequest, ComparisonView, PairsQuery, PairsView, TakenBackView
from tamis.annotate.pairs import read_pairs, record_comparison, sides_by_name, undo_comparison
from tamis.annotate.web import InWeb, Person, Reader
from tamis.database import reading, retrying, writing

router = APIRouter(prefix="/api/copies", tags=["copies"])


@router.get("")
def list_pairs(web: InWeb, person: Reader, asked: Annotated[PairsQuery, Query()]) -> PairsView:
    """Pairs of images, or of regions, whose scores decide whether they are copies; the most doubtful ones first."""
    with reading(web.project.engine) as connection:
        return read_pairs(connection, web.project.settings, person, asked)


@router.post("")
def compare(body: ComparisonRequest, web: InWeb, person: Person) -> ComparisonView:
    """Say that two pictures show the same shot, or do not, whether or not they were compared before.

    It is kept for ever: what is the same joins, what is not never shares a cluster, from the next `tamis run` on.
    """

    def work() -> list[int]:
        with writing(web.project.engine) as connection:
            found = sides_by_name(connection, body.level, [body.first, body.second])
            if missing := [name for name in (body.first, body.second) if name not in found]:
                raise HTTPException(404, f"no {body.level} {missing[0]}")
            pair = found[body.first], found[body.second]
            if pair[0] == pair[1]:
                raise HTTPException(422, f"{body.first} is compared with itself: give two different ones")
            return record_comparison(connection, person, body.key, body.level, pair, body.same)

    return ComparisonView(key=body.key, rows=tuple(retrying(work)))


@router.post("/undo")
def undo_compare(body: UndoRequest, web: InWeb, person: Person) -> TakenBackView:
    """Take back what the person said of a pair, by the key of the step, or last."""

    def work() -> TakenBackView:
        with writing(web.project.engine) as connection:
            pairs = undo_comparison(connection, web.project.settings, person, body.key, body.step)
            return TakenBackView(pairs=tuple(pairs))

    return retrying(work)
