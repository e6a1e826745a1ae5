"""`python -m bench relay --vs coturn --json FILE`: what relaying costs, beside what it costs another server."""

import argparse
import json
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.cases import Direction, Framing, combinations
from bench.generator import GeneratorError
from bench.relay import Cores, Plan, measure, measure_generator
from bench.results import LossError
from bench.servers import Coturn, Server, ServerError, Turnd, free_port
from bench.turn_client import TurnError

#: Servers to measure against, by name: from port, relay ports and core to a running server.
PEERS: dict[str, Callable[[int, str, int | None], Server]] = {"coturn": Coturn}

_OUR_PORTS = "40000-49999"
_THEIR_PORTS = "50000-59999"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    relay = top.add_subparsers(dest="load", required=True).add_parser("relay", help="packets per CPU-second of relays")
    relay.add_argument("--vs", choices=PEERS, default="coturn", help="the server to compare with")
    relay.add_argument("--json", type=Path, metavar="FILE", help="where the rows go")
    relay.add_argument("--engine", nargs="+", default=["python"], help="engines of turnd")
    relay.add_argument("--allocations", nargs="+", type=int, default=[1, 100])
    relay.add_argument("--size", nargs="+", type=int, default=[172], help="bytes of application data, multiples of 4")
    relay.add_argument("--direction", nargs="+", type=Direction, choices=list(Direction), default=[Direction.BOTH])
    relay.add_argument("--framing", nargs="+", type=Framing, choices=list(Framing), default=[Framing.CHANNEL])
    relay.add_argument("--train", nargs="+", type=int, default=[1], help="packets of a sender that leave together")
    relay.add_argument("--rounds", type=int, default=5, help="of each server in each case, taken in turn")
    relay.add_argument("--seconds", type=float, default=1.0, help="of each round")
    relay.add_argument("--window", type=int, default=64, help="packets under way at any time")
    relay.add_argument("--turnd", metavar="COMMAND", help="what starts turnd, instead of the one of this environment")
    return top


def main() -> int:
    """Exit status 0, or 1 when a server or the generator does not run; what has been measured by then is written."""
    options = parser().parse_args()
    rows: list[dict[str, Any]] = []
    # A socket for each client here, and one for each allocation in the servers, which inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        for row in relay(options):
            print(f"{row['case']}: {row['engine']} is at {row['ratio']:.2f} of {row['peer']}")
            rows.append(row)
    except (GeneratorError, LossError, ServerError, TurnError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if options.json is not None:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def relay(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
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
            server = Turnd(engine, free_port(), _OUR_PORTS, plan.cores.relay, options.turnd)
            stack.callback(server.stop)
            engines.append((engine, server))
        asked = (options.allocations, options.size, options.direction, options.framing, options.train)
        for case in combinations(*asked):
            yield from measure(case, engines, peer, plan, print)


if __name__ == "__main__":
    sys.exit(main())
