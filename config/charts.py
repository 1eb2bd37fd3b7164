"""Plots as geometry; templates/plot.html draws them, and says each number as well."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH, HEIGHT, ABOVE, BELOW, LEFT = 720, 120, 16, 18, 40  # user units


@dataclass(frozen=True)
class Point:
    """A number, and the time or name that it belongs to."""

    label: str
    value: int


@dataclass(frozen=True)
class Column:
    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


@dataclass(frozen=True)
class Plot:
    """top: the number that the highest column would reach; marks: (x, label) below the axis.

    unit: as the filter `measured` takes it, which says the numbers
    """

    title: str
    unit: str
    columns: list[Column]
    top: int
    marks: list[tuple[float, str]]

    width: int = WIDTH
    height: int = HEIGHT + BELOW
    baseline: int = HEIGHT
    left: int = LEFT

    @property
    def total(self) -> int:
        return sum(column.value for column in self.columns)


def bars(points: list[Point], unit: str, title: str, marks: int = 6) -> Plot:
    top = max([point.value for point in points], default=0) or 1
    step = (WIDTH - LEFT) / max(len(points), 1)
    columns = [
        Column(
            x=round(LEFT + n * step, 1),
            y=round(HEIGHT - point.value / top * (HEIGHT - ABOVE), 1),
            width=round(max(step - 1, 0.5), 1),
            height=round(point.value / top * (HEIGHT - ABOVE), 1),
            label=point.label,
            value=point.value,
        )
        for n, point in enumerate(points)
    ]
    every = max(len(points) // marks, 1)
    return Plot(title, unit, columns, top, [(c.x, c.label) for c in columns[::every]])


def by_hour(counts: Iterable[tuple[datetime, int]], *, hours: int, until: datetime) -> list[Point]:
    """The counts of each hour, the current one last; hours without any are 0."""
    summed: Counter[datetime] = Counter()
    for at, count in counts:
        summed[_hour(at)] += count
    last = _hour(until)
    span = [last - timedelta(hours=n) for n in reversed(range(hours))]
    return [Point(f"{hour:%d %b %H:00}", summed[hour]) for hour in span]


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
