"""The servers that are measured: each starts as the process that its users start, and has one relay thread."""

import abc
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import yaml

from bench.cases import Framing
from bench.programs import on_core
from bench.topology import Topology
from bench.trouble import BenchError
from bench.turn_call import TurnCall
from bench.turn_client import Account, TurnClient, TurnError
from fairlead.datagram import Address

ACCOUNT = Account("bench", "benchpassword")
REALM = "bench.invalid"
_START_SECONDS = 60.0
_OFF = {"rate": 0, "burst": 1}


class ServerError(BenchError):
    """A server that is to be measured does not run; the text says what to do."""


class Call(Protocol):
    """One client of a server: its socket, and the address that its peers know it by."""

    socket: socket.socket
    relayed: Address

    def reach(self, peer: Address, framing: Framing, size: int) -> bytes:
        """Lets packets through in both directions; returns what stands in front of each payload of that size."""
        ...

    def release(self) -> None: ...


class Server(Protocol):
    """A relay under load."""

    name: str
    address: Address

    @property
    def pid(self) -> int: ...

    def call(self) -> Call: ...

    def stop(self) -> None: ...


class Place(NamedTuple):
    """Where a server listens, what it relays from, whom it may relay to, and its core."""

    address: Address
    relay_host: str
    relay_ports: str
    peer_host: str
    core: int | None

    @classmethod
    def find(cls, topology: Topology, relay_ports: str, core: int | None) -> "Place":
        """On the relay's host, where nobody has the port at this moment."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((topology.listen_host, 0))
            address = Address(*probe.getsockname())
        return cls(address, topology.relay_host, relay_ports, topology.peer_host, core)


class Process(abc.ABC):
    """A TURN server as a child process, with a folder of its own that the command line may be written with."""

    name: str

    def __init__(self, place: Place) -> None:
        self.address = place.address
        self._folder = tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-")
        folder = Path(self._folder.name)
        self._log = folder / "output.txt"
        try:
            command = on_core(place.core, self.command(place, folder))
        except ServerError:
            self._folder.cleanup()
            raise
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        self._await_answer()

    @abc.abstractmethod
    def command(self, place: Place, folder: Path) -> list[str]:
        """What starts it; raises ServerError."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self) -> Call:
        return TurnCall(self.address, ACCOUNT)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _await_answer(self) -> None:
        """Returns when an allocation can be made; raises ServerError when that takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                TurnClient.with_allocation(self.address, ACCOUNT)[0].release()
                return
            except TurnError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self._log.read_text(errors="replace")
                    self.stop()
                    raise ServerError(f"{self.name} gives no allocation ({error}):\n{said}") from None
                time.sleep(0.1)


class Turnd(Process):
    """turnd of this checkout, by the name of one of its engines; `native+io_uring` is one with its turnd.io."""

    def __init__(self, engine: str, place: Place, command: str | None = None) -> None:
        self.name = engine
        self._program = command or str(Path(sys.executable).with_name("turnd"))
        super().__init__(place)

    def command(self, place: Place, folder: Path) -> list[str]:
        configuration = folder / "bench.yaml"
        configuration.write_text(yaml.safe_dump(self._configuration(place)))
        return [*self._program.split(), "--config", str(configuration)]

    def _configuration(self, place: Place) -> dict[str, object]:
        engine, _, io = self.name.partition("+")
        return {
            "log": {"level": "warning"},
            "auth": {
                "realm": REALM,
                "users": [{"name": ACCOUNT.username, "password": ACCOUNT.password}],
            },
            "turnd": {
                "listen": [f"udp://{place.address}"],
                "ops": "127.0.0.1:0",
                "engine": engine,
                "io": io or "auto",
                "relay": {"address": [place.relay_host], "ports": place.relay_ports, "port_hold": 0},
                "peers": {"allow": [place.peer_host]},
                "quotas": {"allocations": 0, "per_user": 0, "per_source": 0},
                "limits": {"challenges": _OFF, "failures": _OFF},
            },
        }


class Coturn(Process):
    """Debian's coturn with one relay thread, everything that is not relaying turned off."""

    name = "coturn"

    def command(self, place: Place, folder: Path) -> list[str]:
        program = shutil.which("turnserver")
        if program is None:
            raise ServerError("coturn is not here: sudo apt-get install --no-install-recommends coturn")
        first, last = place.relay_ports.split("-")
        return [
            program, "-n", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-cli", "--no-software-attribute",
            "--lt-cred-mech", "--user", f"{ACCOUNT.username}:{ACCOUNT.password}", "--realm", REALM,
            "--listening-ip", place.address.host, "--listening-port", str(place.address.port),
            "--relay-ip", place.relay_host, "--min-port", first, "--max-port", last, "--relay-threads", "1",
            "--allow-loopback-peers",
            "--pidfile", str(folder / "pid"), "--userdb", str(folder / "users"), "--log-file", "stdout",
        ]  # fmt: skip
