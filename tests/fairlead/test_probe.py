import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest

from fairlead import probe as module
from fairlead.config import TlsSettings
from fairlead.datagram import Address, Transport
from fairlead.metrics import Metrics
from fairlead.probe import ProbeError, SelfProbe, Target, declare_probe, main, probe
from fairlead.stun.binding import BindingSettings, Reply, answer_binding
from fairlead.stun.header import Class, Method
from fairlead.stun.message import decode, encode, new_mask
from fairlead.tls import load_certificate
from tests.certificates import self_signed
from tests.loopback import quiet_port, require_ipv6

Answer = Callable[[bytes, Address], bytes | None]


def right(request: bytes, source: Address) -> bytes:
    reply = answer_binding(decode(request), source, BindingSettings())
    assert isinstance(reply, Reply)
    return reply.data


def from_elsewhere(request: bytes, source: Address) -> bytes:
    return right(request, Address("192.0.2.1", 1))


def of_another(request: bytes, source: Address) -> bytes:
    return encode(Method.BINDING, Class.SUCCESS, new_mask(bytes(12)))


def refusing(request: bytes, source: Address) -> bytes:
    return encode(Method.BINDING, Class.ERROR, request[4:20])


def without_address(request: bytes, source: Address) -> bytes:
    return encode(Method.BINDING, Class.SUCCESS, request[4:20])


WRONG: list[tuple[Answer, str]] = [
    (from_elsewhere, "reflects 192.0.2.1:1 where 127.0.0.1:"),
    (of_another, "belongs to another transaction"),
    (refusing, "is no Binding success"),
    (without_address, "has no XOR-MAPPED-ADDRESS"),
    (lambda request, source: b"\x00" * 20, "is no STUN message"),
]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.asked = 0
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        reply = self._answer(data, Address(*addr[:2]))
        if reply is not None:
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def udp(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[tuple[Address, _Datagrams]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagrams(answer), local_addr=(host, 0))
    yield Address(*transport.get_extra_info("sockname")[:2]), protocol
    transport.close()
    await asyncio.sleep(0)


@asynccontextmanager
async def tcp(answer: Answer, folder: Path | None = None) -> AsyncIterator[Address]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(28)
        reply = answer(request, Address(*writer.get_extra_info("peername")[:2]))
        if reply is not None:
            writer.write(reply[:3])
            await asyncio.sleep(0.01)
            writer.write(reply[3:])
        writer.close()

    context = None
    if folder is not None:
        files = self_signed(folder)
        certificate = load_certificate(TlsSettings(certificate=files.certificate, key=files.key), ("stun.turn",))
        assert certificate is not None
        context = certificate.context
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Address(*server.sockets[0].getsockname())


async def ask(transport: Transport, address: Address) -> Address:
    return (await probe(transport, address, os.urandom, own_address=True)).mapped


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_right_answer_over_udp(host: str) -> None:
    if host == "::1":
        require_ipv6()
    async with udp(right, host) as (address, _):
        answer = await probe(Transport.UDP, address, os.urandom, own_address=True)
        assert answer.mapped.host == host
        assert 0 < answer.seconds < 2


async def test_a_right_answer_over_tcp_and_tls(tmp_path: Path) -> None:
    async with tcp(right) as address:
        assert (await ask(Transport.TCP, address)).host == "127.0.0.1"
    async with tcp(right, tmp_path) as address:
        assert (await ask(Transport.TLS, address)).host == "127.0.0.1"


@pytest.mark.parametrize(("answer", "wrong"), WRONG)
async def test_a_wrong_answer_says_what_is_wrong(answer: Answer, wrong: str) -> None:
    async with udp(answer) as (address, _):
        with pytest.raises(ProbeError, match=wrong):
            await ask(Transport.UDP, address)
    async with tcp(answer) as address:
        with pytest.raises(ProbeError, match=wrong):
            await ask(Transport.TCP, address)


async def test_behind_a_nat_another_address_is_right() -> None:
    async with udp(from_elsewhere) as (address, _):
        assert (await probe(Transport.UDP, address, os.urandom)).mapped == ("192.0.2.1", 1)


async def test_silence_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    async with udp(lambda request, source: None) as (address, _):
        with pytest.raises(ProbeError, match=rf"^no answer from udp://{address} within 0\.05 s$"):
            await ask(Transport.UDP, address)


async def test_a_connection_that_is_closed_or_refused() -> None:
    async with tcp(lambda request, source: None) as address:
        with pytest.raises(ProbeError, match="does not answer"):
            await ask(Transport.TCP, address)
    with pytest.raises(ProbeError, match=f"tcp://{address} does not answer"):
        await ask(Transport.TCP, address)


def test_the_wildcard_is_asked_over_loopback() -> None:
    assert Target(Transport.UDP, Address("0.0.0.0", 1)).reachable == ("127.0.0.1", 1)
    assert Target(Transport.UDP, Address("::", 1)).reachable == ("::1", 1)
    assert Target(Transport.UDP, Address("192.0.2.1", 1)).reachable == ("192.0.2.1", 1)


async def test_a_verdict_is_remembered_until_it_is_forgotten() -> None:
    async with udp(right) as (address, asked):
        own = SelfProbe(lambda: [Target(Transport.UDP, address)], os.urandom)
        assert not any(await asyncio.gather(own.reasons(), own.reasons()))
        assert asked.asked == 1
        own.forget()
        assert await own.reasons() == []
        assert asked.asked == 2
        trip = own.round_trips[Transport.UDP]
        assert trip is not None
        assert trip > 0


async def test_every_listener_that_fails_is_a_reason() -> None:
    async with udp(right) as (good, _), udp(refusing) as (bad, _), tcp(without_address) as worse:
        targets = [Target(Transport.UDP, bad), Target(Transport.UDP, good), Target(Transport.TCP, worse)]
        own = SelfProbe(lambda: targets, os.urandom)
        metrics = Metrics("stund")
        declare_probe(metrics, own)
        assert b"stund_probe_success{" not in metrics.expose()[1]
        assert await own.reasons() == [
            "the answer is no Binding success",
            "the answer has no XOR-MAPPED-ADDRESS",
        ]
        exposition = metrics.expose()[1]
        assert b'stund_probe_success{transport="udp"} 0.0\n' in exposition
        assert b'stund_probe_success{transport="tcp"} 0.0\n' in exposition
        assert b"stund_probe_round_trip_seconds{" not in exposition


@contextmanager
def stund(folder: Path) -> Iterator[Address]:
    """A process that answers, and where."""
    port = quiet_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
    section = f"{{listen: ['udp://127.0.0.1:{port}', 'tcp://127.0.0.1:{port}'], ops: '127.0.0.1:0'}}"
    (folder / "f.yaml").write_text(f"stund: {section}")
    with subprocess.Popen(
        [sys.executable, "-m", "stund", "--config", folder / "f.yaml"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "ready" not in process.stderr.readline():
            assert process.poll() is None
        yield Address("127.0.0.1", port)
        process.terminate()
        process.communicate()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with stund(tmp_path) as address:
        assert main([str(address)]) == 0
        assert capsys.readouterr().out.startswith(f"udp://{address} sees 127.0.0.1:")
        command = [sys.executable, "-m", "fairlead.probe", "--transport", "tcp", str(address)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    assert main([str(address)]) == 3
    assert capsys.readouterr().err == f"no answer from udp://{address} within 0.05 s\n"
    assert main(["localhost:1"]) == 2
    assert "names are not looked up here" in capsys.readouterr().err
