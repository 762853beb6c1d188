"""What makes a picture questionable by its quality: one limit a stored score, each a setting that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from tamis import schema
from tamis.config import InspectSettings


@dataclass(frozen=True, slots=True)
class Limit:
    """A score of the table `inspection`, and the setting of the same section that says how low or high it may be.

    Attributes:
        score: column of `inspection`.
        kind: whether the setting is the least or the most that passes.
        cause: one word for counting verdicts.
        title: the score's name for people.
        help: one line for people.
        step: by how much the setting is moved for comparison.
        shown: how the score is written in a reason.
        off: value of the setting that asks nothing.
    """

    score: str
    kind: Literal["least", "most"]
    cause: str
    title: str
    help: str
    step: float
    shown: str = ".2f"
    off: float = 0.0

    @property
    def setting(self) -> str:
        """Name in the section `inspect`."""
        return f"{'min' if self.kind == 'least' else 'max'}_{self.score}"

    def asked(self, settings: InspectSettings) -> float:
        """What the setting says."""
        return float(getattr(settings, self.setting))

    def objection(self, score: float | None, settings: InspectSettings) -> str:
        """Say what speaks against a picture; nothing where it passes, or the score could not be measured."""
        asked = self.asked(settings)
        if score is None or asked == self.off or (score >= asked if self.kind == "least" else score <= asked):
            return ""
        return f"{self.title.lower()} {score:{self.shown}} {'below' if self.kind == 'least' else 'above'} {asked:g}"


LIMITS = (
    Limit("sharpness", "least", "blurred", "Sharpness", "Less sharp pictures are questionable.", 0.5),
    Limit("contrast", "least", "flat", "Contrast", "Flatter pictures are questionable.", 0.01, ".3f"),
    Limit("brightness", "least", "dark", "Brightness", "Darker pictures are questionable.", 0.05),
    Limit("clipped_dark", "most", "black", "Share of black", "More of it is questionable.", 0.1, off=1.0),
    Limit("clipped_bright", "most", "white", "Share of white", "More of it is questionable.", 0.1, off=1.0),
    Limit("entropy", "least", "empty", "Entropy", "Pictures with less to see are questionable.", 0.5),
    Limit("colourfulness", "least", "grey", "Colourfulness", "Greyer pictures are questionable.", 0.01, ".3f"),
    Limit("noise", "most", "noisy", "Noise", "Noisier pictures are questionable.", 0.001, ".4f", off=1.0),
    Limit("blockiness", "most", "blocky", "Blockiness", "Steps between blocks over others; more is questionable.",
          0.05, off=10.0),
    Limit("text_share", "most", "lettering", "Lettering", "Share of the picture; more is questionable.", 0.05, off=1.0),
    Limit("border_share", "most", "framed", "Border", "Share of plain bands at the edges; more is questionable.", 0.05,
          off=1.0),
    Limit("aspect", "most", "long", "Aspect", "Longer over shorter side; longer pictures are questionable.", 1.0, ".1f",
          off=100.0),
)  # fmt: skip


def score_columns() -> list[sa.ColumnElement[Any]]:
    """The scores that limits exist for, named after them; the aspect follows from the size."""
    facts = schema.inspection.c
    stored = [facts[limit.score] for limit in LIMITS if limit.score in facts]
    return [*stored, aspect().label("aspect")]


def aspect() -> sa.ColumnElement[Any]:
    """Longer over shorter side of an inspected image."""
    facts = schema.inspection.c
    longer = sa.case((facts.width > facts.height, facts.width), else_=facts.height)
    shorter = sa.case((facts.width > facts.height, facts.height), else_=facts.width)
    return 1.0 * longer / shorter
