"""JSON as pages really carry it: wrapped in comments, with stray commas, control characters or entities."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import chompjs

MAX_JSON_CHARACTERS = 4_000_000
MAX_LENIENT_CHARACTERS = 500_000
MAX_NODES = 50_000
MAX_DEPTH = 60

_WRAPPER = re.compile(r"<!\[CDATA\[|\]\]>|<!--|-->|/\*\s*\*/|^\s*//\s*$", re.MULTILINE)
# An unterminated string is taken to the end of the text, so that the search stays linear.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|$)|/\*(?:[^*]|\*(?!/))*+(?:\*/|$)|(?<![:"\w])//[^\n]*|,(?=\s*[}\]])', re.DOTALL
)
_DECODER = json.JSONDecoder(strict=False)


def parse_json(text: str, *, lenient: bool = True) -> Any | None:
    """Return the value that `text` holds, or None where none can be read.

    With `lenient`, comments, CDATA and HTML comment wrappers, trailing commas, HTML entities, text around the
    value and JavaScript notation are tolerated. Several values after each other come back as a list.
    """
    if len(text) > MAX_JSON_CHARACTERS:
        return None
    value = _loads(text)
    if value is not None or not lenient or len(text) > MAX_LENIENT_CHARACTERS:
        return value
    unwrapped = _WRAPPER.sub(" ", text)
    if "&quot;" in unwrapped and '"' not in unwrapped:
        unwrapped = html.unescape(unwrapped)
    values = list(_values_in(_TOKEN.sub(_keep_strings, unwrapped)))
    if values:
        return values[0] if len(values) == 1 else values
    return parse_javascript(unwrapped)


def parse_javascript(text: str) -> Any | None:
    """Return the first object or array literal in JavaScript `text`, or None."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0 or len(text) - start > MAX_JSON_CHARACTERS:
        return None
    try:
        return chompjs.parse_js_object(text[start:])
    except (ValueError, RecursionError, TypeError, OverflowError, MemoryError):
        return None


def json_prefix(text: str, start: int) -> Any | None:
    """Return the JSON value that begins at `start` of `text`, whatever follows it; None where there is none."""
    try:
        return _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def walk(value: Any, *, max_nodes: int = MAX_NODES) -> Iterator[dict[str, Any]]:
    """Yield every object in `value`, outermost first, in document order, up to `max_nodes` and `MAX_DEPTH`."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    seen = 0
    while stack and seen < max_nodes:
        current, depth = stack.pop()
        seen += 1
        if depth > MAX_DEPTH:
            continue
        if isinstance(current, dict):
            yield current
            children = [child for child in current.values() if isinstance(child, dict | list)]
        elif isinstance(current, list):
            children = [child for child in current if isinstance(child, dict | list)]
        else:
            continue
        stack.extend((child, depth + 1) for child in reversed(children))


def _loads(text: str) -> Any | None:
    try:
        return _DECODER.decode(text.strip("\ufeff \t\r\n;"))
    except (ValueError, RecursionError):
        return None


def _keep_strings(match: re.Match[str]) -> str:
    token = match.group()
    return token if token.startswith('"') else " "


def _values_in(text: str) -> Iterator[Any]:
    """Yield the objects and arrays at the top level of `text`, skipping what stands between them."""
    position, attempts = 0, 0
    while attempts < 20:
        brackets = [at for at in (text.find("{", position), text.find("[", position)) if at >= 0]
        if not brackets:
            return
        attempts += 1
        try:
            value, position = _DECODER.raw_decode(text, min(brackets))
        except ValueError:
            if attempts == 1:
                return
            position = min(brackets) + 1
        except RecursionError:
            return
        else:
            yield value
