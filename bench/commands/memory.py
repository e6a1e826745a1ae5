"""Bytes of memory for each idle allocation, with a permission and a channel, ours beside others'."""

import argparse
from functools import partial

from bench import record
from bench.lineup import PEERS, start
from bench.memory import measure, ratios
from bench.topology import Cores, Loopback
from bench.trouble import BenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vs", nargs="+", choices=PEERS, default=["coturn"], help="compared with the first of these")
    record.add_arguments(parser)
    parser.add_argument("--engine", nargs="+", default=["python"], help="engines of turnd")
    parser.add_argument("--allocations", type=int, default=1000)


def run(options: argparse.Namespace) -> int:
    rows, missing = [], []
    cores, topology = Cores.choose(), Loopback()
    for name in (*options.vs, *options.engine):
        try:
            rows.append(measure(partial(start, name, topology, cores), options.allocations, print))
        except BenchError as error:
            print(f"{name} is not measured: {error}")
            missing.append({"case": "memory", "engine": name, "missing": str(error)})
    ratios(rows)
    record.keep(rows + missing, options)
    return 0
