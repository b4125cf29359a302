"""A cost by its cause as a drawing: both axes are logarithmic, so that a power is a straight line. SVG without scripts or colours of its own."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 40


def draw(title: str, across: str, up: str, points: Mapping[int, float], exponent: float) -> str:
    """One line of HTML: dots, and the straight line of this exponent through their middle."""
    xs, ys = _decades(list(points)), _decades(list(points.values()))
    placed = [(_x(x, xs), _y(y, ys)) for x, y in points.items()]
    words = f"{escape(title)} by {escape(across)}: grows with the power {exponent:.2f}"
    return "".join(
        [
            f'<svg role="img" aria-label="{words}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ',
            'font-size="11" fill="currentColor" stroke="none">',
            *_grid(xs, ys),
            _line(points, exponent, xs, ys),
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in placed),
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>',
            f'<text x="{LEFT}" y="{TOP - 3}" text-anchor="end">{escape(up)}</text>',
            "</svg>",
        ]
    )


def _decades(values: Sequence[float]) -> range:
    """The powers of ten from below the smallest to above the largest."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return range(first, max(last, first + 1) + 1)


def _x(value: float, decades: range) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - decades[0]) / (decades[-1] - decades[0])


def _y(value: float, decades: range) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(value) - decades[0]) / (decades[-1] - decades[0])


def _grid(xs: range, ys: range) -> Iterator[str]:
    """A line and its number at each power of ten."""
    low, high = HEIGHT - BOTTOM, TOP
    for power in xs:
        x = _x(10.0**power, xs)
        yield f'<path d="M{x:.1f} {low}V{high}" stroke="currentColor" stroke-opacity=".2"/>'
        yield f'<text x="{x:.1f}" y="{low + 15}" text-anchor="middle">{10.0**power:,.0f}</text>'
    for power in ys:
        y = _y(10.0**power, ys)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity=".2"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:,.10g}</text>'


def _line(points: Mapping[int, float], exponent: float, xs: range, ys: range) -> str:
    """Of all lines with this slope the one that least squares choose goes through the middle of the points."""
    middle_x = sum(map(math.log10, points)) / len(points)
    middle_y = sum(map(math.log10, points.values())) / len(points)
    ends = [(x, 10 ** (middle_y + exponent * (math.log10(x) - middle_x))) for x in (min(points), max(points))]
    (x1, y1), (x2, y2) = [(_x(x, xs), _y(y, ys)) for x, y in ends]
    drawn = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    return f'<path d="{drawn}" stroke="currentColor" stroke-dasharray="5 4" fill="none"/>'
