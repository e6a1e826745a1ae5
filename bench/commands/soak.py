"""Tagged packets through allocations, permissions and channels that change all the time: none goes astray.

Every packet says whose it is, between whom, in which direction, and carries a checksum. Clients over UDP and TCP, IPv4
and IPv6, come, get permissions and channels, and end by all the ways that there are; what they were allowed is tried
on. A finding is a packet that reaches somebody else, is altered, arrives twice, or was sent more than a second after
its permission had ended. The exit status is 1 when there is one.
"""

import argparse
import asyncio
import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.churn import PORT_HOLD, Ground, Town
from bench.servers import ServerError
from bench.soak import Orders, Program
from bench.turn_client import TurnError
from fairlead.datagram import Address, Family, Transport
from fairlead.link import Ended, Event, LinkClient, Revoke, RevokeBy

_SECRET = "a secret for one soak"
_CLONE_NEWNET = 0x40000000
#: Seconds after which a revocation has failed.
_PATIENCE = 30.0
_OFF = {"rate": 0, "burst": 1}
_CLIENTS = {Family.IPV4: [f"127.0.1.{last}" for last in range(1, 6)], Family.IPV6: ["::1"]}
_RELAYS = {Family.IPV4: "127.0.0.1", Family.IPV6: "fd66::1"}
_LISTENERS = ["0.0.0.0", "[::1]"]  # noqa: S104 - in a network of its own
#: Two peers at each host: a permission is for both, a channel for one.
_PEERS = {
    Family.IPV4: [f"127.0.2.{last}" for last in range(1, 5)] * 2,
    Family.IPV6: [f"fd66::2:{last}" for last in range(1, 5)] * 2,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--packets", type=float, default=1e6, help="as in 1e8")
    parser.add_argument("--engine", default="native", help="of turnd")
    parser.add_argument("--threads", type=int, default=0, help="of the native engine; 0 leaves that to turnd")
    parser.add_argument("--io", default="auto", help="of the native engine: epoll, io_uring")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of clients and packets"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the report goes")
    parser.add_argument("--clients", type=int, default=60, help="at any time")
    parser.add_argument("--seconds", type=float, default=5.0, help="that an allocation lives, about")
    parser.add_argument("--patient", type=float, default=0.1, help="part of them that wait until permissions expire")
    parser.add_argument("--minutes", type=float, default=0, help="that it takes at most; 0 is no limit")
    parser.add_argument("--window", type=int, default=256, help="packets under way at any time")
    parser.add_argument(
        "--nice", type=int, default=0, help="of turnd's Python, as in nice(1): beside other work it is starved"
    )
    parser.add_argument(
        "--plant", choices=["none", "wrong", "altered", "late"], default="none", help="a fault that must be found"
    )


def run(options: argparse.Namespace) -> int:
    families = [Family.IPV4, Family.IPV6] if _own_network() else [Family.IPV4]
    report = asyncio.run(_soak(options, families))
    print(json.dumps(report, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["findings"] or report["deaf"] else 0


def _own_network() -> bool:
    """Moves this process into a network of its own, where IPv6 has more addresses than one; whether it could."""
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET):
        print("no right to make a network: peers are of IPv4 alone")
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for host in {_RELAYS[Family.IPV6], *_PEERS[Family.IPV6]}:
        subprocess.run(["ip", "-6", "address", "add", f"{host}/128", "dev", "lo", "nodad"], check=True)
    return True


async def _soak(options: argparse.Namespace, families: list[Family]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="soak-") as name, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port, folder = int(taken.getsockname()[1]), Path(name)
        taken.close()
        (folder / "soak.yaml").write_text(json.dumps(_configuration(options, port, folder / "link", families)))
        server = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("turnd"), "--config", folder / "soak.yaml", stdout=sys.stderr
        )
        try:
            await _await_listener(server, port)
            # Of its first thread alone: those of the engine run as they did.
            os.setpriority(os.PRIO_PROCESS, server.pid, options.nice)
            return await _measure(options, port, folder / "link", families)
        finally:
            if server.returncode is None:
                server.terminate()
            await server.wait()


