"""The web application as a whole: guard, routes, pages and their files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import OperationalError
from starlette.types import Scope

from tamis import __version__
from tamis.annotate import (
    routes_annotate,
    routes_copies,
    routes_dashboard,
    routes_items,
    routes_people,
    routes_pictures,
    routes_review,
)
from tamis.annotate.guard import LOOPBACK_HOSTS, Guard
from tamis.annotate.live import Live
from tamis.annotate.pages import PAGES, Page
from tamis.annotate.web import STATIC, Web
from tamis.errors import UserError
from tamis.project import Project

_DESCRIPTION = """
The API that the pages of tamis use, over the same database as every other step.

Labels are added, never changed: a claim of the same person supersedes, undo retracts. A step carries a key that its
sender chooses; sent again under the same key it adds nothing, so after a lost answer it is safe to send it again.
Scripts name their person in the header `X-Tamis-Person` where no sign-in is required, else they keep the cookie of
`POST /api/session`.

A change of `tamis.toml` takes effect with the next request. Answers carry the header `X-Tamis-Settings`: a digest of
the settings that hold, and after a blank, percent-encoded, what is wrong with the file.
"""


class _Files(StaticFiles):
    """Static files that the browser asks about each time: an update is never half seen."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file, or with 304 where the browser has it."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(
    project: Project, *, require_sign_in: bool = False, allowed_hosts: Iterable[str] = LOOPBACK_HOSTS
) -> FastAPI:
    """Return the web application of a project.

    Args:
        project: an open project.
        require_sign_in: whether people need a password; without it a name is enough, which is for loopback only.
        allowed_hosts: names that the Host header may have; `guard.ANY_ADDRESS` adds all IP addresses.
    """
    app = FastAPI(
        title=f"tamis: {project.settings.project.name}",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.live = Live(Web.of(project, require_sign_in=require_sign_in))
    for routes in (
        routes_people,
        routes_annotate,
        routes_review,
        routes_copies,
        routes_items,
        routes_dashboard,
        routes_pictures,
    ):
        app.include_router(routes.router)
    for path, page in PAGES.items():
        app.add_api_route(path, _serve(page), include_in_schema=False)
    app.mount("/static", _Files(directory=STATIC))
    app.add_exception_handler(UserError, _tell)
    app.add_exception_handler(OperationalError, _database_is_away)
    app.add_middleware(Guard, allowed_hosts=tuple(allowed_hosts))
    return app


def _serve(page: Page) -> Any:
    html = page.html()

    def serve() -> HTMLResponse:
        return HTMLResponse(html, headers={"cache-control": "no-cache"})

    return serve


def _tell(_: Request, error: Exception) -> JSONResponse:
    """What the user can mend (a full disk, a database that went away) is said in one line."""
    return JSONResponse({"detail": str(error)}, 503)


def _database_is_away(_: Request, error: Exception) -> JSONResponse:
    """The page keeps what was said and sends it again."""
    cause = " ".join(str(getattr(error, "orig", error)).split())[:200]
    return JSONResponse({"detail": f"the database does not answer: {cause}"}, 503)
