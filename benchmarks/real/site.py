"""Real data served as plain static listing sites: an index with paging, a page an item, the photographs as they are."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE_SIZE = 50


@dataclass(frozen=True)
class Product:
    """One item, with a price or without one; `photos` are paths below the data set's folder."""

    id: str
    title: str
    photos: Sequence[str]
    description: str = ""
    brand: str = ""
    price: str = ""
    currency: str = "USD"
    seller: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def serve(products: Sequence[Product], photos: Path, pages: Path) -> Iterator[str]:
    """Write the pages into `pages` and serve them with the photographs; yields the address of the first page."""
    write_pages(products, pages)
    handler = partial(_Handler, directory=str(pages), photos=photos)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index-1.html"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_pages(products: Sequence[Product], folder: Path) -> None:
    """Write the index pages and one page an item; every second item states its facts as JSON-LD as well."""
    folder.mkdir(parents=True, exist_ok=True)
    last = -(-len(products) // PAGE_SIZE)
    for number in range(1, last + 1):
        shown = products[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        cards = "".join(
            f'<li class="card"><a href="/item/{p.id}.html"><img src="/photos/{p.photos[0]}" alt="" width="120">'
            f"<h2>{html.escape(p.title)}</h2></a></li>"
            for p in shown
        )
        following = f'<a rel="next" href="/index-{number + 1}.html">Next page</a>' if number < last else ""
        text = f"<h1>{len(products)} results</h1><ul>{cards}</ul><nav>{following}</nav>"
        (folder / f"index-{number}.html").write_text(_page("Results", text), encoding="utf-8")
    (folder / "item").mkdir(exist_ok=True)
    for number, product in enumerate(products):
        text = _page(product.title, _item(product), _json_ld(product) if number % 2 else "")
        (folder / "item" / f"{product.id}.html").write_text(text, encoding="utf-8")


def _page(title: str, body: str, head: str = "") -> str:
    charset = '<!doctype html><html lang="en"><meta charset="utf-8">'
    return f"{charset}<title>{html.escape(title)}</title>{head}<body>{body}</body></html>"


def _item(product: Product) -> str:
    photos = "".join(f'<img src="/photos/{photo}" alt="">' for photo in product.photos)
    price = f'<p class="price">{html.escape(product.price)} {product.currency}</p>' if product.price else ""
    facts = {"Brand": product.brand, "Seller": product.seller, **product.attributes}
    rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items() if v)
    return (
        f'<h1>{html.escape(product.title)}</h1>{price}<div class="gallery">{photos}</div><dl>{rows}</dl>'
        f'<div class="description"><p>{html.escape(product.description)}</p></div>'
    )


def _json_ld(product: Product) -> str:
    offers = {"@type": "Offer", "priceCurrency": product.currency}
    if product.price:
        offers["price"] = product.price
    data = {
        "@context": "https://schema.org", "@type": "Product", "name": product.title, "sku": product.id,
        "description": product.description, "image": [f"/photos/{photo}" for photo in product.photos],
        "offers": offers | ({"seller": {"@type": "Person", "name": product.seller}} if product.seller else {}),
    }  # fmt: skip
    text = json.dumps(data).replace("<", "\\u003c")
    return f'<script type="application/ld+json">{text}</script>'


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: object, photos: Path, directory: str) -> None:
        self._photos = photos
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        if path.startswith("/photos/"):
            found = (self._photos / path.removeprefix("/photos/")).resolve()
            return str(found if found.is_relative_to(self._photos.resolve()) else self._photos / "none")
        return super().translate_path(path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""
