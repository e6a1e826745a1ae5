"""TURN clients over real sockets, for tests of the shell."""

import asyncio
import socket
from typing import Any

from fairlead.datagram import Address
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    ERROR_CODE,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    UDP,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Attribute,
)
from fairlead.stun.framing import FrameDecoder
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, PasswordAlgorithm, long_term_key
from fairlead.stun.message import Message, Signature, decode, encode, new_mask
from tests.turnd.kit import seeded

WAIT = 20.0


def udp_socket(host: str = "127.0.0.1") -> socket.socket:
    """A bound, non-blocking UDP socket on a port that the system chooses."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


async def receive(sock: socket.socket) -> tuple[bytes, Address]:
    data, source = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(sock, 65536), WAIT)
    return data, Address(*source[:2])


class WireClient:
    """One client address; `server` is where it sends. It answers challenges by itself."""

    def __init__(
        self,
        server: Address,
        username: str,
        password: str,
        realm: str = "fairlead",
        sock: socket.socket | None = None,
    ) -> None:
        self.socket = udp_socket(server.host) if sock is None else sock
        self.address = Address(*self.socket.getsockname()[:2])
        self._server = server
        self._username, self._realm = username, realm
        self._key = long_term_key(username, realm, password, PasswordAlgorithm.MD5)
        self._entropy = seeded(f"wire {self.address}")
        self.nonce = ""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self._server)

    async def ask(self, method: int, *rows: tuple[Attribute[Any], Any]) -> Message:
        """Sends a request, and once more with the nonce of a challenge; returns the last answer."""
        answer = await self._exchange(method, rows)
        if _code(answer) in (401, 438) and answer.first(NONCE) != self.nonce:
            self.nonce = answer.first(NONCE) or ""
            answer = await self._exchange(method, rows)
        return answer

    async def code(self, method: int, *rows: tuple[Attribute[Any], Any]) -> int:
        """The error code of the answer, 0 for success."""
        return _code(await self.ask(method, *rows))

    async def allocate(self, *rows: tuple[Attribute[Any], Any]) -> Address:
        answer = await self.ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), *rows)
        relayed = answer.first(XOR_RELAYED_ADDRESS)
        assert relayed is not None, answer.first(ERROR_CODE)
        return relayed

    async def bind(self, number: int, peer: Address) -> int:
        return await self.code(Method.CHANNEL_BIND, (CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, peer))

    async def permit(self, peer: Address) -> int:
        return await self.code(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, peer))

    def request(self, method: int, *rows: tuple[Attribute[Any], Any]) -> bytes:
        """A request, signed when there is a nonce to sign with."""
        named = ((USERNAME, self._username), (REALM, self._realm), (NONCE, self.nonce))
        signature = Signature(SHA1, self._key)
        signed, mask = bool(self.nonce), new_mask(self._entropy(12))
        return encode(method, Class.REQUEST, mask, (*rows, *named * signed), signature if signed else None)

    async def _exchange(self, method: int, rows: tuple[tuple[Attribute[Any], Any], ...]) -> Message:
        self.send(self.request(method, *rows))
        return decode((await receive(self.socket))[0])


class StreamClient(WireClient):
    """The same over TCP, with little room for what it has not read. What is relayed to it is passed over."""

    def __init__(self, server: Address, username: str = "alice", password: str = "wonderland") -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server)
        connection.setblocking(False)
        super().__init__(server, username, password, sock=connection)
        self._frames = FrameDecoder()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    async def _exchange(self, method: int, rows: tuple[tuple[Attribute[Any], Any], ...]) -> Message:
        request = self.request(method, *rows)
        self.send(request)
        while (message := self._frames.next_message()) is None or message[4:20] != request[4:20]:
            if message is None:
                received = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 1 << 16), WAIT)
                assert received, "the server hangs up"
                self._frames.feed(received)
        return decode(message)


def _code(message: Message) -> int:
    error = message.first(ERROR_CODE)
    return 0 if error is None else error.code
