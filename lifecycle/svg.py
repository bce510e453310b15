"""Pictures as SVG files, written without a drawing library: to import and use one costs as much as curating 30 MB of text.

All stand on a white ground, as those of `lifecycle.plots` do, and so read well on a light and on a dark page.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from unicodedata import east_asian_width

from lifecycle.charts import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Chart
from lifecycle.files import write_atomically
from lifecycle.plots import COLOURS, PLOTS

INK, SOFT, LINE = "#1c2126", "#59636e", "#d5dae0"
TITLE, FOOT, ROW, EDGE = 28, 24, 20, 12
"""Heights of the title, of the line below, of a bar with its distance; and the margin."""
BARS = 420
"""Width of the longest bar."""
CHARACTER, WIDE_CHARACTER = 6.7, 12.0
"""Widths of text at 12 pixels; the font is the reader's, so they are on the safe side."""


def write_bars(
    run_dir: Path, name: str, title: str, bars: Sequence[tuple[str, int, str]], foot: str, colour: str = COLOURS[0]
) -> None:
    """Horizontal bars, from top to bottom.

    Args:
        bars: label, length, and what is written behind the bar.
        foot: what the lengths are.
    """
    begin = EDGE + max((_width(label) for label, *_ in bars), default=0.0)
    most = max((count for _, count, _ in bars), default=0) or 1
    behind = max((_width(note) for *_, note in bars), default=0.0)
    drawn = []
    for place, (label, count, note) in enumerate(bars):
        drawn += _bar(place, label, begin, [(count / most, colour, None)])
        drawn.append(_text(begin + 8 + BARS * count / most, _middle(place), note, SOFT))
    _write(run_dir, name, title, drawn, begin + BARS + behind + 2 * EDGE, TITLE + ROW * len(bars) + FOOT, foot, begin)


def write_shares(
    run_dir: Path,
    name: str,
    title: str,
    rows: Sequence[tuple[str, Sequence[int]]],
    parts: Sequence[tuple[str, str]],
    foot: str,
) -> None:
    """Bars of 100 %, each cut into the same parts.

    Args:
        rows: label, and a count for each part.
        parts: name and colour of each.
    """
    begin = EDGE + max((_width(label) for label, _ in rows), default=0.0)
    drawn = []
    for place, (label, counts) in enumerate(rows):
        whole = sum(counts) or 1
        told = [(count / whole, colour, f"{part}: {count:,}") for count, (part, colour) in zip(counts, parts, strict=True)]
        drawn += _bar(place, label, begin, told)
    legend = TITLE + ROW * len(rows) + ROW
    names, end = _legend(parts, EDGE, legend)
    height = TITLE + ROW * (len(rows) + 1) + FOOT
    _write(run_dir, name, title, drawn + names, max(begin + BARS, end) + 2 * EDGE, height, foot, begin)


def write_lines(run_dir: Path, name: str, title: str, chart: Chart, colours: Sequence[str], foot: str) -> None:
    """Lines over two axes.

    Args:
        colours: one for each line.
        foot: what the axes are.
    """
    grid = [f'<path d="M{LEFT},{TITLE + y:.1f}H{WIDTH - EDGE}" stroke="{LINE}"/>' for y, _ in chart.y_ticks]
    grid += [_text(LEFT - 6, TITLE + y + 4, label, SOFT, "end") for y, label in chart.y_ticks]
    grid += [_text(x, TITLE + HEIGHT - 10, label, SOFT, "middle") for x, label in chart.x_ticks]
    lines = [
        f'<path transform="translate(0 {TITLE})" d="{path}" stroke="{colour}" stroke-width="1.5" fill="{colour}" '
        f'fill-opacity="{0.25 if chart.filled else 0}"/>'
        for (_, path), colour in zip(chart.lines, colours, strict=True)
    ]
    if chart.marker:
        x, words = chart.marker
        lines.append(
            f'<path d="M{x:.1f},{TITLE + TOP}V{TITLE + HEIGHT - BOTTOM}" stroke="{COLOURS[3]}" stroke-dasharray="4 3"/>'
        )
        lines.append(_text(x - 6, TITLE + TOP + 10, words, SOFT, "end"))
    named = [(words, colour) for (words, _), colour in zip(chart.lines, colours, strict=True)]
    legend, _ = _legend(named, LEFT, TITLE + HEIGHT + 8) if chart.filled else ([], 0.0)
    height = TITLE + HEIGHT + FOOT + (ROW if chart.filled else 0)
    _write(run_dir, name, title, grid + lines + legend, WIDTH, height, foot, LEFT)


def _bar(place: int, label: str, begin: float, parts: Sequence[tuple[float, str, str | None]]) -> list[str]:
    """One row: its label, and one part after another: the share of `BARS`, the colour, and what a pointer is told."""
    drawn = [_text(begin - 6, _middle(place), label, INK, "end")]
    left = begin
    for share, colour, told in parts:
        if share:
            title = f"<title>{escape(told)}</title>" if told else ""
            drawn.append(
                f'<rect x="{left:.1f}" y="{TITLE + ROW * place + 2}" width="{BARS * share:.1f}" height="{ROW - 5}" '
                f'fill="{colour}">{title}</rect>'
            )
        left += BARS * share
    return drawn


def _middle(place: int) -> float:
    return TITLE + ROW * place + 14


def _legend(names: Sequence[tuple[str, str]], x: float, y: float) -> tuple[list[str], float]:
    """Squares of a colour with its name, and where they end."""
    drawn = []
    for name, colour in names:
        drawn.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="11" height="11" rx="2" fill="{colour}"/>')
        drawn.append(_text(x + 16, y, name, SOFT))
        x += 30 + _width(name)
    return drawn, x


def _text(x: float, y: float, words: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def _width(words: str) -> float:
    return 8 + sum(WIDE_CHARACTER if east_asian_width(each) in "WF" else CHARACTER for each in words)


def _write(
    run_dir: Path, name: str, title: str, drawn: Sequence[str], width: float, height: float, foot: str, begin: float
) -> None:
    wide = max(width, 1.15 * _width(title) + 2 * EDGE, begin + _width(foot))
    head = f'<text x="{EDGE}" y="18" fill="{INK}" font-weight="bold">{escape(title)}</text>'
    write_atomically(
        run_dir / PLOTS / f"{name}.svg",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {wide:.0f} {height:.0f}" font-family="system-ui, Noto Sans, Noto Sans CJK SC, sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{head}{"".join(drawn)}'
        f"{_text(begin, height - 8, foot, SOFT)}</svg>\n",
    )
