"""Authenticated Allocates and Refreshes per CPU-second, ours beside others', in the same run."""

import argparse
from contextlib import closing

from bench import record
from bench.allocations import Plan, measure
from bench.lineup import PEERS, Lineup
from bench.topology import Cores, Loopback


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vs", nargs="+", choices=PEERS, default=["coturn"], help="compared with the first of these")
    record.add_arguments(parser)
    parser.add_argument("--engine", nargs="+", default=["python"], help="engines of turnd")
    parser.add_argument("--rounds", type=int, default=5, help="of each server, taken in turn")
    parser.add_argument("--count", type=int, default=3000, help="allocations of each round")
    parser.add_argument("--warm-up", type=int, default=300, help="allocations in front of them that do not count")
    parser.add_argument("--window", type=int, default=32, help="clients that are busy at any time")
    parser.add_argument("--turnd", metavar="COMMAND", help="what starts turnd, instead of the one of this environment")


def run(options: argparse.Namespace) -> int:
    cores = Cores.choose()
    plan = Plan(options.rounds, options.warm_up, options.count, options.window, cores)
    with (
        closing(Loopback()) as topology,
        Lineup(options.vs, options.engine, topology, cores, options.turnd) as lineup,
    ):
        rows = measure(lineup.servers, plan, print)
        rows += [{"case": "allocate", "engine": name, "missing": why} for name, why in lineup.missing.items()]
    for row in rows:
        if "ratio" in row:
            ours = f"{row['ratio']:.2f} of {row['peer']}, and a Refresh at {row['refresh_ratio']:.2f}"
            print(f"allocate: {row['engine']} is at {ours}")
    record.keep(rows, options)
    return 0
