"""A folder of pictures as a source: each subfolder that holds pictures is an item, each loose picture is one too.

A table `listing.csv` or `items.csv` in the folder names items and gives their facts; saved HTML pages are read like
pages of the web, with the pictures that lie beside them. Which files are pictures is said in
`tamis.vision.picturefiles`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from urllib.parse import unquote, urlsplit

from tamis.crawl.itemrecords import plain_text, to_item
from tamis.crawl.items import FoundItem, PictureRef, web_pictures
from tamis.errors import UserError
from tamis.extract.extractor import extract_page
from tamis.records import Item, digest
from tamis.vision.picturefiles import is_picture, visible_files

TABLES = ("listing.csv", "listings.csv", "items.csv")
PAGE_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
#: Columns that name an item's files: one picture a row, or the folder that holds them.
_FILE_COLUMNS = ("file", "image", "picture", "path", "filename", "file_name", "image_path", "photo")
_FOLDER_COLUMNS = ("folder", "directory", "dir")
#: Where the folder of an item's pictures lies when it has the name of the item's key.
_KEYED_PLACES = ("", "photos", "images", "pictures")
_KEY_COLUMNS = ("item", "item_id", "listing", "listing_id", "id", "url")
_FIELDS = ("title", "brand", "model", "price", "currency", "sku", "seller", "availability", "description")
_SYNONYMS = {"make": "brand", "name": "title", "text": "description"}
_MAX_PAGE_BYTES = 12_000_000


def read_folder(folder: Path, source: str, unnamed: set[str] | None = None) -> Iterator[FoundItem]:
    """Yield the items of a folder source in a stable order.

    With a table, its rows are the items, and folders and pictures that it does not name are items of their own. What
    has a name that is no UTF-8 is left out, as no database takes it, and its path is added to `unnamed`.

    Raises:
        UserError: the folder or the table cannot be read; the message names it.
    """
    reader = _Folder(folder, source, set() if unnamed is None else unnamed)
    used: set[str] = set()
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        for found in reader.table_items(table):
            used.update(ref.url for ref in found.pictures)
            yield found
    for place, names in visible_files(folder):
        yield from reader.place_items(place, [name for name in names if str(place / name) not in used])


class _Folder:
    """The files below one folder, named by their path from there with forward slashes."""

    def __init__(self, root: Path, source: str, unnamed: set[str]) -> None:
        self.root = root
        self.source = source
        self.unnamed = unnamed

    def picture(self, path: str) -> PictureRef:
        return PictureRef(path, digest("file", self.source, path), "")

    def place_items(self, place: PurePosixPath, names: list[str]) -> Iterator[FoundItem]:
        """Items of one folder: its saved pages, then itself, or its loose pictures where it is the source's own."""
        pages = [name for name in names if _is_page(name)]
        pictures = self.pictures(place, (name for name in names if not _is_page(name)))
        shown: set[str] = set()
        for page in filter(self.is_named, (place / name for name in pages)):
            if found := self.page_item(page):
                shown.update(ref.url for ref in found.pictures)
                yield found
        paths = [path for path in pictures if path not in shown]
        if place == PurePosixPath():
            for path in paths:
                yield self.item(path, PurePosixPath(path).stem, {}, [path])
        elif paths:
            above = {"folder": str(place.parent)} if place.parent != PurePosixPath() else {}
            yield self.item(str(place), place.name, above, paths)

    def pictures(self, place: PurePosixPath, names: Iterable[str]) -> list[str]:
        """The paths of those files of a folder that are pictures."""
        found = [place / name for name in names if is_picture(self.root / place / name)]
        return [str(path) for path in found if self.is_named(path)]

    def is_named(self, path: PurePosixPath) -> bool:
        """Whether a path is text that databases take; else it is noted."""
        if plain_text(str(path)) == str(path):
            return True
        self.unnamed.add(str(path))
        return False

    def item(self, identity: str, title: str, attributes: Mapping[str, str], paths: list[str]) -> FoundItem:
        words = plain_text(title).replace("_", " ").strip()
        item = Item(url=identity, title=words, attributes=dict(attributes), sources={"title": "file name"})
        return FoundItem(identity, item, tuple(map(self.picture, paths)))

    def page_item(self, path: PurePosixPath) -> FoundItem | None:
        """The item of a saved page; its pictures are files beside it where these are there, else URLs."""
        try:
            if not S_ISREG((self.root / path).stat().st_mode):
                return None
            with (self.root / path).open("rb") as handle:
                body = handle.read(_MAX_PAGE_BYTES)
        except OSError as error:
            raise UserError(f"{self.root / path} cannot be read: {error.strerror}") from error
        # A base that no page names: references that come back with it were relative.
        extraction = extract_page(body, f"http://saved.invalid/{path}")
        if extraction.item is None:
            return None
        refs: dict[str, PictureRef] = {}
        for url in extraction.item.images:
            local = self.local_file(url)
            found = [self.picture(local)] if local else list(web_pictures([url]))
            refs.update((ref.url_key, ref) for ref in found if ref.host != "saved.invalid")
        item = replace(to_item(extraction.item, str(path)), url=str(path))
        return FoundItem(str(path), item, tuple(refs.values()))

    def local_file(self, url: str) -> str | None:
        parts = urlsplit(url)
        path = unquote(parts.path).lstrip("/")
        if parts.hostname != "saved.invalid" or "\x00" in path or ".." in PurePosixPath(path).parts:
            return None
        return path if (self.root / path).is_file() else None

    def table_items(self, table: Path) -> Iterator[FoundItem]:
        """The items of a table: rows that share a key, or each row where none is stated."""
        rows = list(_read_table(table))
        keyed = [(_key_of(row) or f"row {number}", row) for number, row in enumerate(rows, 1)]
        keyed.sort(key=lambda pair: pair[0])
        for key, group in groupby(keyed, key=lambda pair: pair[0]):
            members = [row for _, row in group]
            paths = list(dict.fromkeys(path for row in members for path in self.files_of(row)))
            paths = paths or next(filter(None, (self.files_in(f"{above}/{key}") for above in _KEYED_PLACES)), [])
            yield FoundItem(key, _item_of(key, members[0]), tuple(map(self.picture, paths)))

    def files_of(self, row: Mapping[str, str]) -> Iterator[str]:
        for column in _FILE_COLUMNS:
            for name in row.get(column, "").split("|"):
                path = PurePosixPath(name.strip().replace("\\", "/"))
                if name.strip() and not path.is_absolute() and ".." not in path.parts:
                    yield str(path)
        for column in _FOLDER_COLUMNS:
            yield from self.files_in(row.get(column, ""))

    def files_in(self, name: str) -> list[str]:
        """The pictures of a folder that a table names; none when it leads out of the source, or is not there."""
        place = PurePosixPath(name.strip().strip("/"))
        if not place.parts or ".." in place.parts or not (self.root / place).is_dir():
            return []
        entries = (entry for entry in (self.root / place).iterdir() if not entry.is_dir())
        return self.pictures(place, sorted(entry.name for entry in entries if not entry.name.startswith(".")))


