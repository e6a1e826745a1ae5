import errno
import os
import socket
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from fairlead.config import SettingError, Settings
from fairlead.datagram import Transport
from fairlead.listeners import BufferSettings, Listener, ListenerSetting, bind, parse_listener
from tests.loopback import require_ipv6

KEY = ("stund", "listen", 0)


class Section(Settings):
    listen: tuple[ListenerSetting, ...] = ()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Closes what a test puts into it."""
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("udp://*:3478", Listener(Transport.UDP, "*", 3478)),
        ("tcp://192.0.2.1:80", Listener(Transport.TCP, "192.0.2.1", 80)),
        ("tls://[2001:db8::1]:0", Listener(Transport.TLS, "2001:db8::1", 0)),
        ("dtls://[::]:5349", Listener(Transport.DTLS, "::", 5349)),
    ],
)
def test_entries_are_read_and_written(text: str, listener: Listener) -> None:
    assert parse_listener(text) == listener
    assert str(listener) == text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("*:3478", "'*:3478' is no listener; write TRANSPORT://HOST:PORT with one of udp://, tcp://, tls://, dtls://"),
        ("http://*:80", "'http://*:80' is no listener; write"),
        ("udp://*", "'*' has no port; write it as HOST:PORT"),
        ("udp://*:x", "is no port"),
        ("udp://*:65536", "is no port"),
        ("udp://localhost:1", "names are not looked up"),
        ("udp://192.0.2.1", "has no port; write it as HOST:PORT"),
    ],
)
def test_what_is_no_entry(text: str, wrong: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_listener(text)
    assert wrong in str(caught.value)


def test_an_entry_in_a_settings_model() -> None:
    assert Section.model_validate({"listen": ["udp://*:1"]}).listen == (Listener(Transport.UDP, "*", 1),)
    assert Section(listen=(parse_listener("udp://*:1"),)).model_dump(mode="json") == {"listen": ["udp://*:1"]}
    with pytest.raises(ValidationError, match="is no listener"):
        Section.model_validate({"listen": [3]})


def test_everywhere_means_both_families(sockets: list[socket.socket]) -> None:
    require_ipv6()
    sockets += bind(parse_listener("udp://*:0"), KEY)
    assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_INET6]
    assert sockets[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    assert not any(sock.getblocking() for sock in sockets)


def test_everywhere_is_ipv4_where_the_kernel_knows_no_other(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnlyIPv4(socket.socket):
        def __init__(self, family: int = -1, *rest: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *rest)

    monkeypatch.setattr(socket, "socket", OnlyIPv4)
    sockets += bind(parse_listener("udp://*:0"), KEY)
    assert [sock.family for sock in sockets] == [socket.AF_INET]
    with pytest.raises(SettingError, match="cannot be bound"):
        bind(parse_listener("udp://[::1]:0"), KEY)


def test_streams_listen(sockets: list[socket.socket]) -> None:
    sockets += bind(parse_listener("tls://127.0.0.1:0"), KEY)
    with socket.create_connection(sockets[0].getsockname()):
        sockets.append(sockets[0].accept()[0])


def test_buffers_are_asked_for(sockets: list[socket.socket]) -> None:
    sockets += bind(parse_listener("udp://127.0.0.1:0"), KEY, BufferSettings(receive=40000, send=30000))
    # The kernel doubles what it is asked for, for its own bookkeeping.
    assert sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 80000
    assert sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 60000


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_taken_port_names_the_process_and_the_key(sockets: list[socket.socket], transport: str) -> None:
    sockets += bind(parse_listener(f"{transport}://127.0.0.1:0"), KEY)
    port = sockets[0].getsockname()[1]
    with pytest.raises(SettingError) as caught:
        bind(parse_listener(f"{transport}://127.0.0.1:{port}"), KEY)
    assert str(caught.value) == (
        f"stund.listen[0]: {transport}://127.0.0.1:{port} is taken by this process itself (pid {os.getpid()}); "
        "write another port; a restart can change the host of this one"
    )


def test_an_address_that_every_interface_has_wants_the_interface_too() -> None:
    require_ipv6()
    with pytest.raises(SettingError, match=r"fe80::1 is an address of each interface; write which one, as in \["):
        bind(parse_listener("udp://[fe80::1]:0"), KEY)


def test_nothing_stays_bound_when_the_second_family_fails(sockets: list[socket.socket]) -> None:
    require_ipv6()
    sockets += bind(parse_listener("udp://[::]:0"), KEY)
    port = sockets[0].getsockname()[1]
    with pytest.raises(SettingError, match=r"udp://\[::\]:\d+ is taken"):
        bind(parse_listener(f"udp://*:{port}"), KEY)
    sockets += bind(parse_listener(f"udp://0.0.0.0:{port}"), KEY)


def test_a_port_may_be_bound_again_while_old_connections_rest(sockets: list[socket.socket]) -> None:
    (server,) = bind(parse_listener("tcp://127.0.0.1:0"), KEY)
    name = server.getsockname()
    with socket.create_connection(name):
        server.accept()[0].close()
    server.close()
    sockets += bind(parse_listener(f"tcp://127.0.0.1:{name[1]}"), KEY)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(SettingError) as caught:
        bind(parse_listener("udp://192.0.2.1:0"), KEY)
    assert caught.value.wrong == "this machine has no address 192.0.2.1"
    assert caught.value.remedy == "write one of its own, or * for all of them"


def test_a_port_that_needs_a_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unprivileged(socket.socket):
        def bind(self, name: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Unprivileged)
    with pytest.raises(SettingError) as caught:
        bind(parse_listener("tcp://*:443"), KEY)
    assert str(caught.value) == (
        "stund.listen[0]: port 443 needs a privilege; write a port above 1023, or give the process CAP_NET_BIND_SERVICE"
    )
