"""Attributes and label types: what can be claimed of an item or a region, and all that follows from its type.

A label type is one class that knows how a value is parsed and stored, which keys and widget annotate it, and which
loss and metric a model of it has. Forms, exports and network heads derive from it, so a new type is one class.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tamis.errors import UserError

Scope = Literal["item", "region"]
Who = Literal["rule", "model", "person"]

#: The attribute under which people overrule the derived verdict.
VERDICT = "verdict"
VERDICTS = ("keep", "questionable", "reject")

#: Words of classes that a mirrored picture turns into each other.
_SIDES = frozenset({"left", "right"})

#: Words in the names of attributes, and in classes, that changed colours would make untrue.
_COLOUR_WORDS = ("colour", "color", "hue", "shade")
_COLOURS = frozenset(
    {
        *("beige", "black", "blue", "bronze", "brown", "cream", "gold", "golden", "gray", "green", "grey", "ivory"),
        *("magenta", "maroon", "navy", "olive", "orange", "pink", "purple", "red", "silver", "tan", "teal"),
        *("turquoise", "violet", "white", "yellow"),
    }
)

#: Keys that choose the classes, in order.
DIGIT_KEYS = "1234567890"


class LabelType(ABC):
    """One kind of label."""

    name: ClassVar[str]
    #: Widget of the annotation form.
    widget: ClassVar[str]
    #: Loss of a head that learns it.
    loss: ClassVar[Literal["cross_entropy", "mse"]]
    #: Metric by which models of it are compared.
    metric: ClassVar[Literal["macro_f1", "mean_absolute_error"]]

    @abstractmethod
    def parse(self, text: str, classes: Sequence[str]) -> str:
        """Return the value in its stored form.

        Raises:
            ValueError: the text is no value of this type; the message says which are.
        """

    @abstractmethod
    def classes(self, declared: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that a head has, in order; empty where the value is a quantity."""


class Choice(LabelType):
    """Exactly one of the declared classes."""

    name = "choice"
    widget = "buttons"
    loss = "cross_entropy"
    metric = "macro_f1"

    def parse(self, text: str, classes: Sequence[str]) -> str:
        """Accept a class, whatever its case and the blanks around it."""
        folded = text.strip().casefold()
        for known in classes:
            if known.casefold() == folded:
                return known
        raise ValueError(f"{text.strip()!r} is none of {', '.join(classes)}")

    def classes(self, declared: Sequence[str]) -> tuple[str, ...]:
        """The declared classes."""
        return tuple(declared)


class Flag(LabelType):
    """Yes or no."""

    name = "flag"
    widget = "toggle"
    loss = "cross_entropy"
    metric = "macro_f1"
    _words: ClassVar[Mapping[str, str]] = {
        "yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no",
    }  # fmt: skip

    def parse(self, text: str, classes: Sequence[str]) -> str:  # noqa: ARG002 - the classes are fixed
        """Accept yes, no, true, false, 1 and 0."""
        value = self._words.get(text.strip().casefold())
        if value is None:
            raise ValueError(f"{text.strip()!r} is neither yes nor no")
        return value

    def classes(self, declared: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 - the classes are fixed
        """No, then yes."""
        return ("no", "yes")


LABEL_TYPES: dict[str, LabelType] = {kind.name: kind for kind in (Choice(), Flag())}


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property to label. `classes` is in the order of the keys and of the network's outputs."""

    name: str
    type: LabelType
    classes: tuple[str, ...]
    scope: Scope = "region"
    help: str = ""

    @classmethod
    def of(
        cls, name: str, type_name: str, classes: Sequence[str], scope: Scope = "region", text: str = ""
    ) -> Attribute:
        """Build an attribute from its declaration.

        Raises:
            UserError: an unknown type, classes that repeat, or a name that is taken.
        """
        kind = LABEL_TYPES.get(type_name)
        if kind is None:
            raise UserError(f"attribute {name}: type {type_name!r} is none of {', '.join(LABEL_TYPES)}")
        if name == VERDICT:
            raise UserError(f"attribute {name}: the name is taken by the verdicts; choose another")
        if len(set(classes)) != len(classes):
            raise UserError(f"attribute {name}: a class stands there twice")
        return cls(name, kind, kind.classes(classes), scope, text)

    def parse(self, text: str) -> str:
        """Return the stored form of a value; raises ValueError that lists the classes."""
        return self.type.parse(text, self.classes)

    @property
    def names_sides(self) -> bool:
        """Whether a class names a side, so that mirroring a picture can make its label wrong."""
        return any(_SIDES & words for words in self._words())

    @property
    def names_colours(self) -> bool:
        """Whether the name or two of the classes name colours, so that other colours can make a label wrong.

        One class may be called by a colour for other reasons.
        """
        if any(word in self.name.casefold() for word in _COLOUR_WORDS):
            return True
        return sum(bool(_COLOURS & words) for words in self._words()) > 1

    def _words(self) -> list[set[str]]:
        return [set(re.split(r"[-_ ]", one.casefold())) for one in self.classes]

    def keys(self) -> dict[str, str]:
        """Key to class, for as many classes as there are digit keys."""
        return dict(zip(DIGIT_KEYS, self.classes, strict=False))


#: Verdicts are claimed like any attribute of a region.
VERDICT_ATTRIBUTE = Attribute(VERDICT, LABEL_TYPES["choice"], VERDICTS, "region", "what becomes of the sample")
