"""Rows as a picture: bars in groups, one group for each case, drawn as SVG that follows a page's light or dark."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

Row = dict[str, Any]

_WIDTH = 760
_LEFT, _RIGHT = 96, 136
_BAR, _GAP, _BETWEEN = 14, 5, 22
#: Above the bars of a group: its title, and its note.
_TITLE, _NOTE = 24, 16
_TOP = 74
_KNOWN = ("coturn", "pion", "turn-rs", "python", "native", "floor-plain", "floor")
_NAMES = {
    "python": "turnd, Python",
    "native": "turnd, native",
    "floor": "bare sockets",
    "floor-plain": "bare, no trains",
}

_TIMES = "\u00d7"

_STYLE = """
  :root { color-scheme: light dark }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: #24292f }
  .title { font-size: 17px; font-weight: 600 } .case { font-weight: 600 } .quiet { fill: #6e7781 }
  .value { font-variant-numeric: tabular-nums } .name { text-anchor: end }
  .bar { fill: #b6bec8 } .pion, .turn-rs { fill: #d0d7de } .python { fill: #7fb2f0 } .native { fill: #0969da }
  .floor, .floor-plain { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 } .axis { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .axis { stroke: #3d444d }
    .bar { fill: #6e7681 } .pion, .turn-rs { fill: #484f58 } .python { fill: #316dca } .native { fill: #58a6ff }
    .floor, .floor-plain { fill: none; stroke: #8d96a0 }
  }
"""


class Bar(NamedTuple):
    """One server: how long its bar is, and what stands behind it."""

    server: str
    value: float
    text: str


class Group(NamedTuple):
    """One case: its bars are drawn against `most`; an empty note is that of the group above."""

    title: str
    note: str
    bars: Sequence[Bar]
    most: float

    @property
    def head(self) -> int:
        return _TITLE + (_NOTE if self.note else 0)

    @property
    def height(self) -> int:
        return self.head + len(self.bars) * (_BAR + _GAP) + _BETWEEN


def draw(rows: Sequence[Row]) -> str:
    """The picture of all that the rows hold; raises ValueError when that is nothing."""
    measured = [row for row in rows if "ratio" in row]
    if not measured:
        raise ValueError("there is no measurement in these rows")
    groups = [*_relaying(measured), *_others(measured)]
    height = _TOP + sum(group.height for group in groups)
    parts = list(_drawn(groups))
    first = next((row for row in rows if "machine" in row), {})
    note = "The longer the better, unless a group says otherwise. All servers took turns on one core"
    machine = f" of {first['machine']}" if first else ""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img"',
            '     aria-label="What relaying costs turnd, coturn and others, as bars">',
            f"<style>{_STYLE}</style>",
            '<text class="title" x="16" y="32">What a CPU-second buys</text>',
            f'<text class="quiet" x="16" y="52">{escape(note + machine)}.</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _drawn(groups: Iterable[Group]) -> Iterator[str]:
    top = _TOP
    for group in groups:
        yield f'<text class="case" x="16" y="{top + 12}">{escape(group.title)}</text>'
        yield f'<text class="quiet" x="16" y="{top + 28}">{escape(group.note)}</text>'
        for number, bar in enumerate(group.bars):
            yield _bar(bar, group.most, top + group.head + number * (_BAR + _GAP))
        bottom = top + group.head + len(group.bars) * (_BAR + _GAP)
        yield f'<path class="axis" d="M{_LEFT + 16} {top + group.head - 4}V{bottom}"/>'
        top += group.height


def _bar(bar: Bar, most: float, top: int) -> str:
    length = max(1.0, (_WIDTH - _LEFT - _RIGHT - 16) * bar.value / most)
    left, base = _LEFT + 16, top + _BAR - 3
    return (
        f'<text class="name" x="{left - 6}" y="{base}">{escape(_NAMES.get(bar.server, bar.server))}</text>'
        f'<rect class="bar {bar.server}" x="{left}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        f'<text class="value" x="{left + length + 6:.1f}" y="{base}">{escape(bar.text)}</text>'
    )


def _relaying(rows: Sequence[Row]) -> list[Group]:
    """Packets per CPU-second, a group for each case of each topology, all on one scale."""
    relayed = [row for row in rows if "cpu_us_per_packet" in row]
    most = max((_per_second(row) for row in relayed), default=1.0)
    groups: list[Group] = []
    told = ""
    for key in dict.fromkeys((row["topology"], row["name"]) for row in relayed):
        own = [row for row in relayed if (row["topology"], row["name"]) == key]
        bars = [Bar(row["engine"], _per_second(row), _relayed_text(row)) for row in _sorted(own)]
        note = _case_note(own[0])
        groups.append(Group(f"Relaying: {_case_title(own[0])}", note if note != told else "", bars, most))
        told = note
    return groups


def _per_second(row: Row) -> float:
    return 1e6 / float(row["cpu_us_per_packet"])


def _relayed_text(row: Row) -> str:
    times = "" if row["engine"] == row["peer"] else f" · {row['ratio']:.2f} {_TIMES}"
    return f"{_per_second(row) / 1000:,.0f} k{times}"


def _case_title(row: Row) -> str:
    calls = "1 call" if row["allocations"] == 1 else f"{row['allocations']:,} calls"
    train, size = row["train"], row["size"]
    packets = f"trains of {train} {_TIMES} {size} B" if train > 1 else f"packets of {size} B"
    framing = " in indications" if row["case"] == "indications" else ""
    way = {"both": "both ways", "up": "from clients", "down": "to clients"}[row["direction"]]
    return f"{calls}, {packets}{framing}, {way}"


def _case_note(row: Row) -> str:
    if row["topology"] == "loopback":
        return "packets relayed per CPU-second of the relay, on the loopback"
    return "packets relayed per CPU-second of the relay and of the kernel's receiving for it, between namespaces"


def _others(rows: Sequence[Row]) -> Iterator[Group]:
    """Allocates, memory and round trips, each on its own scale."""
    allocates = [row for row in rows if row["case"] == "allocate"]
    yield from _group(
        "Allocates", "authenticated, in two round trips, per CPU-second", allocates,
        lambda row: 1e6 / row["cpu_us_per_allocate"], lambda value: f"{value:,.0f}",
    )  # fmt: skip
    weighed = [row for row in rows if row["case"] == "memory"]
    yield from _group(
        "Memory", "resident, for each idle allocation with a permission and a channel: the shorter the better", weighed,
        lambda row: row["rss_bytes_per_allocation"] / 1024, lambda value: f"{value:.1f} KiB",
    )  # fmt: skip
    timed = [row for row in rows if "round_trip" in row and not row["engine"].startswith("floor")]
    for key in dict.fromkeys((row["topology"], row["name"]) for row in timed):
        own = [row for row in timed if (row["topology"], row["name"]) == key]
        rate = own[0]["round_trip"]["round_trips_per_second"]
        note = f"median, at {rate:,} round trips a second, a fifth of {own[0]['peer']}'s most: the shorter the better"
        title = f"Round trip: {_case_title(own[0])}"
        yield from _group(title, note, own, lambda row: row["round_trip"]["p50_us"], lambda value: f"{value:,.0f} µs")


def _group(
    title: str, note: str, rows: Sequence[Row], value: Callable[[Row], float], text: Callable[[float], str]
) -> Iterator[Group]:
    if rows:
        bars = [Bar(row["engine"], value(row), text(value(row))) for row in _sorted(rows)]
        yield Group(title, note, bars, max(bar.value for bar in bars))


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: _KNOWN.index(row["engine"]) if row["engine"] in _KNOWN else len(_KNOWN))