async def _await_listener(server: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if server.returncode is not None:
                break
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise ServerError("turnd does not start; what it said stands above")


class Revocations:
    """Revokes user names. What a command to turnd's Python ends has ended when that says so: how long it took is a
    figure of its own, and no matter of what passes afterwards."""

    def __init__(self, link: Path) -> None:
        self.link = LinkClient(link, self._take)
        #: Seconds from a command to the end of what it was about.
        self.slowest = 0.0
        self._asked: dict[str, asyncio.Future[None]] = {}

    async def revoke(self, username: str) -> None:
        """Returns when the allocation of a user name has ended."""
        began, loop = time.monotonic(), asyncio.get_running_loop()
        ended = self._asked[username] = loop.create_future()
        self.link.send(Revoke(RevokeBy.USERNAME, username, "soak"))
        try:
            await asyncio.wait_for(ended, _PATIENCE)
        except TimeoutError:
            raise TurnError("a revocation ended nothing") from None
        finally:
            del self._asked[username]
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _take(self, event: Event) -> None:
        if isinstance(event, Ended) and event.reason == "revoked":
            ended = self._asked.get(event.username)
            if ended is not None and not ended.done():
                ended.set_result(None)


async def _measure(options: argparse.Namespace, port: int, link: Path, families: list[Family]) -> dict[str, Any]:
    program = Program(Orders(options.seed, int(options.packets), options.window, options.plant))
    commands = Revocations(link)
    commands.link.start()
    ground = Ground(
        servers=_servers(port),
        clients=_CLIENTS,
        peers={family: _PEERS[family] for family in families},
        secret=_SECRET.encode(),
        revoke=commands.revoke,
        patient=options.patient,
        seconds=options.seconds,
    )
    await program.start()
    try:
        dice = random.Random(options.seed)  # noqa: S311 - it keeps no secret, and a seed repeats it
        at_most = 60 * options.minutes if options.minutes else None
        await Town(program, ground, dice).live(options.clients, at_most)
    finally:
        await program.stop()
        await commands.link.stop()
    what = {
        "case": "soak",
        "engine": options.engine,
        "threads": options.threads,
        "io": options.io,
        "seed": options.seed,
        "nice": options.nice,
        "plant": options.plant,
    }
    said = {
        "ended_by": dict(ground.ends),
        "troubles": dict(ground.troubles),
        "found": program.findings,
        "families": len(families),
        "slowest_revocation": round(commands.slowest, 3),
    }
    return what | program.report | said


def _servers(port: int) -> list[tuple[Transport, Address]]:
    """One listener hears all addresses of IPv4, and answers from the one that was written to."""
    hosts = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "::1"]
    udp = [(Transport.UDP, Address(host, port)) for host in hosts]
    return [*udp, (Transport.TCP, Address("127.0.0.1", port)), (Transport.TCP, Address("::1", port))]


def _configuration(options: argparse.Namespace, port: int, link: Path, families: list[Family]) -> dict[str, Any]:
    everybody = {"connections_per_source": 4096, "half_open_per_source": 256}
    return {
        "log": {"level": "warning"},
        "auth": {
            "secrets": [{"name": "soak", "value": _SECRET}],
        },
        "link": {"socket": str(link)},
        "turnd": {
            "listen": [f"{scheme}://{host}:{port}" for scheme in ("udp", "tcp") for host in _LISTENERS],
            "ops": "127.0.0.1:0",
            "drain_deadline": 0,
            "engine": options.engine,
            "threads": options.threads or "auto",
            "io": options.io,
            "relay": {
                "address": [_RELAYS[family] for family in families],
                "ports": "20000-29999",
                "port_hold": PORT_HOLD,
            },
            "peers": {"allow": ["loopback", "unique_local"]},
            "quotas": {"allocations": 0, "per_user": 0, "per_source": 0},
            "limits": {"challenges": _OFF, "failures": _OFF},
            "streams": everybody,
        },
    }
