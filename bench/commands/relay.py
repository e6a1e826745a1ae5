"""Packets per CPU-second of relays, ours beside another server's, in the same run."""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.cases import Direction, Framing, combinations
from bench.floor import Floor
from bench.relay import Cores, Plan, measure, measure_generator
from bench.servers import PEERS, Server, Turnd, free_port

#: What no relay can be cheaper than, by name, and whether it merges and cuts trains.
_FLOORS = {"floor": True, "floor-plain": False}

_OUR_PORTS = "40000-49999"
_THEIR_PORTS = "50000-59999"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vs", choices=PEERS, default="coturn", help="the server to compare with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go")
    parser.add_argument("--engine", nargs="+", default=["python"], help="engines of turnd; floor, floor-plain")
    parser.add_argument("--allocations", nargs="+", type=int, default=[1, 100])
    parser.add_argument("--size", nargs="+", type=int, default=[172], help="bytes of application data, multiples of 4")
    parser.add_argument("--direction", nargs="+", type=Direction, choices=list(Direction), default=[Direction.BOTH])
    parser.add_argument("--framing", nargs="+", type=Framing, choices=list(Framing), default=[Framing.CHANNEL])
    parser.add_argument("--train", nargs="+", type=int, default=[1], help="packets of a sender that leave together")
    parser.add_argument("--rounds", type=int, default=5, help="of each server in each case, taken in turn")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--window", type=int, default=64, help="packets under way at any time")
    parser.add_argument("--turnd", metavar="COMMAND", help="what starts turnd, instead of the one of this environment")


def run(options: argparse.Namespace) -> int:
    """What has been measured is written, even where a server ends before its time."""
    rows: list[dict[str, Any]] = []
    try:
        for row in measured(options):
            print(f"{row['case']}: {row['engine']} is at {row['ratio']:.2f} of {row['peer']}")
            rows.append(row)
    finally:
        if options.json is not None:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Starts the servers, measures every case, and stops them."""
    plan = Plan(options.rounds, options.seconds, 0.3, options.window, Cores.choose())
    if plan.cores.relay is None:
        print("one core only: generator and relay share it, and the numbers say little")
    alone = measure_generator(plan, options.size[0], max(options.allocations))
    print(f"generator against a plain echo, each counted once: {alone}")
    with ExitStack() as stack:
        peer = PEERS[options.vs](free_port(), _THEIR_PORTS, plan.cores.relay)
        stack.callback(peer.stop)
        engines: list[tuple[str, Server]] = []
        for engine in options.engine:
            server: Server
            if engine in _FLOORS:
                server = Floor(plan.cores.relay, _FLOORS[engine])
            else:
                server = Turnd(engine, free_port(), _OUR_PORTS, plan.cores.relay, options.turnd)
            stack.callback(server.stop)
            engines.append((engine, server))
        asked = (options.allocations, options.size, options.direction, options.framing, options.train)
        for case in combinations(*asked):
            yield from measure(case, engines, peer, plan, print)
