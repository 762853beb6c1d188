"""Linked data of a page (JSON-LD, microdata, RDFa) as plain nodes in the form of JSON-LD."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from lxml import etree

from tamis.extract.jsontext import MAX_DEPTH, parse_json, walk
from tamis.extract.page import Element, Page, clean_text, element_text

Node = dict[str, Any]

MAX_LINKED_NODES = 2_000
MAX_SCOPED = 20_000

_MICRODATA = etree.XPath("//*[@itemprop or @itemscope]")
_RDFA = etree.XPath("//*[@typeof or @property]")
_URL_ATTRIBUTES = {
    "a": "href", "area": "href", "link": "href", "img": "src", "source": "src", "video": "src", "audio": "src",
    "iframe": "src", "embed": "src", "object": "data",
}  # fmt: skip
_LAZY_SOURCES = ("data-zoom-image", "data-large", "data-src", "data-original", "src")


def types_of(node: Node) -> frozenset[str]:
    """Return the types of `node` in lower case, without namespace."""
    named = node.get("@type") or node.get("type") or ()
    values = named if isinstance(named, list) else [named]
    return frozenset(
        value.rsplit("/", 1)[-1].rsplit("#", 1)[-1].rsplit(":", 1)[-1].strip().lower()
        for value in values
        if isinstance(value, str)
    )


def values_of(node: Node, *names: str) -> list[Any]:
    """Return the values of the first of `names` that `node` has, always as a list; names ignore case."""
    for name in names:
        value = node.get(name)
        if value is None:
            lower = name.lower()
            value = next((node[key] for key in node if isinstance(key, str) and key.lower() == lower), None)
        if value is None or value in ("", [], {}):
            continue
        return [entry for entry in value if entry is not None] if isinstance(value, list) else [value]
    return []


def json_ld_nodes(page: Page) -> list[Node]:
    """Return every typed node of the page's JSON-LD, outermost first, `@id` references resolved one level."""
    documents = [parse_json(script.text) for script in page.scripts if "ld+json" in script.type and script.text.strip()]
    found = (node for document in documents for node in walk(document) if "@type" in node or "@graph" in node)
    nodes = list(islice(found, MAX_LINKED_NODES))
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 2}
    return [_resolve(node, by_id) for node in nodes if "@type" in node]


def microdata_nodes(page: Page) -> list[Node]:
    """Return the microdata items of the page, outermost first (HTML Standard, section 5)."""
    if not page.has_microdata:
        return []
    return list(islice(_scoped_nodes(page, _MICRODATA(page.root)[:MAX_SCOPED], _MicrodataNames()), MAX_LINKED_NODES))


def rdfa_nodes(page: Page) -> list[Node]:
    """Return the RDFa Lite items of the page, outermost first. OpenGraph properties belong to no item."""
    if not page.has_rdfa:
        return []
    return list(islice(_scoped_nodes(page, _RDFA(page.root)[:MAX_SCOPED], _RdfaNames()), MAX_LINKED_NODES))


def reachable(node: Node) -> Iterator[Node]:
    """Yield `node` and the nodes nested in it."""
    return walk(node, max_nodes=2_000)


def _resolve(node: Node, by_id: dict[str, Node]) -> Node:
    if not any(_is_reference(entry) for value in node.values() for entry in _as_list(value)):
        return node
    resolved: Node = {}
    for name, value in node.items():
        entries = [by_id.get(entry["@id"], entry) if _is_reference(entry) else entry for entry in _as_list(value)]
        resolved[name] = entries if isinstance(value, list) else entries[0] if entries else value
    return resolved


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("@id"), str) and len(value) <= 2


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _MicrodataNames:
    """Which attributes carry scope, type and property in microdata."""

    def is_scope(self, element: Element) -> bool:
        return element.get("itemscope") is not None or element.get("itemtype") is not None

    def type_of(self, element: Element) -> str:
        return element.get("itemtype") or ""

    def properties(self, element: Element) -> list[str]:
        return (element.get("itemprop") or "").split()


class _RdfaNames:
    """Which attributes carry scope, type and property in RDFa Lite."""

    def is_scope(self, element: Element) -> bool:
        return element.get("typeof") is not None

    def type_of(self, element: Element) -> str:
        return element.get("typeof") or ""

    def properties(self, element: Element) -> list[str]:
        names = (element.get("property") or "").split()
        return [
            name.removeprefix("schema:").rsplit("/", 1)[-1]
            for name in names
            if not name.startswith(("og:", "product:", "article:", "fb:", "twitter:"))
        ]


def _scoped_nodes(page: Page, elements: list[Element], names: _MicrodataNames | _RdfaNames) -> Iterator[Node]:
    """Attach each property to the nearest scope above it, in one pass over elements in document order."""
    node_of: dict[Element, Node] = {}
    top: list[Node] = []
    for element in elements:
        properties = names.properties(element)
        owner = _owner(element, node_of) if properties or names.is_scope(element) else None
        value: Any
        if names.is_scope(element):
            value = {"@type": names.type_of(element).split(), "@element": element}
            if element.get("itemid") or element.get("resource"):
                value["@id"] = element.get("itemid") or element.get("resource")
            node_of[element] = value
            if owner is None or not properties:
                top.append(value)
        else:
            value = _property_value(page, element) if properties and owner is not None else None
        if owner is not None and value is not None:
            for name in properties:
                owner.setdefault(name, []).append(value)
    for node in top[:MAX_LINKED_NODES]:
        yield from (inner for inner in walk(node, max_nodes=2_000) if inner.get("@type"))


def _owner(element: Element, node_of: dict[Element, Node]) -> Node | None:
    ancestor, depth = element.getparent(), 0
    while ancestor is not None and depth < 4 * MAX_DEPTH:
        if ancestor in node_of:
            return node_of[ancestor]
        ancestor, depth = ancestor.getparent(), depth + 1
    return None


def _property_value(page: Page, element: Element) -> str:
    """Return the value of a property by the element's kind (HTML Standard, 5.2.4), lazy pictures included."""
    content = element.get("content")
    if content is not None:
        return clean_text(content)
    tag = element.tag
    if tag == "img":
        sources = (element.get(name) for name in _LAZY_SOURCES)
        return next((url for url in map(page.absolute, sources) if url), "")
    if tag in _URL_ATTRIBUTES:
        reference = element.get(_URL_ATTRIBUTES[tag])
        text = element_text(element, 500) if tag == "a" else ""
        if (
            text
            and "url" not in (element.get("itemprop") or "").lower()
            and "image" not in (element.get("itemprop") or "")
        ):
            return text
        return page.absolute(reference) or text
    for attribute in ("datetime", "value"):
        if element.get(attribute):
            return clean_text(element.get(attribute))
    return element_text(element)
