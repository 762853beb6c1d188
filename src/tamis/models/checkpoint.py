"""The class names in a checkpoint of ultralytics, read from its pickle without running it.

Running a pickle may run any code. Its instructions can be listed instead: the names are a dictionary under the key
`names`, whose numbers and texts stand there in turn.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

#: Instructions of the largest networks take less.
_LARGEST = 64_000_000
#: A dictionary of more entries is written in several parts.
_ONE_PART = 1000
_DAMAGED = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


def checkpoint_names(path: Path) -> tuple[str, ...] | None:
    """Return the names of the classes, None where the file does not tell them so."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((one for one in archive.infolist() if one.filename.endswith("data.pkl")), None)
            if entry is None or entry.file_size > _LARGEST:
                return None
            return _names(_instructions(archive.read(entry)))
    except _DAMAGED:
        return None


def _names(instructions: Iterator[tuple[str, Any]]) -> tuple[str, ...] | None:
    for _, value in instructions:
        if value != "names" or next(instructions, ("", None))[0] != "EMPTY_DICT":
            continue
        entries = takewhile(lambda one: one[0] not in ("SETITEM", "SETITEMS"), instructions)
        content = [value for name, value in entries if name != "MARK"]
        numbers, texts = content[::2], content[1::2]
        is_table = numbers == list(range(len(texts))) and all(isinstance(text, str) for text in texts)
        if is_table and 0 < len(texts) < _ONE_PART:
            return tuple(texts)
    return None


def _instructions(data: bytes) -> Iterator[tuple[str, Any]]:
    """Each instruction with its value; what was remembered before is put in the place where it is recalled."""
    remembered: dict[int, Any] = {}
    last: Any = None
    value: Any
    for instruction, value, _ in pickletools.genops(data):
        match instruction.name:
            case "BINPUT" | "LONG_BINPUT":
                remembered[value] = last
                continue
            case "MEMOIZE":
                remembered[len(remembered)] = last
                continue
            case "BINGET" | "LONG_BINGET":
                last = remembered.get(value)
            case _:
                last = value
        yield instruction.name, last
