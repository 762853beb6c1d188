"""Picture URLs: which ones are renditions of one photo, and which of them is the largest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tamis.extract.words import listed

UNKNOWN_SIZE = 1_450
"""Assumed longest side of a rendition whose URL and markup name no size: mostly the original."""

CROPPED_SIZE = 90
"""Assumed longest side of a rendition whose parameters cut out a part, as swatches do."""

_SIZE_WORDS = {
    "icon": 40, "swatch": 40, "tiny": 60, "mini": 80, "micro": 60, "thumb": 120, "thumbnail": 120, "thumbs": 120,
    "thumbnails": 120, "tn": 120, "th": 120, "xs": 100, "small": 200, "sm": 200, "s": 200, "preview": 300,
    "listing": 300, "catalog": 300, "med": 450, "medium": 450, "middle": 450, "md": 450, "m": 450, "normal": 600,
    "product": 600, "main": 600, "large": 1000, "big": 1000, "lg": 1000, "l": 1000, "xl": 1400, "xlarge": 1400,
    "xxl": 1600, "hd": 1700, "zoom": 1800, "hires": 1900, "huge": 2000, "full": 2200, "fullsize": 2200, "max": 2200,
    "original": 2400, "originals": 2400, "orig": 2400, "o": 2400,
}  # fmt: skip
_WORDS = "|".join(sorted((word for word in _SIZE_WORDS if len(word) > 1), key=len, reverse=True))
_PAIR = re.compile(r"(?<![a-z0-9])(?:[a-z]{1,2}[-_]?)?(\d{2,4})[x×](\d{2,4})?(?:px)?(?![a-z0-9])", re.IGNORECASE)
_SIDE = re.compile(
    r"(?<![a-z0-9])(?:w|h|width|height|s-l|sl|sx|sy|ux|us|sr|ss|sw|sh|imwidth|wid|hei|tr:w)[-_=:,]?(\d{2,4})(?:px)?(?![0-9a-z])"
    r"|/(?:img|image|images|size|max|resize|thumb|w|h)[-_/]?(\d{2,4})(?:px)?(?=/)",
    re.IGNORECASE,
)
_WORD_AT_END = re.compile(rf"[-_.,]({_WORDS})(?:[-_]?(?:desktop|mobile|v?\d))?(?=\.[a-z]{{3,4}}$|$)", re.IGNORECASE)
_WORD_FOLDER = re.compile(rf"/(?:img|image|images|pics?|size)?[-_]?({_WORDS}|s|m|l|o)(?=/)", re.IGNORECASE)
_MODIFIERS = re.compile(r"\._[A-Za-z0-9,%._+-]*_(?=\.[a-z]{3,4}$)")
_TRANSFORM = re.compile(
    r"/(?:[a-z]{1,3}_[\w.:-]+)(?:,[a-z]{1,3}_[\w.:-]+)+(?=/)|/(?:w|h|width|height|fit-in|resize|rs|q)/\d+(?=/)|/cache/[0-9a-f]{16,}(?=/)"
)
_LETTER_PREFIX = re.compile(r"/(?:[lmstuxz]_|t(?=\d{6}))(?=\d{5,}[^/]*$)", re.IGNORECASE)
_LETTER_SUFFIX = re.compile(r"(?<=\d)_[hklmnoqrstxz]$", re.IGNORECASE)
_AFTER_FILE = re.compile(r"(\.(?:jpe?g|png|webp))/[^/]*$", re.IGNORECASE)
_EXTENSION = re.compile(r"\.(?:jpe?g|png|webp|avif|gif|bmp|tiff?|jfif|heic)(?=$|[/?])", re.IGNORECASE)
_SHARD = re.compile(r"\d+")
_SIZE_PARAMETERS = frozenset(
    [
        "w",
        "h",
        "width",
        "height",
        "imwidth",
        "imheight",
        "wid",
        "hei",
        "sw",
        "sh",
        "sm",
        "size",
        "sz",
        "s",
        "q",
        "quality",
        "qlt",
        "fmt",
        "fm",
        "format",
        "auto",
        "fit",
        "crop",
        "resize",
        "scale",
        "dpr",
        "v",
        "ver",
        "version",
        "ts",
        "t",
        "timestamp",
        "op_sharpen",
        "resmode",
        "op_usm",
        "bg",
        "filter",
        "ssl",
        "strip",
        "f",
        "as",
        "webp",
        "context",
        "mode",
        "rect",
        "trim",
        "upscale",
        "sfrm",
    ]
)
_OTHER_FILES = (".svg", ".gif", ".ico", ".js", ".css", ".mp4", ".webm", ".pdf", ".html", ".json", ".swf")
_NOT_A_PHOTO_WORDS = listed("""
logo sprite favicon placeholder spacer pixel loading loader spinner avatar badge banner payment visa mastercard paypal
rating button noimage noimg nopic nophoto no-image no_image no-photo no_photo no-img no_img no-pic no_pic default-image
default_image defaultimage transparent 1x1 captcha social facebook twitter whatsapp instagram pinterest youtube tracking
beacon doubleclick swatch energylabel energy-label energy_label arrow dummy preload lazy blank. /empty.
""")
_NOT_A_PHOTO = re.compile(
    r"icon(?!ic)|stars?[-_.\d]|flag[-_s/]|close[-_.]|play[-_]?button|(?:^|[_/-])video(?:[_\-.\d]|$)"
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """One URL of a photo and the longest side in pixels that its markup declares, 0 where it declares none."""

    url: str
    declared: int = 0


@lru_cache(maxsize=8192)
def photo_key(url: str) -> str:
    """Return what all renditions of one photo share: the URL without sizes, formats, shards and versions."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    path = _AFTER_FILE.sub(r"\1", unquote(parts.path))
    path = _TRANSFORM.sub("", _MODIFIERS.sub("", path))
    stem = path.rsplit("/", 1)[-1].split(".")[0]
    path = _SIDE.sub(lambda match: match.group() if match.group() == stem and not stem.startswith("s-l") else "", path)
    path = _PAIR.sub("", path)
    for _ in range(2):
        path = _WORD_AT_END.sub("", path)
    path = _WORD_FOLDER.sub("", path)
    path = re.sub(r"[-_,.@]+(?=\.[a-z]{3,4}$|/|$)|@\dx", "", _EXTENSION.sub("", path))
    path = re.sub(r"/{2,}", "/", path)
    path = _LETTER_SUFFIX.sub("", _LETTER_PREFIX.sub("/", path))
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query)
        if name.lower() not in _SIZE_PARAMETERS and not name.lower().startswith(("$", "crop"))
    ]
    has_file = _EXTENSION.search(parts.path) is not None
    query = "" if has_file or not kept else "?" + urlencode(sorted(kept))
    return f"{_SHARD.sub('', parts.netloc)}{path}{query}".lower()


