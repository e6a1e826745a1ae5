"""A stund in the test's own loop, on loopback and ports that the system chooses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from fairlead.config import Loaded, load
from fairlead.daemon import Context, SystemClock
from fairlead.datagram import Address, Transport
from fairlead.metrics import Metrics
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask
from stund.config import StundSettings
from stund.server import Server
from tests.waiting import eventually

REQUEST = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(range(12))))
LOOPBACK: dict[str, Any] = {"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"], "listen_tls": ["tls://127.0.0.1:0"]}


def configured(folder: Path, shared: dict[str, Any] | None = None, **section: Any) -> Loaded[StundSettings]:
    file = folder / "fairlead.yaml"
    file.write_text(yaml.safe_dump({**(shared or {}), "stund": LOOPBACK | section}))
    return load(file, {}, "stund", StundSettings)


class Running:
    """A server and what it says of itself."""

    def __init__(self, loaded: Loaded[StundSettings]) -> None:
        self.metrics = Metrics("stund")
        self.server = Server(loaded, Context(self.metrics, SystemClock()))

    def address(self, transport: Transport, index: int = 0) -> Address:
        return [target.address for target in self.server.targets() if target.transport is transport][index]

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of one series; None without it."""
        wanted = "".join(f',{key}="{value}"' for key, value in sorted(labels.items())).lstrip(",")
        start = f"stund_{name}{{{wanted}}} " if wanted else f"stund_{name} "
        lines = self.metrics.expose()[1].decode().splitlines()
        return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), None)

    async def counts(self, value: float, name: str, **labels: str) -> None:
        """Waits until a series has come to a value: a thread counts what it has sent when that may have been heard."""
        await eventually(lambda: self.sample(name, **labels) == value)


@asynccontextmanager
async def running(loaded: Loaded[StundSettings]) -> AsyncIterator[Running]:
    found = Running(loaded)
    try:
        yield found
    finally:
        found.server.close()
        await found.server.streams.emptied()


async def ask(server: Address, request: bytes = REQUEST, host: str = "127.0.0.1") -> tuple[bytes, Address]:
    """Sends one datagram; returns the answer and where it came from."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, 0))
        await loop.sock_sendto(sock, request, tuple(server))
        async with asyncio.timeout(20):
            data, name = await loop.sock_recvfrom(sock, 2048)
        return data, Address(*name[:2])


async def ask_stream(server: Address, request: bytes = REQUEST, size: int = 32, **options: Any) -> bytes:
    """Sends bytes over a connection and reads the answer's."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*server, **options)
        try:
            writer.write(request)
            return await reader.readexactly(size)
        finally:
            writer.close()
