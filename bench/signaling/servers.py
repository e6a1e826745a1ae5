"""Signaling servers as the processes that their users start, each on one core."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import yaml

from bench.programs import cache
from bench.servers import Place, Process, ServerError
from bench.signaling.dialects import JOIN_KEY, Centrifuge, Client, PeerJs, SigV1
from fairlead.datagram import Address

_HOST = "127.0.0.1"
_START_SECONDS = 20.0
_INSTALL_SECONDS = 900.0
_SOURCES = Path(__file__).parent


class Signaling(Protocol):
    """A server under load; `version` is what was measured."""

    name: str
    version: str

    @property
    def pid(self) -> int: ...

    def client(self, pair: int, is_first: bool) -> Client: ...

    def stop(self) -> None: ...


class _Served(Process):
    """A process that listens on a TCP port of its own; `clients` is how many come in while it lives."""

    def __init__(self, core: int | None, clients: int) -> None:
        with socket.create_server((_HOST, 0)) as probe:
            address = Address(*probe.getsockname()[:2])
        self.clients = clients
        super().__init__(Place(address, _HOST, "", _HOST, core))

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    said = self._log.read_text(errors="replace")
                    self.stop()
                    raise ServerError(f"{self.name} does not listen on {self.address}:\n{said}") from None
                time.sleep(0.1)
            else:
                return


class SignalApi(_Served):
    """signal_api of this checkout, with room for all clients to come from one address."""

    name = "signal_api"
    version = "this checkout"

    def command(self, place: Place, folder: Path) -> list[str]:
        configuration = folder / "bench.yaml"
        text = yaml.safe_dump(_configuration(place.address, self.clients, self.section()))
        configuration.write_text(text)
        return [str(Path(sys.executable).with_name("signal-api")), "--config", str(configuration)]

    def section(self) -> dict[str, object]:
        """What is configured beside what every load wants."""
        return {}

    def client(self, pair: int, is_first: bool) -> Client:
        return SigV1(str(self.address), pair)


class RedisServer(_Served):
    """The store of several nodes; it keeps nothing on disk."""

    name = "redis-server"
    version = ""

    def command(self, place: Place, folder: Path) -> list[str]:
        program = shutil.which(self.name)
        if program is None:
            raise ServerError("several nodes want Redis: sudo apt-get install --no-install-recommends redis-server")
        listen = ["--port", str(place.address.port), "--bind", place.address.host]
        return [program, *listen, "--save", "", "--appendonly", "no"]


class Node(SignalApi):
    """One of several, on a Redis."""

    def __init__(self, core: int | None, clients: int, redis: Address) -> None:
        self._redis = redis
        super().__init__(core, clients)

    def section(self) -> dict[str, object]:
        return {"engine": {"kind": "redis", "url": f"redis://{self._redis}/0"}}


def _configuration(address: Address, clients: int, more: dict[str, object]) -> dict[str, object]:
    # One address stands for thousands; everything else is as it ships.
    limits = {"connects_per_second": 1e6, "sessions_per_source": clients}
    section = {"listen": str(address), "ops": f"{_HOST}:0", "join_key": JOIN_KEY, "limits": limits}
    auth = {"realm": "bench.invalid", "secrets": [{"name": "bench", "value": "bench-secret-bench-secret"}]}
    return {"log": {"level": "warning"}, "auth": auth, "signal_api": section | more}


class PeerServer(_Served):
    """peerjs-server from npm."""

    name = "peerjs-server"
    version = "1.0.2"

    def command(self, place: Place, folder: Path) -> list[str]:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise ServerError("peerjs-server wants node: sudo apt-get install --no-install-recommends nodejs npm")
        program = _installed(npm, self.version) / "node_modules" / "peer" / "dist" / "bin" / "peerjs.js"
        limit = ["--concurrent_limit", str(self.clients)]
        return [node, str(program), "--port", str(place.address.port), "--path", "/", *limit]

    def client(self, pair: int, is_first: bool) -> Client:
        return PeerJs(str(self.address), pair, is_first)


def _installed(npm: str, version: str) -> Path:
    """The folder with peerjs-server, from the cache when it was installed before."""
    folder = cache() / f"peerjs-server-{version}"
    if not (folder / "installed").exists():
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCES / "peerjs" / name, folder)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        _build(command, folder, dict(os.environ))
        (folder / "installed").touch()
    return folder


class CentrifugeServer(_Served):
    """The library that Centrifugo is made of, in a program of a page: clients publish to each other's channels."""

    name = "centrifuge"
    version = "0.40.1"

    def command(self, place: Place, folder: Path) -> list[str]:
        return [str(_built(self.version)), str(place.address)]

    def client(self, pair: int, is_first: bool) -> Client:
        return Centrifuge(str(self.address), pair, is_first)


def _built(version: str) -> Path:
    program = cache() / f"centrifuge-{version}"
    if not program.exists():
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            raise ServerError("centrifuge is built by go: sudo apt-get install --no-install-recommends golang-go")
        fresh = program.with_suffix(f".{os.getpid()}")
        environment = os.environ | {"CGO_ENABLED": "0"}
        _build([go, "build", "-trimpath", "-o", str(fresh), "."], _SOURCES / "centrifuge", environment)
        fresh.replace(program)
    return program


def _build(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{command[0]} {command[1]} was not done after {_INSTALL_SECONDS:.0f} s") from None
    if run.returncode:
        raise ServerError(f"{command[0]} {command[1]} failed in {folder}:\n{run.stderr[-2000:]}")


#: Servers by name: from a core and a number of clients to one that runs.
SERVERS: dict[str, Callable[[int | None, int], Signaling]] = {
    server.name: server for server in (SignalApi, PeerServer, CentrifugeServer)
}
