"""What the service's cases, which run with both engines, do not see."""

import asyncio
import contextlib
import os
import resource
import select
import socket
from pathlib import Path

import pytest

from fairlead.buckets import UNLIMITED
from fairlead.config import SettingError
from fairlead.datagram import Address, Transport
from fairlead.native import EngineChoice, EngineMissingError, is_native
from fairlead.stun import attributes as a
from fairlead.stun.binding import BindingSettings
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask
from fairlead.udp import UdpSocket
from stund.responder import ResponderSettings
from tests.conformance.kit import udp_socket
from tests.skipping import skip_for_lack_of
from tests.stund.running import REQUEST, ask, configured, running
from tests.turnd.dataplane.test_native import tasks
from tests.waiting import eventually

THOUGHTFUL = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), [(a.SOFTWARE, "x")])


@pytest.fixture(autouse=True)
def native_engine() -> None:
    try:
        is_native(EngineChoice.NATIVE)
    except EngineMissingError as missing:
        skip_for_lack_of("the native engine", enable=missing.remedy)


async def test_its_counts_are_in_the_same_metrics(tmp_path: Path) -> None:
    async with running(configured(tmp_path, engine="native")) as stund:
        server = stund.address(Transport.UDP)
        stamped = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), with_fingerprint=True)
        replies = [(await ask(server, asked))[0] for asked in (REQUEST, stamped, THOUGHTFUL)]
        assert [len(reply) for reply in replies] == [32, 40, 32]
        await stund.counts(3, "requests_total", family="ipv4", kind="rfc8489", transport="udp")
        for _ in range(2):  # reading changes nothing
            assert stund.sample("requests_total", family="ipv4", kind="rfc8489", transport="udp") == 3
            assert stund.sample("responses_total", code="success", transport="udp") == 3
            assert stund.sample("request_bytes_total", transport="udp") == 20 + 28 + len(THOUGHTFUL)
            assert stund.sample("response_bytes_total", transport="udp") == 32 + 40 + 32
        assert stund.sample("datapath", datapath="native") == 1


async def test_descriptors_and_threads_are_given_back(tmp_path: Path) -> None:
    before, descriptors = tasks(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with running(configured(tmp_path, engine="native", listen=["udp://127.0.0.1:0"])) as stund:
            await ask(stund.address(Transport.UDP))
        await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    # Who waits for the end of a thread hears of it before the kernel takes it off its list.
    await eventually(lambda: tasks() <= before)


def test_what_is_configured_beyond_the_address_is_for_python() -> None:
    """And so are clients of RFC 3489, where they are answered."""
    from stund.native import NativeListeners

    listeners = NativeListeners(buckets=16)
    try:
        sock = UdpSocket(udp_socket("127.0.0.1"))
        client = udp_socket("127.0.0.1")
        listeners.listen(7, sock)
        listeners.answer(ResponderSettings(BindingSettings("a server", False), classic=True), UNLIMITED)
        classic = REQUEST[:4] + bytes(16)
        for asked in (REQUEST, classic):
            client.sendto(asked, tuple(sock.address))
            assert select.select([listeners.fileno()], [], [], 5)[0]
            ((number, received),) = listeners.turn(8)
            assert (number, received.data, received.local) == (7, asked, sock.address)
            assert received.source == Address(*client.getsockname())
        listeners.answer(ResponderSettings(), UNLIMITED)
        client.sendto(REQUEST, tuple(sock.address))
        assert select.select([client], [], [], 5)[0]
        assert len(client.recv(100)) == 32
        assert listeners.totals().panics == 0
        assert not listeners.faults()
        listeners.close_listener(7)
        sock.close()
        client.close()
    finally:
        listeners.close()


async def test_a_reload_for_which_the_descriptors_do_not_suffice_changes_nothing(tmp_path: Path) -> None:
    """The engine has a descriptor of its own of each socket: the new ones were bound, and could not be read."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running(configured(tmp_path, engine="native", listen=["udp://127.0.0.1:0"])) as stund:
        targets = stund.server.targets()
        other = configured(tmp_path, engine="native", listen=["tcp://127.0.0.2:0", "udp://127.0.0.2:0"], software="new")
        descriptors = len(os.listdir("/proc/self/fd"))
        with contextlib.ExitStack() as stack:
            limit = [stack.enter_context(socket.socket()).fileno() for _ in range(3)][-1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            with pytest.raises(SettingError, match="cannot be read: Too many open files") as caught:
                stund.server.take_over(other)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert caught.value.key == ("stund", "listen", 1)
        assert stund.server.targets() == targets
        assert len((await ask(targets[0].address))[0]) == 32
        assert len(os.listdir("/proc/self/fd")) == descriptors
        stund.server.take_over(other)
        assert {target.address.host for target in stund.server.targets()} == {"127.0.0.2"}
