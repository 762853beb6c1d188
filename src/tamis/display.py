"""How numbers, times, names and tables are shown to people."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

#: Kinds of characters that break a line, steer a terminal or are no text: controls, surrogates, separators.
_UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))


def progress_text(done: int, total: int | None, seconds: float) -> str:
    """Say how far it is and how long it will take, such as `120 of 400, about 35 s left`."""
    if not total:
        return f"{done}"
    left = f", about {duration(seconds / done * (total - done))} left" if 0 < done < total else ""
    return f"{done} of {total}{left}"


def duration(seconds: float) -> str:
    """Say a length of time as people do."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def printable(text: str) -> str:
    r"""Return text that stays on its line: what breaks it becomes an escape like `\n`, bytes of file names `\xff`."""
    if text.isprintable():
        return text
    return "".join(_escape(one) if unicodedata.category(one) in _UNPRINTABLE else one for one in text)


def _escape(character: str) -> str:
    byte = ord(character) - 0xDC00  # PEP 383: bytes of names that are no UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode("ascii")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return lines of aligned columns; numbers stand right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *cells]) for column in range(len(head))]
    numeric = [all(_is_number(line[column]) for line in cells) for column in range(len(head))]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in cells)]


def _is_number(text: str) -> bool:
    return text in ("", "-") or text.replace(".", "", 1).replace(",", "").rstrip("%s ").isdigit()
