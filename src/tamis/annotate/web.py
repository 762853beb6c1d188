"""What the routes share: the project with its queue, pictures and sign-in, and who is asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote

from fastapi import Depends, HTTPException, Request, Response
from sqlalchemy import Connection

from tamis.annotate.claims import NewClaim
from tamis.annotate.kept import Kept
from tamis.annotate.messages import AttributeView, ClaimRequest, SampleView
from tamis.annotate.pictures import DiskCache, Pictures
from tamis.annotate.questions import subjects_of
from tamis.annotate.queue import SampleQueue
from tamis.annotate.samples import read_samples, regions_by_public_id
from tamis.annotate.signin import SignIn, clean_name, ensure_person
from tamis.annotate.survey import Surveyor
from tamis.config import Settings
from tamis.database import reading, writing
from tamis.errors import UserError
from tamis.labels import VERDICT_ATTRIBUTE, Attribute
from tamis.project import Project
from tamis.status import ProjectStatus, project_status
from tamis.vision.decode import Limits

if TYPE_CHECKING:
    from tamis.annotate.live import Live

SESSION_COOKIE = "tamis_session"
NAME_COOKIE = "tamis_person"
NAME_HEADER = "x-tamis-person"
#: A digest of the settings that hold, a blank, and what is wrong with the file, percent-encoded.
SETTINGS_HEADER = "x-tamis-settings"
STATIC = Path(__file__).parent / "static"


@dataclass
class Web:
    """One served project."""

    project: Project
    require_sign_in: bool
    surveyor: Surveyor
    status: Kept[ProjectStatus]
    queue: SampleQueue
    pictures: Pictures
    sign_in: SignIn
    _known: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, project: Project, *, require_sign_in: bool) -> Web:
        """Serve a project; rendered pictures are kept below its `cache` folder."""
        limits = Limits(max_pixels=project.settings.inspect.max_pixels)
        cache = DiskCache(project.path("cache", "pictures"))
        pictures = Pictures(project.blobs, cache, project.thumbnails, limits)
        surveyor = Surveyor(project)
        queue = SampleQueue(project, surveyor)
        status = Kept(lambda: project_status(project))
        return cls(project, require_sign_in, surveyor, status, queue, pictures, SignIn(project.engine))

    def under(self, settings: Settings) -> Web:
        """The same project under other settings: its samples are judged anew, who is known stays known."""
        fresh = Web.of(replace(self.project, settings=settings), require_sign_in=self.require_sign_in)
        fresh.sign_in, fresh._known, fresh._lock = self.sign_in, self._known, self._lock
        return fresh

    def views(self, region_ids: Sequence[int]) -> dict[int, SampleView]:
        """Samples as they are now, in the order given. Not to be called within a transaction."""
        precision = self.surveyor.kept().precision
        with reading(self.project.engine) as connection:
            return read_samples(connection, self.project.settings, region_ids, precision)

    def attribute(self, name: str) -> Attribute:
        """The attribute of that name, the verdict included; answers 422 when there is none."""
        for known in (*self.project.settings.attributes, VERDICT_ATTRIBUTE):
            if known.name == name:
                return known
        names = ", ".join(one.name for one in (*self.project.settings.attributes, VERDICT_ATTRIBUTE))
        raise HTTPException(422, f"attribute {name!r} is none of {names}")

    def meet(self, name: str) -> str:
        """Return the cleaned name of somebody who may ask without a password, and give them a row."""
        try:
            name = clean_name(name)
        except UserError as error:
            raise HTTPException(422, str(error)) from error
        with self._lock:
            if name not in self._known:
                with writing(self.project.engine) as connection:
                    ensure_person(connection, name)
                self._known.add(name)
        return name

    def parse_claims(self, connection: Connection, requests: Sequence[ClaimRequest]) -> list[NewClaim]:
        """Check claims and find their subjects; answers 404 and 422 with the reason."""
        regions = self.regions(connection, [one.sample for one in requests if one.sample is not None])
        items = {one.region_id: one.item_id for one in subjects_of(connection, list(regions.values()))}
        claims: list[NewClaim] = []
        for request in requests:
            attribute = self.attribute(request.attribute)
            value = parse_value(attribute, request.value)
            region_id = regions[request.sample] if request.sample is not None else None
            if attribute.scope == "region":
                if region_id is None:
                    raise HTTPException(422, f"{attribute.name} is claimed of a sample: give `sample`")
                claims.append(NewClaim(attribute.name, value, region_id=region_id, evidence=request.evidence))
            else:
                item_id = request.item if request.item is not None else items.get(region_id or 0)
                if item_id is None:
                    raise HTTPException(422, f"{attribute.name} is claimed of an item, and this sample has none")
                claims.append(NewClaim(attribute.name, value, item_id=item_id, evidence=request.evidence))
        return claims

    def regions(self, connection: Connection, public_ids: Sequence[str]) -> dict[str, int]:
        """Map public ids to regions; answers 404 when one is unknown."""
        found = regions_by_public_id(connection, public_ids)
        if missing := [one for one in public_ids if one not in found]:
            raise HTTPException(404, f"no sample {missing[0]}")
        return found


def parse_value(attribute: Attribute, value: str | None) -> str | None:
    """Return the value in its stored form; answers 422 when it is no class."""
    if value is None:
        return None
    try:
        return attribute.parse(value)
    except ValueError as error:
        raise HTTPException(422, f"{attribute.name}: {error}") from error


def attribute_view(attribute: Attribute) -> AttributeView:
    """An attribute as the browser sees it."""
    return AttributeView(
        name=attribute.name,
        type=attribute.type.name,
        widget=attribute.type.widget,
        scope=attribute.scope,
        classes=attribute.classes,
        help=attribute.help,
    )


def web_of(request: Request) -> Web:
    """The project that the application serves."""
    return live_of(request).web()


def live_of(request: Request) -> Live:
    """What keeps the served project up to date with its settings."""
    live: Live = request.app.state.live
    return live


def person_or_none(request: Request) -> str | None:
    """Who is asking, or None before they said so."""
    web = web_of(request)
    if web.require_sign_in:
        token = request.cookies.get(SESSION_COOKIE)
        return web.sign_in.person_of(token) if token else None
    name = request.headers.get(NAME_HEADER) or request.cookies.get(NAME_COOKIE)
    return web.meet(unquote(name)) if name else None


def person_of(request: Request, response: Response) -> str:
    """Who is asking, to whom the state of the settings is told; answers 401 before they said so."""
    name = person_or_none(request)
    if name is None:
        web = web_of(request)
        how = "sign in: POST /api/session" if web.require_sign_in else "say who you are: POST /api/person"
        raise HTTPException(401, how)
    response.headers[SETTINGS_HEADER] = live_of(request).state
    return name


def reader_of(request: Request, response: Response) -> str | None:
    """Who is looking: where a sign-in is required nothing is shown without one."""
    if web_of(request).require_sign_in:
        return person_of(request, response)
    response.headers[SETTINGS_HEADER] = live_of(request).state
    return person_or_none(request)


InWeb = Annotated[Web, Depends(web_of)]
Person = Annotated[str, Depends(person_of)]
Reader = Annotated[str | None, Depends(reader_of)]
