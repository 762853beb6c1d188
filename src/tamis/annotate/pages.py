"""The pages of the web application: one frame for all, and what each of them adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@dataclass(frozen=True, slots=True)
class Page:
    """One page; its script, and the class of its body, bear its name.

    `template` is the page's own where the frame around one empty element is not enough.
    """

    name: str
    title: str
    styles: tuple[str, ...] = ("pages",)
    template: str = "page"

    def html(self) -> str:
        """Return the document, which its script fills."""
        return _environment().get_template(f"{self.template}.html.j2").render(page=self)


#: Address to the page that is served there.
PAGES = {
    "/": Page("annotate", "Annotate", ("annotate",), "annotate"),
    "/review": Page("review", "Review", ("review",), "review"),
    "/copies": Page("copies", "Copies", ("review", "copies"), "copies"),
    "/items": Page("items", "Items"),
    "/items/{item_id}": Page("item", "Item"),
    "/dashboard": Page("dashboard", "Dashboard"),
    "/sign-in": Page("signin", "Sign in"),
    "/api/docs": Page("docs", "API"),
}


@cache
def _environment() -> Environment:
    loader = PackageLoader("tamis.annotate", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
