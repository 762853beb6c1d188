"""tamis takes a listing site to a clean, labelled image data set, a trained model and the proof of origin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.crawl.handler import ScrapingHandler

__all__ = ["ScrapingHandler", "__version__"]
__version__ = "0.1.0"

# Torch reads it when it is loaded. Threads of OpenMP that wait by spinning take the processor from whatever else runs:
# beside other work a network is then less than half as fast.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Load what is exported when it is first used: importing the package stays cheap."""
    if name == "ScrapingHandler":
        from tamis.crawl.handler import ScrapingHandler  # noqa: PLC0415

        return ScrapingHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
