"""Figures as inline SVG. Colours are classes of the page's style sheet, so that one figure serves light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup, escape

#: Width of a character of labels, as a share of its font size; labels get their room by it.
_CHARACTER = 0.58
_LABEL = 12


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot area inside its margins, in SVG units; x and y run over `x_range` and `y_range`."""

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 44
    right: float = 14
    top: float = 12
    bottom: float = 34

    def x(self, value: float) -> float:
        """Place of a value on the horizontal axis."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Place of a value on the vertical axis."""
        low, high = self.y_range
        return self.height - self.bottom - (value - low) / ((high - low) or 1) * (self.height - self.top - self.bottom)


def confusion_figure(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Markup:
    """Return a heat map of counts: row the truth, column the prediction, shaded by the share of the row."""
    cell = 46 if len(classes) <= 12 else max(22, 560 // len(classes))
    names = [shortened(name, 22) for name in classes]
    room = 14 + max(len(name) for name in names) * _LABEL * _CHARACTER
    side = cell * len(classes)
    parts = []
    for row, (name, counts) in enumerate(zip(names, confusion, strict=True)):
        total = sum(counts) or 1
        middle = room + (row + 0.5) * cell
        parts.append(_text(room - 8, middle, name, "end"))
        parts.append(
            Markup(
                '<text class="label" text-anchor="start" transform="translate({:.1f} {:.1f}) rotate(-45)">{}</text>'
            ).format(middle, room - 8, name)
        )
        for column, count in enumerate(counts):
            title = f"{count} of {total} {classes[row]} answered {classes[column]}"
            parts.append(
                _heat_cell((room + column * cell, room + row * cell, cell), count, total, row == column, title)
            )
    # Labels of the columns lean to the right, past the last cell.
    return _svg(room + side + room * 0.75, room + side + 8, parts, "Confusion matrix")


def _heat_cell(place: tuple[float, float, float], count: int, total: int, right: bool, title: str) -> Markup:
    left, top, cell = place
    share = count / total
    shape = Markup(
        '<g><title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="3" class="{}"'
        ' fill-opacity="{:.3f}"/>'
    ).format(title, left + 1, top + 1, cell - 2, cell - 2, "hit" if right else "miss", 0.06 + 0.94 * share)
    if count:
        style = "count on" if share > 0.45 else "count"
        shape += Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="middle">{}</text>').format(
            left + cell / 2, top + cell / 2 + 4, style, count
        )
    return shape + Markup("</g>")


def interval_figure(value: float, low: float, high: float, baseline: float) -> Markup:
    """Return a scale from 0 to 1 with an estimate, its interval and the baseline as a notch."""
    plot = Plot(320, 30, (0, 1), (0, 1), left=6, right=6)
    return _svg(
        plot.width,
        plot.height,
        [
            _box(plot.x(0), 12, plot.x(1) - plot.x(0), 6, "track", 3),
            _box(plot.x(low), 12, max(2.0, plot.x(high) - plot.x(low)), 6, "range", 3),
            _box(plot.x(baseline) - 1.5, 6, 3, 18, "baseline", 1.5),
            Markup('<circle cx="{:.1f}" cy="15" r="6" class="dot"/>').format(plot.x(value)),
        ],
        f"{value:.3f}, interval {low:.3f} to {high:.3f}, majority {baseline:.3f}",
    )


def line_figure(values: Sequence[float], best: int | None, label: str, *, unit_scale: bool) -> Markup:
    """Return a curve over epochs, from 1; `best` is the position to mark, `unit_scale` draws the axis from 0 to 1."""
    low, high = (0.0, 1.0) if unit_scale else (0.0, max(values) * 1.08 or 1.0)
    plot = Plot(440, 220, (1, max(2, len(values))), (low, high))
    parts = [_grid(plot, [low + (high - low) * step / 4 for step in range(5)])]
    step = max(1, len(values) // 8)
    parts += [_text(plot.x(epoch), plot.height - 14, str(epoch), "middle") for epoch in range(1, len(values) + 1, step)]
    points = [(plot.x(place + 1), plot.y(value)) for place, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(Markup('<polyline points="{}" class="line"/>').format(path))
    for place, (x, y) in enumerate(points):
        style = "dot" if place == best else "point"
        parts.append(
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>').format(
                x, y, 6 if place == best else 3, style, f"epoch {place + 1}: {values[place]:.3f}"
            )
        )
    return _svg(plot.width, plot.height, parts, label)


def calibration_figure(curve: Sequence[Sequence[float]]) -> Markup:
    """Return confidence against accuracy, dots sized by their share of the samples; honest answers lie on the line."""
    plot = Plot(260, 220, (0, 1), (0, 1))
    total = sum(count for _, _, count in curve) or 1
    parts = [_grid(plot, [0, 0.25, 0.5, 0.75, 1])]
    parts += [_text(plot.x(place), plot.height - 14, f"{place:g}", "middle") for place in (0, 0.5, 1)]
    parts.append(
        Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="ideal"/>').format(
            plot.x(0), plot.y(0), plot.x(1), plot.y(1)
        )
    )
    for confidence, right, count in curve:
        title = f"confidence {confidence:.2f}: {right:.2f} right of {count:.0f}"
        parts.append(
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="bubble"><title>{}</title></circle>').format(
                plot.x(confidence), plot.y(right), 3 + 11 * (count / total) ** 0.5, title
            )
        )
    return _svg(plot.width, plot.height, parts, "Calibration")


