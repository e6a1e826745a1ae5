"""Daemons in this process, on sockets that the system chooses."""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.config import Loaded, load
from fairlead.daemon import Context, SystemClock
from fairlead.datagram import Transport
from fairlead.metrics import Metrics
from fairlead.native import EngineChoice
from tests.certificates import self_signed
from tests.conformance.kit import engine_or_skip
from tests.turnd.wire import WireClient, udp_socket
from turnd.config import TurndSettings
from turnd.daemon import Turnd
from turnd.dataplane.contract import EngineSettings

#: A relay on loopback that alice may use.
LOOPBACK: dict[str, Any] = {
    "auth": {"users": [{"name": "alice", "password": "wonderland"}]},
    "turnd": {
        "listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"],
        "relay": {"address": ["127.0.0.1"], "ports": "27000-27999"},
        "peers": {"allow": ["loopback"]},
    },
}


class Sockets:
    """Clients and peers of one test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def client(self, daemon: Turnd, username: str = "alice", password: str = "wonderland") -> WireClient:
        targets = daemon.listening.targets()
        server = next(target.address for target in targets if target.transport is Transport.UDP)
        return self._stack.enter_context(contextlib.closing(WireClient(server, username, password)))

    def peer(self) -> socket.socket:
        return self._stack.enter_context(udp_socket())


def require_native() -> None:
    """Skips a test where the native engine is missing."""
    engine_or_skip(EngineChoice.NATIVE, EngineSettings()).close()


Settle = Callable[..., Loaded[TurndSettings]]


@pytest.fixture
def settle(tmp_path: Path) -> Settle:
    """Writes a configuration and loads it: LOOPBACK with other keys of the section turnd, or of the top."""

    def settle(top: dict[str, Any] | None = None, **section: Any) -> Loaded[TurndSettings]:
        path = tmp_path / "fairlead.yaml"
        path.write_text(yaml.safe_dump(LOOPBACK | (top or {}) | {"turnd": LOOPBACK["turnd"] | section}))
        return load(path, {}, "turnd", TurndSettings)

    return settle


Start = Callable[[Loaded[TurndSettings]], Awaitable[Turnd]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts daemons, and stops them after the test."""
    started: list[Turnd] = []

    async def start(loaded: Loaded[TurndSettings]) -> Turnd:
        daemon = Turnd()
        started.append(daemon)
        await daemon.start(loaded, Context(Metrics("turnd"), SystemClock()))
        return daemon

    yield start
    for daemon in started:
        await daemon.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """The section tls with a certificate for loopback."""
    return {name: str(path) for name, path in self_signed(tmp_path)._asdict().items()}


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Opens clients and peers, and closes them after the test."""
    with contextlib.ExitStack() as stack:
        yield Sockets(stack)