def _is_page(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PAGE_SUFFIXES


def _read_table(table: Path) -> Iterator[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle):
                yield {
                    plain_text(name).strip().lower(): plain_text(value).strip()
                    for name, value in row.items()
                    if isinstance(name, str) and isinstance(value, str)
                }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read as CSV: {error}") from error


def _key_of(row: Mapping[str, str]) -> str:
    for columns in (_KEY_COLUMNS, _FOLDER_COLUMNS, _FILE_COLUMNS):
        if key := next((row[name] for name in columns if row.get(name)), ""):
            return key
    return ""


def _item_of(key: str, row: Mapping[str, str]) -> Item:
    fields: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for name, value in row.items():
        field = _SYNONYMS.get(name, name)
        if not value or name in (*_FILE_COLUMNS, *_FOLDER_COLUMNS):
            continue
        if field in _FIELDS and field not in fields:
            fields[field] = value
        elif name not in _KEY_COLUMNS:
            attributes[name] = value
    return Item(
        url=row.get("url") or key,
        title=fields.get("title", ""),
        brand=fields.get("brand"),
        model=fields.get("model"),
        price=_number(fields.get("price")),
        currency=fields.get("currency"),
        sku=fields.get("sku"),
        seller=fields.get("seller"),
        availability=fields.get("availability"),
        description=fields.get("description", ""),
        attributes=attributes,
        sources=dict.fromkeys([*fields, *attributes], "table"),
        raw=dict(row),
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