def stacked_figure(
    names: Sequence[str],
    counts: Sequence[Sequence[int]],
    series: Sequence[str],
    title: str = "Samples by class",
    styles: Sequence[str] = (),
) -> Markup:
    """Return one bar a class, stacked from `counts` (classes, series), with its total at the end.

    `styles` are the classes of the style sheet for the series; without them they are `series-0` and so on.
    """
    row, most = 24, max((sum(values) for values in counts), default=0) or 1
    labels = [shortened(name, 28) for name in names]
    room = 12 + max((len(name) for name in labels), default=0) * _LABEL * _CHARACTER
    plot = Plot(max(520, room + 360), row * len(names) + 6, (0, most), (0, 1), left=room, right=56, top=0, bottom=0)
    parts = []
    for place, (label, values) in enumerate(zip(labels, counts, strict=True)):
        middle = place * row + row / 2 + 2
        parts.append(_text(room - 8, middle, label, "end"))
        start = 0.0
        for number, value in enumerate(values):
            width = plot.x(start + value) - plot.x(start)
            style = styles[number] if styles else f"series-{number}"
            told = f"{names[place]}, {series[number]}: {value}"
            parts.append(
                Markup("<g><title>{}</title>{}</g>").format(
                    told,
                    _box(
                        plot.x(start),
                        middle - 8,
                        max(0.0, width - 1),
                        16,
                        style,
                        2,
                    ),
                )
            )
            start += value
        parts.append(_text(plot.x(start) + 6, middle, str(sum(values)), "start"))
    return _svg(plot.width, plot.height, parts, title)


def histogram_figure(
    edges: Sequence[float],
    counts: Sequence[int],
    styles: Sequence[str],
    marks: Sequence[tuple[str, float]],
    title: str,
) -> Markup:
    """Return bars of `counts` between `edges`, each in its style, with a named line at each of `marks`."""
    most = max(counts, default=0) or 1
    plot = Plot(520, 210, (edges[0], edges[-1]), (0, most), right=26, top=18 + 16 * len(marks))
    parts = [_grid(plot, [0]), _text(plot.left - 8, plot.y(most), f"{most}", "end")]
    for place in range(5):
        value = edges[0] + (edges[-1] - edges[0]) * place / 4
        parts.append(_text(plot.x(value), plot.height - 14, f"{value:.3g}", "middle"))
    for low, high, count, style in zip(edges, edges[1:], counts, styles, strict=False):
        if count:
            left, top = plot.x(low), min(plot.y(count), plot.y(0) - 1.5)  # one in a million is still to be seen
            bar = _box(left + 0.5, top, max(1.0, plot.x(high) - left - 1), plot.y(0) - top, style, 1)
            parts.append(Markup("<g><title>{}</title>{}</g>").format(f"{low:.3g} to {high:.3g}: {count}", bar))
    for place, (name, value) in enumerate(marks):
        x, y = plot.x(value), 12 + 16 * place
        line = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="mark"/>')
        parts.append(line.format(x, y + 6, x, plot.y(0)))
        right = x > plot.width / 2
        parts.append(_text(x + (6 if not right else -6), y, f"{name} {value:g}", "end" if right else "start"))
    return _svg(plot.width, plot.height, parts, title)


