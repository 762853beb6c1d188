"""Which picture of a cluster stays: a policy, and for equals the one to which least was done on its way."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.records import KeeperPolicy
from tamis.vision.harm import GREY, Traits, added_bands, added_letters, harm, lost_content, softness

#: Number of the rule by which clusters are formed and keepers chosen; another one settles stored clusters anew.
RULE = 3
#: Modes of pictures of few tones: of two, of a palette, of grey.
_FEW_TONES = frozenset({"1", "P", "PA", "L", "LA", "I", "F"})
#: By how much larger a share of a picture lettering covers where it counts as marked, and as marked all over.
_LETTERING = (0.01, 0.06)
#: Steps by which copies differ for certain: natural logarithm of the pixels within their frames, share of plain bands,
#: blockiness, and softness.
_SIZE_STEP, _BANDS_STEP, _BLOCKS_STEP, _SOFT_STEP = 0.2, 0.1, 0.2, 0.3
#: Votes that tell nothing: copies that were coded alike differ by less.
_HARM_STEP = 0.25
#: Bytes of files that were coded equally well differ by less than this, as their natural logarithm.
_BYTES_STEP = 0.2
#: Formats that keep every pixel; of equal pictures such a file is the source, or as good as it.
_LOSSLESS = frozenset({"PNG", "TIFF", "BMP"})

#: What sorts an id: not labelled by people, what speaks against it, its content, itself.
Claim = tuple[bool, tuple[float, ...], str, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a keeper is chosen by: pixels, what inspection said of the picture, and bytes of the file.

    `key` names the picture by its content, so that ties fall alike whatever ids the pictures were given.
    """

    pixels: int = 0
    format: str = ""
    mode: str = ""
    sharpness: float = 0.0
    contrast: float = 0.0
    blockiness: float = 1.0
    noise: float = 0.0
    colourfulness: float = 1.0
    text_share: float = 0.0
    border_share: float = 0.0
    size: int = 0
    key: str = ""


#: Facts that are columns of the table `inspection`, with what stands for a score that could not be measured.
INSPECTED: dict[str, str | float] = {
    "format": "", "mode": "", "sharpness": 0.0, "contrast": 0.0, "blockiness": 1.0, "noise": 0.0,
    "colourfulness": 1.0, "text_share": 0.0, "border_share": 0.0,
}  # fmt: skip


def facts_of(inspected: object, pixels: int, size: int, key: str = "") -> Facts:
    """Return the facts of a picture from a record or row that has the columns of `INSPECTED`."""
    scores: dict[str, Any] = {
        name: default if (value := getattr(inspected, name)) is None else value for name, default in INSPECTED.items()
    }
    return Facts(pixels, size=size, key=key, **scores)


class Ranking:
    """Orders ids by their claim to be the keeper, the best first.

    `copies` are the ids that each id was verified to be a copy of. In each matter an id is judged by that copy beside
    which it looks worst, in steps that are more than noise, so that copies tie where they do not differ.
    """

    def __init__(
        self,
        policy: KeeperPolicy,
        facts: Mapping[int, Facts],
        protected: frozenset[int],
        copies: Mapping[int, Collection[int]],
    ) -> None:
        self._policy = policy
        self._facts = facts
        self._protected = protected
        self._copies = copies
        self._traits: dict[int, Traits] = {}
        self._claims: dict[int, Claim] = {}

    def __call__(self, identity: int) -> Claim:
        """Return what sorts an id; those with labels by people come first."""
        if identity not in self._claims:
            facts = self._facts.get(identity, Facts())
            against = () if self._policy == "first" else self._against(identity, facts)
            self._claims[identity] = identity not in self._protected, against, facts.key, identity
        return self._claims[identity]

    def _traits_of(self, identity: int) -> Traits:
        if identity not in self._traits:
            self._traits[identity] = Traits.of(self._facts.get(identity, Facts()))
        return self._traits[identity]

    def _against(self, identity: int, facts: Facts) -> tuple[float, ...]:
        """What speaks against an id, the weightiest first."""
        mine = self._traits_of(identity)
        others = [other for other in self._copies.get(identity, ()) if other in self._facts]
        excess = [mine.beyond(self._traits_of(other)) for other in others if not _few_tones(self._facts[other])]
        beside = [more for more in excess if not _plainly_better(mine, more)]
        # Across sizes scores differ by the scaling, too; the sharpest is sought across sizes all the same.
        equal = [more for more in beside if more.of_one_size or (self._policy == "sharpest" and more.alike_in_bands)]
        few_tones = _few_tones(facts)
        smaller = _steps((lost_content(mine, more) for more in excess), _SIZE_STEP)
        framed = _steps((added_bands(mine, more) for more in excess), _BANDS_STEP)
        blocks = _steps((more.blocks for more in excess), _BLOCKS_STEP)
        marks = max((bisect(_LETTERING, added_letters(mine, more)) for more in beside), default=0)
        coding = 0 if facts.format in _LOSSLESS else 1 / (1 + round(mine.size / _BYTES_STEP))
        rest = _steps(map(harm, equal), _HARM_STEP), -mine.pixels, coding
        match self._policy:
            case "largest":
                return smaller, few_tones, framed, blocks, marks, *rest
            case "cleanest":
                return few_tones, marks, framed, smaller, blocks, *rest
            case _:
                return few_tones, blocks, marks, _steps(map(softness, beside), _SOFT_STEP), framed, *rest


def _few_tones(facts: Facts) -> bool:
    return facts.mode in _FEW_TONES or facts.colourfulness < GREY


def _plainly_better(mine: Traits, more: Traits) -> bool:
    """Tell whether the copy that a picture exceeds is so much worse that finer differences tell nothing."""
    if more.blocks <= -_BLOCKS_STEP:
        return True
    return more.letters < 0 and added_letters(mine.beyond(more), more.negated()) >= _LETTERING[0]


def _steps(excess: Iterable[float], step: float) -> int:
    """How many whole steps the largest excess has, 0 where it is none."""
    return int(max([0.0, *excess]) / step)
