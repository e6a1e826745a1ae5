import asyncio
import errno
import socket
import ssl
from pathlib import Path

import pytest

from fairlead.config import TlsSettings
from fairlead.datagram import Address, Transport, Via
from fairlead.listeners import bind, parse_listener
from fairlead.streams import StreamServer, StreamSettings
from fairlead.streams.server import _PAUSE
from fairlead.tls import ALPN_STUN, ALPN_TURN, load_certificate
from tests.certificates import self_signed
from tests.fairlead.streams.echo import REQUEST, Echo, connected, serving
from tests.garbage import uncollected
from tests.loopback import require_ipv6
from tests.waiting import eventually


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    files = self_signed(tmp_path)
    certificate = load_certificate(TlsSettings(certificate=files.certificate, key=files.key), (ALPN_TURN, ALPN_STUN))
    assert certificate is not None
    return certificate.context


@pytest.fixture
def client_context(context: ssl.SSLContext) -> ssl.SSLContext:
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return client


async def exchange(address: Address, context: ssl.SSLContext | None = None) -> bytes:
    async with asyncio.timeout(20), connected(address, context) as (reader, writer):
        writer.write(REQUEST)
        return await reader.readexactly(len(REQUEST))


async def hangs_up(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes without a word."""
    async with asyncio.timeout(5):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


async def test_plain_and_tls_are_told_apart_on_one_port(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    echo = Echo()
    async with serving(echo, context=context) as (server, address):
        assert await exchange(address) == REQUEST
        assert await exchange(address, client_context) == REQUEST
        assert [stream.five_tuple.transport for stream in echo.streams] == [Transport.TCP, Transport.TLS]
        assert server.handshakes["ok",] == 1


async def test_a_tls_entry_takes_nothing_else(context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    echo = Echo()
    async with serving(echo, context=context, transport=Transport.TLS) as (_, address):
        assert await exchange(address, client_context) == REQUEST
        async with connected(address) as (reader, writer):
            writer.write(REQUEST)
            assert await hangs_up(reader)
        assert len(echo.messages) == 1


async def test_tls_without_a_certificate_is_refused_and_counted(client_context: ssl.SSLContext) -> None:
    async with serving(Echo()) as (server, address):
        with pytest.raises(OSError):
            await exchange(address, client_context)
        assert server.handshakes["no_certificate",] == 1
        await server.emptied()


@pytest.mark.parametrize("protocol", [ALPN_TURN, ALPN_STUN])
async def test_the_protocol_is_named_by_alpn(
    context: ssl.SSLContext, client_context: ssl.SSLContext, protocol: str
) -> None:
    client_context.set_alpn_protocols(["http/1.1", protocol])
    async with serving(Echo(), context=context) as (_, address), connected(address, client_context) as (_, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol


async def test_a_broken_handshake_ends_the_connection(context: ssl.SSLContext) -> None:
    async with serving(Echo(), context=context) as (server, address), connected(address) as (reader, writer):
        writer.write(b"\x16\x03\x01\x00\x05hello")
        async with asyncio.timeout(5):
            await reader.read()
        await server.emptied()
        assert server.handshakes["failed",] == 1
        assert server.half_open == 0


async def test_who_leaves_leaves_nothing_to_collect(context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    echo = Echo()
    with uncollected("fairlead.streams") as found:
        async with serving(echo, context=context) as (server, address):
            for _ in range(10):
                assert await exchange(address) == REQUEST
                assert await exchange(address, client_context) == REQUEST
                async with connected(address) as (reader, writer):
                    writer.write(b"\x16\x03\x01\x00\x05hello")
                    assert await hangs_up(reader)
            await server.emptied()
            assert len(echo.closed) == 30
            echo.streams.clear()
            echo.closed.clear()
            assert found()["Stream"] <= 1, "the last one may be on its way out"


async def test_both_addresses_and_the_listener_are_known() -> None:
    require_ipv6()
    echo = Echo()
    async with serving(echo, host="[::1]") as (server, address), connected(address) as (reader, writer):
        writer.write(REQUEST)
        await reader.readexactly(len(REQUEST))
        (stream,) = echo.streams
        client = Address(*writer.get_extra_info("sockname")[:2])
        assert stream.five_tuple == (Transport.TCP, client, address)
        assert stream.via.listener == 7
        assert server.find(stream.via) is stream
    assert server.find(stream.via) is None
    assert server.find(Via(7, 999)) is None


async def test_one_deadline_for_those_who_say_nothing_of_worth(context: ssl.SSLContext) -> None:
    """Silence, a message by drops, valid messages that settle nothing, a handshake by drops: all end."""
    echo, settings = Echo(settle=False), StreamSettings(deadline=1.0)
    async with serving(echo, settings, context) as (server, address):
        async with (
            connected(address) as (silent, _),
            connected(address) as (slow, slow_writer),
            connected(address) as (busy, busy_writer),
            connected(address) as (shaking, shaking_writer),
        ):
            busy_writer.write(REQUEST)
            shaking_writer.write(b"\x16\x03\x01")
            slow_writer.write(REQUEST[:1])
            assert await busy.readexactly(len(REQUEST)) == REQUEST
            for reader in (silent, slow, busy, shaking):
                assert await hangs_up(reader)
        await server.emptied()
        assert server.expired == 4
        assert server.half_open == 0
        assert len(echo.closed) == 4


async def test_who_has_settled_stays() -> None:
    echo = Echo(settle=None)
    async with serving(echo, StreamSettings(deadline=1.0)) as (server, address):
        async with connected(address) as (reader, writer):
            writer.write(REQUEST)
            assert await reader.readexactly(len(REQUEST)) == REQUEST
            await asyncio.sleep(1.1)  # libuv has a clock of its own
            writer.write(REQUEST)
            assert await reader.readexactly(len(REQUEST)) == REQUEST
            assert server.half_open == 0
            assert server.connections() == {Transport.TCP: 1}
        await server.emptied()


async def test_settling_for_a_while() -> None:
    async with serving(Echo(settle=0.1)) as (server, address), connected(address) as (reader, writer):
        writer.write(REQUEST)
        assert await reader.readexactly(len(REQUEST)) == REQUEST
        assert await hangs_up(reader)
        assert server.expired == 1


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        (StreamSettings(half_open_per_source=3), "half_open_per_source"),
        (StreamSettings(connections=3), "connections"),
        (StreamSettings(connections_per_source=3), "connections_per_source"),
    ],
)
async def test_each_bound_holds_and_gives_way_again(settings: StreamSettings, bound: str) -> None:
    async with serving(Echo(), settings) as (server, address):
        kept = [await asyncio.open_connection(*address) for _ in range(3)]
        await eventually(lambda: server.connections().total() == 3)
        async with connected(address) as (reader, _):
            assert await hangs_up(reader)
        assert server.refused[bound,] == 1
        assert server.connections().total() == 3
        kept.pop()[1].close()
        await eventually(lambda: server.connections().total() == 2)
        assert await exchange(address) == REQUEST
        for _, writer in kept:
            writer.close()


async def test_who_has_most_half_open_makes_room() -> None:
    """The oldest of 127.0.0.3 goes: two addresses that prove nothing do not keep a third one out."""
    async with serving(Echo(), StreamSettings(half_open=3), host="0.0.0.0") as (server, address):
        target = Address("127.0.0.1", address.port)
        async with (
            connected(target, source="127.0.0.2") as (other, other_writer),
            connected(target, source="127.0.0.3") as (oldest, _),
            connected(target, source="127.0.0.3") as (newest, newest_writer),
        ):
            await eventually(lambda: server.half_open == 3)
            async with connected(target) as (reader, writer), asyncio.timeout(20):
                writer.write(REQUEST)
                assert await reader.readexactly(len(REQUEST)) == REQUEST
            assert await hangs_up(oldest)
            assert server.refused["half_open",] == 1
            for reader, writer in ((other, other_writer), (newest, newest_writer)):
                writer.write(REQUEST)
                assert await reader.readexactly(len(REQUEST)) == REQUEST
            assert server.half_open == 0


async def test_where_each_has_one_the_oldest_makes_room() -> None:
    async with serving(Echo(), StreamSettings(half_open=1), host="0.0.0.0") as (_, address):
        target = Address("127.0.0.1", address.port)
        async with connected(target) as (oldest, _), connected(target, source="127.0.0.2") as (reader, writer):
            writer.write(REQUEST)
            assert await reader.readexactly(len(REQUEST)) == REQUEST
            assert await hangs_up(oldest)


@pytest.mark.parametrize("settings", [StreamSettings(half_open_per_source=1), StreamSettings(connections_per_source=1)])
async def test_a_source_at_its_bound_does_not_keep_others_out(settings: StreamSettings) -> None:
    async with serving(Echo(), settings, host="0.0.0.0") as (server, address):
        target = Address("127.0.0.1", address.port)
        async with connected(target), connected(target, source="127.0.0.2") as (reader, writer):
            writer.write(REQUEST)
            assert await reader.readexactly(len(REQUEST)) == REQUEST
        assert sum(server.refused.values()) == 0


async def test_without_descriptors_it_waits_and_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDescriptors(socket.socket):
        """A listening socket whose process has none left, until it has."""

        refusals = 0
        exhausted = True

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            if self.exhausted:
                type(self).refusals += 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    echo = Echo()
    server = StreamServer(echo, StreamSettings())
    listening = NoDescriptors()
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server.listen(1, listening, Transport.TCP)
    address = Address(*listening.getsockname())
    try:
        answered = asyncio.create_task(exchange(address))
        began = asyncio.get_running_loop().time()
        await eventually(lambda: NoDescriptors.refusals)
        await asyncio.sleep(0.1)
        assert NoDescriptors.refusals <= 1 + (asyncio.get_running_loop().time() - began) / _PAUSE
        NoDescriptors.exhausted = False
        assert await answered == REQUEST
        assert server.refused["descriptors",] == NoDescriptors.refusals
    finally:
        server.close()


async def test_closing_a_listener_leaves_its_streams() -> None:
    async with serving(Echo()) as (server, address), connected(address) as (reader, writer):
        writer.write(REQUEST)
        await reader.readexactly(len(REQUEST))
        (sock,) = bind(parse_listener("tcp://127.0.0.1:0"), ("listen",))
        server.listen(8, sock, Transport.TCP)
        server.close_listener(7)
        with pytest.raises(ConnectionRefusedError):
            await exchange(address)
        writer.write(REQUEST)
        assert await reader.readexactly(len(REQUEST)) == REQUEST
        assert await exchange(Address(*sock.getsockname())) == REQUEST


async def test_new_settings_and_a_new_certificate_count_for_the_next(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async with serving(Echo()) as (server, address):
        server.context = context
        assert await exchange(address, client_context) == REQUEST
        await server.emptied()
        server.settings = StreamSettings(connections=1)
        async with connected(address), connected(address) as (reader, _):
            assert await hangs_up(reader)


async def test_closing_ends_every_stage_of_a_connection(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    echo = Echo()
    async with (
        serving(echo, context=context) as (server, address),
        connected(address) as (silent, _),
        connected(address) as (shaking, shaking_writer),
        connected(address) as (plain, plain_writer),
        connected(address, client_context) as (tls, _),
    ):
        shaking_writer.write(b"\x16\x03\x01")
        plain_writer.write(REQUEST)
        await plain.readexactly(len(REQUEST))
        await eventually(lambda: server.connections().total() == 4)
        server.close()
        await server.emptied()
        assert len(echo.closed) == 4
        for reader in (silent, shaking, plain, tls):
            assert await hangs_up(reader)
