"""Keep, questionable or reject: thresholds for a wanted precision, from a model's answers to samples new to it.

Two numbers go with a threshold. The estimate says how many of the kept are right, as well as can be told. The promise
is what the labels support: a lower bound that holds with 95 % confidence, and that counts samples of one listing for
less than as many independent ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, inf, lgamma, log, log1p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.config import UNREACHABLE
from tamis.errors import UserError
from tamis.vision.card import ModelCard

#: File of a model folder.
HELD_OUT = "heldout.json"
FORMAT = 1

#: One-sided confidence of a promise.
CONFIDENCE = 0.95
#: Least correlation of the errors within a group. A handful of errors cannot show a smaller one, and outcomes within
#: clusters are hardly ever less alike; groups of one sample are not affected.
LEAST_CORRELATION = 0.1
#: Samples that the calibrated probabilities stand for in an estimate.
PRIOR = 10.0
#: Most thresholds that are tried; more would part the held-out samples finer than they can tell.
MOST_CUTS = 400
#: Normal quantile of `CONFIDENCE`.
_Z = 1.644854

_TINY = 1e-300

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Answers of one attribute to labelled samples, by a model that had not learned from them.

    Attributes:
        classes: in the order of the columns.
        probabilities: float64 (n, classes), calibrated.
        truth: int64 (n,), class indices.
        groups: int64 (n,) from 0; samples of a group are no independent evidence.
    """

    classes: tuple[str, ...]
    probabilities: Floats
    truth: NDArray[np.int64]
    groups: NDArray[np.int64]

    def scores(self, keep: Sequence[str]) -> Scores:
        """Return the probability of the wanted classes together, and which samples are of one of them.

        Raises:
            UserError: a class is unknown, none is wanted, or all are.
        """
        if unknown := [name for name in keep if name not in self.classes]:
            raise UserError(f"{unknown[0]!r} is none of the model's classes: {', '.join(self.classes)}")
        wanted = np.array([name in keep for name in self.classes])
        if wanted.all() or not wanted.any():
            raise UserError(f"a filter keeps some of its classes and not others; there are: {', '.join(self.classes)}")
        return Scores(self.probabilities[:, wanted].sum(axis=1), wanted[self.truth], self.groups)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; probabilities in five digits."""
        return {
            "classes": list(self.classes),
            "probabilities": [[round(float(share), 5) for share in row] for row in self.probabilities],
            "truth": self.truth.tolist(),
            "groups": self.groups.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> HeldOut:
        """Read what `to_json` wrote; raises ValueError or KeyError where that is something else."""
        classes = tuple(str(name) for name in values["classes"])
        probabilities = np.array(values["probabilities"], np.float64).reshape(-1, len(classes))
        truth, groups = (np.array(values[name], np.int64) for name in ("truth", "groups"))
        if not len(probabilities) == len(truth) == len(groups):
            raise ValueError("its columns differ in length")
        if len(truth) and not (truth.min() >= 0 and truth.max() < len(classes) and groups.min() >= 0):
            raise ValueError("a class or group is out of range")
        return cls(classes, probabilities, truth, groups)


@dataclass(frozen=True)
class Scores:
    """Probabilities of what is wanted, float64 (n,), what is truly wanted, bool (n,), and groups, int64 (n,)."""

    values: Floats
    wanted: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def from_(self, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return of the samples from a threshold on whether each is wanted, and its group."""
        kept = self.values >= threshold
        return self.wanted[kept], self.groups[kept]

    def turned(self) -> Scores:
        """The same for what is not wanted: rejecting is keeping the other way round."""
        return Scores(1 - self.values, ~self.wanted, self.groups)


