"""STUN servers under Binding requests: how much CPU each answer costs."""

import abc
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import yaml

from bench.programs import on_core
from bench.servers import ServerError
from bench.usage import cpu_at_rest
from fairlead.datagram import Address
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask

_SOCKETS = 8
_PATIENCE, _START_SECONDS = 0.2, 15.0
#: where the questions come from
_CLIENTS = "127.0.0.2"


class Responder(Protocol):
    """A server that answers Bindings."""

    name: str
    address: Address

    @property
    def pid(self) -> int: ...

    def stop(self) -> None: ...


class Round(NamedTuple):
    asked: int
    answered: int
    cpu_ns: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU for each answer."""
        return self.cpu_ns / 1000 / max(1, self.answered)


class _Process(abc.ABC):
    """A child that is ready when it has answered a Binding."""

    name: str

    def __init__(self, core: int | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = Address(*probe.getsockname())
        self._folder = tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-")
        folder = Path(self._folder.name)
        command = on_core(core, self.command(folder))
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not measure(self, 1, 1).answered:
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise ServerError(f"{self.name} answers no Binding")

    @abc.abstractmethod
    def command(self, folder: Path) -> list[str]: ...

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()


class Stund(_Process):
    """stund of this checkout with one of its engines, whose name it has, and no limit for a source."""

    def __init__(self, engine: str, core: int | None) -> None:
        self.name = engine
        super().__init__(core)

    def command(self, folder: Path) -> list[str]:
        section = {
            "listen": [f"udp://{self.address}"],
            "ops": "127.0.0.1:0",
            "engine": self.name,
            "limits": {"bindings": {"rate": 0, "burst": 1}},
        }
        (folder / "bench.yaml").write_text(yaml.safe_dump({"log": {"level": "warning"}, "stund": section}))
        return [str(Path(sys.executable).with_name("stund")), "--config", str(folder / "bench.yaml")]


class TurnServer(_Process):
    """Debian's coturn as a STUN server."""

    name = "coturn"

    def command(self, folder: Path) -> list[str]:
        program = shutil.which("turnserver")
        if program is None:
            raise ServerError("coturn is not here: sudo apt-get install --no-install-recommends coturn")
        return [
            program, "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-tcp", "--no-cli", "--no-software-attribute",
            "--no-stun-backward-compatibility", "--relay-threads", "1",
            "--listening-ip", self.address.host, "--listening-port", str(self.address.port),
            "--pidfile", str(folder / "pid"), "--userdb", str(folder / "users"), "--log-file", "stdout",
        ]  # fmt: skip


def measure(server: Responder, count: int, window: int) -> Round:
    """Asks so often, with at most `window` questions open, from a few sockets in turn."""
    request = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)))
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(min(_SOCKETS, window))]
    for client in clients:
        client.settimeout(_PATIENCE)
        # Elsewhere than the server: while that is not there yet, its port is free, and who gets it hears himself.
        client.bind((_CLIENTS, 0))
        client.connect(tuple(server.address))
    asked = answered = 0
    before = cpu_at_rest(server.pid)
    waiting = itertools.cycle(clients)
    senders = itertools.cycle(clients)
    while answered < count:
        while asked < count and asked - answered < window:
            next(senders).send(request)
            asked += 1
        try:
            next(waiting).recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            break
        answered += 1
    used = cpu_at_rest(server.pid) - before
    for client in clients:
        client.close()
    return Round(asked, answered, used)