@lru_cache(maxsize=8192)
def implied_size(url: str) -> int:
    """Return the longest side in pixels that `url` implies, `UNKNOWN_SIZE` where it says nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return 0
    if "crop" in parts.query.lower():
        return CROPPED_SIZE
    text = unquote(f"{parts.path}?{parts.query}")
    sides = [int(side) for match in _PAIR.finditer(text) for side in match.groups() if side]
    sides += [int(side) for match in _SIDE.finditer(text) for side in match.groups() if side]
    sides = [side for side in sides if 16 <= side <= 6000]
    if sides:
        return max(sides)
    words = _WORD_AT_END.findall(parts.path) + _WORD_FOLDER.findall(parts.path)
    if words:
        return max(_SIZE_WORDS[word.lower()] for word in words)
    return UNKNOWN_SIZE


@lru_cache(maxsize=8192)
def is_photo_url(url: str) -> bool:
    """Tell whether `url` may show the thing itself: no logo, icon, sprite, placeholder or vector drawing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    path = parts.path.lower()
    if path.endswith(_OTHER_FILES) or "ytimg" in parts.netloc:
        return False
    return not any(word in path for word in _NOT_A_PHOTO_WORDS) and not _NOT_A_PHOTO.search(path)


def has_picture_extension(url: str) -> bool:
    """Tell whether the path of `url` names a picture file."""
    return "." in url and _EXTENSION.search(url) is not None


def parse_srcset(value: str) -> Iterator[tuple[str, int]]:
    """Yield each URL of a srcset with its width in pixels (a density counts a thousand a unit, none counts 0)."""
    for match in re.finditer(r"\s*([^\s,]\S*[^\s,]|[^\s,])(?:\s+(\d+(?:\.\d+)?)([wx]))?\s*(?:,|$)", value[:20_000]):
        url, number, unit = match.groups()
        size = 0 if number is None else round(float(number) * (1 if unit == "w" else 1_000))
        yield url, size
