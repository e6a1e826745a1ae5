"""A TURN client on a real socket, which waits for its answers; and peers, which are plain sockets."""

import contextlib
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from typing import TypeVar

import pytest

from fairlead.datagram import Address, Transport
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    LIFETIME,
    NONCE,
    REALM,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    UDP,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from fairlead.stun.framing import CHANNEL_HEADER_LENGTH, FrameDecoder
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, PasswordAlgorithm, long_term_key
from fairlead.stun.message import Signature, decode, encode, new_mask
from tests.processes import AUTH, PATIENCE, Daemon
from tests.turnd.kit import Reply, Row, read_reply

S = TypeVar("S", bound=socket.socket)

_REALM = AUTH["realm"]
_LARGEST = 65536


class TurnClient:
    """One client address. It learns the nonce from the server, and signs what it asks."""

    def __init__(self, sock: socket.socket, username: str = "user", password: str = "password") -> None:
        """The socket is connected to the server."""
        self.socket = sock
        self.username = username
        self.nonce = ""
        self._signature = Signature(SHA1, long_term_key(username, _REALM, password, PasswordAlgorithm.MD5))
        self._is_stream = sock.type == socket.SOCK_STREAM
        self._frames = FrameDecoder()
        self._data: deque[bytes] = deque()

    # Requests

    def ask(self, method: Method, *rows: Row) -> Reply:
        """Sends a request, once more with the nonce of a challenge if there is one; returns the last answer."""
        reply = self.ask_once(method, *rows)
        challenge = reply.first(NONCE) if reply.code in (401, 438) else None
        if challenge is None or challenge == self.nonce or (self.nonce and reply.code == 401):
            return reply
        self.nonce = challenge
        return self.ask_once(method, *rows)

    def ask_once(self, method: Method, *rows: Row) -> Reply:
        """Sends one request, signed if there is a nonce."""
        mask = new_mask(os.urandom(12))
        if self.nonce:
            proof: tuple[Row, ...] = ((USERNAME, self.username), (REALM, _REALM), (NONCE, self.nonce))
            request = encode(method, Class.REQUEST, mask, (*rows, *proof), self._signature)
        else:
            request = encode(method, Class.REQUEST, mask, rows)
        self.write(request)
        while (answer := self._read())[4:20] != mask:
            self._data.append(answer)
        return read_reply(answer, request)

    def allocate(self, *rows: Row, family: int | None = None) -> Reply:
        asked = () if family is None else ((REQUESTED_ADDRESS_FAMILY, family),)
        return self.ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), *asked, *rows)

    def allocated(self, *rows: Row, family: int | None = None) -> Address:
        """Allocates, which must succeed; returns the relayed address."""
        reply = self.allocate(*rows, family=family)
        relayed = reply.first(XOR_RELAYED_ADDRESS)
        assert relayed is not None, reply.code
        return relayed

    def refresh(self, lifetime: int = 600) -> Reply:
        return self.ask(Method.REFRESH, (LIFETIME, lifetime))

    def permit(self, *peers: Address) -> Reply:
        return self.ask(Method.CREATE_PERMISSION, *((XOR_PEER_ADDRESS, peer) for peer in peers))

    def bind(self, number: int, peer: Address) -> Reply:
        return self.ask(Method.CHANNEL_BIND, (CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, peer))

    # Data

    def indicate(self, peer: Address, data: bytes, *rows: Row) -> None:
        """Sends to a peer, by a Send indication."""
        values: tuple[Row, ...] = ((XOR_PEER_ADDRESS, peer), (DATA, data), *rows)
        self.write(encode(Method.SEND, Class.INDICATION, new_mask(os.urandom(12)), values))

    def send(self, number: int, data: bytes) -> None:
        """Sends to the peer of a channel."""
        padding = bytes(-len(data) & 3) if self._is_stream else b""
        self.write(number.to_bytes(2) + len(data).to_bytes(2) + data + padding)

    def receive(self) -> tuple[int | Address, bytes]:
        """What a peer has sent: the channel that it came by, or the peer's address, and the data."""
        message = self._data.popleft() if self._data else self._read()
        if message[0] >= 0x40:
            return int.from_bytes(message[:2]), message[CHANNEL_HEADER_LENGTH:]
        indication = decode(message)
        assert (indication.method, indication.message_class) == (Method.DATA, Class.INDICATION)
        peer, data = indication.first(XOR_PEER_ADDRESS), indication.first(DATA)
        assert peer is not None
        assert data is not None
        return peer, data

    def waiting(self) -> bool:
        """Whether anything has come that was not asked for."""
        return bool(self._data or _is_readable(self.socket))

    # Bytes

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _read(self) -> bytes:
        if not self._is_stream:
            return self.socket.recv(_LARGEST)
        while (message := self._frames.next_message()) is None:
            received = self.socket.recv(_LARGEST)
            assert received, "the server has closed the connection"
            self._frames.feed(received)
        return message


class Peer:
    """A UDP socket that somebody may send to."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.address = Address(*sock.getsockname()[:2])

    def receive(self) -> tuple[bytes, Address]:
        """Waits for a datagram; returns it with its sender."""
        data, sender = self.socket.recvfrom(_LARGEST)
        return data, Address(*sender[:2])

    def send(self, data: bytes, to: Address) -> None:
        self.socket.sendto(data, tuple(to))

    def heard(self) -> list[bytes]:
        """All that has arrived until now; it does not wait."""
        found = []
        while _is_readable(self.socket):
            found.append(self.socket.recv(_LARGEST))
        return found


class Sockets:
    """Clients and peers, closed together, and what else is entered into `stack`."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    def keep(self, opened: S) -> S:
        """Closes it in the end; what waits on it waits no longer than PATIENCE."""
        opened.settimeout(PATIENCE)
        self.stack.enter_context(opened)
        return opened

    def client(
        self,
        daemon: Daemon,
        transport: Transport = Transport.UDP,
        *,
        username: str = "user",
        password: str = "password",
        source: str = "",
    ) -> TurnClient:
        """A client of a daemon's listener for this transport; from the address `source`, if one is given."""
        return TurnClient(self.connect(daemon.address(transport), transport, source), username, password)

    def connect(self, server: Address, transport: Transport, source: str = "") -> socket.socket:
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        sock = self.keep(socket.socket(family, socket.SOCK_STREAM if transport.is_stream else socket.SOCK_DGRAM))
        if source:
            sock.bind((source, 0))
        sock.connect(tuple(server))
        if transport is not Transport.TLS:
            return sock
        return self.keep(_unverified().wrap_socket(sock))

    def peer(self, host: str = "127.0.0.1", port: int = 0) -> Peer:
        sock = self.keep(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM))
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        return Peer(sock)

    def close(self) -> None:
        self.stack.close()


def _is_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Clients and peers of one test."""
    with contextlib.closing(Sockets()) as opened:
        yield opened
