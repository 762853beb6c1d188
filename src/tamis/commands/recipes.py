"""Commands about recipes: list them, try one on a page, check test cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tamis.commands.session import Session, project_option
from tamis.display import table

if TYPE_CHECKING:
    from tamis.extract.records import Extraction

_SHOWN_LINKS = 5


@click.group()
def recipe() -> None:
    """Small declarations that say how a site is read."""


@recipe.command(name="list")
@project_option
def list_(session: Session) -> None:
    """List the recipes that tamis brings, and those in the project's folder `recipes`."""
    from tamis.recipes.library import list_recipes  # noqa: PLC0415 - loaded on use

    entries = list_recipes(session.folder)
    session.finish(
        [
            {"name": e.name, "description": e.description, "domains": list(e.domains), "file": str(e.path or "")}
            for e in entries
        ],
        *table(
            ("recipe", "for", "what it reads"),
            [(e.name, ", ".join(e.domains) or "any", e.description) for e in entries],
        ),
    )


@recipe.command(name="try")
@click.argument("page", metavar="FILE|URL")
@click.option("--url", help="The address that a saved page was found at.")
@click.option(
    "--recipe", "name", default="auto", show_default=True, help="A recipe's name or file; auto: the one for the host."
)
@click.option(
    "--case", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Keep the page and what was read as a test case in this new folder.",
)  # fmt: skip
@click.option("--allow-private", is_flag=True, help="Reach addresses on this machine and in private networks.")
@project_option
def try_(session: Session, page: str, url: str | None, name: str, case: Path | None, allow_private: bool) -> None:
    """Show what a recipe reads from one page, field by field, and where from.

    A site's robots.txt is obeyed. Of a result page the listings, the next page, the number of results and, where it is
    not served whole, its slices are shown.
    """
    from tamis.crawl.single import read_one  # noqa: PLC0415 - loaded on use
    from tamis.recipes.cases import write_case  # noqa: PLC0415
    from tamis.recipes.library import AUTO, load_recipe  # noqa: PLC0415

    address = page if "://" in page else url or ""
    known = name != AUTO or address
    chosen = load_recipe(name, session.folder, address) if known else None
    read = read_one(page, url, recipe=chosen, allow_private=allow_private)
    document = read.extraction.to_json()
    if case is not None:
        write_case(case, read.body, read.recipe.name if name == AUTO else name, document)
    links = read.extraction.links
    more = {
        "recipe": read.recipe.name,
        "slices": list(links.slices),
        "beyond": links.beyond,
        "listed": [{"url": one.url, "item": one.item.to_json()} for one in read.extraction.listed],
    }
    lines = [f"recipe {read.recipe.name}", *shown_page(read.extraction)]
    lines += [f"kept as a test case in {case}; check it with `tamis recipe check {case}`"] if case else []
    session.finish(document | more, *lines)


@recipe.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("cases"))
@project_option
def check(session: Session, folder: Path) -> int:
    """Read the saved pages of test cases, and tell what differs from what is expected.

    A case is a folder with page.html (or page.html.gz, page.json) and expected.json; FOLDER holds one or many.
    `tamis recipe try URL --case DIR` writes one. Ends with 1 if anything differs.
    """
    from tamis.recipes.cases import check_case, find_cases  # noqa: PLC0415 - loaded on use

    checked = [check_case(path, session.folder) for path in find_cases(folder)]
    failed = [one for one in checked if one.differences]
    lines = []
    for one in failed:
        lines.append(f"{one.folder}:")
        lines += [f"  {d.name}: expected {_short(d.expected)}, read {_short(d.read)}" for d in one.differences]
    document = {
        "cases": [
            {
                "folder": str(one.folder),
                "differences": [{"name": d.name, "expected": d.expected, "read": d.read} for d in one.differences],
            }
            for one in checked
        ],
        "failed": len(failed),
    }
    session.finish(document, *lines, f"{len(checked)} cases, {len(failed)} read otherwise than expected")
    return 1 if failed else 0


def shown_page(read: Extraction) -> list[str]:
    """The lines that tell people what a page holds."""
    lines = [f"{read.kind}: {read.url}"]
    if read.item is not None:
        lines += ["", *_shown_item(read.item.to_json())]
    elif read.kind == "results":
        links = read.links
        lines += ["", f"{len(links.items)} listings" + (f" of {links.total}" if links.total is not None else "")]
        lines += [f"  {url}" for url in links.items[:_SHOWN_LINKS]]
        lines += ["  ..."] if len(links.items) > _SHOWN_LINKS else []
        lines += [f"next: {links.next or 'none'}"]
        lines += [f"slice: {url}" for url in links.slices]
        lines += [f"{links.beyond} results can not be reached"] if links.beyond else []
    if read.listed:
        lines += ["", f"{len(read.listed)} items are read whole, such as {read.listed[0].url}:"]
        lines += _shown_item(read.listed[0].item.to_json())
    return lines


def _shown_item(item: dict[str, Any]) -> list[str]:
    sources = item["sources"]
    rows = [
        (name, _short(value), sources.get(name, ""))
        for name, value in item.items()
        if value not in (None, "", [], {}) and name not in ("sources", "attributes", "images")
    ]
    rows += [(f"image {n}", _short(url, 110), sources.get("images", "")) for n, url in enumerate(item["images"], 1)]
    rows += [
        (f"  {name}", _short(value), sources.get(f"attributes.{name}", ""))
        for name, value in item["attributes"].items()
    ]
    missing = [name for name in ("title", "price", "images") if item[name] in (None, "", [])]
    lines = table(("field", "value", "read from"), rows)
    return [*lines, f"not found: {', '.join(missing)}"] if missing else lines


def _short(value: object, limit: int = 70) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
