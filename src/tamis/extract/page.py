"""A fetched HTML page, decoded and parsed once, with the look-ups that several readers share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from html import unescape
from itertools import islice
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from lxml import etree
from w3lib.encoding import html_body_declared_encoding, html_to_unicode, http_content_type_encoding

MAX_BODY_BYTES = 4_000_000
MAX_ELEMENTS = 40_000
MAX_ATTRIBUTES = 256
MAX_SCRIPTS = 1_000
MAX_URL_CHARACTERS = 4_000
MAX_TEXT_CHARACTERS = 20_000

Element = Any
"""An lxml element; lxml carries no types."""

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SPACE = re.compile(r"\s+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_TITLE_SEPARATOR = re.compile(r"\s+[|–—·•-]\s+|\s*\|\s*")
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp|avif|gif)(?:$|\?)", re.IGNORECASE)
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_OTHER_SCHEMES = ("data:", "javascript:", "mailto:", "tel:", "blob:", "about:")
_TAG = re.compile(r"<[^<>]{1,2000}>")
_PLAIN_URL = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?/[\w!$%&'()*+,./:;=?@~#-]*", re.ASCII)
_PLAIN_PATH = re.compile(r"/(?!/)(?:(?!\.\./|\./)[\w!$%&'()*+,./:;=?@~-])*", re.ASCII)
_UNSAFE_IN_URL = re.compile(r"[\s\"<>\\^`{|}]")
# The parser compares each attribute of a tag with all before it.
_ATTRIBUTE = rb"""=?+[^\s>=/]++\s*+(?:=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+|))?+[\s/]*+"""
_TOO_MANY_ATTRIBUTES = re.compile(
    rb"(<[a-zA-Z][^\s/>]*+[\s/]++(?:%b){%d})(?:%b)++" % (_ATTRIBUTE, MAX_ATTRIBUTES, _ATTRIBUTE)
)
_COUNT = etree.XPath("count(//*)")
_SAYS_UTF8 = re.compile(rb"""<meta\s+charset=["']?utf-8["'\s/>]""", re.IGNORECASE)
_MICRODATA = re.compile(rb"item(?:prop|scope)")
_STATE_ATTRIBUTE = re.compile(rb"""data-[^\s=>]{1,60}=["']?\s*(?:[\[{]|&#)""")
_LANGUAGE = etree.XPath("string(/html/@lang | /html/@*[local-name()='lang'])")


@dataclass(slots=True)
class Script:
    """One inline script: its type in lower case, its id, and its text."""

    type: str
    id: str
    text: str


@dataclass(eq=False)
class Page:
    """A parsed page. Build it with `parse_page`."""

    url: str
    root: Element
    """The tree without scripts, styles and templates."""
    scripts: list[Script]
    has_microdata: bool = True
    """Whether microdata and RDFa may be there, by a look at the bytes."""
    has_rdfa: bool = True
    has_state_attributes: bool = True
    """Whether JSON may stand in data attributes, by a look at the bytes."""
    known: dict[str, Any] = field(default_factory=dict)
    """What several readers ask for and one has found."""
    base_url: str = field(init=False)

    def __post_init__(self) -> None:
        self.base_url = self.url
        self.base_url = self.absolute(self._first("base", "href")) or self.url

    def absolute(self, reference: object) -> str | None:
        """Return `reference` as an absolute http(s) URL without a fragment, or None where it is none."""
        return absolute_url(self.base_url, reference)

    @cached_property
    def metas(self) -> dict[str, list[str]]:
        """Content of the meta tags by lower-case name, property or itemprop, in document order."""
        found: dict[str, list[str]] = {}
        for element in self.root.iter("meta"):
            given = element.get("content")
            if given is None:
                continue
            content = clean_text(given)
            for attribute in ("property", "name", "itemprop", "http-equiv"):
                for name in (element.get(attribute) or "").lower().split():
                    found.setdefault(name, []).append(content)
        return found

    def leads_away(self, reference: str | None) -> bool:
        """Tell whether a link leads to another page: no fragment, no picture, not this page with other parameters."""
        if not reference or reference.startswith("#"):
            return False
        url = self.absolute(reference)
        if url is None or _PICTURE_FILE.search(url):
            return False
        return unquote(url.split("?")[0]).rstrip("/") not in self._own_addresses

    @cached_property
    def _own_addresses(self) -> frozenset[str]:
        own = {self.url, self.canonical or self.url}
        return frozenset(unquote(url.split("?")[0]).rstrip("/") for url in own)

    def meta(self, *names: str) -> str | None:
        """Return the first content that is not empty of the first of `names` that has one."""
        for name in names:
            for content in self.metas.get(name, ()):
                if content:
                    return content
        return None

    @cached_property
    def headings(self) -> list[tuple[Element, str]]:
        """Level-one headings that hold text."""
        pairs = [(element, element_text(element)) for element in islice(self.root.iter("h1"), 50)]
        return [(element, text) for element, text in pairs if text]

    @cached_property
    def document_title(self) -> str:
        """Text of the title element."""
        element = next(self.root.iter("title"), None)
        return "" if element is None else clean_text(element.xpath("string()"))

    @cached_property
    def declared_titles(self) -> list[str]:
        """Titles that the head gives the page, each whole and without its last and its first part (mostly the site)."""
        found: list[str] = []
        for whole in (self.meta("og:title") or "", self.document_title):
            cuts = list(_TITLE_SEPARATOR.finditer(whole))
            found += [whole] if whole else []
            found += [whole[: cuts[-1].start()], whole[cuts[0].end() :]] if cuts else []
        return list(dict.fromkeys(title for title in found if title))

    @cached_property
    def canonical(self) -> str | None:
        """The canonical URL that the page names."""
        links = (link.get("href") for link in self.root.iter("link") if link.get("rel") == "canonical")
        return self.absolute(next((href for href in links if href), None)) or self.absolute(self.meta("og:url"))

    @cached_property
    def language(self) -> str:
        """Language tag in lower case, such as `de-at`; empty where the page names none."""
        named = str(_LANGUAGE(self.root)) or self.meta("og:locale", "content-language") or ""
        return named.strip().replace("_", "-").lower()[:10]

    def _first(self, tag: str, attribute: str) -> str | None:
        """Return the first such attribute of the elements of one kind."""
        values = (element.get(attribute) for element in self.root.iter(tag))
        return next((value for value in values if value is not None), None)

    @cached_property
    def host(self) -> str:
        """Host name in lower case."""
        try:
            return (urlsplit(self.url).hostname or "").lower()
        except ValueError:
            return ""

    @cached_property
    def directives(self) -> frozenset[str]:
        """Robots directives of the page's meta tags, such as `nofollow` and `noai`, in lower case."""
        named = [text for name in ("robots", "tdm-reservation") for text in self.metas.get(name, ())]
        words = {word.strip().lower() for text in named for word in text.split(",")}
        return frozenset(word for word in words if word and len(word) < 60)


def parse_page(body: bytes | str, url: str, content_type: str | None = None) -> Page:
    """Decode and parse `body`; what exceeds `MAX_BODY_BYTES` or `MAX_ELEMENTS` is left out. Never raises."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    encoded = _TOO_MANY_ATTRIBUTES.sub(rb"\1", _as_utf8(body, content_type))
    try:
        root = etree.fromstring(encoded, parser)
    except (etree.LxmlError, ValueError):
        root = None
    if root is None:
        root = etree.fromstring(b"<html><body></body></html>", parser)
    _cut_after(root, MAX_ELEMENTS)
    scripts = [
        Script((node.get("type") or "").strip().lower(), node.get("id") or "", node.text or "")
        for node in islice(root.iter("script"), MAX_SCRIPTS)
        if node.text
    ]
    etree.strip_elements(root, "script", "style", "template", with_tail=False)
    has_state = _STATE_ATTRIBUTE.search(encoded) is not None
    return Page(url, root, scripts, _MICRODATA.search(encoded) is not None, b"typeof=" in encoded, has_state)


def _cut_after(root: Element, count: int) -> None:
    """Remove what follows the element number `count` of the tree."""
    if _COUNT(root) <= count:
        return
    node = next(islice(root.iter(), count, None), None)
    while node is not None:
        parent = node.getparent()
        if parent is not None:
            del parent[parent.index(node) + 1 :]
        node = parent


def _as_utf8(body: bytes | str, content_type: str | None) -> bytes:
    """Return `body` as UTF-8: the charset is that of a byte order mark, the header, the page, else a fitting one."""
    if isinstance(body, str):
        return body[:MAX_BODY_BYTES].replace("\x00", "").encode("utf-8", "replace")
    cut = body[:MAX_BODY_BYTES]
    declared = http_content_type_encoding(content_type)
    if declared is None:
        declared = "utf-8" if _SAYS_UTF8.search(cut, 0, 1024) else html_body_declared_encoding(cut)
    if declared in {None, "utf-8"} and not cut.startswith(_BYTE_ORDER_MARKS) and _is_utf8(cut):
        return cut.replace(b"\x00", b"")
    try:
        text = html_to_unicode(content_type, body[:MAX_BODY_BYTES], default_encoding="utf-8")[1]
    except (LookupError, ValueError):
        text = cut.decode("utf-8", "replace")
    return text.replace("\x00", "").encode("utf-8", "replace")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def absolute_url(base: str, reference: object) -> str | None:
    """Join `reference` to `base`; None for what is no http(s) URL. The fragment and stray spaces go."""
    if not isinstance(reference, str):
        return None
    if _PLAIN_URL.fullmatch(reference) and len(reference) <= MAX_URL_CHARACTERS:
        return reference.split("#", 1)[0]
    trimmed = _LINE_BREAKS.sub("", _CONTROL.sub("", reference)).strip()
    if not trimmed or len(trimmed) > MAX_URL_CHARACTERS or trimmed[:12].lower().startswith(_OTHER_SCHEMES):
        return None
    if _PLAIN_PATH.fullmatch(trimmed) and (origin := _origin(base)):
        return origin + trimmed
    return _joined(base, trimmed)


def _joined(base: str, reference: str) -> str | None:
    try:
        parts = urlsplit(urljoin(base, reference))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return None
        joined = urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))
    except ValueError:
        return None
    return _UNSAFE_IN_URL.sub(lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), joined)


@lru_cache(maxsize=64)
def _origin(base: str) -> str | None:
    """Return scheme and host of `base`, or None where it is no plain http(s) URL."""
    match = _PLAIN_URL.fullmatch(base)
    return "/".join(base.split("/", 3)[:3]) if match else None


def clean_text(value: object) -> str:
    """Return `value` as one line of text: controls and invisible marks out, white space folded."""
    if not isinstance(value, str):
        return ""
    folded = " ".join(value[:MAX_TEXT_CHARACTERS].split())
    return folded if folded.isprintable() else _SPACE.sub(" ", _CONTROL.sub("", folded)).strip()


def strip_markup(value: object) -> str:
    """Return the text of an HTML fragment: entities decoded (twice where they were escaped twice), tags out."""
    if not isinstance(value, str):
        return ""
    text = value[:MAX_TEXT_CHARACTERS]
    for _ in range(2):
        if "&" in text:
            text = unescape(text)
    return clean_text(_TAG.sub(" ", text)) if "<" in text else clean_text(text)


def element_text(element: Element, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return the text of `element` as one line, cut off after about `limit` characters."""
    pieces: list[str] = []
    length = 0
    for piece in element.itertext():
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            break
    return clean_text(" ".join(pieces))