@dataclass(frozen=True, slots=True)
class Cut:
    """What a threshold brings among the held-out samples.

    Attributes:
        threshold: samples of this probability or more are kept.
        kept: how many.
        right: how many of the kept are wanted.
        precision: how many of the kept are right, estimated: what was counted, or less where the calibrated
            probabilities, as if they were `PRIOR` samples more, say so: three of three do not show that a fourth is
            right.
        recall: share of the wanted that are kept.
    """

    threshold: float
    kept: int
    right: int
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Triage:
    """The two thresholds for a wanted precision, and what may be said of them.

    Attributes:
        wanted: the precision asked for.
        keep: from its threshold on samples are kept; None where no threshold reaches it, and nothing is kept.
        promise: what the labels support of it, one-sided with 95 % confidence; 0 where nothing is kept.
        reject_below: below it samples are rejected, as surely as others are kept; 0 where none are.
        lost: share of the wanted held-out samples that would be rejected.
        samples: held-out samples.
        groups: of how many groups.
        needed: how many times as many labels would about support the wanted precision, if need be at a stricter
            threshold; 1 where these do, infinite where more of the same would not.
    """

    wanted: float
    keep: Cut | None
    promise: float
    reject_below: float
    lost: float
    samples: int
    groups: int
    needed: float

    @property
    def keep_from(self) -> float:
        """The threshold; one that no probability reaches where nothing may be kept."""
        return self.keep.threshold if self.keep else UNREACHABLE

    @property
    def supported(self) -> bool:
        """Whether the labels support the wanted precision."""
        return self.promise >= self.wanted

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with one line for people."""
        return {
            "wanted": self.wanted,
            "keep_from": self.keep.threshold if self.keep else None,
            "reject_below": self.reject_below,
            "precision": self.keep.precision if self.keep else None,
            "promise": self.promise,
            "recall": self.keep.recall if self.keep else 0.0,
            "lost": self.lost,
            "supported": self.supported,
            "needed": self.needed if self.needed < inf else None,
            "samples": self.samples,
            "groups": self.groups,
            "told": self.told,
        }

    @property
    def told(self) -> str:
        """One line: what the labels can promise, and about how many more would support what is wanted."""
        base = f"{self.samples} labels of {self.groups} groups"
        if self.supported:
            return f"{base} support a precision of {self.wanted:g}"
        if self.keep:
            base += f" support {_floor(self.promise)} with 95 % confidence, not {self.wanted:g}"
        else:
            base += f" reach a precision of {self.wanted:g} at no threshold, so nothing is kept"
        if self.needed == inf:
            return f"{base}; more of the same would not do, the model has to become better"
        if self.needed == 1:
            return f"{base}; at a stricter threshold they do, which classify.surely = true takes"
        return f"{base}; about {ceil(self.needed * self.samples):,} labels would"


def _floor(share: float) -> str:
    """A share in three digits, never more than it is."""
    return f"{floor(share * 1000) / 1000:g}"


def triage(scores: Scores, precision: float, *, surely: bool = False) -> Triage:
    """Return the thresholds for a wanted precision.

    Kept is from the most lenient threshold that reaches it by its estimate, or by its promise if `surely`. Rejected is
    below the highest threshold under which as large a share is rightly rejected, and which costs at most as large a
    share of the wanted as the precision leaves.

    Args:
        scores: of held-out samples.
        precision: wanted share of right ones among the kept, above 0 and below 1.
        surely: whether the promise must reach it. Then thresholds are tried from strict to lenient and the first
            failure ends it, so that the confidence holds for the one that is chosen (Angelopoulos et al. 2021, "Learn
            then Test").
    """
    found = cuts(scores)
    keep = _choose(scores, found, precision, surely=surely)
    below = _reject(scores, precision, keep, surely=surely)
    total = int(scores.wanted.sum())
    promised = promise(*scores.from_(keep.threshold)) if keep else 0.0
    return Triage(
        wanted=precision,
        keep=keep,
        promise=promised,
        reject_below=below,
        lost=int((scores.wanted & (scores.values < below)).sum()) / total if total else 0.0,
        samples=len(scores.values),
        groups=len(np.unique(scores.groups)),
        needed=1.0 if promised >= precision else _needed(scores, found, precision),
    )


def cuts(scores: Scores) -> list[Cut]:
    """Return what each threshold that parts the held-out samples brings, from strict to lenient."""
    if not len(scores.values):
        return []
    order = np.argsort(-scores.values, kind="stable")
    values, wanted = scores.values[order], scores.wanted[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    if len(ends) > MOST_CUTS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_CUTS).astype(np.int64)]
    kept, right = ends + 1, np.cumsum(wanted)[ends]
    expected = np.cumsum(values)[ends] / kept
    precision = np.minimum(right / kept, (right + PRIOR * expected) / (kept + PRIOR))
    recall = right / max(1, int(wanted.sum()))
    rows = zip(values[ends], kept, right, precision, recall, strict=True)
    return [Cut(float(t), int(n), int(k), float(p), float(r)) for t, n, k, p, r in rows]


def _choose(scores: Scores, found: Sequence[Cut], precision: float, *, surely: bool) -> Cut | None:
    if not surely:
        return next((cut for cut in reversed(found) if cut.precision >= precision), None)
    chosen = None
    for cut in found:
        if promise(*scores.from_(cut.threshold)) >= precision:
            chosen = cut
        elif chosen is not None or cut.right < cut.kept:
            break  # before the first success, samples without a fault are merely too few
    return chosen


def _reject(scores: Scores, precision: float, keep: Cut | None, *, surely: bool) -> float:
    """The threshold below which samples are rejected, none that is kept; 0 where none are."""
    turned, total = scores.turned(), int(scores.wanted.sum())
    kept_to = 1 - keep.threshold if keep else -inf
    fitting = [
        cut for cut in cuts(turned) if cut.threshold > kept_to and cut.kept - cut.right <= (1 - precision) * total
    ]
    chosen = _choose(turned, fitting, precision, surely=surely)
    if chosen is None:
        return 0.0
    gone = turned.values >= chosen.threshold
    highest, above = float(scores.values[gone].max()), scores.values[~gone]
    return (highest + float(above.min())) / 2 if len(above) else float(np.nextafter(highest, 2))


def _needed(scores: Scores, found: Sequence[Cut], precision: float) -> float:
    """How many times the labels, by the score interval of each threshold that goes beyond the precision."""
    least = inf
    for cut in found:
        if cut.precision > precision:
            independent = cut.kept / design_effect(*scores.from_(cut.threshold))
            count = _Z**2 * precision * (1 - precision) / (cut.precision - precision) ** 2
            least = min(least, count / independent)
    return max(1.0, least)


def promise(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """Return the one-sided lower bound of the share that is right, with `CONFIDENCE`.

    The exact binomial bound (Clopper and Pearson 1934) at the effective number of samples (Korn and Graubard 1998):
    the number over the design effect.
    """
    if not len(right):
        return 0.0
    effective = len(right) / design_effect(right, groups)
    return clopper_pearson_low(float(right.mean()) * effective, effective)


def design_effect(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """Return by how much fewer independent samples would tell as much about the share that is right; at least 1.

    It is the variance of the share when whole groups are drawn over that when samples are, and at least what
    `LEAST_CORRELATION` within groups makes of it.
    """
    _, where = np.unique(groups, return_inverse=True)
    sizes = np.bincount(where).astype(np.float64)
    count, number, share = float(sizes.sum()), len(sizes), float(right.mean())
    least = 1 + (float((sizes**2).sum()) / count - 1) * LEAST_CORRELATION
    if number < 2 or share in (0.0, 1.0):
        return least
    residuals = np.bincount(where, weights=right.astype(np.float64)) - share * sizes
    variance = number / (number - 1) * float((residuals**2).sum()) / count**2
    return max(least, variance / (share * (1 - share) / count))


def clopper_pearson_low(hits: float, count: float, confidence: float = CONFIDENCE) -> float:
    """Return the lower end of the one-sided exact interval of a share, for numbers that need not be whole.

    It is the quantile of the beta distribution with `hits` and `count - hits + 1`, found by bisection.
    """
    if hits <= 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if incomplete_beta(hits, count - hits + 1, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def incomplete_beta(first: float, second: float, x: float) -> float:
    """Return the regularised incomplete beta function by its continued fraction (Lentz 1976), for `x` in 0 to 1."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (first + 1) / (first + second + 2):
        return 1 - incomplete_beta(second, first, 1 - x)
    front = exp(lgamma(first + second) - lgamma(first) - lgamma(second) + first * log(x) + second * log1p(-x)) / first
    both = first + second
    # Numerators and denominators of the fraction's convergents, as ratios of neighbours, never zero.
    above, below = 1.0, 1 / ((1 - both * x / (first + 1)) or _TINY)
    value = below
    for step in range(1, 500):
        twice = first + 2 * step
        for part in (
            step * (second - step) * x / ((twice - 1) * twice),
            -(first + step) * (both + step) * x / (twice * (twice + 1)),
        ):
            below = 1 / ((1 + part * below) or _TINY)
            above = (1 + part / above) or _TINY
            value *= above * below
        if abs(above * below - 1) < 1e-13:
            break
    return front * value


def read_held_out(folder: Path) -> dict[str, HeldOut]:
    """Return the held-out answers of a model folder by attribute.

    Raises:
        UserError: there is no model, or it kept none; the message says what to do.
    """
    card = ModelCard.read(folder)
    if HELD_OUT not in card.files:
        raise UserError(
            f"model {card.name} holds no answers to samples it had not learned from, which thresholds for a wanted "
            "precision are made of: train it anew, or set classify.keep_from and reject_below instead"
        )
    path = card.verify(folder, HELD_OUT)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format {document['format']!r} is not {FORMAT}")
        return {name: HeldOut.from_json(values) for name, values in document["attributes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def write_held_out(folder: Path, attributes: Mapping[str, HeldOut], how: str) -> Path:
    """Write the held-out answers of a model folder; `how` says which samples they are, for people."""
    document = {"format": FORMAT, "how": how, "attributes": {name: one.to_json() for name, one in attributes.items()}}
    path = folder / HELD_OUT
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path
