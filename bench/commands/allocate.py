"""Authenticated Allocates per CPU-second, ours beside another server's, in the same run."""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from bench.allocations import Plan, measure
from bench.relay import Cores
from bench.servers import PEERS, Server, Turnd, free_port

_OUR_PORTS = "40000-49999"
_THEIR_PORTS = "50000-59999"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vs", choices=PEERS, default="coturn", help="the server to compare with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go")
    parser.add_argument("--engine", nargs="+", default=["python"], help="engines of turnd")
    parser.add_argument("--rounds", type=int, default=5, help="of each server, taken in turn")
    parser.add_argument("--count", type=int, default=3000, help="allocations of each round")
    parser.add_argument("--warm-up", type=int, default=300, help="allocations in front of them that do not count")
    parser.add_argument("--window", type=int, default=32, help="clients that are busy at any time")
    parser.add_argument("--turnd", metavar="COMMAND", help="what starts turnd, instead of the one of this environment")


def run(options: argparse.Namespace) -> int:
    plan = Plan(options.rounds, options.warm_up, options.count, options.window, Cores.choose())
    with ExitStack() as stack:
        peer = PEERS[options.vs](free_port(), _THEIR_PORTS, plan.cores.relay)
        stack.callback(peer.stop)
        engines: list[tuple[str, Server]] = []
        for engine in options.engine:
            server = Turnd(engine, free_port(), _OUR_PORTS, plan.cores.relay, options.turnd)
            stack.callback(server.stop)
            engines.append((engine, server))
        rows = measure(engines, peer, plan, print)
    for row in rows:
        print(f"allocate: {row['engine']} is at {row['ratio']:.2f} of {row['peer']}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0
