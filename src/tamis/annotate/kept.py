"""A value that is costly to make, kept for a while that grows with what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

Value = TypeVar("Value")

#: Made anew after this many times the seconds that it took, and no sooner than the least.
_PATIENCE, _LEAST_SECONDS = 20.0, 1.0
#: A value that takes longer than this is made anew in the background.
_FELT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Made(Generic[Value]):
    value: Value
    seconds: float
    due_at: float


class Kept(Generic[Value]):
    """The newest value that can be had without a wait that is felt; only the first one is waited for."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._made: _Made[Value] | None = None
        self._making = Lock()

    def current(self) -> Value:
        """Return the value, made anew when it is due. An old one is returned while a costly one is being made."""
        made = self._made
        if made is not None and time.monotonic() < made.due_at:
            return made.value
        if made is not None and made.seconds > _FELT_SECONDS:
            self.renew_soon()
            return made.value
        with self._making:
            made = self._made
            if made is None or time.monotonic() >= made.due_at:
                made = self._renew()
            return made.value

    def renew_soon(self) -> None:
        """Begin to make the value anew in the background, unless that is under way."""
        if self._making.acquire(blocking=False):
            Thread(target=self._renew_and_release, name="renewal", daemon=True).start()

    def _renew_and_release(self) -> None:
        try:
            with suppress(DBAPIError):  # the database went away: who asks next is told, or finds it back
                self._renew()
        finally:
            self._making.release()

    def _renew(self) -> _Made[Value]:
        started = time.monotonic()
        value = self._make()
        now = time.monotonic()
        self._made = made = _Made(value, now - started, now + max(_LEAST_SECONDS, _PATIENCE * (now - started)))
        return made
