"""Signaling beside peerjs-server and centrifuge: an idle client, a connect, a relayed frame; and a node that dies."""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from bench.signaling.deaths import death_of_a_node, row
from bench.signaling.measures import WARM_UP, Plan, Round, generator_alone, idle_clients, relayed_frames, rows
from bench.signaling.servers import SERVERS
from bench.topology import Cores
from bench.trouble import BenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), help="what to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, taken in turn, each a fresh process")
    parser.add_argument("--idle", type=int, default=2000, help="clients that do nothing")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of clients that send each other frames")
    parser.add_argument("--rate", type=float, default=2000, help="frames a second of all of them together")
    parser.add_argument("--dying", type=int, default=200, help="clients of a node that is killed; 0 for none")
    parser.add_argument("--fast-rate", type=float, default=10000, help="frames a second of a second pace")
    parser.add_argument("--seconds", type=float, default=5, help="that they talk at each pace")


def run(options: argparse.Namespace) -> int:
    plan = Plan(options.rounds, options.idle, options.pairs, options.rate, options.fast_rate, options.seconds)
    cores, own = Cores.choose(), os.sched_getaffinity(0)
    if cores.generator is not None:
        os.sched_setaffinity(0, {cores.generator})
    try:
        print("the load alone, against an echo", " | ".join(map(str, generator_alone(plan))), flush=True)
        entries = _measure(options.servers, plan, cores) + _kill(options.dying, cores)
    finally:
        os.sched_setaffinity(0, own)
    if options.json is not None:
        options.json.write_text(json.dumps(entries, indent=2) + "\n")
    return 0 if entries else 1


def _kill(clients: int, cores: Cores) -> list[dict[str, Any]]:
    """The others have no session that could go on elsewhere."""
    if not clients:
        return []
    try:
        death = asyncio.run(death_of_a_node(clients, cores, asyncio.sleep))
    except BenchError as error:
        print(f"the death of a node is left out: {error}")
        return []
    print(death, flush=True)
    return [row(death)]


def _measure(servers: list[str], plan: Plan, cores: Cores) -> list[dict[str, Any]]:
    taken: dict[str, list[Round]] = {name: [] for name in servers}
    versions = dict.fromkeys(servers, "")
    for number in range(plan.rounds):
        for name in tuple(taken):
            try:
                one, versions[name] = _round(name, plan, cores)
            except BenchError as error:
                print(f"{name} is left out: {error}")
                del taken[name]
                continue
            taken[name].append(one)
            print(f"{number + 1}/{plan.rounds} {name:14} {one}", flush=True)
    return rows(taken, versions, plan)


def _round(name: str, plan: Plan, cores: Cores) -> tuple[Round, str]:
    # Sessions outlive their connections, so a server may have to keep all that come in one after the other.
    taken: list[Any] = []
    for measure in (idle_clients, relayed_frames):
        server = SERVERS[name](cores.relay, WARM_UP + plan.idle + 2 * plan.pairs)
        try:
            taken += asyncio.run(measure(server, plan, asyncio.sleep))
        finally:
            server.stop()
    return Round(*taken), server.version
