"""What calls lose and how long an Allocate takes while strangers flood the server.

The goals: calls lose less than 0.1 %, and a new Allocate succeeds within 3 s.
"""

import argparse
from typing import Any

from bench import record
from bench.flood import Defended, Flood, measure
from bench.junk import Kind
from bench.servers import Place
from bench.topology import Loopback

_PORTS = "40000-49999"
_LOSS, _SECONDS = 0.001, 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    record.add_arguments(parser)
    parser.add_argument("--engine", nargs="+", default=["python", "native"], help="engines of turnd")
    parser.add_argument("--kind", nargs="+", type=Kind, choices=list(Kind), default=list(Kind), help="what is sent")
    parser.add_argument("--rate", nargs="+", type=int, default=[0, 50_000], help="packets a second of the flood")
    parser.add_argument("--sources", type=int, default=1000, help="addresses that it comes from")
    parser.add_argument("--calls", type=int, default=100, help="each with 50 packets a second, which are echoed")
    parser.add_argument("--seconds", type=float, default=10.0)


def run(options: argparse.Namespace) -> int:
    """2 when a goal is missed."""
    rows: list[dict[str, Any]] = []
    try:
        for engine in options.engine:
            for rate in options.rate:
                server = Defended(engine, Place.find(Loopback(), _PORTS, None))
                try:
                    flood = Flood(options.kind, rate, options.sources)
                    rows.append(measure(server, flood, options.calls, options.seconds))
                finally:
                    server.stop()
                print(_line(rows[-1]))
    finally:
        record.keep(rows, options)
    return 0 if all(map(_is_good, rows)) else 2


def _is_good(row: dict[str, Any]) -> bool:
    is_served = row["allocates"] > 0 and not row["allocates_failed"] and row["allocate_seconds_max"] < _SECONDS
    return bool(is_served and row["loss"] < _LOSS)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['case']}: {row['engine']} at {row['flood_pps']:,} packets/s of junk: {row['calls']} calls lost "
        f"{row['loss']:.4%} of {row['packets']:,}, {row['allocates']} Allocates took at most "
        f"{row['allocate_seconds_max']:.3f} s, {row['allocates_failed']} failed; "
        f"{row['server_load']:.0%} of a core, {row['resident_growth_kib']:+} KiB"
    )
