"""What was done to a picture on its way, told from how its scores compare with those of a copy of it.

Copies show the same, so that their scores differ by what was done to them alone, and far smaller differences tell than
would between strangers. Weights and steps were fitted on photos beside copies with known edits.
"""

from __future__ import annotations

import math
from operator import neg, sub
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tamis.vision.keepers import Facts

#: Colourfulness, contrast and noise below which pictures have none; logarithms are taken above that.
GREY, _FLAT, _CALM = 0.01, 0.01, 0.0005
#: Largest share of plain bands that leaves something to look at.
_ALL_BANDS = 0.999
#: Natural logarithm of the ratio of pixels, and difference of shares of bands, below which pictures are of one size.
_SAME = 0.05
#: Colour that is lost beyond this was taken on purpose.
_RECOLOURED = 0.06
#: Ratio of shares of lettering that coding alone may cause.
_LETTERS_KEPT = 4 / 3
#: Votes against a picture that lost colour, has lettering, has more edges, was blurred, coded coarsely, and smoothed.
_FADED, _LETTERED, _DRAWN_ON, _BLURRED, _COARSE, _SMOOTHED = 2.0, 1.5, 4.0, 5.0, 5.0, 4.0


class Traits(NamedTuple):
    """Scores of a picture, or by how much they exceed those of a copy.

    Attributes:
        pixels: natural logarithm of their number.
        bands: share of the picture that plain bands along its edges cover.
        letters: share of the picture that lettering covers.
        blocks: blockiness.
        edges: sharpness of a picture of equal contrast: a brightened copy is no sharper.
        noise: natural logarithm of its variance.
        colour: natural logarithm of colourfulness.
        size: natural logarithm of the bytes of the file.
    """

    pixels: float
    bands: float
    letters: float
    blocks: float
    edges: float
    noise: float
    colour: float
    size: float

    @classmethod
    def of(cls, facts: Facts) -> Traits:
        """Return the traits of a picture."""
        return cls(
            pixels=math.log(max(facts.pixels, 1)),
            bands=min(facts.border_share, _ALL_BANDS),
            letters=facts.text_share,
            blocks=facts.blockiness,
            edges=facts.sharpness - 2 * math.log(max(facts.contrast, _FLAT)),
            noise=2 * math.log(facts.noise + _CALM),
            colour=math.log(facts.colourfulness + GREY),
            size=math.log(max(facts.size, 1)),
        )

    def beyond(self, other: Traits) -> Traits:
        """Return by how much each trait exceeds that of a copy."""
        return Traits(*map(sub, self, other))

    def negated(self) -> Traits:
        """Return, of an excess, that of the copy."""
        return Traits(*map(neg, self))

    @property
    def of_one_size(self) -> bool:
        """Tell, of an excess, whether the copies have as many pixels: neither was put into a frame."""
        return abs(self.pixels) < _SAME

    @property
    def alike_in_bands(self) -> bool:
        """Tell, of an excess, whether as much of either copy is plain bands: neither was put into a wide frame."""
        return abs(self.bands) < _SAME


def lost_content(mine: Traits, more: Traits) -> float:
    """Return how many pixels within its bands a picture with an excess over a copy lacks, as a natural logarithm.

    The ground around a thing looks like a frame: where the copies are of one size, bands tell nothing.
    """
    if more.of_one_size or _is_framed(mine, more):
        return 0.0
    theirs = mine.bands - more.bands
    return math.log((1 - theirs) / (1 - mine.bands)) - more.pixels


def added_bands(mine: Traits, more: Traits) -> float:
    """Return the share of a picture with an excess over a copy that is a frame, less what it lacks of the copy's."""
    if more.of_one_size:
        return 0.0
    if _is_framed(mine, more):
        return mine.bands if more.pixels > 0 else 0.0
    return more.bands


def added_letters(mine: Traits, more: Traits) -> float:
    """Return the share of a picture that is covered by letters which a copy lacks; coding changes it by a third."""
    theirs = mine.letters - more.letters
    return mine.letters - _LETTERS_KEPT * theirs


def _is_framed(mine: Traits, more: Traits) -> bool:
    """Tell whether the bands of the larger picture are all that it has beyond the smaller one."""
    bands = mine.bands if more.pixels > 0 else mine.bands - more.bands
    return abs(math.log(1 - bands) + abs(more.pixels)) < _SAME


def softness(more: Traits) -> float:
    """Return by how much less a picture with this excess shows of edges and texture, as blur does.

    What has kept its colour was not blurred: the copy was drawn on.
    """
    return 0.0 if 0 <= more.colour < _RECOLOURED else min(-more.edges, -more.noise)


def harm(more: Traits) -> float:
    """Return the votes that a picture with this excess was harmed, less those that its copy was."""
    less = more.negated()
    blurs = _blur(more, less), _blur(less, more)
    return _votes(more, less, blurs) - _votes(less, more, blurs[::-1])


def _votes(more: Traits, less: Traits, blurs: tuple[float, float]) -> float:
    """Votes against a picture, given how likely it and its copy were blurred.

    Each coding blurs the colour, and letters in black and white cover it, so that colour is lost and never regained.
    """
    faded = _share(less.colour, 0.006) if less.colour < _RECOLOURED else 0.0
    coarse = _coarseness(more, less) * (1 - blurs[1])
    return (
        _FADED * faded
        + _LETTERED * _share(more.letters, 0.009)
        + _DRAWN_ON * _share(more.edges, 0.1)
        + _BLURRED * blurs[0]
        + _COARSE * coarse
        + _SMOOTHED * _smoothness(less)
    )


def _blur(more: Traits, less: Traits) -> float:
    """How likely a picture was blurred and coded well afterwards: less sharp and colourful, and yet of more bytes."""
    if more.size <= 0 or less.colour >= _RECOLOURED:
        return 0.0
    return _share(less.edges, 0.15) * _share(less.colour, 0.0015) * _share(more.size - 0.15, 0.1)


def _smoothness(less: Traits) -> float:
    """How likely coarse coding left out what was faint: fewer bytes, and less of edges, noise and colour."""
    if less.size <= 0 or less.colour >= _RECOLOURED:
        return 0.0
    return (
        _share(less.edges, 0.05) * _share(less.noise, 0.2) * _share(less.colour, 0.006) * _share(less.size - 0.3, 0.3)
    )


def _coarseness(more: Traits, less: Traits) -> float:
    """How likely a picture was coded coarsely: of fewer bytes, and yet with more edges and noise, or with blocks."""
    if less.size <= 0:
        return 0.0
    ringing = _share(more.edges + 0.01, 0.02) * _share(more.noise, 0.05)
    return _share(less.size, 0.1) * max(ringing, _share(more.blocks - 0.01, 0.04))


def _share(value: float, whole: float) -> float:
    return 0.0 if value <= 0 else min(value / whole, 1.0)
