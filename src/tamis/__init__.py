"""tamis takes a listing site to a clean, labelled image data set, a trained model and the proof of origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.crawl.handler import ScrapingHandler

__all__ = ["ScrapingHandler", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what is exported when it is first used: importing the package stays cheap."""
    if name == "ScrapingHandler":
        from tamis.crawl.handler import ScrapingHandler  # noqa: PLC0415

        return ScrapingHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
