"""State that frameworks pack before they embed it: Nuxt 3 payloads, Nuxt 2 calls, Apollo caches with references."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_PAYLOAD_DEPTH = 40
MAX_PAYLOAD_NODES = 50_000
MAX_CALL_CHARACTERS = 500_000

_WRAPPERS = frozenset({"Reactive", "ShallowReactive", "Ref", "ShallowRef", "EmptyRef", "EmptyShallowRef", "NuxtError"})
_CALL = re.compile(r"__NUXT__\s*=\s*\(\s*function\s*\(([\w$,\s]{0,100000})\)\s*\{")
_RETURN = re.compile(r"return\s*(?=\{)")
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+"?|\'(?:[^\'\\]|\\.)*+\'?|void 0|![01]|-?\d[\w.+]*+|[A-Za-z_$][\w$]*+|[{}\[\]():,]', re.DOTALL
)
_MARKS = frozenset("{}[]:,")
_CONSTANTS = {
    "void 0": "null", "!0": "true", "!1": "false", "undefined": "null", "NaN": "null", "Infinity": "null",
    "true": "true", "false": "false", "null": "null",
}  # fmt: skip


def nuxt_payload(document: Any) -> Any | None:
    """Return the data of a Nuxt 3 payload: a flat array whose objects hold the places of their values in it."""
    if not isinstance(document, list) or len(document) < 2 or not isinstance(document[0], list | dict):
        return None
    budget = [MAX_PAYLOAD_NODES]
    return _unfolded(document, 0, 0, budget)


def _unfolded(flat: list[Any], place: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    is_place = isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(flat)
    if not is_place or depth > MAX_PAYLOAD_DEPTH or budget[0] < 0:
        return None
    value = flat[place]
    if isinstance(value, dict):
        return {name: _unfolded(flat, inner, depth + 1, budget) for name, inner in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            is_wrapper = value[0] in _WRAPPERS and len(value) > 1
            return _unfolded(flat, value[1], depth + 1, budget) if is_wrapper else None
        return [_unfolded(flat, inner, depth + 1, budget) for inner in value]
    return value


def nuxt_call(text: str) -> Any | None:
    """Return the data of `window.__NUXT__=(function(a,b){return {...}}(1,"x"))`: its parameters put in their places."""
    call = _CALL.search(text)
    if call is None or len(text) > MAX_CALL_CHARACTERS:
        return None
    start = _RETURN.search(text, call.end())
    if start is None:
        return None
    body, end = _balanced(text, start.end())
    opening = text.find("(", end)
    if body is None or opening < 0:
        return None
    given, _ = _balanced(text, opening)
    arguments = _loads("[" + "".join(_as_json(given[1:-1], {})) + "]") if given else None
    if not isinstance(arguments, list):
        return None
    names = [name.strip() for name in call[1].split(",")]
    known = {name: json.dumps(value) for name, value in zip(names, arguments, strict=False) if _is_plain(value)}
    return _loads("".join(_as_json(body, known)))


def _balanced(text: str, start: int) -> tuple[str | None, int]:
    """Return what stands from the bracket at `start` to the one that closes it, and where that ends."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "{[(":
            depth += 1
        elif token[0] in "}])":
            depth -= 1
            if depth == 0:
                return text[start : token.end()], token.end()
    return None, len(text)


def _as_json(text: str, known: dict[str, str]) -> Iterator[str]:
    """Yield the tokens of an object literal as JSON; names of `known` become what they stand for."""
    tokens = [token[0] for token in _TOKEN.finditer(text)]
    for token, following in zip(tokens, [*tokens[1:], ""], strict=False):
        if token[0] == '"' or token in _MARKS:
            yield token
        elif token[0] == "'":
            yield json.dumps(token[1:-1].replace("\\'", "'"))
        elif following == ":":
            yield json.dumps(token)
        elif token in _CONSTANTS:
            yield _CONSTANTS[token]
        elif token[0] == "-" or token[0].isdigit():
            yield token
        else:
            yield known.get(token, "null")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool) or value in ({}, [])


def _loads(text: str) -> Any | None:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def with_references(document: Any) -> Any:
    """Return an Apollo cache with each reference replaced by the record that it names, one level deep."""
    if not isinstance(document, dict):
        return document
    records = {name: value for name, value in document.items() if isinstance(value, dict)}
    if not any("__typename" in value for value in records.values()):
        return {name: with_references(value) if name in records else value for name, value in document.items()}
    return {name: _resolved(value, records, 0) for name, value in document.items()}


def _resolved(value: Any, records: dict[str, Any], depth: int) -> Any:
    if isinstance(value, dict):
        named = value.get("__ref") or (value.get("id") if value.get("type") == "id" else None)
        if isinstance(named, str) and named in records and len(value) <= 4 and depth > 0:
            return records[named]
        return {name: _resolved(inner, records, depth + 1) for name, inner in value.items()} if depth < 6 else value
    if isinstance(value, list):
        return [_resolved(inner, records, depth + 1) for inner in value[:500]] if depth < 6 else value
    return value
