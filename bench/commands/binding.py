"""Bindings per CPU-second: what a STUN server pays for an answer, ours beside coturn."""

import argparse
from typing import Any

from bench import record
from bench.binding import Responder, Round, Stund, TurnServer, measure
from bench.results import LOSS_LIMIT
from bench.topology import Cores
from bench.trouble import BenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    record.add_arguments(parser)
    parser.add_argument("--engine", nargs="+", default=["python", "native"], help="engines of stund")
    parser.add_argument("--rounds", type=int, default=5, help="of each server, taken in turn")
    parser.add_argument("--count", type=int, default=20_000, help="requests of each round")
    parser.add_argument("--window", type=int, default=32, help="requests under way at any time")


def run(options: argparse.Namespace) -> int:
    """What has been measured is written."""
    cores = Cores.choose()
    servers: list[Responder] = []
    rounds: dict[str, list[Round]] = {}
    try:
        servers.append(TurnServer(cores.relay))
        servers += [Stund(engine, cores.relay) for engine in options.engine]
        for _ in range(options.rounds):
            for server in servers:
                rounds.setdefault(server.name, []).append(measure(server, options.count, options.window))
    finally:
        for server in servers:
            server.stop()
    rows = [_row(name, taken, rounds[servers[0].name]) for name, taken in rounds.items()]
    record.keep(rows, options)
    for row in rows:
        print(
            f"{row['engine']}: {row['cpu_us_per_binding']:.2f} us of CPU a Binding, {row['ratio']:.2f} of {row['peer']}"
        )
    return 0


def _row(name: str, taken: list[Round], theirs: list[Round]) -> dict[str, Any]:
    """`ratio` is the peer's CPU over ours: above 1 we are cheaper."""
    cost, peer = _median(name, taken), _median("coturn", theirs)
    answered = sum(each.answered for each in taken)
    return {
        "case": "binding",
        "engine": name,
        "peer": "coturn",
        "answered": answered,
        "lost": sum(each.asked for each in taken) - answered,
        "cpu_us_per_binding": round(cost, 3),
        "bindings_per_cpu_second": round(1e6 / cost),
        "ratio": round(peer / cost, 3),
    }


def _median(name: str, taken: list[Round]) -> float:
    valid = sorted(each.cpu_us for each in taken if each.answered >= each.asked * (1 - LOSS_LIMIT))
    if not valid:
        raise BenchError(f"{name} answered too few requests in each round")
    return valid[len(valid) // 2]
