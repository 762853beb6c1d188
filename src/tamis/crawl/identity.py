"""Which photo a picture's URL shows, so that another rendition of a known photo is not asked for."""

from __future__ import annotations

import re

from tamis.extract.pictures import implied_size, photo_key
from tamis.records import digest

#: A name that is drawn or computed: a UUID (RFC 9562), or 16 hexadecimal digits and more. No two photos share one.
_DRAWN = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[0-9a-f]*\d)[0-9a-f]{16,})(?![0-9a-f])"
)


def photo_identity(url: str, item_id: int) -> str:
    """Digest of what all renditions of one photo share.

    It holds everywhere when the file's name was drawn, as with `listing-images/<uuid>_<uuid>.jpg/640x480.webp`; else
    within the item alone, since another item's `1_small.jpg` is another photo.
    """
    key = photo_key(url)
    if _DRAWN.search(key.rsplit("/", 1)[-1]):
        return digest("photo", key)
    return digest("photo of item", item_id, key)


def is_covered_by(url: str, known: str) -> bool:
    """Tell whether a known rendition is at least as large as the one at `url`, as far as both URLs say."""
    return implied_size(known) >= implied_size(url)
