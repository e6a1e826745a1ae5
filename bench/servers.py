"""The servers that are measured: each starts as the process that its users start, and has one relay thread."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import yaml

from bench.cases import Framing
from bench.trouble import BenchError
from bench.turn_call import TurnCall
from bench.turn_client import Account, TurnClient, TurnError
from fairlead.datagram import Address

ACCOUNT = Account("bench", "bench-password")
REALM = "bench.invalid"
_HOST = "127.0.0.1"
_START_SECONDS = 15.0
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


class Process:
    """A server as a child process with a folder of its own; `text` is what it has written so far."""

    def __init__(self, command: list[str], folder: Path, core: int | None) -> None:
        self._program = command[0]
        self._log = folder / "output.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        self._core = core

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_answer(self, address: Address) -> None:
        """Returns when an allocation can be made; raises ServerError when that takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                TurnClient.with_allocation(address, ACCOUNT)[0].release()
                break
            except TurnError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise ServerError(f"{self._program} gives no allocation ({error}):\n{self.text}") from None
                time.sleep(0.1)
        self._pin()

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _pin(self) -> None:
        """Puts every thread that the server has by now on the core."""
        if self._core is not None:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                os.sched_setaffinity(int(thread), {self._core})


class Turnd:
    """turnd of this checkout, with one of its engines."""

    name = "turnd"

    def __init__(self, engine: str, port: int, relay_ports: str, core: int | None, command: str | None = None) -> None:
        self.engine = engine
        self.address = Address(_HOST, port)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-turnd-")
        folder = Path(self._folder.name)
        configuration = folder / "bench.yaml"
        configuration.write_text(yaml.safe_dump(self._configuration(relay_ports)))
        program = command or str(Path(sys.executable).with_name("turnd"))
        self._process = Process([*program.split(), "--config", str(configuration)], folder, core)
        self._process.await_answer(self.address)

    def _configuration(self, relay_ports: str) -> dict[str, object]:
        return {
            "log": {"level": "warning"},
            "auth": {
                "realm": REALM,
                "users": [{"name": ACCOUNT.username, "password": ACCOUNT.password}],
            },
            "turnd": {
                "listen": [f"udp://{self.address}"],
                "ops": f"{_HOST}:0",
                "engine": self.engine,
                "relay": {"address": [_HOST], "ports": relay_ports, "port_hold": 0},
                "peers": {"allow": ["loopback"]},
                "quotas": {"allocations": 0, "per_user": 0, "per_source": 0},
                "limits": {"challenges": _OFF, "failures": _OFF},
            },
        }

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self) -> Call:
        return TurnCall(self.address, ACCOUNT)

    def stop(self) -> None:
        self._process.stop()
        self._folder.cleanup()


class Coturn:
    """Debian's coturn with one relay thread, everything that is not relaying turned off."""

    name = "coturn"

    def __init__(self, port: int, relay_ports: str, core: int | None) -> None:
        program = shutil.which("turnserver")
        if program is None:
            raise ServerError("coturn is not here: sudo apt-get install --no-install-recommends coturn")
        self.address = Address(_HOST, port)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-coturn-")
        folder = Path(self._folder.name)
        first, last = relay_ports.split("-")
        command = [
            program, "-n", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-cli", "--no-software-attribute",
            "--lt-cred-mech", "--user", f"{ACCOUNT.username}:{ACCOUNT.password}", "--realm", REALM,
            "--listening-ip", _HOST, "--relay-ip", _HOST, "--listening-port", str(port),
            "--min-port", first, "--max-port", last, "--allow-loopback-peers", "--relay-threads", "1",
            "--pidfile", str(folder / "pid"), "--userdb", str(folder / "users"), "--log-file", "stdout",
        ]  # fmt: skip
        self._process = Process(command, folder, core)
        self._process.await_answer(self.address)

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self) -> Call:
        return TurnCall(self.address, ACCOUNT)

    def stop(self) -> None:
        self._process.stop()
        self._folder.cleanup()


#: Servers to measure against, by name: from port, relay ports and core to a running server.
PEERS: dict[str, Callable[[int, str, int | None], Server]] = {"coturn": Coturn}


def free_port() -> int:
    """A UDP port of the loopback that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
