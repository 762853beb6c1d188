"""Serving the web application: on the loopback address with a name alone, anywhere else with a sign-in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Thread
from time import sleep

import sqlalchemy as sa
import uvicorn

from tamis.annotate.app import create_app
from tamis.annotate.guard import ANY_ADDRESS, LOOPBACK_HOSTS
from tamis.annotate.live import Live
from tamis.database import reading
from tamis.errors import UserError
from tamis.project import Project
from tamis.schema import person


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach that address."""
    return host in LOOPBACK_HOSTS or host.startswith("127.")


def allowed_hosts(host: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Names under which a server bound to `host` answers: its own, and beyond loopback any plain IP address."""
    names = [*LOOPBACK_HOSTS, host, *more]
    if not is_loopback(host):
        names += [ANY_ADDRESS, socket.gethostname(), socket.getfqdn()]
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, and how to end it."""

    url: str
    stop: Callable[[], None]


def serve(
    project: Project,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    open_browser: bool = False,
    hosts: Iterable[str] = (),
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the web application until it is interrupted.

    Args:
        project: an open project.
        host: address to listen on; anywhere but loopback people must sign in.
        port: 0 takes a free one.
        open_browser: whether to open the page on this machine.
        hosts: further names that this machine is asked by.
        started: called with the address once it answers.

    Raises:
        UserError: the port is taken, or nobody could sign in.
    """
    listening = _listen(project, host, port)
    server = _server(project, host, hosts)
    url = _url(host, listening)

    def tell() -> None:
        while not server.started and not server.should_exit:
            sleep(0.01)
        if server.started:
            started(url)
            if open_browser:
                import webbrowser  # noqa: PLC0415 - looks for browsers when it is imported

                webbrowser.open(url)

    Thread(target=tell, name="announce", daemon=True).start()
    with closing(listening):
        server.run(sockets=[listening])


@contextmanager
def serving(project: Project, host: str = "127.0.0.1", port: int = 0, *, hosts: Iterable[str] = ()) -> Iterator[Served]:
    """Serve in a thread of this process for as long as the context lasts."""
    listening = _listen(project, host, port)
    server = _server(project, host, hosts)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, name="web application", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(20)

    with closing(listening):
        while not server.started and thread.is_alive():
            sleep(0.01)
        try:
            yield Served(_url(host, listening), stop)
        finally:
            stop()


def _listen(project: Project, host: str, port: int) -> socket.socket:
    if not is_loopback(host) and not _anybody_can_sign_in(project):
        raise UserError(f"nobody can sign in at {host}: add people first with `tamis serve --add-person NAME`")
    listening: socket.socket | None = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return listening


def _server(project: Project, host: str, hosts: Iterable[str]) -> uvicorn.Server:
    app = create_app(project, require_sign_in=not is_loopback(host), allowed_hosts=allowed_hosts(host, hosts))
    live: Live = app.state.live
    live.web().surveyor.begin()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def _url(host: str, listening: socket.socket) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only compared
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{listening.getsockname()[1]}/"


def _anybody_can_sign_in(project: Project) -> bool:
    with reading(project.engine) as connection:
        statement = sa.select(person.c.name).where(person.c.password.is_not(None)).limit(1)
        return connection.execute(statement).scalar() is not None
