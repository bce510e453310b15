"""Line charts as SVG paths, for pages whose colours follow the reader's light or dark setting."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

WIDTH, HEIGHT = 640, 220
LEFT, BOTTOM, TOP = 56, 26, 10
DEGREES, TICKS = 100, 5


@dataclass(frozen=True)
class Chart:
    """Everything in the coordinates of a box of `WIDTH` x `HEIGHT`; ticks are (place, label)."""

    lines: tuple[tuple[str, str], ...]
    """(name, SVG path)."""
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    filled: bool
    marker: tuple[float, str] | None = None
    """A vertical line."""
    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT


def densities(counts: Mapping[int, int]) -> list[tuple[int, int, float]]:
    """(least length, least length of the next bin, documents per doubling of length): bins are not equally wide."""
    found = []
    for low in sorted(low for low in counts if low > 0):
        high = low + (1 << max(0, low.bit_length() - 3))
        found.append((low, high, counts[low] / math.log2(high / low)))
    return found


def length_chart(series: Mapping[str, Mapping[int, int]]) -> Chart:
    """Documents per doubling of length, against length in characters on a logarithmic axis.

    Args:
        series: by name, documents by the least length of their bin (`lifecycle.ledger.length_bin`).
    """
    steps = {name: densities(counts) for name, counts in series.items()}
    longest = max((end for each in steps.values() for _, end, _ in each), default=10)
    top = max((height for each in steps.values() for *_, height in each), default=1.0)
    lines = [(name, _outline(each, longest, top)) for name, each in steps.items()]
    powers = range(math.floor(math.log10(longest)) + 1)
    x_ticks = [(_x(math.log(10**power, longest)), _short(10**power)) for power in powers]
    return Chart(tuple(lines), tuple(x_ticks), _y_ticks(top), filled=True)


def _outline(steps: Sequence[tuple[int, int, float]], longest: int, top: float) -> str:
    path: list[str] = []
    ground, reached = _y(0), 0
    for begin, end, height in steps:
        x, x_end, y = _x(math.log(begin, longest)), _x(math.log(end, longest)), _y(height / top)
        if begin != reached:
            path.append(f"V{ground:.1f}M{x:.1f},{ground:.1f}" if path else f"M{x:.1f},{ground:.1f}")
        path.append(f"V{y:.1f}H{x_end:.1f}")
        reached = end
    return "".join(path) + f"V{ground:.1f}" if path else ""


def collision_chart(bands: int, rows: int, threshold: float) -> Chart:
    """Probability that two documents meet in a band of MinHash, against their Jaccard similarity."""
    shares = [step / DEGREES for step in range(DEGREES + 1)]
    points = [f"{_x(share):.1f},{_y(1 - (1 - share**rows) ** bands):.1f}" for share in shares]
    ticks = [0, 0.25, 0.5, 0.75, 1]
    return Chart(
        (("probability to be compared", "M" + "L".join(points)),),
        tuple((_x(tick), f"{tick:g}") for tick in ticks),
        tuple((_y(tick), f"{tick:g}") for tick in ticks),
        filled=False,
        marker=(_x(threshold), f"duplicates from {threshold:.2f}"),
    )


def line_chart(series: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> Chart:
    """Values against steps, one line or several of one colour for each name; both axes are linear, that of the values need
    not begin at 0."""
    points = [point for lines in series.values() for each in lines for point in each]
    last = max(x for x, _ in points) or 1
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = 0.05 * (high - low or abs(high) or 1.0)
    low, high = low - room, high + room

    def path(line: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{_x(x / last):.1f},{_y((y - low) / (high - low)):.1f}" for x, y in line)

    return Chart(
        tuple((name, "".join(map(path, lines))) for name, lines in series.items()),
        tuple((_x(tick / last), f"{tick:g}") for tick in round_ticks(0, last)),
        tuple((_y((tick - low) / (high - low)), f"{tick:.4g}") for tick in round_ticks(low, high)),
        filled=False,
    )


def round_ticks(low: float, high: float) -> list[float]:
    """At most six round numbers from `low` to `high`."""
    step = 10 ** math.floor(math.log10((high - low) / TICKS))
    step = next(step * times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= TICKS + 1)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _y_ticks(top: float) -> tuple[tuple[float, str], ...]:
    step = 10 ** math.floor(math.log10(max(top, 1)))
    step = next(s for s in (step / 5, step / 2, step, step * 2, step * 5) if top / s <= 5)
    return tuple((_y(n * step / top), _short(n * step)) for n in range(int(top / step) + 1))


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - 12)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
