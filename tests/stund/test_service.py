import asyncio
import socket
import ssl
import struct
import tracemalloc
from pathlib import Path

import pytest

from fairlead.datagram import Address, Transport
from fairlead.stun import attributes as a
from fairlead.stun.header import Class, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.certificates import self_signed
from tests.loopback import require_ipv6
from tests.skipping import skip_for_lack_of
from tests.stund.running import REQUEST, ask, ask_stream, configured, running
from tests.waiting import leap

pytestmark = pytest.mark.usefixtures("engine")


async def test_twenty_bytes_over_ipv4_are_answered_by_thirty_two(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        reply, source = await ask(stund.address(Transport.UDP))
        assert (len(REQUEST), len(reply)) == (20, 32)
        assert source == stund.address(Transport.UDP)
        assert decode(reply).first(a.XOR_MAPPED_ADDRESS) is not None


@pytest.mark.parametrize("entry", ["udp://[::1]:0", "udp://[::]:0"])
async def test_ipv6(tmp_path: Path, entry: str) -> None:
    require_ipv6()
    async with running(configured(tmp_path, listen=[entry])) as stund:
        server = Address("::1", stund.address(Transport.UDP).port)
        reply, source = await ask(server, host="::1")
        mapped = decode(reply).first(a.XOR_MAPPED_ADDRESS)
        assert (len(reply), source) == (44, server)
        assert mapped is not None
        assert mapped.host == "::1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
async def test_of_two_addresses_the_one_that_was_asked_answers(tmp_path: Path, host: str) -> None:
    async with running(configured(tmp_path, listen=["udp://0.0.0.0:0"])) as stund:
        server = Address(host, stund.address(Transport.UDP).port)
        assert (await ask(server))[1] == server


async def test_tcp_with_glued_and_split_requests(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        replies = await ask_stream(stund.address(Transport.TCP), REQUEST * 3, 96)
        assert replies[:32] == replies[32:64] == replies[64:]
        assert decode(replies[:32]).has(a.XOR_MAPPED_ADDRESS)
        assert stund.sample("requests_total", family="ipv4", kind="rfc8489", transport="tcp") == 3


async def test_tls(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    shared = {"tls": {"certificate": str(files.certificate), "key": str(files.key)}}
    context = ssl.create_default_context(cafile=files.certificate)
    async with running(configured(tmp_path, shared)) as stund:
        for transport in (Transport.TLS, Transport.TCP):
            reply = await ask_stream(stund.address(transport), ssl=context)
            assert decode(reply).has(a.XOR_MAPPED_ADDRESS)
        assert stund.sample("responses_total", code="success", transport="tls") == 2
        assert stund.sample("tls_handshakes_total", result="ok") == 2


async def test_a_connection_is_kept_while_it_asks_and_closed_when_it_rests(tmp_path: Path) -> None:
    async with running(configured(tmp_path, streams={"deadline": 200, "idle": 300})) as stund:
        reader, writer = await asyncio.open_connection(*stund.address(Transport.TCP))
        for _ in range(3):
            writer.write(REQUEST)
            await reader.readexactly(32)
            leap(150)
        leap(151)
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_asks_nothing_valid_is_closed_at_the_deadline(tmp_path: Path) -> None:
    indication = encode(Method.BINDING, Class.INDICATION, new_mask(bytes(12)))
    async with running(configured(tmp_path, streams={"deadline": 200})) as stund:
        reader, writer = await asyncio.open_connection(*stund.address(Transport.TCP))
        for count in (1, 2):
            leap(99)
            writer.write(indication)
            await stund.counts(count, "dropped_total", reason="not_a_request", transport="tcp")
        leap(3)
        assert await reader.read() == b""
        writer.close()
        assert stund.sample("connections_expired_total") == 1


async def test_what_is_sent_back_is_what_is_configured(tmp_path: Path) -> None:
    loaded = configured(tmp_path, software="Fairlead", mapped_address=True, classic=True)
    async with running(loaded) as stund:
        reply, _ = await ask(stund.address(Transport.UDP))
        assert decode(reply).first(a.SOFTWARE) == "Fairlead"
        assert decode(reply).first(a.MAPPED_ADDRESS) == decode(reply).first(a.XOR_MAPPED_ADDRESS)
        classic, _ = await ask(stund.address(Transport.UDP), REQUEST[:4] + bytes(16))
        assert decode(classic, classic=True).has(a.MAPPED_ADDRESS)
        assert stund.sample("requests_total", family="ipv4", kind="rfc3489", transport="udp") == 1


async def test_every_datagram_ends_with_a_reply_or_a_counted_reason(tmp_path: Path) -> None:
    unknown = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), [(a.LIFETIME, 1)])
    async with running(configured(tmp_path)) as stund:
        server = stund.address(Transport.UDP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in (b"", b"\xff", REQUEST[:4] + bytes(16), bytes(3000)):
                sock.sendto(data, server)
        reply, _ = await ask(server, unknown)
        assert decode(reply).first(a.UNKNOWN_ATTRIBUTES) == (a.LIFETIME.type,)
        for reason in ("empty", "not_stun", "bad_cookie", "too_large"):
            assert stund.sample("dropped_total", reason=reason, transport="udp") == 1, reason
        assert stund.sample("responses_total", code="420", transport="udp") == 1
        assert stund.sample("request_bytes_total", transport="udp") == len(unknown)
        assert stund.sample("response_bytes_total", transport="udp") == len(reply)


async def test_port_zero_is_not_answered(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        server = stund.address(Transport.UDP)
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        except PermissionError:
            skip_for_lack_of("CAP_NET_RAW, which port 0 takes", enable="run the tests as root")
        with raw:
            raw.sendto(struct.pack("!HHHH", 0, server.port, 8 + len(REQUEST), 0) + REQUEST, (server.host, 0))
        await ask(server)
        assert stund.sample("dropped_total", reason="port_zero", transport="udp") == 1
        await stund.counts(1, "requests_total", family="ipv4", kind="rfc8489", transport="udp")


async def test_a_flood_does_not_keep_the_loop_from_its_timers(tmp_path: Path) -> None:
    async with running(configured(tmp_path, engine="python", buffers={"receive": 4_000_000})) as stund:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                sock.sendto(REQUEST, stund.address(Transport.UDP))
            turns = 0
            while (stund.sample("requests_total", family="ipv4", kind="rfc8489", transport="udp") or 0) < 200:
                turns += 1
                await asyncio.sleep(0)
        assert turns >= 3, "the budget of a turn is 64"
        assert stund.sample("service_seconds_count", transport="udp") == 3, "one of 64 is timed"


async def test_each_source_may_ask_so_often(tmp_path: Path) -> None:
    """Those that need thought, and those that need none; a connection has shown who it is."""
    thoughtful = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), [(a.SOFTWARE, "x")])
    limits = {"bindings": {"rate": 0.001, "burst": 4}}
    async with running(configured(tmp_path, limits=limits)) as stund:
        server = stund.address(Transport.UDP)
        for asked in (REQUEST, thoughtful) * 2:
            await ask(server, asked)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for asked in (REQUEST, thoughtful, b"junk"):
                sock.sendto(asked, server)
        await ask(server, host="127.0.0.2")
        assert stund.sample("dropped_total", reason="rate_limited", transport="udp") == 2
        await stund.counts(5, "requests_total", family="ipv4", kind="rfc8489", transport="udp")
        await ask_stream(stund.address(Transport.TCP))
        stund.server.take_over(configured(tmp_path, limits={"bindings": {"rate": 0, "burst": 1}}))
        for _ in range(10):
            await ask(server)


async def test_ten_thousand_sources_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        server = stund.address(Transport.UDP)

        async def flood(first: int, last: int) -> None:
            for number in range(first, last):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0))
                    sock.sendto(REQUEST if number % 2 else b"\xff" * 20, server)
                if number % 32 == 0:
                    await ask(server)  # what came before has been read: none is lost for want of room
            await ask(server)

        await flood(0x20000, 0x20100)
        tracemalloc.start()
        try:
            # Enough to fill what has a fixed size: the addresses that were read last are kept as they were read.
            await flood(0x20100, 0x20900)
            before, _ = tracemalloc.get_traced_memory()
            await flood(0x30000, 0x30000 + 10_000)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 64 * 1024
        assert stund.sample("dropped_total", reason="not_stun", transport="udp") == 5000 + 128 + 1024