def shares_figure(
    sizes: Sequence[int], curves: Mapping[str, Sequence[float]], limit: float, marked: Sequence[int | None]
) -> Markup:
    """Return a curve of shares over target sizes for each of `curves`, `limit` dashed, its marked size as a dot."""
    plot = Plot(440, 260, (0, len(sizes) - 1), (0, 1), left=48)
    parts = [_grid(plot, [0, 0.25, 0.5, 0.75, 1])]
    parts += [
        _text(plot.x(place), plot.height - 14, str(size), "middle")
        for place, size in enumerate(sizes)
        if place % 2 == 0
    ]
    dashed = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="ideal"/>')
    parts.append(dashed.format(plot.left, plot.y(limit), plot.width - plot.right, plot.y(limit)))
    for style, mark, (name, values) in zip(("line", "line other"), marked, curves.items(), strict=True):
        points = " ".join(f"{plot.x(place):.1f},{plot.y(value):.1f}" for place, value in enumerate(values))
        parts.append(Markup('<polyline points="{}" class="{}"/>').format(points, style))
        for place, value in enumerate(values):
            chosen = sizes[place] == mark
            parts.append(
                Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>').format(
                    plot.x(place), plot.y(value), 6 if chosen else 3,
                    ("dot" if chosen else "point") + style.removeprefix("line"),
                    f"{sizes[place]} px, {name}: {value:.1%} enlarged",
                )
            )  # fmt: skip
    return _svg(plot.width, plot.height, parts, "Share of enlarged pictures by target size")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share and its interval."""

    value: float
    low: float
    high: float


def estimates_figure(
    names: Sequence[str], series: Mapping[str, Sequence[Estimate]], aims: Sequence[float], title: str
) -> Markup:
    """Return dots with intervals, one of each of two series over every name, and the aim of each dashed."""
    least = min((one.low for row in series.values() for one in row), default=0.0)
    floor_tenth = max(0.0, min(0.9, int(least * 10) / 10))
    plot = Plot(560, 320, (0, len(names)), (floor_tenth, 1), top=44)
    steps = max(1, round((1 - floor_tenth) * 10))
    parts = [_grid(plot, [1 - step * 0.1 for step in range(steps + 1)])]
    parts += [_text(plot.x(place + 0.5), plot.height - 14, name, "middle") for place, name in enumerate(names)]
    for number, ((name, row), aim, style) in enumerate(zip(series.items(), aims, ("", " other"), strict=True)):
        line = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
        parts.append(line.format(plot.left, plot.y(aim), plot.width - plot.right, plot.y(aim), f"line{style} aim"))
        left = plot.left + 6 + number * (plot.width - plot.left) / 2
        parts.append(Markup('<circle cx="{:.1f}" cy="20" r="5" class="dot{}"/>').format(left, style))
        parts.append(_text(left + 12, 20, f"{name} (aim {aim:.0%})", "start"))
        for place, one in enumerate(row):
            x = plot.x(place + 0.42 + 0.16 * number)
            told = f"{names[place]}, {name}: {one.value:.3f}, {one.low:.3f} to {one.high:.3f}"
            mark = Markup('<g><title>{}</title>{}<circle cx="{:.1f}" cy="{:.1f}" r="5" class="dot{}"/></g>')
            bar = line.format(x, plot.y(one.low), x, plot.y(one.high), f"line{style}")
            parts.append(mark.format(told, bar, x, plot.y(one.value), style))
            parts.append(
                _text(x + (-9, 9)[number], plot.y(one.value) - 9, f"{one.value:.3f}", ("end", "start")[number])
            )
    return _svg(plot.width, plot.height, parts, title)


def standalone(figure: Markup) -> str:
    """Return a figure as an SVG file of its own, with the style sheet of the reports inside."""
    styles = files("tamis.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    ground = "svg { background: var(--card); font-family: system-ui, sans-serif; }"
    opened = str(figure).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return opened.replace(">", f"><style>{escape(styles + ground)}</style>", 1)


def shortened(name: str, most: int) -> str:
    """Return the name, its end left out where it is longer than `most` characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _grid(plot: Plot, values: Sequence[float]) -> Markup:
    parts = []
    for value in values:
        line = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="grid"/>')
        parts.append(line.format(plot.left, plot.y(value), plot.width - plot.right, plot.y(value)))
        parts.append(_text(plot.left - 8, plot.y(value), f"{value:.2g}", "end"))
    return Markup("").join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="label" text-anchor="{}">{}</text>').format(x, y + 4, anchor, text)


def _box(x: float, y: float, width: float, height: float, style: str, radius: float) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{:g}" class="{}"/>').format(
        x, y, width, height, radius, style
    )


def _svg(width: float, height: float, parts: Sequence[Markup], label: str) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" height="{:.0f}" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, width, height, label, Markup("").join(parts))
