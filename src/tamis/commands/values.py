"""Values that several commands take."""

from __future__ import annotations

import re
from typing import Any

import click


class Colour(click.ParamType[tuple[int, int, int]]):
    """A colour as #rrggbb."""

    name = "#RRGGBB"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        """Return red, green and blue, 0 to 255."""
        digits = re.fullmatch("#?([0-9a-fA-F]{6})", str(value))
        if digits is None:
            self.fail(f"{value!r} is no colour such as #ffffff", param, ctx)
        red, green, blue = bytes.fromhex(digits[1])
        return red, green, blue
