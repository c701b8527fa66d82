"""Small line charts as SVG that stands inside a page: its colours are the page's, so that they follow light and dark.

A series is drawn in ``var(--series-N)``, all else in the colour of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 20, 10, 38
_DASHES: Final = ("", "5 3", "2 3")


@dataclass(frozen=True)
class Series:
    """A line through points ``(x, y)``; those whose ``y`` is None are left out."""

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that are there."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if x is not None and y is not None]


@dataclass(frozen=True)
class Axis:
    """A range with ticks: values and what is written at them."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float, start: float, length: float) -> float:
        """Where ``value`` lies on an axis that begins at ``start`` and is ``length`` long."""
        return start + length * (value - self.low) / (self.high - self.low)


def percents(label: str, low: float = 0.0, high: float = 1.0) -> Axis:
    """An axis of shares, written as percentages."""
    step = 0.2 if high - low > 0.5 else 0.1
    ticks = [(low + step * n, f"{100 * (low + step * n):.0f}%") for n in range(round((high - low) / step) + 1)]
    return Axis(label, low, high, ticks)


def line_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    width: int = 330,
    height: int = 230,
    diagonal: bool = False,
) -> Markup:
    """The chart as one ``<svg>``.

    Args:
        title: what a screen reader says.
        series: drawn in the order of the page's colours, told apart by their dashes too.
        x: the horizontal axis.
        y: the vertical axis.
        width: in CSS pixels, as is ``height``.
        height: of the whole picture.
        diagonal: also draw where y equals x.
    """
    wide, high = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return x.place(point[0], _LEFT, wide), y.place(point[1], _TOP + high, -high)

    parts = [
        Markup('<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">').format(
            width, height, width, height, title
        )
    ]
    for value, text in y.ticks:
        _, level = at((x.low, value))
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                _LEFT, width - _RIGHT, level, level
            )
        )
        parts.append(Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(_LEFT - 5, level + 4, text))
    for value, text in x.ticks:
        place, _ = at((value, y.low))
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(place, height - _BOTTOM + 16, text)
        )
    parts.append(
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(_LEFT + wide / 2, height - 5, x.label)
    )
    if diagonal:
        (x1, y1), (x2, y2) = at((0, 0)), at((1, 1))
        parts.append(
            Markup('<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(x1, y1, x2, y2)
        )
    for number, one in enumerate(series):
        places = [at(point) for point in one.points]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        parts.append(
            Markup(
                '<polyline class="line" style="stroke: var(--series-{})" stroke-dasharray="{}" points="{}"/>'
            ).format(number, _DASHES[number % len(_DASHES)], line)
        )
        parts.extend(
            Markup(
                '<circle r="2.5" style="fill: var(--series-{})" cx="{:.1f}" cy="{:.1f}"><title>{}</title></circle>'
            ).format(number, px, py, f"{one.name}: {point[0]:.3g}, {100 * point[1]:.1f}%")
            for (px, py), point in zip(places, one.points, strict=True)
        )
    parts.append(Markup("</svg>"))
    return Markup("\n").join(parts)


def legend(names: Sequence[str]) -> Markup:
    """What the lines are, in the colours and dashes that ``line_chart`` gives them."""
    entries = [
        Markup(
            '<span><svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true"><line class="line" '
            'style="stroke: var(--series-{})" stroke-dasharray="{}" x1="0" x2="24" y1="4" y2="4"/></svg> {}</span>'
        ).format(n, _DASHES[n % len(_DASHES)], name)
        for n, name in enumerate(names)
    ]
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(escape(entry) for entry in entries))
