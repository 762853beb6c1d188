"""Item text to rule labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.stage import Context, Stage, file_digest
from tamis.engine.writers import labels_writer
from tamis.records import Label
from tamis.text.mine import ItemText, mine
from tamis.text.rules import load_rules

#: Who says what the rules say.
ACTOR = "rules"


@dataclass(frozen=True, slots=True)
class ListedItem:
    """The text of an item."""

    item_id: int
    title: str
    description: str
    attributes: Mapping[str, str]
    brand: str | None
    model: str | None

    def text(self) -> ItemText:
        """The words that rules read; brand and model count among the stated attributes."""
        stated = {name: value for name, value in (("brand", self.brand), ("model", self.model)) if value}
        return ItemText(self.title, self.description, stated | dict(self.attributes))


def _select(_: Settings) -> sa.Select[Any]:
    item = schema.item.c
    return sa.select(
        item.id.label("subject_id"), item.digest.label("input_digest"), item.id.label("item_id"), item.title,
        item.description, item.attributes, item.brand, item.model,
    )  # fmt: skip


def _mine(context: Context) -> Callable[[ListedItem], Sequence[Label]]:
    rules = load_rules(context.folder / context.settings.mine.rules)

    def work(item: ListedItem) -> Sequence[Label]:
        text = item.text()
        return [
            Label(
                attribute=claim.attribute,
                value=claim.value,
                who="rule",
                actor=ACTOR,
                confidence=claim.confidence,
                item_id=item.item_id,
                evidence=f"{claim.field}: {text.field(claim.field)[slice(*claim.evidence_span)]}",
            )
            for claim in mine(text, rules)
        ]

    return work


def _idle(settings: Settings, folder: Path) -> str | None:
    path = folder / settings.mine.rules
    return None if path.is_file() else f"no rules: {settings.mine.rules} is not there"


MINE = Stage(
    name="mine",
    version=1,
    help="titles, descriptions and stated attributes to rule labels",
    reads=ListedItem,
    writes=(Label,),
    select=_select,
    write=lambda _: labels_writer("item", ACTOR),
    section="mine",
    row=_mine,
    depends=lambda context: (file_digest(context.folder / context.settings.mine.rules),),
    idle=_idle,
    batch_size=256,
)
