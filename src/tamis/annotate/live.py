"""The settings of a served project, as `tamis.toml` has them now: read again when the file changed, else kept.

Where a model tells the thresholds of the filter, its card counts as the file does: one that is trained anew holds too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

from tamis.annotate.web import Web
from tamis.config import Settings
from tamis.errors import UserError
from tamis.project import with_thresholds
from tamis.records import digest
from tamis.settingsfile import FILE_NAME, load_settings
from tamis.vision.card import CARD

#: Settings that only a new start can follow.
_FIXED = ("database", "store")
#: A request waits this long for the samples to be judged by new settings; in a large project the next ones see them.
_PATIENCE_SECONDS = 0.3

#: What tells one state of a file from another: time of change, size and identity; None where there is no file.
_Stamp = tuple[int, int, int] | None
#: The states of the settings and of the filter's model.
_Stamps = tuple[_Stamp, _Stamp]


class Live:
    """Gives the project as it is to be served now. While the file is wrong the last good settings hold."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._path = web.project.folder / FILE_NAME
        self._stamps = self._look()
        self._problem = ""
        self._lock = Lock()
        self._version = _version_of(web.project.settings)

    def web(self) -> Web:
        """Return the project under the newest good settings; costs a look at the dates of the files."""
        stamps = self._look()
        if stamps != self._stamps and self._lock.acquire(blocking=False):
            try:
                self._stamps = stamps
                self._read(stamps)
            finally:
                self._lock.release()
        return self._web

    def _look(self) -> _Stamps:
        asked = self._web.project.settings.classify
        card = self._path.parent / asked.model / CARD
        return _stamp_of(self._path), _stamp_of(card) if asked.precision else None

    @property
    def state(self) -> str:
        """What pages are told with each answer: a digest of the settings, and what is wrong, percent-encoded."""
        return f"{self._version} {quote(self._problem)}".rstrip()

    def _read(self, stamps: _Stamps) -> None:
        project = self._web.project
        try:
            settings = with_thresholds(load_settings(project.folder), project.folder)
        except UserError as error:
            told = str(error).replace(f"{self._path.parent}{os.sep}", "") if stamps[0] else f"{FILE_NAME} is missing"
            told += "" if told.endswith("?") else "."
            self._problem = f"{told} The settings from before hold until it is mended."
            return
        fixed = {name: getattr(project.settings.project, name) for name in _FIXED}
        later = [f"project.{name}" for name, value in fixed.items() if getattr(settings.project, name) != value]
        self._problem = f"{FILE_NAME}: {' and '.join(later)} will hold from the next `tamis serve` on." if later else ""
        settings = settings.model_copy(update={"project": settings.project.model_copy(update=fixed)})
        if settings == project.settings:
            return
        fresh = self._web.under(settings)
        judging = Thread(target=self._take, args=(fresh, stamps), name="new settings", daemon=True)
        judging.start()
        judging.join(_PATIENCE_SECONDS)

    def _take(self, fresh: Web, stamps: _Stamps) -> None:
        with suppress(DBAPIError):  # the database went away: who asks next is told
            fresh.surveyor.kept()
        if stamps == self._stamps:  # else the file changed again meanwhile
            self._web, self._version = fresh, _version_of(fresh.project.settings)


def _stamp_of(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _version_of(settings: Settings) -> str:
    return digest(settings.model_dump_json())[:12]
