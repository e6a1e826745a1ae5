"""Packets per CPU-second of relays, ours beside others', in the same run."""

import argparse
import platform
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from bench import record
from bench.cases import Direction, Framing, combinations
from bench.lineup import FLOORS, PEERS, Lineup
from bench.relay import Plan, measure, measure_generator
from bench.results import Round
from bench.topology import TOPOLOGIES, Cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vs", nargs="+", choices=PEERS, default=["coturn"], help="compared with the first of these")
    record.add_arguments(parser)
    parser.add_argument("--engine", nargs="+", default=["python"], help=f"engines of turnd; {', '.join(FLOORS)}")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="loopback", help="namespaces want root")
    parser.add_argument("--allocations", nargs="+", type=int, default=[1, 100])
    parser.add_argument("--size", nargs="+", type=int, default=[172], help="bytes of application data, multiples of 4")
    parser.add_argument("--direction", nargs="+", type=Direction, choices=list(Direction), default=[Direction.BOTH])
    parser.add_argument("--framing", nargs="+", type=Framing, choices=list(Framing), default=[Framing.CHANNEL])
    parser.add_argument("--train", nargs="+", type=int, default=[1], help="packets of a sender that leave together")
    parser.add_argument("--rounds", type=int, default=5, help="of each server in each case, taken in turn")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--window", type=int, default=64, help="packets under way at any time")
    parser.add_argument("--timed", type=int, default=0, help="rounds that time round trips, at a fifth of the load")
    parser.add_argument("--turnd", metavar="COMMAND", help="what starts turnd, instead of the one of this environment")


def run(options: argparse.Namespace) -> int:
    """What has been measured is written, even where a server ends before its time."""
    rows: list[dict[str, Any]] = []
    try:
        for row in measured(options):
            print(_line(row))
            rows.append(row)
    finally:
        record.keep(rows, options)
    return 0


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Starts the servers, measures every case, and stops them."""
    cores = Cores.choose()
    if cores.relay is None:
        print("one core only: generator and relay share it, and the numbers say little")
    with closing(TOPOLOGIES[options.topology](cores)) as topology:
        plan = Plan(options.rounds, options.seconds, 0.3, options.window, cores, topology, options.timed)
        alone = measure_generator(plan, options.size[0], max(options.allocations))
        print(f"generator against a plain echo, each counted once: {alone}")
        yield _generator_row(alone, options)
        with Lineup(options.vs, options.engine, topology, cores, options.turnd) as lineup:
            for name, reason in lineup.missing.items():
                yield {"case": "start", "engine": name, "topology": topology.name, "missing": reason}
            asked = (options.allocations, options.size, options.direction, options.framing, options.train)
            for case in combinations(*asked):
                yield from measure(case, lineup.servers, plan, print)


def _generator_row(alone: Round, options: argparse.Namespace) -> dict[str, Any]:
    """What the generator does against nothing but an echo; every echo is two packets of a relay's."""
    return {
        "case": "generator",
        "engine": "echo",
        "topology": options.topology,
        "machine": f"{platform.machine()}, Linux {platform.release()}",
        "allocations": max(options.allocations),
        "size": options.size[0],
        "packets_per_second": round(2 * alone.delivered / alone.seconds),
        "echo_cpu_us": round(alone.cpu_us_per_packet, 3),
        "generator_cpu_us": round(alone.generator_cpu_ns / 1000 / alone.delivered, 3),
    }


def _line(row: dict[str, Any]) -> str:
    name = f"{row.get('name', row['case'])}: {row['engine']}"
    if "missing" in row:
        return f"{name} is not measured: {row['missing']}"
    if "ratio" not in row:
        return f"{name}: {row['packets_per_second']:,} packets/s"
    timed = f", median round trip {row['round_trip']['p50_us']:.0f} us" if "round_trip" in row else ""
    return f"{name} is at {row['ratio']:.2f} of {row['peer']}{timed}"
