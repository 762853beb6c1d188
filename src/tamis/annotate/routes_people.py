"""Routes about the project and who is asking."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response

from tamis import __version__
from tamis.annotate.messages import AttributeView, NameRequest, PersonView, ProjectView, SessionRequest
from tamis.annotate.questions import asked_attributes
from tamis.annotate.signin import SESSION_SECONDS, clean_name
from tamis.annotate.web import (
    NAME_COOKIE,
    SESSION_COOKIE,
    SETTINGS_HEADER,
    InWeb,
    Reader,
    Web,
    attribute_view,
    live_of,
    person_or_none,
)
from tamis.database import reading
from tamis.errors import UserError
from tamis.labels import VERDICT_ATTRIBUTE

router = APIRouter(prefix="/api", tags=["project and people"])
_YEAR = 365 * 24 * 3600


@router.get("/health")
def health(web: InWeb) -> dict[str, str]:
    """Whether the server and its database answer."""
    with reading(web.project.engine):
        return {"status": "ok", "version": __version__}


@router.get("/project")
def project(request: Request, response: Response, web: InWeb) -> ProjectView:
    """The project, its attributes and who is asking; who must sign in first learns the name alone."""
    person = person_or_none(request)
    settings = web.project.settings
    hidden = web.require_sign_in and person is None
    if not hidden:
        response.headers[SETTINGS_HEADER] = live_of(request).state
    return ProjectView(
        name=settings.project.name,
        person=person,
        sign_in=web.require_sign_in,
        attributes=() if hidden else tuple(attribute_view(one) for one in settings.attributes),
        asked=() if hidden else tuple(one.name for one in asked_attributes(settings)),
        verdict=attribute_view(VERDICT_ATTRIBUTE),
        lease=settings.annotate.lease,
    )


@router.get("/attributes")
def attributes(web: InWeb, _: Reader) -> tuple[AttributeView, ...]:
    """The declared attributes and the verdict."""
    return tuple(attribute_view(one) for one in (*web.project.settings.attributes, VERDICT_ATTRIBUTE))


@router.post("/person")
def choose_person(body: NameRequest, web: InWeb, response: Response) -> PersonView:
    """Say who is annotating, where no password is needed; a cookie remembers it."""
    if web.require_sign_in:
        raise HTTPException(403, "here people sign in with a password: POST /api/session")
    name = web.meet(body.name)
    response.set_cookie(NAME_COOKIE, quote(name), max_age=_YEAR, httponly=True, samesite="strict")
    return PersonView(person=name)


@router.post("/session")
def sign_in(body: SessionRequest, request: Request, web: InWeb, response: Response) -> PersonView:
    """Sign in; the session is a cookie that scripts cannot read."""
    name = _name_to_sign_in(web, body.name)
    token = web.sign_in.open_session(name, body.password)
    if token is None:
        raise HTTPException(401, "name and password do not belong together")
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return PersonView(person=name)


def _name_to_sign_in(web: Web, name: str) -> str:
    if not web.require_sign_in:
        raise HTTPException(403, "here a name is enough: POST /api/person")
    try:
        name = clean_name(name)
    except UserError as error:
        raise HTTPException(422, str(error)) from error
    if (wait := web.sign_in.wait_for(name)) > 0:
        raise HTTPException(429, f"too many wrong passwords: try again in {wait:.0f} seconds")
    return name


@router.post("/session/end")
def sign_out(request: Request, web: InWeb, response: Response) -> PersonView:
    """Sign out, or forget the name."""
    if token := request.cookies.get(SESSION_COOKIE):
        web.sign_in.close_session(token)
    response.delete_cookie(SESSION_COOKIE)
    response.delete_cookie(NAME_COOKIE)
    return PersonView(person=None)
