"""One page in, one record out: items and links read from HTML. No network, no database."""

from tamis.extract.extractor import extract_page
from tamis.extract.records import ExtractedItem, Extraction, PageLinks

__all__ = ["ExtractedItem", "Extraction", "PageLinks", "extract_page"]
