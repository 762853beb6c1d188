"""The exceptions of tamis, named after what shall happen next.

TamisError
├── UserError            wrong use, setting or input: one clear line, exit code 2
│   ├── ProjectError     no project here, or one that cannot be opened
│   └── BusyError        another process holds what this one needs
├── RowError             ends the work on one row; the runner records the reason
│   ├── Skip             nothing to do for this row: an outcome, not a failure
│   ├── Unreadable       the bytes are no picture that can be used: an outcome, not a failure
│   └── Retry            may succeed later (time-out, overload): a failure until it does
└── Interrupted          the user stopped the run: exit code 130
"""

from __future__ import annotations

from collections.abc import Sequence


class TamisError(Exception):
    """Root of all errors that tamis raises on purpose."""


class UserError(TamisError):
    """Wrong use or wrong input. The message is one line that names the thing and says what to do."""


class ProjectError(UserError):
    """The project folder, its settings, database or store cannot be used."""


class BusyError(UserError):
    """Another process holds the lease; the message says who and until when."""


class RowError(TamisError):
    """Ends the work on one row. The text is the short reason that is stored with the row."""

    @property
    def reason(self) -> str:
        """The reason as stored: one line, 500 characters at most."""
        return " ".join(str(self).split())[:500] or type(self).__name__


class Skip(RowError):  # noqa: N818 - named after the action wanted
    """The row needs no work of this kind."""


class Unreadable(RowError):  # noqa: N818 - named after the outcome
    """The bytes cannot be decoded as a picture within the limits, or by what is installed here.

    `records` are written all the same: what a stage says of such bytes.
    """

    def __init__(self, reason: str, records: Sequence[object] = ()) -> None:
        super().__init__(reason)
        self.records = tuple(records)


class Retry(RowError):  # noqa: N818 - named after the action wanted
    """The row failed for a cause that may pass."""


class Interrupted(TamisError):  # noqa: N818 - named after what happened
    """The user asked to stop; all finished work is committed. `then` says what the next run does."""

    def __init__(self, told: str, then: str = "the next run goes on from here") -> None:
        super().__init__(told)
        self.then = then
